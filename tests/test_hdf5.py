"""to_hdf5: what is in the file, read by h5py and by h5dump; and what a failure leaves."""

import errno
import json
import os
import signal
import subprocess
import sys
import textwrap
from datetime import datetime, timedelta
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from conftest import tool
from shmkit import SharedArray, share, shared_load, to_hdf5
from shmkit._export import Export

CALLS = np.dtype([("chr", "S10"), ("pos", "i4"), ("pct", "f4"), ("c", "i4"), ("t", "i4")])


LINE = np.dtype([("chr", "S10"), ("pos", "i4"), ("pct", "f4")])


def records(rows):
    """Records as in methylation calls, more of them than fit one chunk if asked."""
    random = np.random.default_rng(rows)
    table = np.zeros(rows, CALLS)
    table["chr"] = np.repeat([b"chr1", b"chr22", b"chrX", b"chrY"], -(-rows // 4))[:rows]
    table["pos"] = np.cumsum(random.integers(1, 200, rows))
    table["pct"] = 100 * random.random(rows)
    table["c"], table["t"] = random.integers(0, 40, (2, rows))
    return table


def read(path, name="data"):
    with h5py.File(path) as file:
        return file[name][()]


def h5dump(path, *options):
    done = subprocess.run(
        [tool("h5dump"), *options, path], capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout


def h5dump_values(path, name, dtype, folder):
    """The values of a numeric dataset as h5dump, with its own HDF5 library, gives them."""
    h5dump(path, "-d", name, "-b", "LE", "-o", str(folder / "values.bin"))
    return np.fromfile(folder / "values.bin", dtype)


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
def test_h5dump_reads_the_same_numbers(tmp_path, array):
    to_hdf5(tmp_path / "a.h5", array)
    little = array.dtype.newbyteorder("<")
    values = h5dump_values(tmp_path / "a.h5", "/data", little, tmp_path)
    np.testing.assert_array_equal(values, array.ravel())


NESTED = np.dtype(
    [("id", "i2"), ("where", [("x", ">f8"), ("y", "f4", (2, 3))]), ("ok", "?"), ("z", "c8")]
)
PADDED = np.dtype(
    {"names": ["a", "b"], "formats": ["i1", "f8"], "offsets": [3, 16], "itemsize": 40}
)


@pytest.mark.parametrize(
    "dtype",
    ["?", "i1", "u8", ">i2", "f2", "f4", ">f8", "g", "c8", ">c16", "S7", "V5", NESTED, PADDED],
    ids=str,
)
@pytest.mark.parametrize("shape", [(), (0,), (0, 3), (7,), (50_000,), (30, 20, 100)], ids=str)
def test_every_dtype_and_shape_comes_back_equal(tmp_path, dtype, shape):
    dtype = np.dtype(dtype)
    array = np.zeros(shape, dtype)
    random = np.random.default_rng(1)
    for field in dtype.names or [...]:
        array[field] = random.integers(0, 2, array[field].shape).astype("?")
    to_hdf5(tmp_path / "a.h5", array)
    with h5py.File(tmp_path / "a.h5") as file:
        assert file["data"].dtype == dtype
        assert file["data"].shape == shape
        np.testing.assert_array_equal(file["data"][()], array)


@settings(max_examples=40, deadline=None)
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


def test_chunks_are_what_the_filters_of_hdf5_would_make(tmp_path):
    """Undo the filters by hand, and let HDF5's own filters write the same array again."""
    grid = np.random.default_rng(0).normal(280, 1, (300, 1000)).astype("f4")
    to_hdf5(tmp_path / "ours.h5", grid)
    with h5py.File(tmp_path / "ours.h5") as ours, h5py.File(tmp_path / "h5py.h5", "w") as theirs:
        data = ours["data"]
        again = theirs.create_dataset(
            "data", data=grid, chunks=data.chunks, compression="gzip", shuffle=True
        )
        assert [data.id.get_create_plist().get_filter(i)[0] for i in range(2)] == [
            again.id.get_create_plist().get_filter(i)[0] for i in range(2)
        ]
        assert data.id.get_num_chunks() == again.id.get_num_chunks() == 2
        np.testing.assert_array_equal(data[:], again[:])
        assert data.id.get_storage_size() < 1.05 * again.id.get_storage_size()


@pytest.mark.parametrize(
    ("shape", "itemsize"),
    [((3_000_000,), 26), ((240, 361, 720), 4), ((4, 5, 2000, 3000), 8), ((2, 10_000_000), 1)],
)
def test_chunks_hold_whole_rows_and_fit_the_chunk_cache(tmp_path, shape, itemsize):
    array = np.broadcast_to(np.zeros((), f"V{itemsize}"), shape)[:2]  # chunks depend on the row
    to_hdf5(tmp_path / "a.h5", array)
    with h5py.File(tmp_path / "a.h5") as file:
        chunks = file["data"].chunks or file["data"].shape
    assert np.prod(chunks) * itemsize <= 1 << 20
    cut = next((axis for axis, length in enumerate(chunks) if length > 1), 0)
    assert chunks[cut + 1 :] == array.shape[cut + 1 :]


def test_small_arrays_are_stored_as_they_are(tmp_path):
    to_hdf5(tmp_path / "a.h5", {"small": np.zeros(10), "large": np.zeros(10_000)})
    with h5py.File(tmp_path / "a.h5") as file:
        assert file["small"].chunks is None
        assert file["large"].chunks == (10_000,)


@pytest.mark.parametrize("compression", ["gzip", "lzf", None])
def test_compression_is_as_asked(tmp_path, compression):
    table = records(100_000)
    export = to_hdf5(tmp_path / "a.h5", table, compression=compression)
    with h5py.File(tmp_path / "a.h5") as file:
        assert file["data"].compression == compression
        np.testing.assert_array_equal(file["data"][:], table)
    assert (export.datasets[0].nbytes_stored < table.nbytes) == (compression is not None)


def test_an_unknown_compression_is_refused(tmp_path):
    with pytest.raises(ValueError, match="'zstd' is none of"):
        to_hdf5(tmp_path / "a.h5", np.zeros(3), compression="zstd")
    assert not os.listdir(tmp_path)


def test_text_becomes_utf8(tmp_path):
    names = np.array([["chr1", "", "näïve"], ["日本語", "a", "x" * 12]])
    to_hdf5(tmp_path / "a.h5", names)
    with h5py.File(tmp_path / "a.h5") as file:
        assert file["data"].asstr()[:].tolist() == names.tolist()
    shown = h5dump(tmp_path / "a.h5")
    assert "H5T_CSET_UTF8" in shown
    assert '"xxxxxxxxxxxx"' in shown


def test_times_become_int64_and_the_file_says_what_they_were(tmp_path):
    times = np.array(["2024-02-29", "NaT"], "M8[ns]")
    to_hdf5(tmp_path / "a.h5", {"times": times})
    with h5py.File(tmp_path / "a.h5") as file:
        data = file["times"]
        assert data.dtype == "i8"
        np.testing.assert_array_equal(data[:].view(data.attrs["numpy_dtype"]), times)


def test_record_arrays_are_records(tmp_path):
    to_hdf5(tmp_path / "a.h5", records(10).view(np.recarray))
    np.testing.assert_array_equal(read(tmp_path / "a.h5"), records(10))


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (np.array(["a", None]), r"group/bad holds Python objects \(object\).*astype"),
        (np.zeros(2, [("n", "i4"), ("o", "O")]), r"group/bad\.o holds Python objects"),
        (np.array(["a"], np.dtypes.StringDType()), r"group/bad holds Python objects"),
        (np.ma.masked_less([1, 2], 2), r"group/bad is a masked array.*filled"),
        (np.zeros(2, {"names": "ab", "formats": ["i4", "i4"], "offsets": [0, 2]}), "overlap"),
        (np.zeros(2, [("a", "i4"), ("b", "S0")]), "hold nothing"),
        ([1, 2], r"group/bad is no numpy array but of type list; .*numpy\.stack"),
        (3.5, "group/bad is no numpy array but of type float"),
    ],
)
def test_what_hdf5_cannot_hold_is_named_before_anything_is_written(tmp_path, bad, message):
    with pytest.raises(TypeError, match=message):
        to_hdf5(tmp_path / "a.h5", {"good": np.zeros(3), "group": {"bad": bad}})
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
        ({"": np.zeros(1)}, "'' cannot be a name"),
        ({".": np.zeros(1)}, r"'\.' cannot be a name"),
        ({1: np.zeros(1), "1": np.zeros(1)}, "two arrays have the name '1'"),
    ],
)
def test_names_that_hdf5_cannot_hold_are_refused(tmp_path, arrays, message):
    with pytest.raises(ValueError, match=message):
        to_hdf5(tmp_path / "a.h5", arrays)
    assert not os.listdir(tmp_path)


def test_the_file_says_what_wrote_it_and_when(tmp_path):
    to_hdf5(tmp_path / "a.h5", np.zeros(1), attrs={"title": "Läufe", "runs": 3, "ids": [1, 2]})
    with h5py.File(tmp_path / "a.h5") as file:
        attrs = dict(file.attrs)
    created = datetime.fromisoformat(attrs.pop("created"))
    assert created.utcoffset() == timedelta(0)
    assert abs(datetime.now(created.tzinfo) - created) < timedelta(minutes=5)
    assert attrs.pop("shmkit_version")
    assert attrs.pop("ids").tolist() == [1, 2]
    assert attrs == {"title": "Läufe", "runs": 3}


def test_an_attribute_that_hdf5_cannot_hold_is_named(tmp_path):
    with pytest.raises(TypeError, match=r"attrs\['where'\] cannot be stored"):
        to_hdf5(tmp_path / "a.h5", np.zeros(1), attrs={"where": Path("x")})
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


def test_an_existing_file_is_replaced(tmp_path):
    (tmp_path / "a.h5").write_text("old")
    to_hdf5(tmp_path / "a.h5", np.arange(3))
    assert read(tmp_path / "a.h5").tolist() == [0, 1, 2]
    assert os.listdir(tmp_path) == ["a.h5"]


def test_a_directory_is_not_a_file(tmp_path):
    with pytest.raises(IsADirectoryError, match="give the path of a file in it"):
        to_hdf5(tmp_path, np.zeros(1))


def test_the_file_is_closed_when_the_call_returns(tmp_path):
    to_hdf5(tmp_path / "a.h5", np.arange(3))
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        file["more"] = 1
    open_files = (os.path.realpath(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd"))
    assert str(tmp_path / "a.h5") not in set(open_files)


@pytest.mark.parametrize("limit", [100, 3_000, 100_000, 3_000_000])
@pytest.mark.parametrize("compression", ["gzip", "lzf", None])
def test_a_full_disk_is_an_error_and_leaves_the_old_file(tmp_path, run_script, compression, limit):
    """HDF5 itself dies of it: a SIGSEGV when the interpreter exits."""
    folder = tmp_path / "full"
    folder.mkdir()
    (folder / "a.h5").write_text("old")
    done = run_script(f"""
import resource
import numpy as np
from shmkit import to_hdf5
noise = np.frombuffer(np.random.default_rng(0).bytes(6_000_000), "u1")
resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
try:
    to_hdf5("full/a.h5", noise, compression={compression!r})
except OSError as error:
    print(error.errno, error)
""")
    assert done.stdout.startswith(f"{errno.EFBIG} [Errno {errno.EFBIG}] cannot be written")
    assert done.stderr == ""
    assert os.listdir(folder) == ["a.h5"]
    assert (folder / "a.h5").read_text() == "old"


def test_an_interrupt_leaves_the_old_file(tmp_path):
    (tmp_path / "a.h5").write_text("old")
    child = subprocess.Popen(
        [
            sys.executable,
            "-c",
            textwrap.dedent(
                """
                import sys
                import numpy as np
                from shmkit import to_hdf5
                endless = np.broadcast_to(np.arange(1 << 20), (1 << 20, 1 << 20))
                print("begin", flush=True)
                to_hdf5(sys.argv[1], endless)
                """
            ),
            tmp_path / "a.h5",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with child:
        assert child.stdout.readline() == "begin\n"
        while not [name for name in os.listdir(tmp_path) if name.endswith(".tmp")]:
            assert child.poll() is None
        child.send_signal(signal.SIGINT)
        error = child.communicate(timeout=60)[1]
    assert child.returncode == -signal.SIGINT
    assert "KeyboardInterrupt" in error
    assert os.listdir(tmp_path) == ["a.h5"]
    assert (tmp_path / "a.h5").read_text() == "old"


def test_a_large_array_needs_little_memory(run_script):
    done = run_script("""
import resource
import numpy as np
from shmkit import to_hdf5
to_hdf5("a.h5", np.zeros(30_000))  # imports and threads take what they take
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
to_hdf5("a.h5", np.broadcast_to(np.zeros(250_000), (100, 250_000)))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
""")
    assert int(done.stdout) < 60_000, "kilobytes, for 200 MB of data"


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


def test_more_fields_than_hdf5_can_hold_are_named(tmp_path):
    array = np.zeros(2, [(f"a long name {n}", "i1") for n in range(3000)])
    with pytest.raises(TypeError, match=r"^wide: HDF5 has no room for this dtype"):
        to_hdf5(tmp_path / "x.h5", {"wide": array})
    assert list(tmp_path.iterdir()) == []


def test_an_attribute_that_is_too_large_says_so(tmp_path):
    with pytest.raises((OSError, TypeError), match=r"attrs|attribute"):
        to_hdf5(tmp_path / "x.h5", np.ones(2), attrs={"z": np.zeros(20_000)})


def test_a_source_whose_name_is_no_text(tmp_path):
    path = os.fsdecode(os.path.join(os.fsencode(tmp_path), b"caf\xe9.npy"))
    np.save(path, np.ones(3))
    with shared_load(path, progress=False) as arrays:
        to_hdf5(tmp_path / "x.h5", {"a": arrays[0]})
    with h5py.File(tmp_path / "x.h5") as file:
        assert file["a"].attrs["source_file"].endswith("caf\ufffd.npy")
