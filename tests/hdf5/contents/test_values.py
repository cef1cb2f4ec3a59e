"""What people have, saved: numbers, texts and times, alone and in lists, masked arrays."""

import datetime as dt

import h5py
import numpy as np
import pytest
import xarray as xr
from dumps import h5dump, read
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from shmkit import shared_load, to_hdf5
from shmkit.hdf5.contents.masks import filled, unused

DAY = dt.datetime(2024, 2, 29, 12, 30, 0, 5)  # noqa: DTZ001
BERLIN = dt.timezone(dt.timedelta(hours=1), "CET")
MIN = np.iinfo("i8").min


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (3, np.int64(3)),
        (2.5, 2.5),
        (1 + 2j, 1 + 2j),
        (True, True),
        ("héllo", "héllo"),
        ("", ""),
        (b"ab", b"ab"),
        (np.float32(1.5), np.float32(1.5)),
        (DAY, np.datetime64(DAY)),
        (dt.date(2024, 2, 29), np.datetime64("2024-02-29")),
        (dt.timedelta(seconds=3), np.timedelta64(3_000_000, "us")),
        ([1, 2, 3], [1, 2, 3]),
        (range(3), [0, 1, 2]),
        ([[1, 2.5], [3, 4]], [[1, 2.5], [3, 4]]),
        ([], np.zeros(0)),
        ([2**63], np.array([2**63], "u8")),
        ([1.5, None], [1.5, np.nan]),
        ([None, None], [np.nan, np.nan]),
        (["a", "bcé"], ["a", "bcé"]),
        ([["a"], ["b"]], [["a"], ["b"]]),
        ([True, False], [True, False]),
        ([dt.date(2024, 2, 29), None], np.array(["2024-02-29", "NaT"], "M8[D]")),
        ([DAY, DAY], np.array([DAY, DAY], "M8[us]")),
        ([DAY.replace(tzinfo=BERLIN)], np.array(["2024-02-29T11:30:00.000005"], "M8[us]")),
        (np.array(["a", "bé"], np.dtypes.StringDType()), ["a", "bé"]),
        (np.array(["a", "bé"], object), ["a", "bé"]),
        (np.array([1, 2], object), [1, 2]),
        (np.array(["2024", "NaT"], "M8[Y]"), np.array(["2024", "NaT"], "M8[D]")),
        (np.array([3], "m8[W]"), np.array([21], "m8[D]")),
        (np.array([3], "M8[10ms]"), np.array([30], "M8[ms]")),
    ],
    ids=str,
)
def test_a_value_comes_back_equal(tmp_path, value, expected):
    to_hdf5(tmp_path / "a.h5", {"x": value})
    expected = np.asarray(expected)
    with shared_load(tmp_path / "a.h5") as (x,):
        assert x.dtype.kind == expected.dtype.kind
        assert x.shape == expected.shape
        np.testing.assert_array_equal(x, expected)
    h5dump(tmp_path / "a.h5")
    if not (isinstance(value, list) and value == []):
        to_hdf5(tmp_path / "b.h5", value)
        assert read(tmp_path / "b.h5", "data").shape == expected.shape


def test_an_empty_sequence_holds_no_arrays(tmp_path):
    with pytest.raises(ValueError, match="there are no arrays to save"):
        to_hdf5(tmp_path / "a.h5", [])


def test_a_zone_is_named(tmp_path):
    to_hdf5(tmp_path / "a.h5", {"at": [DAY.replace(tzinfo=BERLIN)]})
    with h5py.File(tmp_path / "a.h5") as file:
        assert file["at"].attrs["timezone"] == "CET"
    with pytest.raises(TypeError, match="at holds times with and without a time zone"):
        to_hdf5(tmp_path / "a.h5", {"at": [DAY.replace(tzinfo=BERLIN), DAY]})


@pytest.mark.parametrize("unit", ["Y", "M", "W", "D", "h", "m", "s", "ms", "us", "ns"])
def test_xarray_reads_times_of_every_unit(tmp_path, unit):
    times = np.array(["1969-12-29", "2024-02-29", "NaT"], f"M8[{unit}]")
    to_hdf5(tmp_path / "a.h5", {"at": times, "took": times - times[0]})
    options = {"engine": "h5netcdf", "phony_dims": "sort", "decode_timedelta": True}
    with xr.open_dataset(tmp_path / "a.h5", **options) as file:
        np.testing.assert_array_equal(file["at"], times.astype("M8[ns]"))
        if unit not in "YM":  # no number of days
            took = file["took"].astype("m8[ns]")
            np.testing.assert_array_equal(took, (times - times[0]).astype("m8[ns]"))


@pytest.mark.parametrize(
    ("array", "stored", "fill"),
    [
        (np.ma.MaskedArray([1, 2, 3], [0, 1, 0]), [1, MIN, 3], MIN),
        (np.ma.MaskedArray([1, 2, 3], [0, 1, 0], fill_value=-9), [1, -9, 3], -9),
        (np.ma.MaskedArray([-9, 2, 3], [0, 1, 0], fill_value=-9), [-9, MIN, 3], MIN),
        (np.ma.MaskedArray([MIN, 2], [0, 1]), [MIN, -MIN - 1], -MIN - 1),
        (np.ma.MaskedArray([1, 2], False), [1, 2], MIN),
        (np.ma.MaskedArray([1, 2.0], [0, 1]), [1, np.nan], np.nan),
        (np.ma.MaskedArray([np.nan, 2.0], [0, 1]), [np.nan, 1e20], 1e20),
        (np.ma.MaskedArray([np.nan, 1e20, 1], [0, 0, 1]), [np.nan, 1e20, -128.0], -128.0),
        (np.ma.MaskedArray([True, False], [0, 1]), [1, -128], -128),
        (np.ma.MaskedArray(["é", "x"], [0, 1]), ["é".encode(), b""], b""),
        (np.ma.MaskedArray(["", "x"], [0, 1]), [b"", b"?"], b"?"),
        (np.ma.MaskedArray([b"", b"x"], [0, 1], fill_value=b"-"), [b"", b"-"], b"-"),
        (["a", None, ""], [b"a", b"?", b""], b"?"),
        ([1, None], [1, MIN], MIN),
        ([True, None], [1, -128], -128),
    ],
    ids=str,
)
def test_what_is_masked_is_a_value_that_no_other_item_has(tmp_path, array, stored, fill):
    to_hdf5(tmp_path / "a.h5", {"x": array})
    with h5py.File(tmp_path / "a.h5") as file:
        np.testing.assert_array_equal(file["x"][:], stored)
        np.testing.assert_array_equal(file["x"].attrs["_FillValue"], fill)
        if file["x"].dtype.kind != "S":  # numpy's scalars of text have no width
            assert file["x"].attrs["_FillValue"].dtype == file["x"].dtype
    h5dump(tmp_path / "a.h5")


def test_xarray_has_the_mask_again(tmp_path):
    array = np.ma.MaskedArray(np.arange(6, dtype="i2").reshape(2, 3), np.eye(2, 3))
    to_hdf5(tmp_path / "a.h5", {"x": array, "f": array.astype("f4")})
    with xr.open_dataset(tmp_path / "a.h5", engine="h5netcdf", phony_dims="sort") as file:
        for name in "xf":
            np.testing.assert_array_equal(file[name], array.astype("f4").filled(np.nan))


def test_fields_are_masked_one_by_one(tmp_path):
    dtype = [("a", "i4"), ("b", "f8", (2,))]
    table = np.ma.MaskedArray([(1, (2, 3)), (4, (5, 6))], [(0, (0, 1)), (1, (0, 0))], dtype)
    for layout in ("table", "columns"):
        to_hdf5(tmp_path / "a.h5", {"t": table}, layout=layout)
        with h5py.File(tmp_path / "a.h5") as file:
            assert file["t"]["a"][:].tolist() == [1, np.iinfo("i4").min]
            np.testing.assert_array_equal(file["t"]["b"][:], [[2, np.nan], [5, 6]])
            if layout == "table":
                assert set(file["t"].attrs) == {"_FillValue.a", "_FillValue.b"}
            else:
                assert file["t/a"].attrs["_FillValue"] == np.iinfo("i4").min


def test_masked_arrays_are_joined_with_one_value_for_what_is_masked(tmp_path):
    narrow = np.ma.MaskedArray([1, 2], [0, 1], "i1")
    arrays = [np.ma.MaskedArray([1, MIN], [1, 0]), np.array([-MIN - 1, 3]), narrow]
    to_hdf5(tmp_path / "a.h5", arrays, concat=True)
    with h5py.File(tmp_path / "a.h5") as file:
        fill = file["data"].attrs["_FillValue"]
        assert file["data"][:].tolist() == [fill, MIN, -MIN - 1, 3, 1, fill]
        assert fill not in (MIN, -MIN - 1, 3)


def test_without_a_free_value_it_is_an_error(tmp_path):
    values = np.arange(257) % 256
    with pytest.raises(TypeError, match="x: it is masked, and has every value of uint8"):
        to_hdf5(tmp_path / "a.h5", {"x": np.ma.MaskedArray(values.astype("u1"), values == -1)})
    to_hdf5(tmp_path / "a.h5", {"x": np.ma.MaskedArray(values.astype("u1"), values == 7)})
    with h5py.File(tmp_path / "a.h5") as file:
        assert file["x"].attrs["_FillValue"] == 7


KINDS = st.sampled_from(["i1", "u1", "i2", "u8", "f4", "f8", "c16", "S2", "M8[s]"])


@given(st.data(), KINDS)
def test_no_valid_item_becomes_missing_and_no_missing_one_valid(data, kind):
    values = data.draw(arrays_of.arrays(kind, 20))
    mask = data.draw(arrays_of.arrays(bool, 20))
    array = np.ma.MaskedArray(values, mask)
    fill = unused(array.dtype, [array])
    found = filled(array, fill)
    is_nan = fill != fill  # noqa: PLR0124 - NaN
    missing = np.isnan(found) if is_nan else found == fill
    if kind == "M8[s]":
        mask = mask | np.isnat(values)
    np.testing.assert_array_equal(missing, mask)
    np.testing.assert_array_equal(found[~mask], values[~mask])
