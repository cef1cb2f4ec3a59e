"""Text in HDF5 files is shmkit's text, however it is stored there."""

import h5py
import numpy as np
import pytest

from shmkit import shared_load, to_hdf5
from shmkit.readers.hdf5.text import mislabelled, widths
from shmkit.views.text import SharedText

WORDS = ["a", "", "日本語", "ccc"]
STORED = {
    "chunked": {"chunks": (2,)},
    "gzip": {"compression": "gzip"},
    "gzip and shuffle": {"compression": "gzip", "shuffle": True, "chunks": (3,)},
    "contiguous": {},
    "unlimited": {"maxshape": (None,)},
}


@pytest.mark.parametrize("options", STORED.values(), ids=STORED)
@pytest.mark.parametrize("length", [None, 9], ids=["varying", "fixed"])
def test_text_is_text_however_it_is_stored(tmp_path, options, length):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        words = WORDS if length is None else [word.encode() for word in WORDS]
        file.create_dataset("s", data=words, dtype=h5py.string_dtype("utf-8", length), **options)
    with shared_load(tmp_path / "a.h5") as (words,):
        assert isinstance(words, SharedText)
        assert words.tolist() == WORDS
        assert words.stored.dtype == "S9"
        assert (words == "ccc").tolist() == [False, False, False, True]


def test_text_of_more_dimensions_and_in_large_parts(tmp_path, monkeypatch):
    words = np.array([[f"wörd {i}" for i in range(7)] for _ in range(5000)], object)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("s", data=words, dtype=h5py.string_dtype(), chunks=(999, 7))
    with shared_load(tmp_path / "a.h5", processes=2) as (found,):
        assert found.shape == (5000, 7)
        np.testing.assert_array_equal(found, words.astype("U"))


def test_a_single_text_has_no_dimension(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["title"] = "hello"
        file.create_dataset("units", data=np.bytes_("mm"), dtype="S8")
        file["none"] = ""
    with shared_load(tmp_path / "a.h5") as arrays:
        for name, text in (("title", "hello"), ("units", "mm"), ("none", "")):
            assert arrays[name].shape == ()
            assert arrays[name].item() == text
            assert arrays[name] == text


def test_text_in_compounds(tmp_path):
    inner = np.dtype([("to", h5py.string_dtype()), ("n", "i2")])
    dtype = np.dtype([("name", h5py.string_dtype()), ("in", inner), ("code", "S3"), ("x", "f8")])
    rows = np.array([("a", ("x", 1), b"ab", 0.5), ("日本", ("", 2), b"", 1.5)], dtype)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("rows", data=rows, chunks=(1,), compression="gzip")
        file["one"] = rows[1]
    with shared_load(tmp_path / "a.h5") as arrays:
        found = arrays["rows"]
        assert found["name"].tolist() == ["a", "日本"]
        assert found["in"]["to"].tolist() == ["x", ""]
        assert (found["code"] == "ab").tolist() == [True, False]
        assert found["x"].tolist() == [0.5, 1.5]
        assert isinstance(found["name"], SharedText)
        assert arrays["one"]["name"].item() == "日本"


@pytest.mark.parametrize(
    ("label", "text"),
    [("ascii", ["°C".encode(), b"m"]), ("ascii", [b"\xb0C", b"m"]), ("utf-8", [b"\xb0C", b"m"])],
    ids=["UTF-8 as ASCII", "Latin-1 as ASCII", "Latin-1 as UTF-8"],
)
@pytest.mark.parametrize("length", [None, 4], ids=["varying", "fixed"])
def test_text_that_is_not_as_labelled_is_the_bytes_that_it_is(tmp_path, label, text, length):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        dtype = h5py.string_dtype(label, length)
        x = file.create_dataset("x", (2,), dtype)
        x[...] = np.array(text, object if length is None else dtype)
        file["good"] = "é"
    with pytest.warns(UserWarning, match=f"x in .*a.h5 is labelled as text in {label}") as warned:
        arrays = shared_load(tmp_path / "a.h5")
    assert warned[0].filename == __file__
    with arrays:
        assert arrays["x"].tolist() == text
        assert not isinstance(arrays["x"], SharedText)
        assert arrays["good"].item() == "é"


def test_a_field_that_is_not_as_labelled_is_bytes(tmp_path):
    dtype = np.dtype(
        [("unit", h5py.string_dtype("ascii", 4)), ("name", h5py.string_dtype("utf-8", 4))]
    )
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["rows"] = np.array([("°C".encode(), "é".encode())], dtype)
    with pytest.warns(UserWarning, match="the field unit of rows"):
        arrays = shared_load(tmp_path / "a.h5")
    with arrays:
        assert arrays["rows"]["unit"].tolist() == ["°C".encode()]
        assert arrays["rows"]["name"].tolist() == ["é"]


def test_bytes_that_were_saved_are_bytes_again_and_text_is_text(tmp_path):
    saved = {
        "bytes": np.array([b"ab", b"c"]),
        "rows": np.array([(b"\xff", "é")], [("b", "S2"), ("t", "U2")]),
    }
    to_hdf5(tmp_path / "a.h5", saved)
    with shared_load(tmp_path / "a.h5") as arrays:
        assert arrays["bytes"].dtype == "S2"
        assert arrays["rows"].dtype == saved["rows"].dtype
        np.testing.assert_array_equal(arrays["bytes"], saved["bytes"])
        np.testing.assert_array_equal(arrays["rows"], saved["rows"])
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file["s"] = ["a", "é"]
    with shared_load(tmp_path / "b.h5") as arrays:
        to_hdf5(tmp_path / "c.h5", arrays)
    with shared_load(tmp_path / "c.h5") as (text,):
        assert isinstance(text, SharedText)
        assert text.tolist() == ["a", "é"]


def test_names_of_fields_may_have_points():
    block = np.zeros(1, [("a.b", [("c", object)]), ("a", [("x", "i1")])])
    block["a.b"]["c"] = b"four"
    assert widths([block], [".a.b.c"]) == {".a.b.c": 4}
    text = np.array([(b"\xff",)], [("a.b", "S1")])
    assert list(mislabelled(text, {".a.b": ("utf-8", False)})) == [".a.b"]
