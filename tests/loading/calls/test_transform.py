"""`transform=`: a function on what was read, in the loader process."""

import os
import signal

import h5py
import numpy as np
import pytest
from deadline import kept
from machine import own_segments
from processes import Owner, heard, living, names_of

from shmkit import LoaderDiedError, LoadError, SharedArray, Table, shared_load

DTYPE = [("chr", "S4"), ("pos", "i4"), ("c", "i4"), ("t", "i4")]
ROWS = 1000


def load(*files, **options):
    return shared_load(list(files), processes=2, progress=False, **options)


@pytest.fixture
def files(tmp_path):
    """Two files of calls, with some rows of few reads."""
    found = []
    for n in range(2):
        path = tmp_path / f"calls{n}.txt"
        path.write_text(
            "".join(f"chr{1 + i % 3 + n}\t{i}\t{i % 7}\t{i % 11}\n" for i in range(ROWS + n))
        )
        found.append(str(path))
    return found


def test_rows_are_filtered_where_they_are_loaded(files):
    with load(*files, dtype=DTYPE) as whole:
        expected = [t[t["c"] + t["t"] >= 10] for t in whole]
    with load(*files, dtype=DTYPE, transform=lambda t: t[t["c"] + t["t"] >= 10]) as arrays:
        assert arrays.keys() == ["calls0", "calls1"]
        assert all(type(array) is SharedArray for array in arrays)
        assert all(np.array_equal(a, e) for a, e in zip(arrays, expected, strict=True))
        assert arrays[0].segment.source["file"] == files[0]
        assert len(own_segments()) == 2
        assert arrays.nbytes < sum(e.nbytes for e in expected) + 2000


@pytest.mark.parametrize("backing", ["shm", "memfd", "directory"])
def test_in_every_backing(files, backing, tmp_path):
    backing = tmp_path if backing == "directory" else backing
    with load(*files, dtype=DTYPE, backing=backing, transform=lambda t: t["pos"] * 2.0) as arrays:
        assert [len(array) for array in arrays] == [ROWS, ROWS + 1]
        assert np.array_equal(arrays[1], np.arange(0.0, 2 * ROWS + 2, 2))
        assert arrays[0].segment.backing == ("file" if backing == tmp_path else backing)


@pytest.mark.slow
def test_a_large_file_is_read_in_parts_and_transformed_whole(tmp_path):
    path = tmp_path / "large.txt"
    rows = 3_000_000
    np.char.mod("%d", np.arange(rows)).tofile(path, sep="\n")
    with load(path, dtype="i8", transform=lambda a: np.array([len(a), a.sum()])) as (found,):
        assert found.tolist() == [rows, rows * (rows - 1) // 2]


def test_codes_of_categories_are_the_same_in_all_and_known_to_the_function(files):
    def first(t):
        return t[np.asarray(t["chr"] == "chr3")]

    with load(*files, dtype=DTYPE, categories=["chr"], transform=first) as arrays:
        assert [len(array) for array in arrays] == [ROWS // 3, ROWS // 3 + 1]
        assert {int(code) for array in arrays for code in array["chr"]} == {2}
        assert all(array["chr"].categories[2] == "chr3" for array in arrays)


def test_a_table_takes_the_place_of_records(files):
    def columns(t):
        return Table({"pos": t["pos"], "sum": t["c"] + t["t"]})

    with load(*files, dtype=DTYPE, transform=columns) as tables:
        assert tables[0].columns == ["pos", "sum"]
        assert len(tables["calls1"]) == ROWS + 1


def test_with_every_format(tmp_path):
    np.save(tmp_path / "a.npy", np.arange(4))
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file["x"], file["y"] = np.arange(5), np.arange(6)
    (tmp_path / "c.txt").write_text("1 2\n3 4\n")
    found = load(
        tmp_path / "a.npy", tmp_path / "b.h5", tmp_path / "c.txt", transform=lambda a: a[1:] * 2
    )
    with found as arrays:
        assert {name: array.tolist() for name, array in arrays.items()} == {
            "a": [2, 4, 6],
            "b/x": [2, 4, 6, 8],
            "b/y": [2, 4, 6, 8, 10],
            "c": [[6.0, 8.0]],
        }
    with load(tmp_path / "a.npy", reader=np.load, transform=np.sum) as (total,):
        assert total == 6


def test_the_argument_itself_and_a_view_of_it_may_be_returned(files):
    for transform in (lambda t: t, lambda t: t[::-2], lambda t: t["pos"]):
        with load(files[0], dtype=DTYPE) as (whole,):
            expected = np.array(transform(whole))
        with load(files[0], dtype=DTYPE, transform=transform) as (array,):
            assert np.array_equal(array, expected)


@pytest.mark.parametrize(
    ("transform", "message"),
    [
        (lambda t: t["nothing"], "no field of name nothing"),
        (lambda _: None, "transform= returned None"),
        (lambda _: np.array([{}]), "array of Python objects"),
    ],
)
def test_an_error_names_the_file(files, transform, message):
    with pytest.raises(LoadError, match=message) as caught:
        load(*files, dtype=DTYPE, transform=transform)
    assert caught.value.path in files
    assert own_segments() == []


def test_a_failing_file_can_be_skipped(files):
    def check(t):
        if len(t) > ROWS:
            raise ValueError("too long")
        return t

    with load(*files, dtype=DTYPE, transform=check, on_error="skip") as arrays:
        assert arrays.keys() == ["calls0"]
        assert "too long" in str(arrays.failures["calls1"])
        assert len(own_segments()) == 1


def test_a_loader_that_dies_in_it_names_the_file(files):
    with pytest.raises(LoaderDiedError, match="SIGKILL") as caught:
        load(files[0], dtype=DTYPE, transform=lambda _: os.kill(os.getpid(), signal.SIGKILL))
    assert caught.value.path == files[0]
    assert own_segments() == []


def test_the_stop_button_ends_it(files, fifo):
    code = """
import os, sys, time
from shmkit import shared_load

def wait(t):
    with open(fifo, "w") as file:
        file.write(str(os.getpid()))
    time.sleep(100)

path, fifo = sys.argv[1:]
try:
    shared_load(path, transform=wait)
except KeyboardInterrupt:
    print("stopped", flush=True)
sys.stdin.read()
"""
    with Owner(code, files[0], fifo) as owner:
        loader = heard(fifo, owner)
        os.kill(owner.pid, signal.SIGINT)
        assert owner.says() == ["stopped"]
        assert kept(1, lambda _: names_of(owner.pid) == [])
        assert not living([loader], 0)


@pytest.mark.slow
def test_what_finds_no_room_goes_into_a_memfd(with_mount, files):
    text = f"""
import numpy as np
from shmkit import shared_load
with shared_load({files[0]!r}, dtype="S40", transform=lambda t: np.zeros(2_000_000)) as (a,):
    print(a.segment.backing, a.size)
"""
    assert with_mount("mount -t tmpfs -o size=2m none /dev/shm", text) == "memfd 2000000\n"
    failing = text.replace("dtype=", 'backing="shm", dtype=').replace("with ", "try:\n with ")
    failing += "except __import__('shmkit').NotEnoughMemoryError as error:\n print('refused')\n"
    assert with_mount("mount -t tmpfs -o size=2m none /dev/shm", failing) == "refused\n"
