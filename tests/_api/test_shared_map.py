"""`shared_map`: what comes back, what goes wrong, and that nothing is left."""

import concurrent.futures
import os
import signal
import threading
import time

import numpy as np
import pandas as pd
import pytest
from deadline import kept
from machine import own_segments
from processes import Owner, heard, left_of, living, loaders_of, names_of

from shmkit import (
    LoaderDiedError,
    SharedArray,
    SharedTable,
    Table,
    share,
    shared_empty,
    shared_load,
    shared_map,
)

PROMPT = 1  # seconds until a call says that an item failed (#15)


def mapped(function, *iterables, **options):
    return shared_map(function, *iterables, processes=2, progress=False, **options)


def test_results_come_in_order_however_many_there_are():
    assert mapped(lambda x, y: x - y, range(3000), range(3000, 0, -1)) == list(
        range(-3000, 3000, 2)
    )


def test_the_shortest_iterable_ends_it_and_none_is_no_item():
    assert mapped(pow, (n for n in (2, 3, 4)), [1, 2]) == [2, 9]
    assert mapped(pow, [], []) == []


def test_an_array_comes_back_in_a_segment_of_its_own():
    with share(np.arange(12.0)) as a:
        doubled = mapped(lambda part: part * 2, [a[:6], a[6:]])
        assert all(type(array) is SharedArray for array in doubled)
        assert all(array.segment.owned and array.segment.linked for array in doubled)
        assert len(own_segments()) == 3
        assert np.array_equal(np.concatenate(doubled), np.arange(0.0, 24, 2))
        doubled.pop()
        assert len(own_segments()) == 2  # it goes with its last view


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((3, 0)),
        np.asfortranarray(np.arange(6).reshape(2, 3)),
        np.array(7),
        np.arange(10)[::-2],
        np.array([("a", 1)], [("x", "S1"), ("y", "i4")]),
        np.array(["2024-01-01"], "M8[s]"),
    ],
)
def test_any_array_comes_back_as_it_is(array):
    (got,) = mapped(lambda _: array, [0])
    assert type(got) is SharedArray
    assert (got.dtype, got.shape) == (array.dtype, array.shape)
    assert np.array_equal(got, array)
    assert got.flags.f_contiguous == array.flags.f_contiguous or array.ndim < 2


def test_arrays_among_other_results_do_so_too():
    got = mapped(lambda n: np.full(2, n) if n % 100 == 99 else n, range(1000))
    assert [n for n in range(1000) if type(got[n]) is SharedArray] == list(range(99, 1000, 100))
    assert got[999].tolist() == [999, 999]
    assert got[998] == 998
    assert len(own_segments()) == 10


def test_a_table_comes_back_as_a_shared_table():
    with share({"pos": [1, 2, 3], "who": ["me", "you", "me"]}) as t:
        got = mapped(lambda t, who: t[t["who"] == who], [t, t], ["me", "you"])
        assert [type(table) for table in got] == [SharedTable] * 2
        assert [table["pos"].tolist() for table in got] == [[1, 3], [2]]
        assert got[0]["who"][1] == "me"
        (made,) = mapped(lambda _: Table({"x": np.arange(3)}), [0])
        assert made["x"].tolist() == [0, 1, 2]


def test_a_slice_of_the_argument_comes_back_as_a_view_of_it():
    with share(np.arange(4)) as a:
        (half,) = mapped(lambda a: a[::2], [a])
        half[1] = 77
        assert a.tolist() == [0, 1, 77, 3]
        assert half.segment is a.segment


def test_what_a_function_shares_itself_comes_back():
    (got,) = mapped(lambda n: share(np.arange(n)), [3])
    assert got.tolist() == [0, 1, 2]
    assert got.segment.owned


def test_other_results_are_what_they_are():
    frame, objects = pd.DataFrame({"x": [1]}), np.array([None, {}])
    got = mapped(lambda value: value, [frame, objects, (np.arange(2), "two"), None])
    assert got[0].equals(frame)
    assert got[1].tolist() == [None, {}]
    assert (got[2][0].tolist(), got[2][1], got[3]) == ([0, 1], "two", None)
    assert own_segments() == []


def test_a_function_may_write_to_its_argument():
    with share(np.arange(4)) as a:
        mapped(lambda part: part.__iadd__(1) is None, [a[:2], a[2:]])
        assert a.tolist() == [1, 2, 3, 4]


def test_out_takes_a_row_of_each_item():
    with share(np.arange(12).reshape(4, 3)) as a, shared_empty((4, 3), "f4") as out:
        assert mapped(lambda row: row / 2, a, out=out) is out
        assert np.array_equal(out, a / 2)
        mapped(lambda row: row.sum(), a, out=out[:, 0])
        assert out[:, 0].tolist() == [3, 12, 21, 30]
        assert len(own_segments()) == 2


def test_out_must_be_such_that_all_can_write_to_it():
    with pytest.raises(TypeError, match="out= is a ndarray, which no other process can write"):
        mapped(abs, [1], out=np.zeros(1))
    with shared_empty(2) as out:
        with pytest.raises(ValueError, match=r"shape \(2,\), for 3 items"):
            mapped(abs, range(3), out=out)
        with pytest.raises(ValueError, match="read-only, or was closed"):
            mapped(abs, range(2), out=out.readonly())
        with pytest.raises(ValueError, match="setting an array element") as caught:
            mapped(lambda _: [1, 2], range(2), out=out)
        assert "raised for item" in caught.value.__notes__[0]
    with pytest.raises(ValueError, match="read-only, or was closed"):
        mapped(abs, range(2), out=out)


def test_what_a_function_uses_goes_with_it():
    large = np.arange(200_000)  # more than is sent in each message

    class Scale:
        def __init__(self, by):
            self.by = by

        def __call__(self, n):
            return int(large[n]) * self.by

    assert mapped(Scale(2), range(100)) == list(range(0, 200, 2))
    assert own_segments() == []


class OddError(Exception):
    """Of the user's own."""


def test_an_error_is_the_functions_own_and_says_which_item(two_arrays):
    def check(array):
        if array[0] == 1:
            raise OddError("one")  # here

    with pytest.raises(OddError, match="one") as caught:
        mapped(check, two_arrays)
    (note,) = caught.value.__notes__
    assert note.startswith("raised for two, in a loader process:\nTraceback")
    assert 'raise OddError("one")  # here' in note
    assert "call.py" not in note


def test_of_a_batch_the_item_is_named():
    with pytest.raises(ZeroDivisionError) as caught:
        mapped(lambda n: 1 // (n - 2345), range(5000))
    assert caught.value.__notes__[0].startswith("raised for item 2345, ")


def test_an_error_that_cannot_travel_is_told_with_its_traceback():
    def fail(_):
        raise OddError(threading.Lock())

    with pytest.raises(RuntimeError, match="OddError") as caught:
        mapped(fail, [0])
    assert "raise OddError(threading.Lock())" in caught.value.__notes__[0]


def test_an_argument_that_cannot_travel_is_told():
    with pytest.raises(TypeError, match="cannot pickle") as caught:
        mapped(print, [0, 1, threading.Lock()])
    assert caught.value.__notes__ == ["raised while item 2 was pickled, to be sent to a loader"]
    assert own_segments() == []


@pytest.mark.parametrize(
    ("end", "message"),
    [
        (lambda: os._exit(3), "item 700: its loader process exited with code 3"),
        (lambda: os.kill(os.getpid(), signal.SIGKILL), "item 700: .* ended by SIGKILL"),
    ],
)
def test_a_loader_that_dies_is_told_with_its_item(end, message):
    with pytest.raises(LoaderDiedError, match=message) as caught:
        mapped(lambda n: end() if n == 700 else n, range(1000))
    assert caught.value.path == "item 700"
    assert own_segments() == []
    assert mapped(abs, [-1]) == [1]


def test_a_failing_item_ends_the_others_at_once(fifo):
    def work(n):
        if n == 0:
            with open(fifo, "w") as file:
                file.write(str(os.getpid()))
            signal.pause()
        return np.full(10, 1 // (n - 50))

    with concurrent.futures.ThreadPoolExecutor(1) as thread:
        mapping = thread.submit(mapped, work, range(100))
        other = heard(fifo)
        assert kept(PROMPT, lambda timeout: concurrent.futures.wait([mapping], timeout).done)
        assert isinstance(mapping.exception(), ZeroDivisionError)
    assert own_segments() == []
    assert not living([other], 0)


def test_the_stop_button_ends_it_at_once(fifo):
    code = """
import os, signal, time
import numpy as np
from shmkit import shared_map

def work(n):
    if n == 5:
        with open(fifo, "w") as file:
            file.write(str(os.getpid()))
        time.sleep(100)
    return np.full(100_000, n)

import sys
fifo = sys.argv[1]
try:
    shared_map(work, range(10), processes=2)
except KeyboardInterrupt:
    print("stopped", flush=True)
sys.stdin.read()
"""
    with Owner(code, fifo) as owner:
        loader = heard(fifo, owner)
        start = time.monotonic()
        os.kill(owner.pid, signal.SIGINT)
        assert owner.says() == ["stopped"]
        assert time.monotonic() - start < PROMPT
        assert names_of(owner.pid) == []
        assert not living([loader], 0)


def test_an_owner_that_is_killed_leaves_nothing(fifo):
    code = """
import sys, time
import numpy as np
from shmkit import shared_map

def work(n):
    if n == 5:
        with open(sys.argv[1], "w") as file:
            file.write("1")
        time.sleep(100)
    return np.full(100_000, n)

fifo = sys.argv[1]
def run(n, path):
    sys.argv[1:] = [path]
    return work(n)
shared_map(run, range(10), [fifo] * 10, processes=2)
"""
    with Owner(code, fifo) as owner:
        heard(fifo, owner)
        loaders = loaders_of(owner.pid)
        assert loaders
        owner.end()
        assert not living(loaders)
        assert left_of(owner.pid) == []


def test_a_script_needs_no_guard(run_script):
    done = run_script(
        "from shmkit import shared_map\n"
        "factor = 3\n"
        "def times(n):\n"
        "    return n * factor\n"
        "print(shared_map(times, range(4), progress=False))\n"
    )
    assert (done.stdout, done.stderr) == ("[0, 3, 6, 9]\n", "")


def test_what_a_cell_defines_is_known_and_shown_in_a_traceback(run_script):
    done = run_script(
        "from IPython.core.interactiveshell import InteractiveShell\n"
        "from traitlets.config import Config\n"
        "config = Config({'HistoryManager': {'enabled': False}})\n"
        "shell = InteractiveShell.instance(config=config)\n"
        "shell.run_cell('import shmkit\\nfactor = 3\\ndef times(n):\\n    return factor // n')\n"
        "print(shell.run_cell('shmkit.shared_map(times, [1, 3], progress=False)').result)\n"
        "shell.run_cell('shmkit.shared_map(times, [1, 0], progress=False)')\n"
    )
    assert "\n[3, 1]\n" in done.stdout
    assert "raised for item 1, in a loader process:" in done.stdout
    assert "    return factor // n\n" in done.stdout


def test_the_terminal_says_items(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("SHMKIT_PROGRESS", "plain")
    assert shared_map(abs, [-1, -2], processes=1) == [1, 2]
    err = capsys.readouterr().err
    assert err.startswith("2 items in ")
    assert err.endswith(", 1 loader process\n")


def test_the_names_of_loaded_arrays_are_those_of_the_items(tmp_path):
    np.save(tmp_path / "a.npy", np.arange(3))
    with (
        shared_load(tmp_path / "a.npy", progress=False) as arrays,
        pytest.raises(LoaderDiedError, match=r"^a: its loader"),
    ):
        mapped(lambda _: os._exit(1), arrays)


def test_processes_must_be_a_number_above_0():
    with pytest.raises(ValueError, match="processes=0 must be at least 1"):
        shared_map(abs, [1], processes=0)
