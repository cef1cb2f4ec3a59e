"""The guard: what it holds, what it costs, when it ends, and that it removes what it must."""

import os
import signal

import pytest
from processes import (
    Owner,
    at_work,
    guards_of,
    left_of,
    living,
    names_of,
    started_by,
    stat,
    state,
)

from shmkit import shared_load

SHARE = """
import os, signal, sys, threading
from shmkit import share
arrays = [share([1, 2], backing=backing) for backing in sys.argv[1:]]
print(os.getpid(), flush=True)
"""


def guard_of(owner):
    (guard,) = guards_of(owner.pid)
    return guard


def test_it_holds_its_pipe_and_nothing_else_of_its_owners():
    code = """
import os, socket
sockets = socket.socketpair()
files = [open("/dev/zero"), *sockets]
for file in files:
    os.set_inheritable(file.fileno(), True)
"""
    with Owner(code + SHARE + "sys.stdin.read()", "shm") as owner:
        owner.says()
        folder = f"/proc/{at_work(guard_of(owner))}/fd"
        held = [os.readlink(f"{folder}/{number}") for number in sorted(os.listdir(folder))]
        assert held[0].startswith("pipe:")
        assert held[1:] == ["/dev/null", "/dev/null"]
        assert os.readlink(f"/proc/{guard_of(owner)}/cwd") == "/"


def test_it_is_in_a_session_of_its_own():
    with Owner(SHARE + "sys.stdin.read()", "shm") as owner:
        owner.says()
        guard = guard_of(owner)
        group, session, terminal = stat(guard)[2:5]
        assert group == session == str(guard)
        assert terminal == "0"


def test_it_does_not_load_numpy():
    with Owner(SHARE + "sys.stdin.read()", "shm") as owner:
        owner.says()
        with open(f"/proc/{at_work(guard_of(owner))}/maps") as maps:
            assert "numpy" not in maps.read()


@pytest.mark.parametrize(
    "ending",
    [
        "",
        "sys.exit(7)",
        "os._exit(0)",
        "raise SystemExit",
        "threading.Thread(target=lambda: os._exit(0)).start(); signal.pause()",
        "os.kill(os.getpid(), signal.SIGKILL)",
        "os.abort()",
    ],
)
def test_it_ends_with_its_owner(ending, tmp_path):
    code = "import resource; resource.setrlimit(resource.RLIMIT_CORE, (0, 0))\n"
    code += SHARE + "sys.stdin.readline()\n" + ending
    with Owner(code, "shm", "memfd", tmp_path) as owner:
        owner.says()
        assert len(names_of(owner.pid, tmp_path)) == 2
        guard = guard_of(owner)
        owner.hears()
        assert not living([owner.pid])
        assert not living([guard])
        assert left_of(owner.pid, tmp_path) == []
        assert owner.complaints() == ""


@pytest.mark.slow
def test_it_stays_with_a_process_that_becomes_another_program():
    code = SHARE + "os.execv('/bin/sh', ['sh', '-c', 'echo here; read line'])"
    with Owner(code, "shm") as owner:
        owner.says()
        owner.says()
        guard = guard_of(owner)
        assert living([guard], 0.1) == [guard]  # whether or not a load has removed the name
        owner.hears()
        assert not living([guard])
        assert left_of(owner.pid) == []


def test_it_starts_in_any_thread_and_outlives_it():
    code = """
import os, sys, threading
from shmkit import share
arrays = []
for _ in range(2):
    thread = threading.Thread(target=lambda: arrays.append(share([1], backing="shm")))
    thread.start()
    thread.join()
print("here", flush=True)
sys.stdin.readline()
"""
    with Owner(code) as owner:
        owner.says()
        guard = guard_of(owner)
        assert len(names_of(owner.pid)) == 2
        owner.end()
        assert not living([guard])
        assert left_of(owner.pid) == []


def test_threads_that_start_at_once_share_one():
    code = """
import sys, threading
from shmkit import share
barrier = threading.Barrier(8)
arrays = []
def work():
    barrier.wait()
    arrays.append(share([1], backing="shm"))
threads = [threading.Thread(target=work) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(len(arrays), flush=True)
sys.stdin.readline()
"""
    with Owner(code) as owner:
        assert owner.says() == ["8"]
        assert len(guards_of(owner.pid)) == 1
        assert len(names_of(owner.pid)) == 8


def test_a_process_has_one_for_all_directories(tmp_path):
    folders = [tmp_path / name for name in ("a", "b c", "größe")]
    for folder in folders:
        folder.mkdir()
    with Owner(SHARE + "sys.stdin.readline()", "shm", *folders, "shm", *folders) as owner:
        owner.says()
        guard = guard_of(owner)
        assert len(names_of(owner.pid, *folders)) == 8
        owner.end()
        assert not living([guard])
        assert names_of(owner.pid, *folders) == []


def test_it_removes_a_published_name():
    code = SHARE + "arrays[0].publish(f'guarded-{os.getpid()}')\nprint(0, flush=True)\n"
    with Owner(code + "sys.stdin.readline()", "memfd") as owner:
        owner.says()
        owner.says()
        assert names_of(owner.pid) == [f"/dev/shm/shmkit.{os.geteuid()}.guarded-{owner.pid}"]
        owner.end()
        assert left_of(owner.pid) == []


def test_one_that_was_killed_is_replaced_with_the_next_segment(tmp_path):
    code = (
        SHARE
        + """
sys.stdin.readline()
again = share([3], backing="shm")
print("again", flush=True)
sys.stdin.readline()
"""
    )
    with Owner(code, "shm", tmp_path) as owner:
        owner.says()
        first = guard_of(owner)
        os.kill(first, signal.SIGKILL)
        assert not living([first])
        assert len(names_of(owner.pid, tmp_path)) == 2  # it is the owner's end that matters
        owner.hears()
        owner.says()
        second = guard_of(owner)
        assert second != first
        owner.end()
        assert not living([second])
        assert names_of(owner.pid, tmp_path) == []  # also where the first one was to look
        assert owner.complaints() == ""


def test_one_that_is_stopped_holds_nobody_up_and_does_its_work_later(tmp_path):
    code = (
        SHARE
        + """
from shmkit import shared_load
sys.stdin.readline()
kept = shared_load(sys.argv[1] + "/x.txt", backing=sys.argv[1], processes=1)
print("loaded", flush=True)
sys.stdin.readline()
"""
    )
    (tmp_path / "x.txt").write_text("1 2\n")
    with Owner(code, tmp_path) as owner:
        owner.says()
        guard = guard_of(owner)
        os.kill(guard, signal.SIGSTOP)
        owner.hears()
        assert owner.says() == ["loaded"]
        owner.end()
        assert owner.complaints() == ""  # so the loader has ended
        assert len(names_of(owner.pid, tmp_path)) == 2
        with shared_load(tmp_path / "x.txt", backing=tmp_path, progress=False):
            assert names_of(owner.pid, tmp_path) == []
        assert state(guard) == "T"
        os.kill(guard, signal.SIGCONT)
        assert not living([guard])
        assert left_of(owner.pid, tmp_path) == []


FORK = (
    SHARE
    + """
child = os.fork()
if child == 0:
    mine = share([5], backing="shm")
    print(os.getpid(), flush=True)
    sys.stdin.readline()
    os._exit(0)
sys.stdin.readline()
"""
)


def test_a_forked_child_has_its_own():
    with Owner(FORK, "shm") as owner:
        owner.says()
        child = int(owner.says()[0])
        guards = [*guards_of(owner.pid), *guards_of(child)]
        assert len(set(guards)) == 2
        os.kill(child, signal.SIGKILL)
        assert left_of(child) == []
        assert guards_of(owner.pid) == guards[:1]
        assert len(names_of(owner.pid)) == 1
        owner.end()
        assert left_of(owner.pid) == []


def test_a_forked_child_outlives_its_parent_with_its_own():
    with Owner(FORK, "shm") as owner:
        owner.says()
        child = int(owner.says()[0])
        owner.end()
        assert left_of(owner.pid) == []
        assert len(names_of(child)) == 1
        owner.hears()  # the child reads the line
        assert left_of(child) == []


def test_a_forked_child_without_segments_has_none_and_lets_go_of_its_parents():
    code = (
        SHARE
        + """
if os.fork() == 0:
    links = [f"/proc/self/fd/{number}" for number in range(3, 20)]
    held = [os.readlink(link) for link in links if os.path.islink(link)]
    print(os.getpid(), arrays[0].sum(), *held, flush=True)
    del arrays
    os._exit(0)
os.wait()
print(arrays[0].segment.linked, flush=True)
sys.stdin.readline()
"""
    )
    with Owner(code, "shm") as owner:
        owner.says()
        child, total, *held = owner.says()
        assert total == "3"
        assert owner.says() == ["True"]
        assert guards_of(int(child)) == []
        pipe = os.readlink(f"/proc/{guard_of(owner)}/fd/0")
        assert pipe.startswith("pipe:")
        assert pipe not in held


def test_a_child_that_is_forked_while_a_thread_starts_one_is_not_held_up():
    code = """
import os, subprocess, threading, warnings
from shmkit import share

warnings.simplefilter("ignore", DeprecationWarning)  # a fork beside threads: what is tested
starting, forked = threading.Event(), threading.Event()

class Popen(subprocess.Popen):
    def __init__(self, *arguments, **options):
        starting.set()
        forked.wait()
        super().__init__(*arguments, **options)

start, subprocess.Popen = subprocess.Popen, Popen
thread = threading.Thread(target=share, args=([1],), kwargs={"backing": "shm"})
thread.start()
starting.wait()
if os.fork() == 0:
    subprocess.Popen = start
    share([1], backing="shm")
    os._exit(0)
_, status = os.wait()
forked.set()
thread.join()
print(status, flush=True)
"""
    with Owner(code) as owner:
        assert owner.says() == ["0"]


@pytest.mark.slow
@pytest.mark.parametrize("process", ["guard", "loader"])
def test_options_of_python_are_passed_on(process, tmp_path):
    """-I is there for safety: nothing of the environment or of the user's is imported."""
    (tmp_path / "a.txt").write_text("1\n")
    code = "from shmkit import shared_load\n"
    code += "kept = shared_load(sys.argv[1], progress=False)\nprint(0, flush=True)\n"
    options = ["-OO", "-B", "-W", "ignore::ImportWarning", "-X", "utf8", "-P"]
    for more in (["-I"], ["-E", "-s"]):
        script = "import sys\n" + code + "sys.stdin.readline()"
        with Owner(script, tmp_path / "a.txt", options=[*options, *more]) as owner:
            owner.says()
            started = [pid for pid, kind in started_by(owner.pid).items() if kind == process]
            with open(f"/proc/{started[0]}/cmdline") as file:
                first = file.read().partition("\0-c\0")[0].split("\0")[1:]
            assert {"-OO", "-B", "-Wignore::ImportWarning", "utf8"} <= set(first)
            assert set(more) <= set(first)


SIGNALLED = """
import itertools, os, signal, sys
from shmkit import share
from shmkit.cleanup.guard import watch
from shmkit.cleanup.lock import hold

def signalled(function, line):
    # The first share() of a new process, with a signal before this line of the function.
    lines, arrays = itertools.count(1), []
    def handler(*_):
        arrays.append(share([1], backing=sys.argv[1]))
    def trace(frame, event, _):
        if frame.f_code is not function.__code__:
            return None
        if event == "line" and next(lines) == line:
            sys.settrace(None)
            os.kill(os.getpid(), signal.SIGUSR1)
        return trace
    signal.signal(signal.SIGUSR1, handler)
    sys.settrace(trace)
    arrays.append(share([2], backing=sys.argv[1]))
    return [array.tolist() for array in arrays]

for function in (watch, hold):
    for line in itertools.count(1):
        child = os.fork()  # it has no guard and no lock yet
        if child == 0:
            signal.alarm(20)  # who waits for a lock of its own ends by this
            got = signalled(function, line)
            os._exit({"[[1], [2]]": 0, "[[2]]": 1}.get(str(got), 2))
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if status:
            break
    print(status, line > 3, flush=True)  # 1: there are not so many lines
"""


@pytest.mark.slow
def test_a_handler_that_shares_while_a_lock_is_held_is_not_held_up(tmp_path):
    """A signal comes in the middle of the first share(): its handler shares as well."""
    with Owner(SIGNALLED, tmp_path) as owner:
        assert owner.says() == ["1", "True"]
        assert owner.says() == ["1", "True"]
