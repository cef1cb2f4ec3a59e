"""Series and data frames of pandas and polars, saved."""

import datetime as dt

import h5py
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from dumps import h5dump

from shmkit import shared_load, to_hdf5

MIN = np.iinfo("i8").min
FRAME = pd.DataFrame(
    {
        "text": ["é", None, "c"],
        "int": pd.array([1, None, 3], "Int64"),
        "float": [1.0, np.nan, 2],
        "bool": pd.array([True, None, False], "boolean"),
        "plain": [True, False, True],
        "category": pd.Categorical(["x", None, "y"], ["y", "x", "z"]),
        "at": pd.to_datetime(["2024-02-29", None, "2025-01-01"]).astype("M8[ns]"),
        "local": pd.to_datetime(["2024-02-29", None, "2025-01-01"]).tz_localize("Europe/Berlin"),
        "took": pd.to_timedelta([1, None, 3], "s"),
        "month": pd.PeriodIndex(["2024-01", "NaT", "2024-03"], freq="M"),
        "objects": pd.Series([1, None, 3], dtype=object),
        "arrow": pd.array([1, None, 3], pd.ArrowDtype(pa.int32())),
        "words": pd.array(["a", None, "c"], pd.ArrowDtype(pa.string())),
        "numbers": pd.Categorical([30, 10, 30]),
        "sparse": pd.arrays.SparseArray([0, 0, 5]),
    }
)


def stored(path):
    """Every dataset, and its attributes."""
    found = {}

    def note(name, item):
        if isinstance(item, h5py.Dataset):
            found[name] = item[()].tolist(), dict(item.attrs), item.dtype

    with h5py.File(path) as file:
        file.visititems(note)
    return found


def test_a_frame_of_pandas_is_a_group_with_a_dataset_a_column(tmp_path):
    to_hdf5(tmp_path / "a.h5", {"t": FRAME})
    found = stored(tmp_path / "a.h5")
    assert sorted(found, key=lambda name: found[name][1]["column"]) == [
        f"t/{name}" for name in FRAME.columns
    ]
    values = {name.removeprefix("t/"): values for name, (values, _, _) in found.items()}
    assert values["text"] == ["é".encode(), b"", b"c"]
    assert values["int"] == values["objects"] == [1, MIN, 3]
    np.testing.assert_array_equal(values["float"], [1, np.nan, 2])
    assert values["bool"] == [1, -128, 0]
    assert values["plain"] == [True, False, True]
    assert values["category"] == [2, 0, 1]
    assert h5py.check_enum_dtype(found["t/category"][2]) == {"y": 1, "x": 2, "z": 3}
    assert values["at"][1] == MIN
    assert found["t/local"][1]["timezone"] == "Europe/Berlin"
    assert np.array(values["local"][:1], "M8[us]") == np.datetime64("2024-02-28T23:00")
    assert found["t/month"][1]["period"] == "M"
    assert values["arrow"] == [1, np.iinfo("i4").min, 3]
    assert values["words"] == [b"a", b"", b"c"]
    assert values["numbers"] == [30, 10, 30]
    assert values["sparse"] == [0, 0, 5]
    missing = {name: attrs.get("missing") for name, (_, attrs, _) in found.items()}
    assert missing["t/int"] == missing["t/text"] == missing["t/float"] == missing["t/at"] == 1
    assert missing["t/plain"] is None
    with shared_load(tmp_path / "a.h5", dataset=["t/text", "t/at"]) as (at, text):
        assert text.tolist() == ["é", "", "c"]
        np.testing.assert_array_equal(at, FRAME["at"].to_numpy())
    h5dump(tmp_path / "a.h5")


def test_a_frame_can_be_one_dataset(tmp_path):
    to_hdf5(tmp_path / "a.h5", {"t": FRAME[["text", "int", "category"]]}, layout="table")
    with h5py.File(tmp_path / "a.h5") as file:
        table = file["t"]
        assert table["int"].tolist() == [1, MIN, 3]
        assert table["text"].tolist() == ["é".encode(), b"", b"c"]
        assert table["category"].tolist() == [2, 0, 1]
        assert table.attrs["_FillValue.int"] == MIN
    h5dump(tmp_path / "a.h5")


def test_an_index_is_kept_unless_it_only_counts(tmp_path):
    series = pd.Series([1.5, 2.5], index=["a", "b"], name="mean")
    frame = series.to_frame()
    frame.index.name = "site"
    pairs = pd.MultiIndex.from_tuples([(1, "x"), (2, "y")], names=["n", None])
    arrays = {"s": series, "f": frame, "p": frame.set_index(pairs), "i": series.index, "m": pairs}
    arrays |= {"plain": series.reset_index(drop=True), "part": FRAME["plain"][1:]}
    to_hdf5(tmp_path / "a.h5", arrays)
    found = {name: values for name, (values, _, _) in stored(tmp_path / "a.h5").items()}
    assert found == {
        "s/index": [b"a", b"b"],
        "s/mean": [1.5, 2.5],
        "f/site": [b"a", b"b"],
        "f/mean": [1.5, 2.5],
        "p/n": [1, 2],
        "p/level_1": [b"x", b"y"],
        "p/mean": [1.5, 2.5],
        "i": [b"a", b"b"],
        "m/n": [1, 2],
        "m/1": [b"x", b"y"],
        "plain": [1.5, 2.5],
        "part/index": [1, 2],
        "part/plain": [False, True],
    }


def test_a_frame_of_polars(tmp_path):
    day = dt.datetime(2024, 2, 29, 12)  # noqa: DTZ001
    frame = pl.DataFrame(
        {
            "text": ["é", None, "c"],
            "int": [1, None, 3],
            "float": [1.0, None, float("nan")],
            "bool": [True, None, False],
            "category": pl.Series(["x", None, "y"], dtype=pl.Categorical),
            "enum": pl.Series(["x", None, "y"], dtype=pl.Enum(["y", "x", "z"])),
            "day": [day.date(), None, day.date()],
            "at": [day, None, day],
            "took": [dt.timedelta(1), None, dt.timedelta(2)],
            "pair": pl.Series([[1, 2], [3, 4], [5, 6]], dtype=pl.Array(pl.Int64, 2)),
            "bytes": [b"a", b"b", b"c"],
        }
    ).with_columns(local=pl.col("at").dt.replace_time_zone("Europe/Berlin"))
    to_hdf5(tmp_path / "a.h5", {"t": frame, "s": frame["int"]})
    found = stored(tmp_path / "a.h5")
    values = {name.removeprefix("t/"): values for name, (values, _, _) in found.items()}
    assert values["text"] == ["é".encode(), b"", b"c"]
    assert values["int"] == values["s"] == [1, MIN, 3]
    np.testing.assert_array_equal(values["float"], [1, 1e20, np.nan])
    assert values["bool"] == [1, -128, 0]
    assert (values["category"], values["enum"]) == ([1, 0, 2], [2, 0, 1])
    assert h5py.check_enum_dtype(found["t/enum"][2]) == {"y": 1, "x": 2, "z": 3}
    assert values["pair"] == [[1, 2], [3, 4], [5, 6]]
    assert values["bytes"] == [b"a", b"b", b"c"]
    assert found["t/local"][1]["timezone"] == "Europe/Berlin"
    with shared_load(tmp_path / "a.h5", dataset=["t/at", "t/day", "t/local"]) as arrays:
        noon = np.datetime64("2024-02-29T12")
        np.testing.assert_array_equal(arrays[0], np.array([noon, "NaT", noon], "M8[us]"))
        np.testing.assert_array_equal(arrays[1], np.array([noon, "NaT", noon], "M8[D]"))
        np.testing.assert_array_equal(arrays[2], arrays[0] - np.timedelta64(1, "h"))


def test_categories_that_hdf5_has_no_enum_for_are_text(tmp_path):
    names = [
        "".join((chr(97 + n // 676), chr(97 + n // 26 % 26), chr(97 + n % 26))) for n in range(9999)
    ]
    many, empty = pd.Categorical(names), pd.Categorical(["", None, "x"])
    to_hdf5(tmp_path / "a.h5", {"many": many, "empty": empty})
    found = stored(tmp_path / "a.h5")
    assert found["many"][0] == [name.encode() for name in names]
    assert found["empty"][0] == [b"", b"?", b"x"]
    assert found["empty"][1]["_FillValue"] == b"?"


def test_frames_are_joined(tmp_path):
    frames = {"a": FRAME[["int", "text"]], "b": FRAME[["int", "text"]][:2]}
    to_hdf5(tmp_path / "a.h5", frames, concat=True)
    with h5py.File(tmp_path / "a.h5") as file:
        assert file["data/int"][:].tolist() == [1, MIN, 3, 1, MIN]
        assert file["data/int"].attrs["missing"] == 2
        assert file["source"]["stop"].tolist() == [3, 5]


@pytest.mark.parametrize(
    ("bad", "error", "message"),
    [
        (
            pd.DataFrame({"x": [1, "a"]}),
            TypeError,
            "t/x holds Python objects .* of the type int, str",
        ),
        (pd.DataFrame([[1, 2]], columns=["x", "x"]), ValueError, "two columns of the name 'x'"),
        (pd.DataFrame({"x": [1], "y": [2]})[[]], ValueError, "t has no columns to save"),
        (pd.DataFrame({"x": [[1], [2, 3]]}), TypeError, "t/x holds Python objects .* list"),
        (
            pl.DataFrame({"x": [[1], [2, 3]]}),
            TypeError,
            r"t/x is a column of polars' List.*explode",
        ),
        (pl.DataFrame({"x": [1]}).lazy(), TypeError, r"t is a LazyFrame of polars; collect\(\)"),
    ],
    ids=lambda value: getattr(value, "__name__", type(value).__name__),
)
def test_what_no_column_can_be_is_named(tmp_path, bad, error, message):
    with pytest.raises(error, match=message):
        to_hdf5(tmp_path / "a.h5", {"t": bad})
    assert not (tmp_path / "a.h5").exists()


def test_more_fields_than_hdf5_can_hold_are_told_what_to_do(tmp_path):
    table = np.zeros(3, [(f"field{n}", "f8") for n in range(2500)])
    with pytest.raises(TypeError, match='it has 2500 fields: layout="columns" makes a dataset'):
        to_hdf5(tmp_path / "a.h5", {"t": table})
    assert not (tmp_path / "a.h5").exists()
    export = to_hdf5(tmp_path / "a.h5", {"t": table}, layout="columns")
    assert len(export.datasets) == 2500
