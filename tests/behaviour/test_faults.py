"""What loaders, owners and guards leave behind when they fail, crash or are killed: nothing."""

import concurrent.futures
import contextlib
import ctypes
import fcntl
import gc
import os
import random
import signal
import threading
import time

import numpy as np
import pytest
from deadline import kept
from machine import own_segments
from processes import (
    Owner,
    children,
    end_loaders,
    guards_of,
    heard,
    left_of,
    living,
    loaders_of,
    names_of,
    started_by,
    state,
)

from shmkit import LoaderDiedError, LoadError, share, shared_load

PROMPT = 1  # seconds until a call says that a loader failed (#3)
ROWS = 25_000  # more than the text reader takes at once

# How a loader fails, and what the error says of it.
FAULTS = {
    "raises": (lambda: int("seven"), "seven"),
    "exits": (lambda: os._exit(3), "exited with code 3"),
    "killed": (lambda: os.kill(os.getpid(), signal.SIGKILL), "ended by SIGKILL"),
    "segfaults": (lambda: ctypes.string_at(0), "ended by SIGSEGV"),
}
# Where: a look into a file reads a row where the dtype has no fields, and none where it has.
PLACES = {
    "look": ("f8", 0),
    "begin": ([("x", "f8")], 0),
    "middle": ([("x", "f8")], ROWS // 2),
    "end": ([("x", "f8")], ROWS - 1),
}


@pytest.fixture
def fresh_loaders(capfd):
    """Loaders that write to this test's stderr, and a look at what is left at its end."""
    end_loaders(os.getpid())
    share([0]).close()  # the guard and its pipe
    gc.collect()  # what earlier tests have left in cycles
    processes, opened = children(), descriptors()
    yield
    gc.collect()
    idle = set(loaders_of(os.getpid()))
    assert children() - processes == idle
    # Two pipes each; what others left open may be closed meanwhile.
    assert len(descriptors() - opened) == 2 * len(idle)
    assert own_segments() == []
    assert capfd.readouterr() == ("", "")


def descriptors():
    """What this process has open, but for pytest's files: each descriptor, and where it leads."""
    found = set()
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # that of the list itself
            target = os.readlink(f"/proc/self/fd/{name}")
            if "shmkit-" in target or not target.endswith(" (deleted)"):
                found.add((name, target))
    return found


def text_file(path, rows=range(ROWS), special="", at=0):
    """A file of the numbers 0, 1, …, with some other text in one row."""
    rows = [str(n) for n in rows]
    if special:
        rows[at] = special
    path.write_text("\n".join(rows))
    return str(path)


def load(*files, **options):
    return shared_load(list(files), progress=False, **options)


def kill(pids):
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def background(thread, *files, **options):
    return thread.submit(load, *files, **options)


def check_next_load(*files):
    with load(*files, dtype="f8") as arrays:
        assert all(np.array_equal(array, np.arange(ROWS)) for array in arrays)


@pytest.mark.slow
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_failing_loader_is_an_error_at_once_and_stops_the_others(
    fault, place, tmp_path, fifo, fresh_loaders
):
    fail, message = FAULTS[fault]
    dtype, row = PLACES[place]
    # The two that get a loader first: in this order, and larger than the third.
    long = text_file(tmp_path / "long.txt", special="wait-here")
    bad = text_file(tmp_path / "bad.txt", special="fail-here", at=row)
    good = text_file(tmp_path / "good.txt")
    gate = tmp_path / "gate"

    def number(text):
        if text == "wait-here":
            with open(fifo, "w") as file:
                file.write(str(os.getpid()))
            signal.pause()
        if text == "fail-here":
            with open(gate) as file:
                fcntl.flock(file, fcntl.LOCK_SH)
            fail()
        return float(text)

    with gate.open("w") as closed, concurrent.futures.ThreadPoolExecutor(1) as thread:
        fcntl.flock(closed, fcntl.LOCK_EX)
        options = {"processes": 2, "dtype": dtype, "converters": {0: number}}
        loading = background(thread, long, bad, good, **options)
        try:
            other = heard(fifo)
            # The board's, and those of the files.
            assert len(own_segments()) == 4
            fcntl.flock(closed, fcntl.LOCK_UN)
            assert kept(PROMPT, lambda timeout: concurrent.futures.wait([loading], timeout).done)
            error = loading.exception()
            assert own_segments() == []
            assert not living([other], 0)
        finally:  # the thread's end would wait for ever for a load that a failed check left
            fcntl.flock(closed, fcntl.LOCK_UN)
            if not loading.done():
                kill(loaders_of(os.getpid()))
    assert type(error) is (LoadError if fault == "raises" else LoaderDiedError)
    assert error.path == bad
    assert message in str(error)
    check_next_load(good)


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_skipping_keeps_the_good_files_and_lists_the_bad(fault, tmp_path, fresh_loaders):
    fail, message = FAULTS[fault]
    good = [text_file(tmp_path / f"good{n}.txt") for n in range(2)]
    bad = [
        text_file(tmp_path / f"bad{row}.txt", special="fail", at=row)
        for row in (0, ROWS // 2, ROWS - 1)
    ]

    def number(text):
        return fail() if text == "fail" else float(text)

    with load(
        good[0], *bad, good[1], dtype="f8", converters={0: number}, on_error="skip"
    ) as arrays:
        assert arrays.keys() == ["good0", "good1"]
        assert all(np.array_equal(array, np.arange(ROWS)) for array in arrays)
        assert len(own_segments()) == 2
        assert [error.path for error in arrays.failures.values()] == bad
        assert all(message in str(error) for error in arrays.failures.values())
        del arrays  # the errors' frames


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*it was read once more:UserWarning")
def test_a_loader_killed_at_any_moment(tmp_path, fresh_loaders):
    files = [text_file(tmp_path / f"{n}.txt") for n in range(4)]
    draw = random.Random(1)
    start = time.monotonic()
    check_next_load(*files)
    duration = time.monotonic() - start  # with the start of the loaders, as after each kill
    with concurrent.futures.ThreadPoolExecutor(1) as thread:
        for n in range(20):
            on_error = ["raise", "skip"][n % 2]
            loading = background(thread, *files, dtype="f8", on_error=on_error)
            threading.Event().wait(draw.uniform(0, duration))
            loaders = loaders_of(os.getpid())
            victims = draw.sample(loaders, min(1, len(loaders)))
            for victim in victims:
                os.kill(victim, signal.SIGKILL)
            error = loading.exception()
            assert not living(victims)  # else the next load may take it for idle
            if error is None:
                with loading.result() as arrays:
                    assert all(np.array_equal(array, np.arange(ROWS)) for array in arrays)
                    assert len(arrays) + len(arrays.failures) == len(files)
                    errors = list(arrays.failures.values())
            else:
                assert on_error == "raise"
                errors = [error]
            assert own_segments() == []
            for error in errors:
                assert type(error) is LoaderDiedError
                assert error.path in files
                assert error.exitcode == -signal.SIGKILL
            del loading, error, errors
    check_next_load(*files)


# Loads files and waits; at the number `moment` a loader says its pid and waits, else the owner.
LOAD = """
import os, signal, sys
from shmkit import shared_load

moment, fifo, backing, *files = sys.argv[1:]

def wait():
    with open(fifo, "w") as file:
        file.write(str(os.getpid()))
    signal.pause()

def number(text):
    if text == moment:
        wait()
    return float(text)

try:
    arrays = shared_load(files, backing=backing, processes=2, dtype="f8", converters={0: number})
    wait()
except KeyboardInterrupt:
    print("interrupted", flush=True)
    sys.stdin.read()
"""
MOMENTS = {"probe": "0", "read": "2", "after": "none"}


def loading_owner(tmp_path, fifo, moment, backing, **options):
    files = [text_file(tmp_path / f"{n}.txt", range(10 * n, 10 * n + 3)) for n in range(4)]
    backing = tmp_path if backing == "directory" else backing
    return Owner(LOAD, MOMENTS[moment], fifo, backing, *files, **options)


@pytest.mark.slow
@pytest.mark.parametrize("backing", ["shm", "memfd", "directory"])
@pytest.mark.parametrize("moment", MOMENTS)
def test_an_owner_that_is_killed_with_its_group_leaves_nothing(moment, backing, tmp_path, fifo):
    with loading_owner(tmp_path, fifo, moment, backing) as owner:
        heard(fifo, owner)
        assert len(guards_of(owner.pid)) == 1
        assert len(loaders_of(owner.pid)) == 2
        assert names_of(owner.pid, tmp_path) or (moment, backing) == ("after", "memfd")
        owner.end(signal.SIGKILL, group=True)
        assert left_of(owner.pid, tmp_path) == []
        assert state(owner.pid) == "Z"  # nobody has asked how it ended
        assert owner.complaints() == ""


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGTERM])
def test_an_owner_that_is_killed_leaves_nothing(ending, tmp_path, fifo):
    with loading_owner(tmp_path, fifo, "read", "shm") as owner:
        heard(fifo, owner)
        assert names_of(owner.pid)
        owner.process.send_signal(ending)
        assert owner.ended() == -ending
        assert left_of(owner.pid) == []
        assert owner.complaints() == ""


@pytest.mark.parametrize("moment", ["probe", "read"])
def test_an_interrupted_load_leaves_nothing_while_its_owner_lives_on(moment, tmp_path, fifo):
    with loading_owner(tmp_path, fifo, moment, "directory") as owner:
        loader = heard(fifo, owner)
        os.killpg(owner.pid, signal.SIGINT)
        assert owner.says() == ["interrupted"]
        assert names_of(owner.pid, tmp_path) == []
        assert not living([loader], 0)
        owner.process.stdin.close()
        assert owner.ended() == 0
        assert left_of(owner.pid) == []
        assert owner.complaints() == ""


# A reader that holds the interpreter's lock: no signal handler and no thread of the loader runs.
STUCK = """
import os, sys
from shmkit import shared_load

fifo, backing = sys.argv[1:]

def read(path):
    with open(fifo, "w") as file:
        file.write(str(os.getpid()))
    return 10 ** (10**8)

shared_load(sys.executable, reader=read, backing=backing)  # any file: the FIFO is for us
"""


def test_a_loader_that_is_stuck_in_c_ends_with_its_owner(fifo):
    with Owner(STUCK, fifo, "shm") as owner:
        heard(fifo, owner)
        owner.end(group=True)
        assert left_of(owner.pid) == []


def test_a_stuck_loader_ends_with_its_owner_where_shm_has_no_room_for_a_name(fifo, tmp_path):
    full = "mount -t tmpfs -o size=4k none /dev/shm && head -c 4k /dev/zero > /dev/shm/x && exec "
    under = ["unshare", "-m" if os.geteuid() == 0 else "-rm", "sh", "-c", f'{full} "$@"', "sh"]
    with Owner(STUCK, fifo, "memfd", under=under) as owner:
        heard(fifo, owner)
        assert len(guards_of(owner.pid)) == 1
        owner.end(group=True)
        assert left_of(owner.pid) == []


@pytest.mark.slow
@pytest.mark.parametrize("fork", ["os.fork()", "ctypes.PyDLL(None).fork()"])
def test_a_forked_child_that_lives_on_keeps_nothing(fork, tmp_path):
    """C code forks without Python's handlers: such a child holds every pipe and socket."""
    code = f"""
import ctypes, os, signal, sys
from shmkit import share, shared_load
arrays = shared_load(sys.argv[1:], processes=2)
child = {fork}
if child == 0:
    null = os.open(os.devnull, os.O_RDWR)
    for number in range(3):
        os.dup2(null, number)
    signal.pause()
print(child, flush=True)
signal.pause()
"""
    with Owner(code, text_file(tmp_path / "a.txt"), text_file(tmp_path / "b.txt")) as owner:
        child = int(owner.says()[0])
        assert sorted(started_by(owner.pid).values()) == ["guard", "loader", "loader"]
        owner.end()  # not its group: the child lives
        assert left_of(owner.pid) == []
        assert state(child) not in ("", "Z")
        os.kill(child, signal.SIGKILL)
        assert owner.complaints() == ""


def test_loaders_end_with_their_owner_without_a_guard_too(fifo):
    """Also where a forked child holds their sockets."""
    code = """
import ctypes, os, signal, sys, threading
from shmkit import shared_load

fifo = sys.argv[1]

def read(path):
    with open(fifo, "w") as file:
        file.write(str(os.getpid()))
    signal.pause()

threading.Thread(target=shared_load, args=[sys.executable], kwargs={"reader": read}).start()
sys.stdin.readline()
python = ctypes.PyDLL(None)
child = python.fork()
if child == 0:
    python.pause()
print(child, flush=True)
signal.pause()
"""
    with Owner(code, fifo) as owner:
        loader = heard(fifo, owner)
        owner.hears()
        child = int(owner.says()[0])
        (guard,) = guards_of(owner.pid)
        os.kill(guard, signal.SIGKILL)
        assert not living([guard])
        owner.end()
        assert not living([loader])
        os.kill(child, signal.SIGKILL)
        assert owner.complaints() == ""


def test_what_a_thread_started_outlives_it_and_ends_with_the_owner(tmp_path):
    code = """
import os, signal, sys, threading
from shmkit import shared_load
kept = []
for _ in range(2):
    thread = threading.Thread(target=lambda: kept.append(shared_load(sys.argv[1], dtype="f8")))
    thread.start()
    thread.join()
    print(kept[-1][0][:3].tolist(), flush=True)
    sys.stdin.readline()
"""
    with Owner(code, text_file(tmp_path / "a.txt")) as owner:
        assert owner.says() == ["[0.0,", "1.0,", "2.0]"]
        first = started_by(owner.pid)
        assert sorted(first.values()) == ["guard", "loader"]
        owner.hears()
        assert owner.says() == ["[0.0,", "1.0,", "2.0]"]
        assert started_by(owner.pid) == first
        owner.end()
        assert left_of(owner.pid) == []
        assert owner.complaints() == ""


def test_what_the_guard_could_not_remove_the_next_load_does(tmp_path, fifo):
    """Guard and owner are killed, a loader is stuck: nothing of theirs can clean up."""
    code = """
import os, sys
from shmkit import share, shared_load
kept = share([1], backing=sys.argv[2])
kept.publish(f"orphan-{os.getpid()}")
""" + STUCK.partition("import shared_load\n")[2]
    small = text_file(tmp_path / "small.txt")
    with Owner(code, fifo, tmp_path) as owner, share([1], backing=tmp_path) as mine:
        loader = heard(fifo, owner)
        names = names_of(owner.pid, tmp_path)
        assert f"/dev/shm/shmkit.{os.geteuid()}.orphan-{owner.pid}" in names
        (guard,) = guards_of(owner.pid)
        os.kill(guard, signal.SIGKILL)
        assert not living([guard])
        owner.end(group=True)
        orphans = [name for name in names if name.startswith(str(tmp_path))]
        assert len(orphans) == 2  # the kept one's, and the one that is read into
        assert all(map(os.path.exists, orphans))
        with load(small, backing=tmp_path):
            assert names_of(owner.pid, tmp_path) == []
            assert not living([loader])
        assert mine.segment.linked


INTERRUPTED = """
import os, sys
from shmkit import shared_load
from shmkit.loaders.pool import LoaderPool
from shmkit.segments.files import create_file, remove
from shmkit.segments.segment import Segment
path = sys.argv[1]
shared_load(path, dtype="f8", progress=False).close()

def interrupted(function, call, line):
    # A load of twenty files, until this call of the function comes to this line.
    def trace(frame, event, _):
        nonlocal call
        if frame.f_code is not function.__code__:
            return None
        call -= 1
        return None if call else in_it
    def in_it(frame, event, _):
        nonlocal line
        line -= event == "line"
        if line == 0:
            sys.settrace(None)
            raise KeyboardInterrupt
        return in_it
    sys.settrace(trace)
    try:
        arrays = shared_load([path] * 20, dtype="f8", progress=False)
        arrays.close()
    except KeyboardInterrupt:
        if "arrays" in locals():
            arrays.close()
        return True
    finally:
        sys.settrace(None)
    return False

# Of the files the first ones, one in the middle and the last; a loader gets several messages.
for function in (Segment.create, create_file, remove, LoaderPool._give):
    most = 0
    for call in (1, 2, 10, 20):
        line = 1
        while interrupted(function, call, line):
            line += 1
            most = max(most, line)
            mine = [os.pipe() for _ in range(3)]
            with shared_load(path, dtype="f8", progress=False) as (array,):
                assert array[:3].tolist() == [0, 1, 2]
            begin = f"shmkit-{os.getpid()}-"
            left = [name for name in os.listdir("/dev/shm") if name.startswith(begin)]
            assert left == [], (function, call, line, left)
            for pipe in mine:
                os.write(pipe[1], b"x")
                assert os.read(pipe[0], 1) == b"x"
                os.close(pipe[0])
                os.close(pipe[1])
    print(function.__name__, most > 5, flush=True)
"""


@pytest.mark.slow
def test_an_interrupt_at_any_line_leaves_no_name_and_no_half_used_loader(run_script, tmp_path):
    done = run_script(INTERRUPTED.replace("sys.argv[1]", repr(text_file(tmp_path / "a.txt"))))
    names = "create", "create_file", "remove", "_give"
    assert done.stdout.split() == [word for name in names for word in (name, "True")]


@pytest.mark.parametrize("kind", ["look", "text", "reader"])
def test_a_file_whose_loader_was_killed_once_is_read_once_more(tmp_path, kind):
    path, mark = tmp_path / "x.txt", str(tmp_path / "killed")
    text_file(path)

    def die_once():
        with contextlib.suppress(FileExistsError):
            os.close(os.open(mark, os.O_CREAT | os.O_EXCL))
            os.kill(os.getpid(), signal.SIGKILL)

    def number(text):
        if text == ("0" if kind == "look" else str(ROWS // 2)):  # the sample begins with 0
            die_once()
        return float(text)

    def read(name):
        die_once()
        return np.loadtxt(name)

    options = {
        "look": {"converters": {0: number}},  # of files that look alike the first is looked into
        "text": {"converters": number, "dtype": float},
        "reader": {"reader": read},
    }[kind]
    files = [path, text_file(tmp_path / "y.txt")] if kind == "look" else [path]
    with pytest.warns(UserWarning, match="x: its loader process was killed, though memory was not"):
        arrays = shared_load(files, progress=False, processes=2, **options)
    with arrays:
        for array in arrays:
            assert np.array_equal(array.reshape(-1), np.arange(ROWS))


STORM = """
import gc, os, random, signal, threading, time, warnings
warnings.simplefilter("ignore", ResourceWarning)
import numpy as np
from shmkit import shared_load
np.save("x.npy", np.arange(1000))
with open("x.txt", "w") as file:
    file.write("1 2\\n" * 2000)
armed = False

def handler(_, frame):
    if armed and frame.f_code.co_name != "<module>":  # in the load, not in what catches it
        raise KeyboardInterrupt

signal.signal(signal.SIGINT, handler)
options = {"progress": False, "processes": 2}
loads = [
    lambda: shared_load(["x.txt"] * 3, **options),
    lambda: shared_load(["x.npy"] * 3, backing="memfd", **options),
    lambda: shared_load(["x.npy"] * 2, reader=lambda path: np.load(path), **options),
]

def left():
    for load in loads:
        load().close()
    gc.collect()
    states = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat") as file:
                state, parent, *_ = file.read().rpartition(")")[2].split()
        except OSError:
            continue
        if int(parent) == os.getpid():
            states.append(state)
    names = [name for name in os.listdir("/dev/shm") if f"shmkit-{os.getpid()}-" in name]
    names = [name for name in names if name.endswith(".npy")]
    return len(os.listdir("/proc/self/fd")), len(states), states.count("Z"), names

def fire(count, delay):
    for _ in range(count):
        time.sleep(delay)
        os.kill(os.getpid(), signal.SIGINT)
        delay = 0.002

before = left()
interrupted = 0
while interrupted < 40:
    storm = threading.Thread(
        target=fire, args=(random.choice((1, 4)), random.random() * random.choice((0.02, 0.5)))
    )
    storm.start()
    try:
        armed = True
        with random.choice(loads)():
            pass
        armed = False
    except KeyboardInterrupt:
        armed = False
        interrupted += 1
    storm.join()
deadline = time.monotonic() + 10  # loaders that were let go of in a storm are ended meanwhile
while (after := left()) != before and time.monotonic() < deadline:
    time.sleep(0.1)
open_files = []
for fd in os.listdir("/proc/self/fd"):
    try:
        open_files.append(os.readlink(f"/proc/self/fd/{fd}"))
    except OSError:  # the one that lists them
        continue
assert after == before, (before, after, open_files)
print("nothing")
"""


@pytest.mark.slow
def test_interrupts_leave_no_process_no_descriptor_and_no_name(run_script):
    # On stderr Python says which finalizers were interrupted.
    done = run_script(STORM, check=False)
    assert (done.stdout, done.returncode) == ("nothing\n", 0), done.stderr
