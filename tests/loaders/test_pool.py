import contextlib
import os
import pty
import signal
import sys
import threading
import time

import numpy as np
import pytest
from processes import PATIENCE, Owner, end_loaders, gone, heard, living, loaders_of

from shmkit._limits import memory
from shmkit.loaders.loader import Task
from shmkit.loaders.pool import LoaderPool
from shmkit.loaders.process import Died


def run(tasks, count=2):
    with LoaderPool(count) as pool:
        return dict(pool.run([Task(*task) for task in tasks], lambda: None))


def wait_forever(path):
    """Say that the task has begun, then wait for what never comes."""
    with open(path, "w") as fifo:
        fifo.write(f"{os.getpid()}\n")
    signal.pause()


def test_tasks_run_in_other_processes_and_each_says_its_number():
    outcomes = run([(lambda n: (n, os.getpid()), (n,)) for n in range(10)])
    assert [outcomes[n][0] for n in range(10)] == list(range(10))
    pids = {pid for _, pid in outcomes.values()}
    assert os.getpid() not in pids
    assert len(pids) <= 2


def test_loaders_stay_warm_between_calls():
    first = run([(os.getpid, ())], count=1)
    assert run([(os.getpid, ())], count=1) == first


def test_a_task_that_is_added_meanwhile_comes_next():
    tasks, values = [Task(int, (n,)) for n in range(3)], []
    with LoaderPool(1) as pool:
        for number, value in pool.run(tasks, lambda: None):
            values.append(value)
            if number in (0, 2):
                tasks.append(Task(int, (10 + number,)))
    assert values == [0, 10, 1, 2, 12]


@pytest.mark.slow
@pytest.mark.parametrize("nbytes", [0, 5_000])  # of an argument: more than a pipe takes at once
def test_many_tasks_each_run_once_whichever_loader_ends(nbytes, tmp_path):
    def note(number, _):
        if number in (0, 150, 151, 599):
            os._exit(3)
        with open(tmp_path / str(number), "x"):
            return number, bytes(nbytes)

    tasks = [Task(note, (number, bytes(nbytes))) for number in range(600)]
    with LoaderPool(2) as pool:
        outcomes = dict(pool.run(tasks, lambda: None))
    ended = {number for number, outcome in outcomes.items() if outcome == Died(3)}
    assert ended == {0, 150, 151, 599}
    assert all(outcomes[n] == (n, bytes(nbytes)) for n in range(600) if n not in ended)


@pytest.mark.parametrize(
    ("ending", "exitcode"),
    [
        (lambda: os._exit(3), 3),
        (lambda: sys.exit(4), 4),
        (lambda: os.kill(os.getpid(), signal.SIGKILL), -signal.SIGKILL),
        (lambda: os.kill(os.getpid(), signal.SIGSEGV), -signal.SIGSEGV),
    ],
)
def test_a_loader_that_ends_is_an_outcome_and_is_replaced(ending, exitcode):
    outcomes = run([(ending, ()), *[(os.getpid, ())] * 5])
    assert outcomes[0] == Died(exitcode)
    assert all(isinstance(outcomes[n], int) for n in range(1, 6))


def test_a_loader_that_cannot_be_started_leaves_no_descriptor(run_script):
    done = run_script("""
import os, resource
from shmkit import share
from shmkit.loaders.pool import LoaderPool
share([0]).close()  # the guard
spare = [os.dup(0) for _ in range(9)]
resource.setrlimit(resource.RLIMIT_NOFILE, (max(spare) + 1, max(spare) + 1))
for _ in range(3):  # and 1, 2 or 3 are free
    os.close(spare.pop())
    before = os.listdir("/proc/self/fd") if len(spare) < 8 else None
    try:
        LoaderPool(1)
    except OSError as error:
        print(error.strerror)
    if before is not None:
        assert os.listdir("/proc/self/fd") == before
""")
    assert (done.stdout, done.stderr) == ("Too many open files\n" * 3, "")


def test_an_idle_loader_that_was_killed_is_not_used_again():
    run([(os.getpid, ())] * 2)
    end_loaders(os.getpid())
    assert all(isinstance(pid, int) for pid in run([(os.getpid, ())] * 4).values())


def test_an_interrupt_kills_what_is_busy(fifo):
    pids = []

    def stop_when_begun():
        pids.append(heard(fifo))
        assert not gone(pids[0])
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), LoaderPool(1) as pool:
        list(pool.run([Task(wait_forever, (fifo,))], stop_when_begun))
    assert gone(pids[0])


# Has a loader wait for ever, and says so if that is interrupted.
WAIT = """
import sys
sys.path[:] = sys.argv[2:]
from shmkit.loaders.loader import Task
from shmkit.loaders.pool import LoaderPool
from tests.loaders.test_pool import wait_forever
try:
    with LoaderPool(1) as pool:
        list(pool.run([Task(wait_forever, (sys.argv[1],))], lambda: None))
except KeyboardInterrupt:
    print("stopped")
"""


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGTERM])
def test_loaders_end_with_a_killed_owner_in_mid_task(fifo, ending):
    with Owner(WAIT, fifo, *sys.path) as owner:
        loader = heard(fifo, owner)
        owner.process.send_signal(ending)
        assert owner.ended() == -ending
        assert not living([loader])
        assert owner.complaints() == ""


@pytest.mark.slow
def test_the_stop_buttons_signal_does_not_reach_the_loaders(fifo):
    """Jupyter sends SIGINT to the whole process group; a loader would print a traceback."""
    with Owner(WAIT, fifo, *sys.path) as owner:
        loader = heard(fifo, owner)
        os.killpg(owner.pid, signal.SIGINT)
        assert owner.says() == ["stopped"]
        assert owner.ended() == 0
        assert gone(loader)
        assert owner.complaints() == ""


def test_two_threads_may_load_at_once():
    outcomes = {}

    def work(name):
        outcomes[name] = run([(pow, (n, 2)) for n in range(50)])

    threads = [threading.Thread(target=work, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes["a"] == outcomes["b"] == {n: n * n for n in range(50)}


def test_a_forked_child_starts_loaders_of_its_own():
    run([(os.getpid, ())] * 2)
    child = os.fork()
    if child == 0:
        outcome = run([(os.getppid, ())])[0]
        os._exit(0 if outcome == os.getpid() else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert all(isinstance(pid, int) for pid in run([(os.getpid, ())] * 4).values())


def test_an_import_path_longer_than_an_argument_may_be_is_sent_whole(run_script):
    done = run_script("""
import sys
import numpy as np
from shmkit import shared_load
sys.path += [f"/nowhere/{'x' * 200}/{n}/größe\\udcff" for n in range(1000)]
assert len(repr(sys.path)) > 200_000
np.save("x.npy", np.arange(3))
here = sys.path
def read(path):
    assert sys.path == here, len(sys.path)
    return np.array([len(sys.path)])
with shared_load("x.npy", reader=read, progress=False) as (array,):
    print(array[0] == len(sys.path))
""")
    assert (done.stdout, done.stderr) == ("True\n", "")


def environment_of(name):
    return os.environ.get(name)


def test_the_environment_goes_with_the_tasks(monkeypatch):
    (before,) = run([(os.getpid, ())], count=1).values()
    names = ["SHMKIT_TEST", "größe", "TZ"]
    for value in ("one", "zwei\udcff", None):
        for name in names:
            if value is None:
                monkeypatch.delenv(name)
            else:
                monkeypatch.setenv(name, value)
        tasks = [(environment_of, (name,)) for name in names] + [(os.getpid, ())]
        assert [*run(tasks, count=1).values()] == [value, value, value, before]
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    assert run([(hour_of, (0,))], count=1) == {0: 9}


def hour_of(moment):
    return time.localtime(moment).tm_hour


@pytest.mark.slow
@pytest.mark.parametrize("name", ["OPENBLAS_NUM_THREADS", "LD_LIBRARY_PATH", "HDF5_PLUGIN_PATH"])
def test_a_loader_is_started_anew_for_what_is_read_once(monkeypatch, name):
    (before,) = run([(os.getpid, ())], count=1).values()
    monkeypatch.setenv(name, "2")
    after, value = run([(os.getpid, ()), (environment_of, (name,))], count=1).values()
    assert after != before
    assert value == "2"
    assert loaders_of(os.getpid()).count(before) == 0
    assert run([(os.getpid, ())], count=1) == {0: after}


def test_loaders_of_other_credentials_are_replaced(superuser, run_script):
    done = run_script(
        """
import os
from shmkit.loaders.loader import Task
from shmkit.loaders.pool import LoaderPool

def run(function):
    with LoaderPool(1) as pool:
        ((_, outcome),) = pool.run([Task(function, ())], lambda: None)
    return outcome

pids = [run(os.getpid)]
os.setgroups([4])
assert run(os.getgroups) == [4]
pids.append(run(os.getpid))
os.setegid(65534)
assert run(os.getegid) == 65534
pids.append(run(os.getpid))
os.setresuid(65534, 0, 0)
assert run(os.getuid) == 65534
pids.append(run(os.getpid))
assert len(set(pids)) == 4
print(len(set(pids)))
""",
        check=False,
    )
    assert (done.stdout, done.stderr) == ("4\n", "")


@pytest.mark.parametrize("way", ["print", "read"])
def test_a_reader_may_use_a_terminal_that_stops_what_is_in_the_background(tmp_path, way):
    """As after `stty tostop`."""
    np.save(tmp_path / "x.npy", np.arange(3))
    code = f"""
import os, termios
import numpy as np
from shmkit import shared_load
def read(path):
    if {way!r} == "print":
        print("here", flush=True)
    else:
        with open("/dev/tty") as terminal:
            try:
                terminal.read(1)
            except OSError:
                pass
    return np.load(path)
settings = termios.tcgetattr(1)
settings[3] |= termios.TOSTOP
termios.tcsetattr(1, termios.TCSANOW, settings)
with shared_load("x.npy", reader=read, progress=False) as (array,):
    print("loaded", array.tolist(), flush=True)
"""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(tmp_path)
        os.execv(sys.executable, [sys.executable, "-c", code])
    said = b""
    try:
        with open(terminal, "rb", buffering=0) as screen:
            with contextlib.suppress(OSError):  # its end
                while piece := screen.read(1000):
                    said += piece
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    assert b"loaded [0, 1, 2]" in said
    assert (b"here" in said) == (way == "print")


def test_the_kernel_ends_a_loader_before_its_owner_but_before_no_others():
    (loader,) = run([(os.getpid, ())], count=1).values()

    def score(pid, name="oom_score_adj"):
        with open(f"/proc/{pid}/{name}") as file:
            return int(file.read())

    deadline = time.monotonic() + PATIENCE
    while score(loader) <= score("self"):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert score(loader, "oom_score") > score("self", "oom_score")
    with open("/proc/self/statm") as file:
        taken = int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")
    assert score(loader) <= score("self") + 1000 * taken // memory().limit + 60
