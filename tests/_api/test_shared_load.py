"""Loads from end to end: real files, real loader processes, real segments."""

import importlib
import inspect
import os
import pathlib
import pickle
import signal
import subprocess
import sys
import urllib.error
import warnings

import numpy as np
import pytest
from kinds import message_of
from machine import own_segments, tool
from processes import loaders_of

import shmkit
from shmkit import (
    LoaderDiedError,
    LoadError,
    NotEnoughMemoryError,
    SegmentGoneError,
    SharedTable,
    sample,
    shared_load,
    to_hdf5,
)


def load(files, **options):
    return shared_load(files, progress=False, **options)


def test_it_is_a_sequence_in_file_order_that_answers_to_names(paths):
    with load(paths[::-1]) as arrays:
        assert [len(array) for array in arrays] == [300, 200, 100]
        assert arrays.keys() == ["sample3", "sample2", "sample1"]
        assert arrays["sample2"] is arrays[1]
        assert arrays[1:] == [arrays[1], arrays[2]]
        assert "sample1" in arrays
        assert "sample4" not in arrays
        *_, first = arrays
        assert type(first) is SharedTable
        assert dict(arrays.items())["sample1"] is first
        assert arrays.nbytes == sum(os.path.getsize(a.segment.path) for a in arrays)


@pytest.mark.parametrize("form", ["path", "pathlib", "glob", "list", "mapping", "generator"])
def test_files_may_be_given_in_any_form(paths, form, tmp_path):
    files = {
        "path": paths[0],
        "pathlib": pathlib.Path(paths[0]),
        "glob": str(tmp_path / "sample*.txt"),
        "list": [paths[0], str(tmp_path / "sample[23].txt")],
        "mapping": {"b": paths[1], "a": paths[0]},
        "generator": (path for path in paths[:2]),
    }[form]
    names = {
        "path": ["sample1"],
        "pathlib": ["sample1"],
        "glob": ["sample1", "sample2", "sample3"],
        "list": ["sample1", "sample2", "sample3"],
        "mapping": ["b", "a"],
        "generator": ["sample1", "sample2"],
    }[form]
    with load(files) as arrays:
        assert arrays.keys() == names


def test_files_of_one_stem_get_names_of_their_own(tmp_path):
    for name in ("a/x.npy", "b/x.npy", "y.npy", "y.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        if name.endswith("npy"):
            np.save(tmp_path / name, np.ones(2))
        else:
            np.savetxt(tmp_path / name, np.ones(2))
    files = [tmp_path / name for name in ("a/x.npy", "b/x.npy", "y.npy", "y.txt", "y.txt")]
    with load(files) as arrays:
        assert arrays.keys() == ["a-x", "b-x", "y.npy", "y.txt", "y.txt-2"]


def test_text_and_npy_equal_what_numpy_reads(paths, tmp_path):
    grid = sample.climate(steps=3, latitudes=19, longitudes=36)
    np.save(tmp_path / "grid.npy", grid)
    with load([*paths, tmp_path / "grid.npy"], dtype=sample.METHYLATION, skiprows=1) as arrays:
        for path, array in zip(paths, arrays[:3], strict=True):
            expected = np.loadtxt(path, sample.METHYLATION, skiprows=1)
            assert array.dtype == expected.dtype
            assert np.array_equal(array, expected)
        assert np.array_equal(arrays["grid"], grid)


def test_text_is_inferred(paths):
    with load(paths[0]) as (calls,):
        assert calls.columns == ["chr", "pos", "pct", "c", "t"]
        assert [dtype.kind for dtype in calls.dtypes.values()] == ["U", "i", "f", "i", "i"]


def test_an_option_that_is_given_is_obeyed_whatever_its_value(tmp_path):
    path = tmp_path / "genes.csv"
    path.write_text("1,gene #3\n2,gene #4\n")
    for options in ({}, {"comments": None}):
        with load(path, **options) as (genes,):
            assert genes["f1"].tolist() == ["gene #3", "gene #4"]
    with load(path, comments="#") as (genes,):
        assert genes["f1"].tolist() == ["gene ", "gene "]
    path.write_text('"a" 1\n"b" 2\n')
    with load(path) as (quoted,), load(path, quotechar=None) as (plain,):
        assert (quoted["f0"][0], plain["f0"][0]) == ("a", '"a"')


def test_a_reader_defined_here_runs_in_a_loader(paths):
    offset = 5

    def read(path):
        return np.array([os.getpid(), os.path.getsize(path) + offset])

    with load(paths, reader=read) as arrays:
        assert [array[1] for array in arrays] == [os.path.getsize(p) + 5 for p in paths]
        assert os.getpid() not in [array[0] for array in arrays]


def test_converters_defined_here_run_in_a_loader(tmp_path):
    (tmp_path / "x.txt").write_text("1 50%\n2 75%\n")
    with load(tmp_path / "x.txt", converters={1: lambda text: float(text.rstrip("%"))}) as (x,):
        assert x.tolist() == [[1.0, 50.0], [2.0, 75.0]]


def test_a_cell_later_close_is_as_good_as_a_with_block(paths):
    arrays = load(paths)
    first = arrays[0]
    paths_of_segments = [array.segment.path for array in arrays]
    arrays.close()
    arrays.close()
    assert not any(os.path.exists(path) for path in paths_of_segments)
    assert first["c"].sum() >= 0
    with pytest.raises(SegmentGoneError, match="were closed"):
        arrays[0]
    assert len(arrays) == 3


def test_arrays_that_nobody_holds_any_more_are_gone(paths):
    arrays = load(paths)
    assert len(own_segments()) == 3
    del arrays
    assert own_segments() == []


def test_a_view_keeps_its_segment_without_the_arrays(paths):
    first = load(paths)[0]
    assert first.segment.linked
    assert len(own_segments()) == 1


def test_nothing_is_named_while_nothing_is_loaded(paths):
    with load(paths):
        assert len(own_segments()) == 3
    assert own_segments() == []


@pytest.mark.parametrize(
    ("reader", "expected"),
    [
        (lambda _: 1 / 0, LoadError),
        (lambda _: os._exit(3), LoaderDiedError),
        (lambda _: os.kill(os.getpid(), signal.SIGKILL), LoaderDiedError),
        (lambda _: np.array([{}]), LoadError),
        (lambda _: (_ for _ in ()).throw(OSError("bad magic number")), LoadError),
    ],
)
def test_an_error_names_the_file_and_the_next_load_works(paths, reader, expected):
    with pytest.raises(expected) as caught:
        load(paths[1], reader=reader)
    assert caught.value.path == paths[1]
    assert own_segments() == []
    with load(paths) as arrays:
        assert len(arrays) == 3


def test_a_failing_reader_shows_its_own_traceback(paths):
    def read(path):
        raise ValueError("no such plate")

    with pytest.raises(LoadError, match="ValueError: no such plate") as caught:
        load(paths[0], reader=read)
    assert 'raise ValueError("no such plate")' in caught.value.__notes__[0]


@pytest.mark.parametrize("rows", ["", "chrX\t7\tn/a\t1\t2\n"])
def test_after_a_load_no_loader_holds_a_segments_memory(paths, rows):
    with open(paths[0], "a") as file:
        file.write(rows)
    with load(paths, dtype=sample.METHYLATION, skiprows=1, on_error="skip") as arrays:
        assert list(arrays.failures) == (["sample1"] if rows else [])
        loaders = loaders_of(os.getpid())
        assert loaders
        for pid in loaders:
            with open(f"/proc/{pid}/maps") as maps:
                assert "shmkit-" not in maps.read()


def test_a_bad_text_names_file_line_and_column(paths):
    with open(paths[1], "a") as file:
        file.write("chrX\t7\tn/a\t1\t2\n")
    with pytest.raises(LoadError) as caught:
        load(paths, dtype=sample.METHYLATION, skiprows=1)
    assert (caught.value.path, caught.value.line, caught.value.column) == (paths[1], 202, 3)
    assert "n/a" in caught.value.reason


def test_a_missing_file_is_named_before_anything_starts(paths, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.txt"):
        load([*paths, tmp_path / "nowhere.txt"])
    with pytest.raises(FileNotFoundError, match="no file matches"):
        load(str(tmp_path / "nothing*.txt"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"on_error": "ignore"}, "on_error"),
        ({"processes": 0}, "processes"),
        ({"backing": "cloud"}, "backing"),
    ],
)
def test_a_bad_option_is_named(paths, options, message):
    with pytest.raises(ValueError, match=message):
        load(paths, **options)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"skiprows": -1}, ValueError, "skiprows=-1: .* nonnegative"),
        ({"delimiter": ",,"}, TypeError, "delimiter=',,'.* must be a single"),
        ({"dtype": object}, TypeError, "Python objects, .* cannot lie in shared memory"),
    ],
)
@pytest.mark.parametrize("on_error", ["raise", "skip"])
def test_options_that_no_file_satisfies_are_the_callers_error(
    paths, options, error, message, on_error
):
    with pytest.raises(error, match=message):
        load(paths, on_error=on_error, **options)


@pytest.mark.parametrize("rows", [1, 100_000])  # read without a look before, and after one
def test_the_options_that_made_an_array_are_known(rows, tmp_path):
    (tmp_path / "a.txt").write_text("1 2\n" * rows)
    np.save(tmp_path / "b.npy", np.zeros(rows))
    with load(sorted(tmp_path.iterdir()), dtype="i4,i4", usecols=(0, 1)) as (text, npy):
        assert text.segment.source["options"] == {
            "dtype": np.dtype("i4,i4"),
            "usecols": [0, 1],
            "encoding": "utf-8",
        }
        assert npy.segment.source["options"] == {}


def test_no_files_is_an_error():
    with pytest.raises(ValueError, match="no files"):
        load([])


@pytest.fixture
def of_each_format(tmp_path):
    """A file of each format, by its ending."""
    files = {ending: tmp_path / f"x.{ending}" for ending in ("txt", "npy", "h5", "nc")}
    files["txt"].write_text("1 2\n3 4\n")
    np.save(files["npy"], np.ones(2))
    for ending in ("h5", "nc"):
        to_hdf5(files[ending], {"data": np.ones(2)})
    return files


OF_TEXT = {"dtype": "f4", "usecols": [0], "skiprows": 3, "max_rows": 2}


@pytest.mark.parametrize(
    ("endings", "options", "message"),
    [
        (["h5"], OF_TEXT, "dtype, skiprows, usecols, max_rows: for text files only, .* HDF5 files"),
        (["nc"], {"categories": "a"}, "categories: for text files only, and these are HDF5 files"),
        (["npy"], {"skiprows": 1}, r"skiprows: for text files only, and these are \.npy files"),
        (["npy", "h5"], {"ndmin": 2}, r"ndmin: for text files only, .* \.npy files and HDF5 files"),
        (
            ["txt"],
            {"dataset": "a"},
            r"dataset: for HDF5 files, \.npz .* only, and these are text files",
        ),
        (["txt", "npy"], {"dataset": ["a", "b"]}, r"dataset: .* are text files and \.npy files"),
        (["npy"], {"delimiter": None, "dataset": "a"}, "delimiter: for text .*; dataset: for HDF5"),
        (["txt"], {"reader": len, "comments": None}, "comments: .* these are files that reader= "),
        (["h5"], {"reader": len, "dataset": "a"}, "dataset: .* these are files that reader= reads"),
    ],
)
def test_options_of_no_use_to_any_file_are_named_with_the_formats(
    of_each_format, endings, options, message
):
    with pytest.raises(TypeError, match=message):
        load([of_each_format[ending] for ending in endings], **options)


def test_options_are_for_the_files_that_have_use_for_them(of_each_format):
    files = [of_each_format[ending] for ending in ("txt", "npy", "h5")]
    with load(files, dtype="f4", max_rows=1, dataset="data") as (text, npy, hdf5):
        assert text.tolist() == [1, 2]
        assert npy.tolist() == hdf5.tolist() == [1, 1]
        assert [array.segment.source["options"] for array in (text, npy, hdf5)] == [
            {"dtype": np.dtype("f4"), "max_rows": 1, "encoding": "utf-8"},
            {},
            {"dataset": "data"},
        ]


@pytest.mark.parametrize("backing", ["shm", "memfd", "directory"])
def test_every_backing_gives_the_same_arrays(paths, backing, tmp_path):
    where = tmp_path if backing == "directory" else backing
    with load(paths, backing=where) as arrays, load(paths) as expected:
        for array, other in zip(arrays, expected, strict=True):
            assert array.columns == other.columns
            assert all(np.array_equal(array[name], other[name]) for name in array)
            assert array.segment.backing == ("file" if backing == "directory" else backing)


def test_too_little_room_is_an_error_with_figures(tmp_path):
    # A header may say any shape: one that no machine has room for, in a file with holes.
    shape = (1 << 24, 1 << 21)
    path = tmp_path / "huge.npy"
    with open(path, "wb") as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": "|i1", "fortran_order": False, "shape": shape}
        )
        try:
            file.truncate(file.tell() + (1 << 43))
            shape = (1 << 22, 1 << 21)
        except OSError:  # the file system takes no file as long as that
            pytest.fail("the test needs a file system with sparse files of 8 TB")
        file.seek(0)
        np.lib.format.write_array_header_1_0(
            file, {"descr": "|i1", "fortran_order": False, "shape": shape}
        )
    with pytest.raises(NotEnoughMemoryError, match="close arrays that you no longer need"):
        load(path)


def test_processes_sets_how_many_loaders_work(tmp_path):
    for n in range(6):
        np.save(tmp_path / f"{n}.npy", np.ones(2))
    with load(tmp_path / "*.npy", reader=lambda _: np.array(os.getpid()), processes=1) as arrays:
        assert len({int(pid) for pid in arrays}) == 1


def test_a_script_needs_no_main_guard(run_script, paths):
    done = run_script(
        "import os\n"
        "from shmkit import shared_load\n"
        f"arrays = shared_load({paths!r}, reader=lambda path: [os.path.getsize(path)])\n"
        "print(len(arrays), int(arrays[0][0]))\n"
    )
    assert done.stdout == f"3 {os.path.getsize(paths[0])}\n"
    assert done.stderr == ""


def test_an_interrupt_in_the_middle_leaves_nothing(tmp_path):
    """The notebook's stop button: SIGINT to the process group, in the middle of a read."""
    fifo = tmp_path / "begun"
    os.mkfifo(fifo)
    np.save(tmp_path / "x.npy", np.ones(2))
    code = (
        "import os, signal, sys\n"
        "from shmkit import shared_load\n"
        "def read(path):\n"
        f"    open({str(fifo)!r}, 'w').close()\n"
        "    signal.pause()\n"
        "try:\n"
        f"    shared_load({str(tmp_path / 'x.npy')!r}, reader=read)\n"
        "except KeyboardInterrupt:\n"
        "    left = [n for n in os.listdir('/dev/shm') if n.startswith(f'shmkit-{os.getpid()}-')]\n"
        "    print('stopped', left)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        text=True,
    )
    with open(fifo):
        os.killpg(process.pid, signal.SIGINT)
    assert process.communicate(timeout=20) == ("stopped []\n", "")


def test_what_a_killed_kernel_left_is_removed_by_the_next_load(paths):
    code = (
        "import os, shmkit\n"
        f"arrays = shmkit.shared_load({paths!r}, progress=False)\n"
        "print(*[a.segment.path for a in arrays], flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    left = done.stdout.split()
    assert len(left) == 3
    with load(paths[0]):
        assert not any(os.path.exists(path) for path in left)


def test_a_thousand_small_files(tmp_path):
    for n in range(1000):
        np.save(tmp_path / f"{n:04}.npy", np.full(3, n))
    with load(tmp_path / "*.npy", backing="shm") as arrays:
        assert [int(array[0]) for array in arrays] == list(range(1000))


def test_names_complete(paths):
    with load(paths) as arrays:
        assert arrays._ipython_key_completions_() == ["sample1", "sample2", "sample3"]


def test_loading_warns_of_nothing(paths):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with load(paths) as arrays:
            shmkit.share(arrays[0]).close()
    assert caught == []


def test_arrays_travel_to_a_worker_as_references(paths):
    with load(paths) as arrays:
        got = pickle.loads(message_of(arrays))
        assert got.keys() == arrays.keys()
        assert np.shares_memory(got["sample2"]["pos"], arrays["sample2"]["pos"])
        got.close()


def test_a_reader_that_forks_and_dies_is_noticed(tmp_path, paths):
    # Its child keeps the loader's socket open.
    fifo = tmp_path / "end"
    os.mkfifo(fifo)

    def read(path):
        if os.fork() == 0:
            open(fifo).close()
            os._exit(0)
        os._exit(5)

    with pytest.raises(LoaderDiedError, match="code 5"):
        load(paths[0], reader=read)
    open(fifo, "w").close()


def test_an_exception_that_cannot_be_rebuilt_still_names_the_file(paths):
    def read(path):
        raise urllib.error.HTTPError("http://x", 404, "nothing there", {}, None)

    with pytest.raises(LoadError, match="nothing there") as caught:
        load(paths[0], reader=read)
    assert caught.value.path == paths[0]


def test_a_masked_array_is_refused(paths):
    with pytest.raises(LoadError, match="mask would be lost"):
        load(paths[0], reader=lambda _: np.ma.masked_equal([1, 2], 2))


def test_loaders_follow_the_notebook(tmp_path, paths, monkeypatch):
    """An edited module, a new folder on the path, another working directory."""
    folder = tmp_path / "mine"
    folder.mkdir()
    module = folder / "plates.py"
    module.write_text("def read(path):\n    return [1]\n")
    monkeypatch.setattr(sys, "path", [*sys.path, pathlib.Path("/nowhere"), str(folder)])
    plates = importlib.import_module("plates")
    with load(paths[0], reader=plates.read) as (first,):
        assert first.tolist() == [1]
    module.write_text("def read(path):\n    return [1, 222]\n")
    importlib.reload(plates)
    with load(paths[0], reader=plates.read) as (second,):
        assert second.tolist() == [1, 222]
    monkeypatch.chdir(folder)
    with load(paths[0], reader=lambda _: np.frombuffer(os.getcwd().encode(), "S1")) as (where,):
        assert b"".join(where.tolist()).decode() == str(folder)


@pytest.mark.slow
def test_loaders_see_the_modules_that_a_reader_uses_as_they_are_now(tmp_path, paths, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # a second edit within a second
    (tmp_path / "well_sizes.py").write_text("SIZE = 1\n\ndef size():\n    return SIZE\n")
    (tmp_path / "well_plates.py").write_text(
        "import well_sizes\n"
        "from well_sizes import size\n\n"
        "def read(path):\n"
        "    import well_sizes as late\n"
        "    return [well_sizes.SIZE, size(), late.size()]\n"
    )
    sizes, plates = importlib.import_module("well_sizes"), importlib.import_module("well_plates")

    def in_a_cell(path):
        return [sizes.SIZE, sizes.size(), plates.read(path)[2]]

    def read_by(reader):
        with load(paths[0], reader=reader) as (array,):
            return array.tolist()

    for reader in (plates.read, in_a_cell):
        assert read_by(reader) == [1, 1, 1]
    for size in (2, 3):
        (tmp_path / "well_sizes.py").write_text(f"SIZE = {size}\n\ndef size():\n    return SIZE\n")
        importlib.reload(sizes)
        importlib.reload(plates)
        for reader in (plates.read, in_a_cell):
            assert read_by(reader) == [size] * 3
    sizes.SIZE = 7  # in no file
    for reader in (plates.read, in_a_cell):
        assert read_by(reader)[:2] == [7, 7]
    # What cannot go by value is imported, by loaders that have not imported it before.
    locked = (
        "import threading\nLOCK = threading.Lock()\nSIZE = {}\n\ndef size():\n    return SIZE\n"
    )
    for size in (8, 9):
        (tmp_path / "well_sizes.py").write_text(locked.format(size))
        importlib.reload(sizes)
        importlib.reload(plates)
        for reader in (plates.read, in_a_cell):
            assert read_by(reader) == [size] * 3
    for name in ("well_sizes", "well_plates"):
        del sys.modules[name]


def test_arrays_that_a_worker_loaded_arrive_as_copies(paths):
    with load(paths) as arrays:
        arrays[0].close()
        got = pickle.loads(pickle.dumps(arrays))  # as a worker does it with what is its own
    assert got.keys() == ["sample1", "sample2", "sample3"]
    assert got.nbytes >= got[0].nbytes
    assert "sample1" in repr(got)
    got.close()
    assert got.closed


def test_a_load_from_a_folder_that_was_removed(tmp_path, run_script, paths):
    done = run_script(
        "import os, shmkit\n"
        "os.mkdir('gone')\n"
        "os.chdir('gone')\n"
        "os.rmdir('../gone')\n"
        f"print(len(shmkit.shared_load({paths[0]!r})[0]))\n"
    )
    assert (done.stdout, done.stderr) == ("100\n", "")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"processes": 1.5}, TypeError, "'float'"),
        ({"processes": "2"}, TypeError, "'str'"),
        ({"processes": 0}, ValueError, "processes=0 must be at least 1"),
        ({"on_error": "ignore"}, ValueError, "on_error='ignore' is neither"),
        ({"backing": "disk"}, ValueError, "backing='disk' is neither"),
        ({"files": []}, ValueError, "no files given"),
    ],
)
def test_an_option_that_cannot_be_is_an_error(calls, options, error, message):
    with pytest.raises(error, match=message):
        shared_load(**{"files": calls, "progress": False, **options})


def test_what_loadtxt_has_and_shared_load_has_not():
    """The README says which options of it there are."""
    own = inspect.signature(shared_load).parameters
    missing = [name for name in inspect.signature(np.loadtxt).parameters if name not in own]
    assert missing == ["fname", "unpack", "like"]


@pytest.mark.slow
@pytest.mark.parametrize("trouble", ["missing", "directory", "sealed", "killed"])
def test_whatever_is_wrong_with_a_file_it_can_be_skipped(tmp_path, trouble):
    np.save(tmp_path / "good.npy", np.arange(3))
    for ending in ("txt", "npy", "h5", "nc", "gz"):
        bad = tmp_path / f"bad.{ending}"
        if trouble == "directory":
            bad.mkdir()
        elif trouble != "missing":
            bad.write_text("1 2\n")
            bad.chmod(0 if trouble == "sealed" else 0o600)
    code = """
import os, signal, sys
import numpy as np
from shmkit import shared_load
def read(path):
    if "bad" in path:
        os.kill(os.getpid(), signal.SIGSEGV)
    return np.load(path)
reader = read if sys.argv[1] == "killed" else None
endings = ["txt", "npy", "h5", "nc", "gz"]
files = {ending: f"bad.{ending}" for ending in endings}
options = {"reader": reader, "progress": False}
with shared_load(files | {"good": "good.npy"}, on_error="skip", **options) as arrays:
    assert arrays.keys() == ["good"] and arrays[0].tolist() == [0, 1, 2]
    assert [*arrays.failures] == endings
    skipped = arrays.failures
for ending, path in files.items():
    try:
        shared_load([path, "good.npy"], **options)
    except Exception as error:
        assert type(error) is type(skipped[ending]) and path in str(error), error
        print(type(error).__name__, end=" ")
"""
    # The superuser is refused nothing, but without these.
    python = [tool("setpriv"), "--bounding-set=-dac_override,-dac_read_search", sys.executable]
    done = subprocess.run(
        [*python, "-c", code, trouble], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.stderr == ""
    errors = {"missing": FileNotFoundError, "sealed": PermissionError, "killed": LoaderDiedError}
    if trouble == "directory":
        assert len(done.stdout.split()) == 5
    else:
        assert set(done.stdout.split()) == {errors[trouble].__name__}
