"""`shared_stream`: files one after another, within a budget."""

import gc
import os
import signal
import threading
import time

import h5py
import numpy as np
import pytest
from machine import own_segments
from processes import Owner, left_of, living, loaders_of, names_of

from shmkit import LoadError, NotEnoughMemoryError, SharedTable, shared_stream
from shmkit.segments.segment import mapped_here

ROWS = 50_000
NBYTES = 8 * ROWS


@pytest.fixture
def files(tmp_path):
    """Eight files, whose arrays take 400 kB each."""
    found = []
    for n in range(8):
        np.save(tmp_path / f"{n}.npy", np.full(ROWS, n, "f8"))
        found.append(str(tmp_path / f"{n}.npy"))
    return found


def test_all_come_in_file_order_and_nothing_is_left(files):
    got = [(name, int(array[0]), len(array)) for name, array in shared_stream(files[::-1])]
    assert got == [(str(n), n, ROWS) for n in range(7, -1, -1)]
    gc.collect()
    assert own_segments() == []
    assert not [t for t in threading.enumerate() if t.name == "shmkit-stream"]


def test_no_more_than_the_budget_is_there_at_once(files):
    most, budget = 0, 3 * NBYTES
    for name, array in shared_stream(files, memory=budget):
        assert array[-1] == int(name)
        for _ in range(20):  # what is loaded meanwhile
            most = max(most, sum(segment.nbytes for segment in mapped_here()))
            time.sleep(0.005)
    assert 2 * NBYTES < most <= budget


def test_the_next_are_loaded_while_one_is_used(files):
    stream = shared_stream(files, memory="1 GB", reader=np.load)
    next(stream)
    end = time.monotonic() + 20
    while len([s for s in mapped_here() if s.nbytes > NBYTES]) < 3:
        assert time.monotonic() < end
        time.sleep(0.01)
    stream.close()


def test_an_array_that_is_kept_stays_valid_and_counts(files):
    kept = []
    for _, array in shared_stream(files, memory=20 * NBYTES):
        kept.append(array)
    assert [int(array[0]) for array in kept] == list(range(8))
    kept.clear()
    del array
    gc.collect()
    assert own_segments() == []


def test_what_waits_for_arrays_that_are_kept_is_an_error_and_no_hang(files):
    kept = []

    def keep_all():
        for _, array in shared_stream(files, memory=4 * NBYTES):
            kept.append(array)

    with pytest.raises(NotEnoughMemoryError, match="memory= of this stream, of which"):
        keep_all()
    assert 2 <= len(kept) < 8
    assert [int(array[0]) for array in kept] == list(range(len(kept)))
    kept.clear()


def test_the_error_names_the_variables_of_a_notebook(run_script, files):
    loop = f"for _, a in shmkit.shared_stream({files!r}, memory={4 * NBYTES}): mine.append(a[::2])"
    done = run_script(
        "from IPython.core.interactiveshell import InteractiveShell\n"
        "from traitlets.config import Config\n"
        "config = Config({'HistoryManager': {'enabled': False}})\n"
        "shell = InteractiveShell.instance(config=config)\n"
        "shell.run_cell('import shmkit\\nmine = []')\n"
        f"shell.run_cell({loop!r})\n"
    )
    assert "of which a, mine keep" in done.stdout


def too_large(kind, folder):
    """A file of 200,000 rows, which take 1.6 MB, and their values."""
    values = np.arange(200_000.0)
    path = str(folder / f"large.{kind}")
    if kind == "npy":
        np.save(path, values)
    elif kind == "h5":
        with h5py.File(path, "w") as file:
            file["a"] = values
    else:
        np.savetxt(path, values, "%d", header="n", comments="")
    return path, values


@pytest.mark.parametrize("kind", ["npy", "h5", "csv"])
def test_a_file_larger_than_the_budget_comes_in_pieces_of_rows(kind, files, tmp_path):
    path, values = too_large(kind, tmp_path)
    budget, most, pieces = 3 * NBYTES, 0, []
    for name, array in shared_stream([files[1], path, files[2]], memory=budget):
        rows = array["n"] if isinstance(array, SharedTable) else array
        pieces.append((name.partition("/")[0], np.array(rows)))
        for _ in range(5):  # what is loaded meanwhile
            most = max(most, sum(segment.nbytes for segment in mapped_here()))
            time.sleep(0.005)
        del rows, array
    names = [name for name, _ in pieces]
    assert names == ["1", *["large"] * (len(pieces) - 2), "2"]
    assert 4 <= len(pieces) - 2 <= 8
    np.testing.assert_array_equal(np.concatenate([rows for _, rows in pieces[1:-1]]), values)
    assert most <= budget
    gc.collect()
    assert own_segments() == []


def test_pieces_that_end_with_the_file_are_all(tmp_path):
    np.save(tmp_path / "a.npy", np.arange(1024 * 64.0).reshape(1024, 64))  # full
    lengths = [len(a) for _, a in shared_stream(tmp_path / "a.npy", memory=1_200_000)]
    assert sum(lengths) == 1024
    assert 0 not in lengths


@pytest.mark.parametrize("options", [{"select": slice(ROWS)}, {"select": slice(None, None, 1)}])
def test_a_file_that_has_no_pieces_is_an_error_before_it_is_read(files, options):
    with pytest.raises(NotEnoughMemoryError, match="memory= of this stream"):
        list(shared_stream(files, memory=NBYTES, **options))
    assert own_segments() == []


def test_a_row_that_is_larger_than_the_budget_is_an_error(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((3, ROWS)))
    with pytest.raises(NotEnoughMemoryError, match="memory= of this stream"):
        list(shared_stream(tmp_path / "a.npy", memory=NBYTES))
    assert own_segments() == []


def test_files_of_several_datasets_and_rows_by_dtype_have_no_pieces(tmp_path):
    with h5py.File(tmp_path / "two.h5", "w") as file:
        file["a"] = file["b"] = np.zeros(ROWS)
    path, _ = too_large("csv", tmp_path)
    for file, options in (
        (tmp_path / "two.h5", {}),
        (path, {"dtype": [("n", "i8")], "skiprows": 1}),
    ):
        with pytest.raises(NotEnoughMemoryError, match="memory= of this stream"):
            list(shared_stream(file, memory=NBYTES, **options))
    assert own_segments() == []


def test_options_are_those_of_a_load(tmp_path):
    for n in range(3):
        (tmp_path / f"{n}.csv").write_text("pos,who\n1,me\n2,you\n")
    for _, table in shared_stream(str(tmp_path / "*.csv")):
        assert isinstance(table, SharedTable)
        assert table["who"][1] == "you"
    last = [a.tolist() for _, a in shared_stream(tmp_path / "0.csv", transform=lambda t: t["pos"])]
    assert last == [[1, 2]]
    with pytest.raises(TypeError, match="unexpected"):
        shared_stream(tmp_path / "0.csv", nothing=1)
    with pytest.raises(TypeError, match="no progress="):
        shared_stream(tmp_path / "0.csv", progress=True)
    with pytest.raises(ValueError, match="memory='much' is no number of bytes"):
        shared_stream(tmp_path / "0.csv", memory="much")


def test_a_file_that_fails_is_an_error_when_its_turn_has_come(files, tmp_path):
    (tmp_path / "3.npy").write_bytes(b"nothing")
    seen = []

    def see_all():
        for name, _ in shared_stream(files, memory=2 * NBYTES + 10_000):
            seen.append(name)

    with pytest.raises(LoadError, match=r"3\.npy"):
        see_all()
    assert seen == ["0", "1", "2"]
    assert own_segments() == []
    with pytest.warns(UserWarning, match=r"left out: .*3\.npy"):
        assert len([name for name, _ in shared_stream(files, on_error="skip")]) == 7


def test_who_leaves_the_loop_ends_the_load(files):
    def slow(path):
        time.sleep(0 if path.endswith("0.npy") else 100)
        return np.load(path)

    start = time.monotonic()
    for _, array in shared_stream(files, memory=2 * NBYTES + 10_000, reader=slow, processes=1):
        assert array[0] == 0
        break
    assert time.monotonic() - start < 50
    del array
    gc.collect()
    assert own_segments() == []


def test_the_stop_button_ends_it(files):
    code = """
import sys, time
import numpy as np
from shmkit import shared_stream

def slow(path):
    time.sleep(0 if path.endswith("0.npy") else 100)
    return np.load(path)

try:
    for name, array in shared_stream(sys.argv[1:], memory=900_000, reader=slow, processes=1):
        print(name, flush=True)
except KeyboardInterrupt:
    del array
    print("stopped", flush=True)
sys.stdin.read()
"""
    with Owner(code, *files) as owner:
        assert owner.says() == ["0"]
        loaders = loaders_of(owner.pid)
        os.kill(owner.pid, signal.SIGINT)
        assert owner.says() == ["stopped"]
        assert names_of(owner.pid) == []
        assert not living(loaders)
        owner.end()
        assert left_of(owner.pid) == []
