"""Arrays as HDF5 can hold them, written and read back by h5py alone."""

import h5py
import numpy as np
import pytest

from shmkit._encoding import check_array, encode, time_attrs


@pytest.fixture
def stored(tmp_path):
    """What is read back of an array, and its dtype in the file."""

    def stored(array):
        with h5py.File(tmp_path / "a.h5", "w") as file:
            dataset = file.create_dataset("data", data=encode(array))
            return dataset[()], dataset.dtype

    return stored


@pytest.mark.parametrize("dtype", ["M8[ns]", "M8[D]", ">M8[us]", "m8[h]"])
def test_times_become_int64_and_the_attribute_says_what_they_were(stored, dtype):
    times = np.array([-3, 0, 20_000]).astype(np.dtype(dtype).str[0] + "i8").view(dtype)
    times[1] = "NaT"
    back, in_file = stored(times)
    assert in_file == np.dtype(dtype).str[0] + "i8"
    assert time_attrs(times.dtype) == {"numpy_dtype": times.dtype.str}
    np.testing.assert_array_equal(back.view(times.dtype), times)


@pytest.mark.parametrize("rows", [0, 3, 20_000])
def test_text_and_times_as_fields(stored, rows):
    dtype = [("at", "M8[ns]"), ("in", [("name", "U6", (2,)), ("took", "m8[s]")]), ("price", "f8")]
    table = np.zeros(rows, dtype)
    table["at"] = np.datetime64("2024-02-29T12:00:00.000000001")
    table["in"]["name"] = ["Zürich", "NYC"]
    table["in"]["took"] = 90
    table["price"] = np.arange(rows)
    back, in_file = stored(table)
    assert time_attrs(table.dtype) == {
        "numpy_dtype.at": "<M8[ns]",
        "numpy_dtype.in.took": "<m8[s]",
    }
    np.testing.assert_array_equal(back["at"].view("M8[ns]"), table["at"])
    np.testing.assert_array_equal(back["in"]["took"].view("m8[s]"), table["in"]["took"])
    np.testing.assert_array_equal(back["price"], table["price"])
    assert np.strings.decode(back["in"]["name"], "utf-8").tolist() == table["in"]["name"].tolist()
    assert h5py.check_string_dtype(in_file["in"]["name"].base).encoding == "utf-8"


def test_what_needs_no_encoding_is_not_copied():
    for dtype in ("f8", "M8[s]", [("at", "m8[s]"), ("n", "i4")]):
        array = np.zeros(5, dtype)
        assert np.shares_memory(encode(array), array)


@pytest.mark.parametrize(
    "dtype",
    [
        {"names": "ab", "formats": ["i4", "i4"], "offsets": [0, 2]},
        [("a", "i4"), ("b", "S0")],
        [("a", "U3"), ("b", "V0")],
    ],
    ids=["overlap", "nothing", "text and nothing"],
)
def test_fields_that_overlap_or_hold_nothing_are_refused(dtype):
    with pytest.raises(TypeError, match=r"^x: HDF5 has no type for .*fields that overlap or hold"):
        check_array("x", np.zeros(2, dtype))
