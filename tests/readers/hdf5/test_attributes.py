"""The attributes of a dataset as its array has them: text, numbers, times, and nothing else."""

import h5py
import numpy as np
import pytest

from shmkit.readers.hdf5.attributes import attributes, bounded, stored_attrs


@pytest.fixture
def file(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = np.arange(3)
        yield file


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("größe", "größe"),
        (np.bytes_(b"K"), "K"),
        (np.bytes_(b"\xff"), np.bytes_(b"\xff")),
        (np.float32(0.5), np.float32(0.5)),
        (np.array([1, 2], "i2"), np.array([1, 2], "i2")),
        (["a", "größe"], np.array(["a", "größe"])),
        (np.array([b"a", b"b"]), np.array(["a", "b"])),
    ],
)
def test_text_and_numbers_are_what_they_were(file, value, expected):
    file["x"].attrs["said"] = value
    (found,) = attributes(stored_attrs(file["x"])).values()
    np.testing.assert_array_equal(found, expected)
    assert np.asarray(found).dtype == np.asarray(expected).dtype


def test_what_files_say_to_themselves_and_what_no_array_has_is_left_out(file):
    attrs = file["x"].attrs
    attrs["CLASS"], attrs["_nc3_strict"], attrs["source_file"] = "DIMENSION_SCALE", 1, "a"
    attrs["reference"], attrs["empty"] = file["x"].ref, h5py.Empty("f4")
    attrs["compound"] = np.array([(1, 2.5)], "i4,f8")
    attrs["units"] = "K"
    assert attributes(stored_attrs(file["x"])) == {"units": "K"}
    attrs["numpy_dtype"] = "<M8[s]"  # then to_hdf5 says the units anew
    assert attributes(stored_attrs(file["x"])) == {}


def test_none_are_none(file):
    assert dict(stored_attrs(file["x"])) == {}


def test_bounds_have_the_units_of_their_times(file):
    file["time"], file["time_bnds"] = np.arange(2), np.zeros((2, 2))
    assert bounded(file["time_bnds"]) == {}
    file["time"].attrs.update({"bounds": "time_bnds", "units": "days since 2000-01-01"})
    file["time"].attrs["long_name"] = "time"
    assert bounded(file["time_bnds"]) == {"units": "days since 2000-01-01"}
    assert bounded(file["x"]) == {}
