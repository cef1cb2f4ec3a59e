"""to_hdf5 that fails, is interrupted or killed: the old file stays; and what it takes meanwhile."""

import contextlib
import errno
import fcntl
import os
import random
import select
import signal
import threading
from collections import UserDict

import h5py
import numpy as np
import pytest
from dumps import h5dump, read
from processes import Owner, guards_of, left_of, living

from shmkit import to_hdf5

NOISE = np.random.default_rng(0).random(60_000)


@pytest.fixture
def old(tmp_path):
    """A file with something in it, in a directory of its own."""
    (tmp_path / "folder").mkdir()
    to_hdf5(tmp_path / "folder" / "a.h5", {"old": NOISE})
    return tmp_path / "folder" / "a.h5"


FILL = """
import os, resource
import numpy as np
from shmkit import to_hdf5
noise = np.frombuffer(np.random.default_rng(0).bytes(6_000_000), "u1")
to_hdf5("full/a.h5", {"old": np.arange(99)})
with open("full/a.h5", "rb") as file:
    before = file.read()
for limit in limits:
    if limit:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    for mode in "wa":
        for compression in ("gzip", "lzf", None):
            for concat in (False, True):
                options = {"mode": mode, "compression": compression, "concat": concat}
                try:
                    to_hdf5("full/a.h5", noise, **options)
                except OSError as error:
                    print(error.errno, error)
                assert os.listdir("full") == ["a.h5"], options
                with open("full/a.h5", "rb") as file:
                    assert file.read() == before, options
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
to_hdf5("full/a.h5", {"new": np.arange(9)}, mode="a")
"""


@pytest.mark.slow
def test_a_file_that_may_not_grow_is_an_error_and_stays_as_it_was(tmp_path, run_script):
    """HDF5 itself dies of it: a SIGSEGV when the interpreter exits."""
    (tmp_path / "full").mkdir()
    done = run_script("limits = [100, 3_000, 100_000, 3_000_000]" + FILL)
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert len(lines) == 4 * 12
    for line in lines:
        assert line.startswith(f"{errno.EFBIG} [Errno {errno.EFBIG}] cannot be written: ")
        assert line.endswith(": 'full/a.h5'")
    with h5py.File(tmp_path / "full" / "a.h5") as file:
        assert set(file) == {"old", "new"}


def test_a_full_disk_is_an_error_and_leaves_the_old_file(tmp_path, with_mount):
    (tmp_path / "full").mkdir()
    printed = with_mount("mount -t tmpfs -o size=4m tmpfs full", "limits = [0]" + FILL)
    message = f"{errno.ENOSPC} [Errno {errno.ENOSPC}] cannot be written: No space left on device"
    assert printed.count(message) == len(printed.splitlines()) == 12


READ_ONLY = """
import errno, os
import numpy as np
from shmkit import to_hdf5
for mode in "wa":
    for path in ("folder/a.h5", "folder/b.h5", "shut/a.h5"):
        try:
            to_hdf5(path, {mode: np.zeros(3)}, mode=mode)
        except PermissionError as error:
            print(mode, error.filename, "is read-only here" in error.strerror)
"""


def test_what_is_read_only_is_not_written(old, tmp_path, with_mount):
    """A file that is read-only is not replaced either, where its directory would allow it."""
    before = old.read_bytes()
    (tmp_path / "shut").mkdir()
    (tmp_path / "shut" / "a.h5").write_bytes(before)
    mount = (
        "mount --bind folder/a.h5 folder/a.h5 && mount -o remount,ro,bind folder/a.h5"
        " && mount --bind shut shut && mount -o remount,ro,bind shut"
    )
    printed = with_mount(mount, READ_ONLY)
    assert printed.splitlines() == [
        "w folder/a.h5 True",
        "w shut/a.h5 True",
        "a folder/a.h5 True",
        "a shut/a.h5 True",
    ]
    assert old.read_bytes() == (tmp_path / "shut" / "a.h5").read_bytes() == before
    assert sorted(os.listdir(old.parent)) == ["a.h5", "b.h5"]


ENDLESS = """
import sys
import numpy as np
from shmkit import to_hdf5
endless = np.broadcast_to(np.arange(1 << 20), (1 << 20, 1 << 20))
print("begin", flush=True)
to_hdf5(sys.argv[1], {"new": endless}, mode=sys.argv[2])
"""


def under_way(owner, path):
    """Wait until an endless export has written something."""
    assert owner.says() == ["begin"]
    before = path.stat().st_size
    while owner.process.poll() is None:
        others = [name for name in os.listdir(path.parent) if name != path.name]
        if path.stat().st_size > before or others:
            return others
    raise AssertionError(owner.complaints())


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["w", "a"])
def test_an_interrupt_leaves_the_old_file(old, mode):
    before = old.read_bytes()
    with Owner(ENDLESS, old, mode) as owner:
        under_way(owner, old)
        os.kill(owner.pid, signal.SIGINT)
        complaints = owner.complaints()
        assert owner.process.wait(60) == -signal.SIGINT
    assert complaints.count("KeyboardInterrupt") >= 1
    assert os.listdir(old.parent) == ["a.h5"]
    assert old.read_bytes() == before


@pytest.mark.slow
def test_a_second_interrupt_does_not_end_the_writer_in_the_middle(tmp_path, run_script):
    """Its file would be closed, and the number of that be another's."""
    done = run_script("""
import signal, threading
import numpy as np
from shmkit import to_hdf5

def interrupt(*_):
    global left
    left -= 1
    if left >= 0:
        raise KeyboardInterrupt

left = 2
endless = np.broadcast_to(np.arange(1 << 20), (1 << 20, 1 << 20))
to_hdf5("a.h5", np.arange(3))
signal.signal(signal.SIGALRM, interrupt)
signal.setitimer(signal.ITIMER_REAL, 0.5, 0.01)
try:
    to_hdf5("a.h5", {"b": endless}, mode="a", chunks=4, level=9)
except KeyboardInterrupt as error:
    signal.setitimer(signal.ITIMER_REAL, 0)
    print(type(error).__name__, threading.active_count())
""")
    assert done.stdout == "KeyboardInterrupt 1\n"
    assert len(read(tmp_path / "a.h5")) == 3


def test_what_a_killed_export_left_is_removed_by_the_guard_or_the_next_export(old):
    with Owner(ENDLESS, old, "w") as owner:
        under_way(owner, old)
        owner.end()
        assert left_of(owner.pid, old.parent) == []
        assert os.listdir(old.parent) == ["a.h5"]
    with Owner(ENDLESS, old, "w") as owner:
        left = under_way(owner, old)
        guards = guards_of(owner.pid)
        for guard in guards:
            os.kill(guard, signal.SIGKILL)
        assert not living(guards)
        owner.end()
    assert os.listdir(old.parent) != ["a.h5"], left
    to_hdf5(old, {"next": NOISE})
    assert os.listdir(old.parent) == ["a.h5"]


FORKS = """
import os, sys
import numpy as np
from shmkit import to_hdf5
noise = np.broadcast_to(np.random.default_rng(0).random(60_000), (40, 60_000))
for line in sys.stdin:
    pid = os.fork()
    if pid == 0:
        os.setsid()
        to_hdf5(sys.argv[1], {"new": noise}, mode=sys.argv[2], overwrite=sys.argv[2] == "a")
        os._exit(0)
    print(pid, flush=True)
    os.waitid(os.P_PID, pid, os.WEXITED)
    print("ended", flush=True)
"""


def killed(owner, moment):
    """Have an export started, and kill it after so many seconds; its pid."""
    owner.hears("go")
    pid = int(owner.says()[0])
    watched = os.pidfd_open(pid)
    poll = select.poll()
    poll.register(watched, select.POLLIN)
    poll.poll(1000 * moment)
    with contextlib.suppress(ProcessLookupError):  # it has ended
        signal.pidfd_send_signal(watched, signal.SIGKILL)
    os.close(watched)
    assert owner.says() == ["ended"]
    return pid


def unlocked(path):
    """Wait for whoever writes to it still."""
    with open(path, "rb") as file:
        fcntl.flock(file, fcntl.LOCK_SH)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["w", "a"])
def test_an_export_that_is_killed_at_any_moment_leaves_a_whole_file(old, mode):
    before = old.read_bytes()
    whole = {"w": [{"old"}, {"new"}], "a": [{"old"}, {"old", "new"}]}[mode]
    moments = [*(random.uniform(0, 0.3) for _ in range(20)), 60]  # seconds; the last one ends
    seen = []
    with Owner(FORKS, old, mode) as owner:
        for moment in moments:
            old.write_bytes(before)
            pid = killed(owner, moment)
            assert left_of(pid, old.parent) == [], moment
            assert os.listdir(old.parent) == ["a.h5"], moment
            unlocked(old)
            with h5py.File(old) as file:
                seen.append(set(file))
                for data in file.values():
                    assert data.shape[-1] == len(NOISE), moment
                    row = data[:] if data.ndim == 1 else data[-1]
                    np.testing.assert_array_equal(row, NOISE, err_msg=str(moment))
            assert seen[-1] in whole, moment
            assert 'GROUP "/"' in h5dump(old, "-H")
    assert seen[-1] == whole[1]


def test_an_export_after_a_killed_one_takes_no_more_room(old):
    size = to_hdf5(old, {"new": NOISE}, mode="a").nbytes_file
    without = to_hdf5(old, {"old": NOISE}).nbytes_file
    with Owner(ENDLESS, old, "a") as owner:
        under_way(owner, old)
        owner.end()
    assert old.stat().st_size > without
    to_hdf5(old, {"new": NOISE}, mode="a")
    assert old.stat().st_size == size
    np.testing.assert_array_equal(read(old, "new"), NOISE)
    np.testing.assert_array_equal(read(old, "old"), NOISE)


def test_threads_export_to_two_files_and_to_one(tmp_path):
    names = ["a.h5", "b.h5", "same.h5", "same.h5", "same.h5"]
    errors = []

    def export(number, name):
        try:
            for _ in range(3):
                to_hdf5(tmp_path / name, np.full(30_000, number))
        except BaseException as error:  # noqa: BLE001 - reported below
            errors.append(error)

    threads = [threading.Thread(target=export, args=pair) for pair in enumerate(names)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert sorted(os.listdir(tmp_path)) == sorted(set(names))
    assert (read(tmp_path / "b.h5") == 1).all()
    assert len(np.unique(read(tmp_path / "same.h5"))) == 1


def test_a_child_that_is_forked_meanwhile_takes_nothing_away(tmp_path, run_script):
    done = run_script("""
import os, threading
import numpy as np
from shmkit import to_hdf5
from shmkit.cleanup.orphans import remove_orphans
os.mkdir("folder")
noise = np.random.default_rng(0).random((1 << 13, 512))
thread = threading.Thread(target=to_hdf5, args=("folder/a.h5", noise))
thread.start()
while not os.listdir("folder"):
    assert thread.is_alive()
child = os.fork()
if child == 0:  # HDF5 itself is of no use to it: another thread was in there
    os._exit(len(remove_orphans(["folder"])))
print(os.waitpid(child, 0)[1])
thread.join()
print(*os.listdir("folder"))
""")
    assert done.stdout.split() == ["0", "a.h5"]


def test_a_file_that_appears_meanwhile_is_not_replaced(tmp_path):
    """Also in mode "a": what another process has just added would be lost."""
    for mode in "xa":
        path = tmp_path / f"{mode}.h5"

        class Late(UserDict):  # what is asked for when the writing has begun
            def keys(self, path=path):
                path.write_text("appeared")
                return super().keys()

        with pytest.raises(FileExistsError, match="cannot be written: File exists"):
            to_hdf5(path, NOISE, mode=mode, attrs=Late(title="x"))
        assert path.read_text() == "appeared"
    assert sorted(os.listdir(tmp_path)) == ["a.h5", "x.h5"]


def test_an_existing_file_is_an_error_in_mode_x(old):
    before = old.read_bytes()
    with pytest.raises(FileExistsError, match='is there already; mode="w" replaces it'):
        to_hdf5(old, NOISE, mode="x")
    assert old.read_bytes() == before


@pytest.mark.slow
def test_little_memory_is_needed_whatever_is_written(run_script):
    """Kilobytes more than before, after each of these exports of 80 to 200 MB."""
    done = run_script("""
import os
import h5py, numpy as np
from shmkit import to_hdf5
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])  # each has its thread, and its chunks

def used():  # the most so far; getrusage(2) would begin with what pytest has, before exec
    with open("/proc/self/status") as status:
        return int(status.read().partition("VmHWM:")[2].split()[0])

zeros = np.broadcast_to(np.zeros(25_000), (1000, 25_000))  # 200 MB
text = np.broadcast_to(np.array(["chr1", "Zürich"] * 500), (1000, 1000))
texts = np.broadcast_to(np.array([("chr1", 1)] * 1000, [("chr", "U20"), ("n", "i4")]), (1000, 1000))
fortran = np.broadcast_to(np.zeros((1000, 1)), (1000, 25_000)).T
with h5py.File("block.h5", "w", userblock_size=512) as file:
    file["x"] = np.zeros(3)
with h5py.File("lost.h5", "w") as file:
    file["x"] = np.zeros(3)
with open("lost.h5", "r+b") as file:
    file.truncate(1 << 28)
to_hdf5("a.h5", np.zeros(30_000))  # imports and threads take what they take
to_hdf5("a.h5", np.zeros(30_000), compression="zstd")
before = used()
for what, options in {
    "gzip": {},
    "none": {"compression": None},
    "lzf": {"compression": "lzf"},
    "zstd": {"compression": "zstd"},
    "text": {"arrays": text},
    "text in one row": {"arrays": np.broadcast_to(np.array("chr1"), (1, 1_000_000))},
    "text in records": {"arrays": texts},
    "columns": {"arrays": texts, "layout": "columns"},
    "concat": {"arrays": [zeros, zeros[:9].astype("f4"), zeros], "concat": True},
    "fortran": {"arrays": fortran},
    "fortran plain": {"arrays": fortran, "compression": None},
    "user block": {"path": "block.h5", "mode": "a", "compression": None},
    "behind lost data": {"path": "lost.h5", "mode": "a", "compression": None},
}.items():
    to_hdf5(**{"path": "a.h5", "arrays": zeros} | options)
    print(used() - before, what)
""")
    needed = [line.partition(" ") for line in done.stdout.splitlines()]
    assert all(int(nbytes) < 60_000 for nbytes, _, _ in needed), needed
