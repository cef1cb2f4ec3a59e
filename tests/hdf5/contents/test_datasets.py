"""What an export puts where: fields as datasets, arrays as one, names, and where they came from."""

import json
import os

import h5py
import numpy as np
import pytest
from dumps import h5dump, h5dump_values, read

from shmkit import SharedArray, share, shared_load, to_hdf5

LINE = np.dtype([("chr", "S10"), ("pos", "i4"), ("pct", "f4")])

NESTED = [
    ("id", "i2"),
    ("at", [("x", ">f8"), ("y", "f4", (2, 3)), ("when", "M8[s]")]),
    ("who", "U4"),
    ("km/h", "f8"),
    ("no.", "u1"),
]


def nested(rows, start=0):
    table = np.zeros(rows, NESTED)
    table["id"] = np.arange(start, start + rows)
    table["at"]["x"] = np.arange(rows)
    table["at"]["y"] = np.arange(6).reshape(2, 3)
    table["at"]["when"] = np.datetime64("2024-02-29", "s") + np.arange(rows)
    table["who"] = "Zoë"
    table["km/h"] = 3.6
    table["no."] = 7
    return table


def contents(file):
    """The shape and dtype of every dataset, by its path."""
    found = {}
    file.visititems(
        lambda name, item: (
            found.update({name: (item.shape, item.dtype)})
            if isinstance(item, h5py.Dataset)
            else None
        )
    )
    return found


@pytest.mark.parametrize("rows", [(), 0, 3, 50_000], ids=str)
def test_columns_are_a_group_with_a_dataset_for_each_field(tmp_path, rows):
    table = nested(rows) if rows != () else nested(1)[0]
    shape = table.shape
    to_hdf5(tmp_path / "a.h5", {"run": {"t": table}, "id": np.ones(2)}, layout="columns")
    with h5py.File(tmp_path / "a.h5") as file:
        assert contents(file) == {
            "id": ((2,), "f8"),
            "run/t/id": (shape, "i2"),
            "run/t/at/x": (shape, ">f8"),
            "run/t/at/y": ((*shape, 2, 3), "f4"),
            "run/t/at/when": (shape, "i8"),
            "run/t/who": (shape, "S4" if rows != 0 else "S1"),
            "run/t/km/h": (shape, "f8"),
            "run/t/no.": (shape, "u1"),
        }
        back = file["run/t"]
        for name in ("id", "km/h", "no."):
            np.testing.assert_array_equal(back[name][()], table[name])
        np.testing.assert_array_equal(back["at/y"][()], table["at"]["y"])
        when = np.asarray(back["at/when"][()]).view(back["at/when"].attrs["numpy_dtype"])
        np.testing.assert_array_equal(when, table["at"]["when"])
        assert set(np.ravel(back["who"].asstr()[()])) <= {"Zoë"}
    h5dump(tmp_path / "a.h5", "-d", "/run/t/at/y")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ([("a/b", "i4"), ("a", [("b", "i4")])], "two arrays have the name 't/a/b'"),
        ([("a/b", "i4"), ("a", "i4")], "'t/a' is an array, and cannot be the group of 't/a/b'"),
        ([("a/b/c", "i4"), ("a", "i4")], "'t/a' is an array, and cannot be the group of 't/a/b/c'"),
        ([(".", "i4")], r"'\.' cannot be a name"),
        ([("a/", "i4")], "'a/' cannot be a name"),
    ],
    ids=str,
)
def test_fields_whose_names_are_in_each_others_way_are_refused(tmp_path, fields, message):
    to_hdf5(tmp_path / "table.h5", {"t": np.zeros(2, fields)})
    with pytest.raises(ValueError, match=message):
        to_hdf5(tmp_path / "a.h5", {"t": np.zeros(2, fields)}, layout="columns")
    assert os.listdir(tmp_path) == ["table.h5"]


PADDED = np.dtype(
    {"names": ["a", "b"], "formats": ["i1", ">f8"], "offsets": [3, 8], "itemsize": 24}
)
FIELDS = [
    np.zeros(2, [("a", "i4"), ("in", [("s", "S2")]), ("n", "f8", (2,))]),
    np.ones(3, [("a", "f8"), ("in", [("s", "S5")]), ("n", "i4", (2,))]),
]
JOINED = {
    "one": ([np.arange(5)], "i8"),
    "widths": ([np.array([b"a"]), np.array([b"abc", b""])], "S3"),
    "text": ([np.array(["é"]), np.array([], "U9"), np.array(["a", "日本"])], "U9"),
    "numbers": ([np.array([True]), np.arange(3, dtype="u1"), np.array([0.5], "f4")], "f4"),
    "orders": ([np.arange(3, dtype=">i4"), np.arange(3, dtype="<i4")], "i4"),
    "one order": ([np.arange(3, dtype=">i4"), np.arange(3, dtype=">i4")], ">i4"),
    "times": ([np.array(["2024"], "M8[D]"), np.array(["NaT"], "M8[ms]")], "M8[ms]"),
    "empty": ([np.zeros((0, 3)), np.ones((2, 3)), np.zeros((0, 3))], "f8"),
    "nothing": ([np.zeros((0, 3)), np.zeros((0, 3))], "f8"),
    "many": ([np.arange(n) for n in range(800)], "i8"),
    "large": ([np.arange(400_000.0).reshape(-1, 10).T] * 2, "f8"),
    "padded": ([np.ones(3, PADDED), np.zeros(2, PADDED)], PADDED),
    "fields": (FIELDS, [("a", "f8"), ("in", [("s", "S5")]), ("n", "f8", (2,))]),
}


@pytest.mark.parametrize("compression", ["gzip", "lzf", None])
@pytest.mark.parametrize("case", JOINED)
def test_arrays_are_joined_and_may_grow(tmp_path, case, compression):
    arrays, dtype = JOINED[case]
    expected = np.concatenate([array.astype(dtype) for array in arrays], dtype=dtype)
    export = to_hdf5(tmp_path / "a.h5", arrays, concat=True, compression=compression)
    assert [data.name for data in export.datasets] == ["data", "source"]
    assert export.datasets[0].dtype == expected.dtype
    if case in ("large", "numbers") and compression != "lzf":
        values = h5dump_values(tmp_path / "a.h5", "/data", dtype, tmp_path)
        np.testing.assert_array_equal(values, expected.ravel())
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        data, source = file["data"], file["source"]
        assert data.compression == compression
        back = data.asstr() if case == "text" else data
        back = data[:].view(dtype) if case == "times" else back[:]
        np.testing.assert_array_equal(back, expected)
        assert data.maxshape == (None, *expected.shape[1:])
        data.resize(len(expected) + 2, axis=0)
        assert (data[-2:] == np.zeros((2, *expected.shape[1:]), data.dtype)).all()
        rows = source[:]
        source.resize(len(rows) + 1, axis=0)
    stops = np.cumsum([len(array) for array in arrays])
    assert [name.decode() for name in rows["name"]] == [f"array{i}" for i in range(len(arrays))]
    assert set(rows["file"]) == {b""}
    assert rows["stop"].tolist() == stops.tolist()
    assert rows["start"].tolist() == [0, *stops[:-1]]


def test_joined_arrays_can_be_columns(tmp_path):
    to_hdf5(tmp_path / "a.h5", FIELDS, concat=True, layout="columns", compression=None)
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        assert {name: found[0][0] for name, found in contents(file).items()} == {
            "data/a": 5,
            "data/in/s": 5,
            "data/n": 5,
            "source": 2,
        }
        assert file["data/a"][:].tolist() == [0.0, 0, 1, 1, 1]
        assert file["data/n"][:].tolist() == [[0.0, 0]] * 2 + [[1.0, 1]] * 3
        file["data/a"].resize(9, axis=0)


def test_what_is_joined_is_told_by_name_and_file(tmp_path, two_arrays):
    to_hdf5(tmp_path / "a.h5", {"source": {"data": two_arrays}}, concat=True, chunks=(2,))
    assert read(tmp_path / "a.h5").tolist() == [0, 1, 2, 1, 2, 3]
    assert read(tmp_path / "a.h5", "source").tolist() == [
        (b"source/data/one", os.fsencode(tmp_path / "one.npy"), 0, 3),
        (b"source/data/two", os.fsencode(tmp_path / "two.npy"), 3, 6),
    ]
    with h5py.File(tmp_path / "a.h5") as file:
        assert file["data"].chunks == (2,)
        assert file["data"].attrs.keys() == set()


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ([np.zeros(())], r"all of one shape, but array0 has the shape \(\) and array0 \(\)"),
        ([np.zeros(3), np.zeros(())], r"all of one shape, but .* \(3,\) and array1 \(\)"),
        ([np.zeros((3, 2)), np.zeros((3, 3))], r"all of one shape, but .* \(3, 2\) and array1"),
        ([np.zeros(1), np.zeros(1, [("a", "f8")])], r"the same fields.* float64 and array1 \[\("),
        ([np.zeros(1, [("a", "f8")]), np.zeros(1, [("b", "f8")])], "the same fields"),
        ([np.zeros(1, "i4,f4"), np.zeros(1, [("f1", "f4"), ("f0", "i4")])], "the same fields"),
        ([np.zeros(1, [("a", "i4", 2)]), np.zeros(1, [("a", "i4", 3)])], "the same fields"),
        ([np.zeros(1), np.zeros(1, "U3")], "of bytes, of text, or of times, but"),
        (
            [np.zeros(1, "S3"), np.zeros(1, "U3")],
            "of bytes, of text, or of times, but",
        ),
        (
            [np.zeros(1, "i8"), np.zeros(1, "m8[s]")],
            "of bytes, of text, or of times, but",
        ),
        (
            [np.zeros(1, "i8"), np.zeros(1, "M8[s]")],
            "of bytes, of text, or of times, but",
        ),
    ],
)
@pytest.mark.parametrize("layout", ["table", "columns"])
def test_arrays_that_are_not_alike_cannot_be_one(tmp_path, arrays, message, layout):
    with pytest.raises(ValueError, match=f"concat=True needs arrays .*{message}"):
        to_hdf5(tmp_path / "a.h5", arrays, concat=True, layout=layout)
    assert not os.listdir(tmp_path)


MORE = 2**53 + 1  # than float64 has exactly


@pytest.mark.parametrize("layout", ["table", "columns"])
@pytest.mark.parametrize(
    ("one", "other", "name"),
    [
        (np.array([-MORE]), np.array([1], "u8"), "data"),
        (np.array([[2]]), np.array([[MORE]], "u8"), "data"),
        (np.array([0.5]), np.array([MORE]), "data"),
        (np.zeros(2, "f4"), np.array([2**24 + 1], "i4"), None),  # float64 has it
        (np.zeros(1, [("n", "i8")]), np.array([(2**63,)], [("n", "u8")]), "n"),
        (np.zeros(1, [("n", "i8", 2)]), np.array([([1, MORE],)], [("n", "f8", 2)]), None),
        (np.array([-(2**53)]), np.array([2**53], "u8"), None),
    ],
)
def test_joined_integers_are_exact_or_refused(tmp_path, one, other, name, layout):
    if name is None:
        to_hdf5(tmp_path / "a.h5", [one, other], concat=True, layout=layout)
        joined = np.concatenate([one, other])
        assert joined[-1] == other[-1]
        return
    with pytest.raises(ValueError, match=f"concat=True would change (data/)?{name}: .* float64"):
        to_hdf5(tmp_path / "a.h5", [one, other], concat=True, layout=layout)
    assert not os.listdir(tmp_path)


def test_mappings_become_groups(tmp_path):
    export = to_hdf5(
        tmp_path / "a.h5",
        {"mean": np.float64(2.5), 2024: {"jan": np.arange(3), "deep": {"x": np.zeros(2)}}},
    )
    with h5py.File(tmp_path / "a.h5") as file:
        assert file["mean"][()] == 2.5
        assert file["2024/jan"][:].tolist() == [0, 1, 2]
        assert isinstance(file["2024/deep"], h5py.Group)
    assert [data.name for data in export.datasets] == ["mean", "2024/jan", "2024/deep/x"]


def test_a_sequence_is_numbered(tmp_path):
    to_hdf5(tmp_path / "a.h5", [np.arange(2), np.arange(3)])
    with h5py.File(tmp_path / "a.h5") as file:
        assert {name: data.shape for name, data in file.items()} == {
            "array0": (2,),
            "array1": (3,),
        }


def test_what_shared_load_returns_keeps_its_names(tmp_path, two_arrays):
    to_hdf5(tmp_path / "a.h5", {"group": two_arrays})
    with h5py.File(tmp_path / "a.h5") as file:
        assert {name: data[:].tolist() for name, data in file["group"].items()} == {
            "one": [0, 1, 2],
            "two": [1, 2, 3],
        }


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({}, "the mapping is empty"),
        ([], "the mapping is empty"),
        ({"a": {}}, "a is empty"),
        ({"a//b": np.zeros(1)}, "'a//b' cannot be a name"),
        ({"a/b": np.zeros(1), "a": np.zeros(1)}, "'a' is an array, and cannot be the group"),
        ({"a/b/c": np.zeros(1), "a": np.zeros(1)}, "'a' is an array, and cannot be the group"),
        ({"caf\udce9": np.zeros(1)}, "'caf.udce9' cannot be a name"),
        ({"": np.zeros(1)}, "'' cannot be a name"),
        ({".": np.zeros(1)}, r"'\.' cannot be a name"),
        ({1: np.zeros(1), "1": np.zeros(1)}, "two arrays have the name '1'"),
    ],
)
def test_names_that_hdf5_cannot_hold_are_refused(tmp_path, arrays, message):
    with pytest.raises(ValueError, match=message):
        to_hdf5(tmp_path / "a.h5", arrays)
    assert not os.listdir(tmp_path)


def test_a_loaded_array_says_which_file_and_options_it_came_from(tmp_path, calls):
    with shared_load(calls, skiprows=1, dtype=LINE, progress=False) as arrays:
        to_hdf5(tmp_path / "a.h5", {"whole": arrays[0], "field": arrays[0]["pct"]})
    with h5py.File(tmp_path / "a.h5") as file:
        for data in file.values():
            assert data.attrs["source_file"] == str(calls)
            options = json.loads(data.attrs["source_options"])
            assert options["skiprows"] == 1
            assert options["dtype"] == repr(LINE)
        assert file["whole"]["pct"].tolist() == [25.0, 75.0]


def test_a_shared_array_from_nowhere_has_no_source(tmp_path):
    with share(np.arange(3)) as array:
        assert isinstance(array, SharedArray)
        to_hdf5(tmp_path / "a.h5", array)
    with h5py.File(tmp_path / "a.h5") as file:
        assert not file["data"].attrs


def test_a_source_whose_name_is_no_text(tmp_path):
    path = os.fsdecode(os.path.join(os.fsencode(tmp_path), b"caf\xe9.npy"))
    np.save(path, np.ones(3))
    with shared_load(path, progress=False) as arrays:
        to_hdf5(tmp_path / "x.h5", {"a": arrays[0]})
    with h5py.File(tmp_path / "x.h5") as file:
        assert file["a"].attrs["source_file"].endswith("caf\ufffd.npy")
