"""to_hdf5: what is in the file, read by h5py and by h5dump."""

import os

import h5py
import numpy as np
import pytest
from dumps import h5dump, h5dump_values, read
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from records import records

from shmkit import SegmentGoneError, share, to_hdf5
from shmkit.hdf5.export import Export


def test_records_come_back_equal(tmp_path):
    table = records(200_001)
    to_hdf5(tmp_path / "a.h5", table)
    with h5py.File(tmp_path / "a.h5") as file:
        data = file["data"]
        assert (data.compression, data.shuffle) == ("gzip", True)
        assert data.id.get_storage_size() < table.nbytes / 2
        assert data.dtype == table.dtype
        np.testing.assert_array_equal(data[:], table)


def test_h5dump_reads_records(tmp_path):
    table = records(100_000)
    to_hdf5(tmp_path / "a.h5", table)
    shown = h5dump(tmp_path / "a.h5", "-d", "/data", "-s", "99999", "-c", "1", "-p")
    assert "COMPRESSION DEFLATE" in shown
    assert "PREPROCESSING SHUFFLE" in shown
    assert '"chrY' in shown
    assert f"{table['pos'][-1]}," in shown


@pytest.mark.parametrize(
    "array",
    [
        np.random.default_rng(0).normal(280, 10, (5, 361, 721)).astype("f4"),
        np.arange(700_000, dtype=">i8"),
        np.arange(90_000, dtype="u2").reshape(300, 300)[::2, 1:],
        np.asfortranarray(np.arange(400_000.0).reshape(1000, 400)),
        np.zeros((3, 1 << 19)),
    ],
    ids=["grid", "big-endian", "strided", "fortran", "rows longer than a chunk"],
)
@pytest.mark.parametrize("compression", ["gzip", None])
def test_h5dump_reads_the_same_numbers(tmp_path, array, compression):
    to_hdf5(tmp_path / "a.h5", array, compression=compression)
    little = array.dtype.newbyteorder("<")
    values = h5dump_values(tmp_path / "a.h5", "/data", little, tmp_path)
    np.testing.assert_array_equal(values, array.ravel())


NESTED = np.dtype(
    [("id", "i2"), ("where", [("x", ">f8"), ("y", "f4", (2, 3))]), ("ok", "?"), ("z", "c8")]
)
PADDED = np.dtype(
    {"names": ["a", "b"], "formats": ["i1", "f8"], "offsets": [3, 16], "itemsize": 40}
)


@pytest.fixture(scope="module")
def everything():
    """Arrays of every kind, by a name that says which."""
    random = np.random.default_rng(1)
    kinds = ["?", "i1", "u8", ">i2", "f2", "f4", ">f8", "g", "c8", ">c16", "G", "S7", "V5"]
    arrays = {}
    for dtype in map(np.dtype, [*kinds, NESTED, PADDED, h5py.enum_dtype({"OFF": 0, "ON": 1})]):
        for shape in [(), (0,), (0, 3), (7,), (75, 110)]:
            array = np.zeros(shape, dtype)
            for field in dtype.names or [...]:
                array[field] = random.integers(0, 2, array[field].shape).astype("?")
            arrays[f"{dtype} {shape}".replace("/", "|")] = array
    grid = random.normal(size=(40, 50, 60))
    constant = np.array(3.5)
    constant.flags.writeable = False
    views = {
        "fortran": np.asfortranarray(grid),
        "transposed": grid.T,
        "strided": grid[::2, 1:, ::-3],
        "column": records(3000)["pct"],
        "broadcast": np.broadcast_to(constant, (30, 400)),
        "records": records(3000).view(np.recarray),
    }
    with share(grid) as shared:
        yield arrays | views | {"shared": shared}


DUMPED = [{}, {"shuffle": False, "level": 9, "chunks": 13}, {"compression": None}]


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        *DUMPED,
        {"compression": None, "chunks": 13},
        *({"compression": name} for name in ("lzf", "zstd", "blosc2")),
        {"compression": "lzf", "shuffle": False, "chunks": 13},
    ],
    ids=str,
)
def test_every_dtype_shape_and_view_comes_back_equal(tmp_path, everything, options):
    to_hdf5(tmp_path / "a.h5", everything, **options)
    with h5py.File(tmp_path / "a.h5") as ours, h5py.File(tmp_path / "h5py.h5", "w") as theirs:
        theirs.attrs.update(ours.attrs)
        for name, array in everything.items():
            assert ours[name].dtype == array.dtype, name
            assert ours[name].shape == array.shape, name
            np.testing.assert_array_equal(ours[name][()], array, err_msg=name)
            theirs[name] = np.asarray(array)
            said = dict(ours[name].attrs)
            assert all(key.startswith("numpy_dtype") and "S" in said[key] for key in said), name
            theirs[name].attrs.update(said)  # bytes, which would be read as text
    if options in DUMPED:  # with filters that are part of HDF5
        assert h5dump(tmp_path / "a.h5") == h5dump(tmp_path / "h5py.h5")


@settings(max_examples=40)
@given(
    array=hnp.arrays(
        hnp.integer_dtypes() | hnp.floating_dtypes() | hnp.byte_string_dtypes(max_len=9),
        hnp.array_shapes(max_dims=3, max_side=60),
    ),
    step=st.integers(1, 3),
    compression=st.sampled_from(["gzip", "lzf", None]),
)
def test_any_array_comes_back_equal(tmp_path_factory, array, step, compression):
    path = tmp_path_factory.mktemp("any") / "a.h5"
    array = np.tile(array, 40)[..., ::step]  # past the size below which nothing is compressed
    to_hdf5(path, array, compression=compression)
    np.testing.assert_array_equal(read(path), array)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"compression": "zip"},
            r"compression='zip' is none of \"gzip\", \"zstd\", \"lzf\", None, 'bshuf'",
        ),
        ({"compression": "lzf", "level": 1}, "compression='lzf' has no levels"),
        ({"compression": None, "level": 1}, "compression=None has no levels"),
        ({"compression": "lz4", "level": 1}, "compression='lz4' has no levels"),
        ({"compression": "zstd", "level": 99}, "level=99: zstd has 1 to 22"),
        ({"level": 10}, "level=10: gzip has 0 to 9"),
        ({"level": -1}, "level=-1: gzip has 0 to 9"),
        ({"chunks": 0}, "chunks=0 does not fit a: a chunk has at least one row"),
        ({"chunks": (3, 0)}, r"chunks=\(3, 0\) does not fit a: a chunk has at least one"),
        ({"chunks": (3,)}, r"chunks=\(3,\) does not fit a: its shape is \(70000, 70000\)"),
        ({"chunks": 1 << 16}, "chunks=65536 does not fit a: a chunk of 4.59 GB is more than"),
        ({"mode": "r"}, "mode='r' is none of 'w', 'x', 'a'"),
        ({"mode": ""}, "mode='' is none of 'w', 'x', 'a'"),
        ({"mode": "wx"}, "mode='wx' is none of 'w', 'x', 'a'"),
        ({"mode": "xa"}, "mode='xa' is none of 'w', 'x', 'a'"),
        ({"layout": "rows"}, "layout='rows' is none of 'table', 'columns'"),
        ({"group": "a//b"}, "'a//b' cannot be a name"),
        ({"group": "./b"}, r"'\./b' cannot be a name"),
    ],
    ids=str,
)
def test_an_option_that_does_not_fit_is_refused_before_anything_is_written(
    tmp_path, options, message
):
    arrays = {"a": np.broadcast_to(np.zeros((), "u1"), (70_000, 70_000))}
    with pytest.raises(ValueError, match=message):
        to_hdf5(tmp_path / "a.h5", arrays, **options)
    assert not os.listdir(tmp_path)


TEXT = [
    ("at", ">M8[us]"),
    ("in", [("names", "U6", (2,)), ("took", "m8[s]", (2, 2)), ("pad", PADDED)]),
    ("price", ">f8"),
    ("empty", "U3"),
]


@pytest.fixture
def text_and_times():
    """Such fields, in structures and subarrays, for more than one block."""
    table = np.zeros(40_000, TEXT)
    table["at"] = np.datetime64("2024-02-29T12:00:00.000001")
    table["at"][7] = "NaT"
    table["in"]["names"] = ["Zürich", "日本"]
    table["in"]["names"][39_999, 1] = "\N{GOTHIC LETTER AHSA}" * 5
    table["in"]["took"] = -90
    table["price"] = np.arange(40_000)
    return table


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [{}, {"compression": None}, {"compression": "lzf"}, {"compression": "zstd", "chunks": 999}],
    ids=str,
)
def test_text_becomes_utf8_and_times_int64_as_fields_too(tmp_path, text_and_times, options):
    to_hdf5(tmp_path / "a.h5", text_and_times, **options)
    with h5py.File(tmp_path / "a.h5") as file:
        back, kinds = file["data"][:], dict(file["data"].attrs)
        stored = file["data"].dtype
    assert kinds == {
        "numpy_dtype.at": ">M8[us]",
        "numpy_dtype.in.names": "<U6",
        "numpy_dtype.in.took": "<m8[s]",
        "numpy_dtype.empty": "<U3",
    }
    assert h5py.check_string_dtype(stored["in"]["names"].base) == ("utf-8", 20)
    assert h5py.check_string_dtype(stored["empty"]) == ("utf-8", 1)
    names = np.strings.decode(back["in"]["names"], "utf-8")
    np.testing.assert_array_equal(names, text_and_times["in"]["names"])
    np.testing.assert_array_equal(back["at"].view(">M8[us]"), text_and_times["at"])
    np.testing.assert_array_equal(back["in"]["took"].view("m8[s]"), text_and_times["in"]["took"])
    np.testing.assert_array_equal(back["price"], text_and_times["price"])


def test_text_and_times_are_read_by_h5py_and_h5dump(tmp_path):
    names = np.array([["chr1", "", "näïve"], ["日本語", "a", "x" * 12]])
    times = np.array(["2024-02-29", "NaT"], "M8[ns]")
    arrays = {"names": names, "one": np.array("é"), "none": np.zeros(0, "U5"), "times": times}
    to_hdf5(tmp_path / "a.h5", arrays)
    with h5py.File(tmp_path / "a.h5") as file:
        assert file["names"].asstr()[:].tolist() == names.tolist()
        assert file["one"].asstr()[()] == "é"
        assert file["none"].asstr()[:].tolist() == []
        data = file["times"]
        assert data.dtype == "i8"
        np.testing.assert_array_equal(data[:].view(data.attrs["numpy_dtype"]), times)
    shown = h5dump(tmp_path / "a.h5")
    assert "H5T_CSET_UTF8" in shown
    assert '"xxxxxxxxxxxx"' in shown
    assert "(0): 1709164800000000000, -9223372036854775808" in shown


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (
            np.array(["a", 3], object),
            r"group/bad holds Python objects \(object\).*int, str.*astype",
        ),
        (np.array([{}]), r"group/bad holds Python objects \(object\) of the type dict"),
        (np.zeros(2, [("n", "i4"), ("o", "O")]), r"group/bad\.o holds Python objects"),
        (np.zeros(2, {"names": "ab", "formats": ["i4", "i4"], "offsets": [0, 2]}), "overlap"),
        (np.zeros(2, [("a", "i4"), ("b", "S0")]), "hold nothing"),
        ([np.zeros(2)], r"group/bad is of type list, which HDF5 cannot hold; .*numpy\.stack"),
        ([[1, 2], [3]], "group/bad holds Python objects .* of the type list.*rows of different"),
        ([2**70], "group/bad holds Python objects .* int"),
        ([2**63, -1], "group/bad holds Python objects .* int"),
        ([b"a\0"], "group/bad holds bytes that end in a zero"),
        (None, "group/bad is of type NoneType"),
        (object(), "group/bad is of type object"),
        (np.array(["a", "\udce9"]), "group/bad holds text that UTF-8 does not have"),
        (np.array([(["a", "\ud800"],)], [("n", "U2", (2,))]), "group/bad holds text that UTF-8"),
        (np.zeros(2, []), "hold nothing"),
        (np.zeros(2, "V0"), "hold nothing"),
        (np.zeros(2, [("caf\udce9", "i4")]), "names that are no text"),
    ],
)
def test_what_hdf5_cannot_hold_is_named_before_anything_is_written(tmp_path, bad, message):
    with pytest.raises(TypeError, match=message):
        to_hdf5(tmp_path / "a.h5", {"good": np.zeros(3), "group": {"bad": bad}})
    assert not os.listdir(tmp_path)


def test_arrays_that_were_closed_are_not_saved(tmp_path, two_arrays):
    two_arrays.close()
    with pytest.raises(SegmentGoneError):
        to_hdf5(tmp_path / "a.h5", two_arrays)
    assert not (tmp_path / "a.h5").exists()


def test_a_directory_is_not_a_file(tmp_path):
    with pytest.raises(IsADirectoryError, match="give the path of a file in it"):
        to_hdf5(tmp_path, np.zeros(1))


def test_an_export_shows_what_was_written(tmp_path):
    export = to_hdf5(
        tmp_path / "a.h5",
        {"calls": records(50_000), "run <1>": {"grid": np.zeros((12, 721, 3), "f4")}},
    )
    assert isinstance(export, Export)
    assert export.path == str(tmp_path / "a.h5")
    assert export.nbytes_file == (tmp_path / "a.h5").stat().st_size
    assert export.nbytes == 50_000 * 26 + 12 * 721 * 3 * 4
    assert repr(export) == f"<Export: 2 datasets in {export.path} (1.40 MB)>"
    heading, titles, first, second = str(export).splitlines()
    assert heading.startswith(f"{export.path}: 2 datasets · 1.40 MB in memory, ")
    assert titles.split() == ["Dataset", "Shape", "Array", "Memory", "File", "Ratio"]
    assert "  50\u202f000  chr pos pct c t  1.30 MB  " in first
    assert "12 × 721 × 3  float32" in second  # noqa: RUF001 - the sign is meant
    assert len(first) == len(second) == len(titles)
    page = export._repr_html_()
    assert "run &lt;1&gt;/grid" in page
    assert "<1>" not in page


def test_a_table_of_many_datasets_is_cut(tmp_path):
    export = to_hdf5(tmp_path / "a.h5", [np.zeros(1)] * 100)
    assert len(export.datasets) == 100
    assert str(export).endswith("\nand 70 more (560 B)")
    assert "and 70 more" in export._repr_html_()
