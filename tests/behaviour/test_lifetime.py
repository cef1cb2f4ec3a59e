"""Views outlive whatever closes their segment, and the last of them gives the memory back."""

import contextlib
import ctypes
import gc
import itertools
import os
import sys
import threading
import weakref
from pathlib import Path

import numpy as np
import processes
import pytest
from processes import loaders_of, names_of

from shmkit import SharedArray, share, shared_load
from shmkit._monitor import NoMonitor
from shmkit.loading.files.inputs import inputs
from shmkit.loading.load import load
from shmkit.views.arrays import SharedArrays

RECORD = np.dtype([("pos", "i4"), ("pct", "f8")], align=True)
GRID = np.zeros((4, 6), RECORD)
GRID["pos"] = np.arange(24).reshape(4, 6)
GRID["pct"] = GRID["pos"] / 2

VIEWS = {
    "whole": lambda a: a,
    "slice": lambda a: a[1:3],
    "steps": lambda a: a[::2, ::-1],
    "row": lambda a: a[2],
    "record": lambda a: a[2, 3],
    "field": lambda a: a["pct"],
    "field of a slice": lambda a: a[1:]["pos"][:, 0],
    "transpose": lambda a: a.T,
    "transpose reshaped": lambda a: a[:1].T.reshape(3, 2),
    "reshaped": lambda a: a.reshape(6, 4)[1:],
    "new axis": lambda a: a[None, ..., None],
    "item type": lambda a: a.view("u1")[:, 1:],
    "plain": lambda a: a.view(np.ndarray),
    "asarray": lambda a: np.asarray(a)[1:],
    "broadcast": lambda a: np.broadcast_to(a["pos"][:1], (9, 6)),
    "windows": lambda a: np.lib.stride_tricks.sliding_window_view(a["pct"], 2, axis=0),
    "split": lambda a: np.split(a, 2)[1],
    "memoryview": lambda a: memoryview(a["pos"])[1:],
    "bytes cast": lambda a: memoryview(a.view("u1")).cast("B")[5:],
    "frombuffer": lambda a: np.frombuffer(a.data.cast("B"), "u1"),
    "dlpack": lambda a: np.from_dlpack(a["pct"]),
    "pointer": lambda a: a["pos"].ctypes.data_as(ctypes.POINTER(ctypes.c_int32)),
    "flat": lambda a: a["pos"].flat,
    "iterator": lambda a: iter(a["pos"]),
    "nditer": lambda a: np.nditer(a["pos"]),
    "imaginary part": lambda a: a.view("c16").imag,
}


def read(view):
    """The values behind a view, as plain Python."""
    if hasattr(view, "contents"):  # a pointer
        return view[:3]
    if isinstance(view, np.flatiter | np.void):
        return view.copy().tolist()
    if isinstance(view, np.nditer):
        return [int(item) for item in view]
    if isinstance(view, np.ndarray | memoryview):
        return view.tolist()
    return [item.tolist() for item in view]


def freed(identity):
    """Whether neither this process nor a loader maps a file any more, or has it open."""
    device, inode = identity
    name = f"{os.major(device):02x}:{os.minor(device):02x} {inode} "
    for pid in (os.getpid(), *loaders_of(os.getpid())):
        if name in Path(f"/proc/{pid}/maps").read_text():
            return False
        for fd in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(FileNotFoundError):  # that of the list itself
                status = os.stat(f"/proc/{pid}/fd/{fd}")
                if (status.st_dev, status.st_ino) == identity:
                    return False
    return True


@pytest.fixture
def load_grid(backing, tmp_path):
    """Make the grid twice, as `shared_load` returns it: nobody else holds it."""
    for name in "ab":
        np.save(tmp_path / f"{name}.npy", GRID)
    return lambda: shared_load(str(tmp_path / "[ab].npy"), progress=False, backing=backing)


@pytest.mark.parametrize("kind", VIEWS)
def test_a_view_outlives_close_and_the_last_one_gives_the_memory_back(backing, kind):
    with share(GRID, backing=backing) as array:
        segment = array.segment
        view = VIEWS[kind](array)
    del array
    assert (segment.linked, segment.mapped) == (False, True)
    assert not freed(segment.identity)
    assert read(view) == read(VIEWS[kind](GRID))
    del view
    if kind == "pointer":  # ctypes.cast leaves a cycle
        gc.collect()
    assert not segment.mapped
    assert freed(segment.identity)


@pytest.mark.slow
def test_views_outlive_the_arrays_of_a_load(backing, tmp_path):
    for kind in [*VIEWS, "none"]:
        np.save(tmp_path / f"{kind}.npy", GRID)
    files = {kind: tmp_path / f"{kind}.npy" for kind in [*VIEWS, "none"]}
    with shared_load(files, progress=False, backing=backing) as arrays:
        views = {kind: VIEWS[kind](arrays[kind]) for kind in VIEWS}
        identities = {kind: arrays[kind].segment.identity for kind in files}
    del arrays
    assert freed(identities["none"])
    assert not any(freed(identities[kind]) for kind in VIEWS)
    for kind, view in views.items():
        assert read(view) == read(VIEWS[kind](GRID))
    del view
    views.clear()
    gc.collect()  # for the pointer: ctypes.cast leaves a cycle
    assert all(map(freed, identities.values()))


@pytest.mark.parametrize("order", ["arrays first", "views first", "backwards", "reloaded"])
def test_arrays_and_views_may_go_in_any_order(load_grid, order):
    loaded = load_grid()
    names = [array.segment.path for array in loaded]
    views = [array["pos"].T for array in loaded]
    identities = [array.segment.identity for array in loaded]
    if order == "arrays first":
        del loaded
        assert all(map(os.path.exists, names))  # nobody closed them
    elif order == "views first":
        views.clear()
        assert all(map(os.path.exists, names))
        del loaded
    elif order == "backwards":
        del views[1]
        loaded.close()
        del loaded
    else:
        loaded = share(GRID)  # as a cell run again
        assert all(map(os.path.exists, names))
        loaded.close()
    assert [view[5, 3] for view in views] == [23] * len(views)
    views.clear()
    assert not any(map(os.path.exists, names))
    assert all(map(freed, identities))


def test_the_mapping_cannot_be_closed_under_a_view(backing):
    array = share(GRID, backing=backing)
    with pytest.raises(BufferError):
        array.base.close()
    with pytest.raises((BufferError, ValueError)):
        array.base.resize(1)
    with pytest.raises(ValueError, match="does not own its data"):
        array.resize(1000, refcheck=False)
    assert read(array) == read(GRID)


def test_a_view_that_is_written_to_after_close_keeps_what_was_written(load_grid):
    loaded = load_grid()
    first = loaded[0]
    loaded.close()
    first["pos"] += 1
    assert first["pos"].sum() == GRID["pos"].sum() + 24


@pytest.mark.slow
@pytest.mark.parametrize("how", ["finalizer", "del", "cycle", "callback of the view itself"])
def test_closing_from_a_finalizer(load_grid, how):
    loaded = load_grid()

    class Holder:
        def __init__(self, arrays):
            self.arrays = arrays

        def __del__(self):
            self.arrays.close()

    segments = [array.segment for array in loaded]
    closed = loaded.close
    if how == "finalizer":
        key = Holder(share(GRID))
        weakref.finalize(key, closed)
        del key
    elif how == "del":
        del closed
        holder = Holder(loaded)
        del loaded
        del holder
    elif how == "cycle":
        holder = Holder(loaded)
        holder.myself = [holder]
        del closed, loaded, holder
        assert segments[0].linked
        gc.collect()
    else:
        view = loaded[0][1:]
        weakref.finalize(view, closed)
        del view
    assert [segment.linked for segment in segments] == [False, False]
    gc.collect()


def test_closing_from_another_thread_and_from_several_at_once(backing, tmp_path):
    np.save(tmp_path / "a.npy", GRID)
    heard = []

    class Monitor(NoMonitor):
        def close(self, board):
            heard.append(board)

    files = {"a": str(tmp_path / "a.npy")}
    with inputs(files, None, backing, skip_failed=False) as found:
        arrays = load(
            found,
            reader=None,
            options={},
            processes=1,
            backing=backing,
            skip_failed=False,
            monitor=Monitor(),
        )
    view, segment, failed = arrays[0]["pos"], arrays[0].segment, []
    ready = threading.Barrier(8)

    def close():
        ready.wait()
        try:
            arrays.close()
            segment.unlink()
        except BaseException as error:
            failed.append(error)
            raise

    threads = [threading.Thread(target=close) for _ in range(8)]
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sys.setswitchinterval(before)
    assert failed == []
    assert heard == []  # a front end hears the thread that made it only
    assert not segment.linked
    assert view.sum() == GRID["pos"].sum()


def test_a_thread_that_closes_while_another_is_closing():
    """The one stops before each line of close() in turn; there the other closes to the end."""
    for line in itertools.count(1):
        arrays = SharedArrays({"a": share(GRID)})
        segment, lines = arrays[0].segment, []

        def stop(frame, event, argument, line=line, arrays=arrays, lines=lines):
            if frame.f_code is SharedArrays.close.__code__:
                lines.append(event)
                if lines.count("line") == line and event == "line":
                    other = threading.Thread(target=arrays.close)
                    other.start()
                    other.join()
                return stop
            return None

        before = sys.gettrace()
        sys.settrace(stop)
        try:
            arrays.close()
        finally:
            sys.settrace(before)
        assert arrays.closed
        assert not segment.linked
        if lines.count("line") < line:
            break
    assert line > 5  # it has stopped before several


# What the scripts share: every kind of view of a segment of each backing.
SCRIPT = f"""
import os, sys
sys.path[:0] = {[os.path.dirname(__file__), os.path.dirname(processes.__file__)]!r}
from processes import loaders_of, names_of
from test_lifetime import GRID, VIEWS, read
import numpy as np
from shmkit import share, shared_load
for name in "ab":
    np.save(name + ".npy", GRID)

def views():
    made = []
    for backing in ("shm", "memfd", "."):
        for name, kind in VIEWS.items():
            made.append((name, read(kind(GRID)), kind(share(GRID, backing=backing))))
        for array in shared_load(["a.npy", "b.npy"], progress=False, backing=backing):
            made.append(("loaded", GRID.T.tolist(), array.T))
    return made

def check(kept):
    for name, values, view in kept:
        assert read(view) == values, name
"""

HOLDERS = {
    "global": "kept = views()",
    "closure": (
        "def hold(kept):\n    return lambda: check(kept)\n"
        "import builtins\nbuiltins.f = hold(views())"
    ),
    "class attribute": "class Holder:\n    kept = views()",
    "default": "def f(kept=views()):\n    pass",
    "module": "np.kept = sys.kept = views()",
    "cycle": "kept = views()\nkept.append(kept)\nimport gc\ngc.disable()\ndel kept",
    "thread": (
        "import threading\nready = threading.Event()\ndef work():\n    kept = views()\n"
        "    ready.set()\n    threading.Event().wait()\n"
        "threading.Thread(target=work, daemon=True).start()\nready.wait()"
    ),
    "exception": "def f():\n    kept = views()\n    sys.exit(0)\nf()",
    "with block": "kept = views()\nwith share(GRID) as a:\n    b = a.T\n    sys.exit(0)",
    "read at exit": (
        "import atexit, weakref\nkept = views()\natexit.register(check, kept)\n"
        "class Last:\n    pass\nlast = Last()\nweakref.finalize(last, check, views())\n"
        "class Del:\n    def __init__(self):\n        self.kept, self.check = views(), check\n"
        "    def __del__(self):\n        self.check(self.kept)\nkept_too = Del()"
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("holder", HOLDERS)
def test_views_held_at_exit_do_no_harm(run_script, tmp_path, holder):
    done = run_script(
        SCRIPT + "print(os.getpid(), flush=True)\n" + HOLDERS[holder] + "\n", check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert names_of(int(done.stdout), tmp_path) == []


FORK = """
import gc
class Monitor:
    def begin(self, board): pass
    update = end = begin
    def close(self, board):
        print("closed", flush=True)

from shmkit.loading.files.inputs import inputs
from shmkit.loading.load import load
with inputs({"a": os.path.abspath("a.npy")}, None, BACKING, skip_failed=False) as found:
    arrays = load(found, reader=None, options={}, processes=1,
                  backing=BACKING, skip_failed=False, monitor=Monitor())
alone = share(GRID, backing=BACKING)
alone.publish(f"fork-{os.getpid()}")
link = f"/dev/shm/shmkit.{os.geteuid()}.fork-{os.getpid()}"
view, segments = arrays[0]["pos"].T, [arrays[0].segment, alone.segment]
assert os.path.lexists(link)
"""


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["os._exit(0)", "sys.exit(0)", "os.kill(os.getpid(), 9)"])
def test_a_forked_child_closes_nothing_of_its_parents(run_script, backing, ending):
    done = run_script(
        SCRIPT + FORK.replace("BACKING", repr(str(backing))) + "child = os.fork()\n"
        "if child == 0:\n"
        "    arrays.close()\n"
        "    alone.close()\n"
        "    segments[0].unlink()\n"
        "    assert view.sum() == GRID['pos'].sum()\n"
        "    mine = share(GRID)\n"
        "    assert mine.segment.owned and mine.segment.linked\n"
        "    del mine, arrays, alone, view\n"
        "    gc.collect()\n"
        f"    {ending}\n"
        "code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])\n"
        f"assert code == (-9 if 'kill' in {ending!r} else 0), code\n"
        "assert all(segment.linked for segment in segments) and os.path.lexists(link)\n"
        "assert names_of(child) == []\n"
        "print('parent', flush=True)\n"
        "arrays.close()\n"
        "assert (segments[0].linked, segments[1].linked) == (False, True)\n"
        "assert view.sum() == GRID['pos'].sum()\n",
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == ["parent", "closed"]


@pytest.mark.slow
def test_a_forked_child_keeps_its_views_when_the_parent_closes(run_script, backing):
    done = run_script(
        SCRIPT + FORK.replace("BACKING", repr(str(backing))) + "ours, theirs = os.pipe()\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    os.close(theirs)\n"
        "    assert os.read(ours, 1) == b''\n"  # the parent has closed them
        "    assert not any(segment.linked for segment in segments)\n"
        "    assert view.sum() == alone['pos'].sum() == GRID['pos'].sum()\n"
        "    arrays.close()\n"
        "    os._exit(7)\n"
        "arrays.close()\n"
        "alone.close()\n"
        "del arrays, alone, view\n"
        "os.close(theirs)\n"
        "assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7\n",
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_what_is_no_view_holds_nothing(backing):
    with share(GRID, backing=backing) as array:
        kept = [array.copy(), array["pos"] + 1, array["pos"].sum(), array[[0, 1]], repr(array)]
        kept += [array.tobytes(), array.tolist(), array.astype([("x", "i8"), ("y", "f4")])]
        kept += [array.dtype, array.shape, array.segment]
        identity = array.segment.identity
    del array
    assert freed(identity)
    assert not isinstance(kept[0], SharedArray)
