"""Arrays as HDF5 can hold them, written and read back by h5py alone."""

import h5py
import numpy as np
import pytest

from shmkit.hdf5.encoding import (
    check_array,
    decode,
    encode,
    kind_attrs,
    loaded_dtype,
    stored_dtype,
)

FIELDS = np.dtype(
    [("at", ">M8[ns]"), ("in", [("name", "U6", (2,)), ("took", "m8[s]")]), ("price", "f8")]
)


def filled(dtype, rows):
    """An array with text that is not ASCII, and with negative times and NaT."""
    array = np.zeros(rows, dtype)
    if array.dtype.names:
        array["at"], array["price"] = filled(">M8[ns]", rows), np.arange(rows)
        array["in"]["name"][:, 1], array["in"]["took"] = filled("U6", rows), filled("m8[s]", rows)
    else:
        values = ["Zürich", "", "日本"] if array.dtype.kind == "U" else [-3, 20_000, "NaT"]
        for number, value in enumerate(values):
            array[number::3] = value
    return array


@pytest.mark.parametrize("dtype", ["M8[ns]", "M8[D]", ">M8[us]", "m8[h]", "U6", FIELDS], ids=str)
@pytest.mark.parametrize("rows", [0, 3, 90_000])
def test_what_is_encoded_is_decoded_by_what_the_file_says(tmp_path, dtype, rows):
    table = filled(dtype, rows)
    stored = stored_dtype(table.dtype, [table])
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["data"] = encode(table, stored)
        file["data"].attrs.update(kind_attrs(table.dtype))
    with h5py.File(tmp_path / "a.h5") as file:
        data = file["data"]
        assert data.dtype == stored
        dtype = loaded_dtype(data.dtype, data.attrs)
        assert dtype == table.dtype
        assert decode(data[:], dtype).tobytes() == table.tobytes()  # NaT equals nothing


def test_the_attributes_say_what_is_not_to_be_seen():
    assert kind_attrs(np.dtype("f8")) == {}
    assert kind_attrs(np.dtype("U6")) == {"numpy_dtype": "<U6", "_Encoding": "utf-8"}
    assert kind_attrs(FIELDS) == {
        "numpy_dtype.at": ">M8[ns]",
        "numpy_dtype.in.name": "<U6",
        "numpy_dtype.in.took": "<m8[s]",
    }


@pytest.mark.parametrize("dtype", ["f8", ">M8[s]", [("at", "m8[s]"), ("n", "i4")]], ids=str)
def test_what_needs_no_encoding_is_not_copied(dtype):
    array = np.zeros(5, dtype)
    assert np.shares_memory(encode(array, stored_dtype(array.dtype, [])), array)


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
    with pytest.raises(TypeError, match=r"^x: HDF5 has no type for .*fields that overlap, hold"):
        check_array("x", np.zeros(2, dtype))
