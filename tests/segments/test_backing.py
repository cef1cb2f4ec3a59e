"""Too little room: a /dev/shm of 64 MB, as containers have it, and a memory limit below the need.

Each test runs a script in a process of its own. Passing a limit would end it by SIGBUS or SIGKILL,
and so would show in its exit code.
"""

import errno
import mmap
import shutil
import subprocess
import sys
import time
import uuid
from pathlib import Path

import numpy as np
import pytest
from machine import refuse, tool
from processes import PATIENCE, living

from shmkit.errors import NotEnoughMemoryError
from shmkit.segments.backing import choose_backing

MB = 1 << 20
LEFT = "left in /dev/shm:"

# What the scripts share. `fill` leaves no byte of /dev/shm to anybody else.
PREAMBLE = f"""
import errno, gc, os
import numpy as np
import shmkit
from shmkit import NotEnoughMemoryError, share, shared_empty, shared_load
MB = {MB}

def free():
    status = os.statvfs("/dev/shm")
    return status.f_bavail * status.f_frsize

def fill():
    fd = os.open("/dev/shm/somebody-elses", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        while True:
            os.write(fd, bytes(MB))
    except OSError as error:
        assert error.errno == errno.ENOSPC
    finally:
        os.close(fd)
"""


@pytest.fixture(scope="module")
def big(tmp_path_factory):
    """A folder with 200 MB in each of the forms that a load takes, and what they are."""
    folder = tmp_path_factory.mktemp("big")
    for name in "ab":
        np.save(folder / f"{name}.npy", np.full(100 * MB, ord(name), "u1"))
    line = b"1" * 99 + b"\n"
    (folder / "a.txt").write_bytes(line * MB)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def small_shm(with_mount):
    """Run a text as a script that has a /dev/shm of 64 MB to itself; gives what it printed."""
    mount = "mount -t tmpfs -o size=64m tmpfs /dev/shm"
    look = f'rm -f /dev/shm/somebody-elses; echo "{LEFT}" $(ls -A /dev/shm)'

    def run(text):
        printed, _, left = with_mount(
            mount, PREAMBLE + text, then=f'"$@"; code=$?; {look}; exit $code'
        ).partition(LEFT)
        assert left.strip() == ""
        return printed.split()

    return run


FORMS = {
    "npy": "'*.npy'",
    "text": "'a.txt', dtype='S200'",
    "reader": "['a.txt', 'a.txt'], reader=lambda path: np.fromfile(path, 'S100')",
}


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_a_load_that_shm_has_no_room_for_goes_elsewhere_and_says_so(small_shm, big, form):
    printed = small_shm(
        f"os.chdir({str(big)!r})\n"
        f"with shared_load({FORMS[form]}, progress=False) as arrays:\n"
        "    for array in arrays:\n"
        "        assert array.nbytes >= 100 * MB and len(np.unique(array[-1000:])) == 1\n"
        "        print(array.segment.backing)\n"
    )
    assert set(printed) == {"memfd"}


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_a_load_that_must_go_to_shm_is_refused_with_figures(small_shm, big, form):
    need, free, limit = small_shm(
        f"os.chdir({str(big)!r})\n"
        "try:\n"
        f"    shared_load({FORMS[form]}, progress=False, backing='shm')\n"
        "except NotEnoughMemoryError as error:\n"
        "    assert error.where == '/dev/shm' and '/dev/shm has' in str(error)\n"
        "    print(error.need, error.free, error.limit)\n"
        "gc.collect()  # the error's traceback, in a cycle with it, holds the board: one page\n"
        "assert free() == 64 * MB, 64 * MB - free()\n"
        "with shared_load('a.npy', progress=False) as (array,):\n"
        "    assert array.sum() == 97 * 100 * MB\n"
    )
    assert int(need) >= 100 * MB > int(limit) == 64 * MB >= int(free)


def test_new_arrays_go_elsewhere_when_shm_is_full(small_shm):
    printed = small_shm(
        "kept = []\n"
        "for n in range(10):\n"
        "    kept.append(share(np.full(10 * MB, n, 'u1')))\n"
        "    kept.append(shared_empty(MB, 'u1'))\n"
        "for n, array in enumerate(kept[::2]):\n"
        "    assert (array == n).all()\n"
        "fill()\n"
        "kept.append(share([1]))\n"
        "print(*[array.segment.backing for array in kept])\n"
    )
    # 5 of 11 MB each, with their headers; then only the small ones find room.
    assert printed[:10] == ["shm"] * 10
    assert printed[10::2] == ["memfd"] * 6
    assert printed[-1] == "memfd"


@pytest.mark.parametrize("call", ["share(np.ones(MB))", "shared_empty((1, MB))"])
def test_a_new_array_that_must_go_to_shm_is_refused_with_figures(small_shm, call):
    assert small_shm(
        f"{call[:-1]}, backing='shm').close()\n"
        "fill()\n"
        "try:\n"
        f"    {call[:-1]}, backing='shm')\n"
        "except NotEnoughMemoryError as error:\n"
        "    print(error.need, error.free, error.limit, error.where)\n"
    ) == [str(8 * MB + mmap.PAGESIZE), "0", str(64 * MB), "/dev/shm"]


def test_shm_that_fills_up_after_it_was_chosen_is_an_error_and_no_crash(small_shm):
    small_shm(
        "from shmkit.segments.segment import Segment\n"
        "from shmkit.segments.writer import SegmentWriter\n"
        "from shmkit.segments.backing import choose_backing\n"
        "segment = Segment.create(choose_backing('shm', 30 * MB))\n"
        "fill()\n"
        "try:\n"
        "    with SegmentWriter(segment) as writer:\n"
        "        writer.allocate(np.dtype('u1'), (30 * MB,))\n"
        "except NotEnoughMemoryError as error:\n"
        "    assert (error.free, error.limit, error.where) == (0, 64 * MB, '/dev/shm')\n"
        "else:\n"
        "    raise AssertionError('there is no room')\n"
    )


@pytest.mark.slow
@pytest.mark.parametrize("form", ["npy", "text"])
def test_shm_that_fills_up_in_mid_load_is_left_for_elsewhere(small_shm, form, tmp_path):
    for n in range(3):
        if form == "npy":
            np.save(tmp_path / f"{n}.npy", np.full(10 * MB, n, "u1"))
        else:
            (tmp_path / f"{n}.txt").write_bytes(b"%d %099d\n" % (n, n) * (MB // 10))
    options = "{}" if form == "npy" else "{'dtype': 'u1,S99'}"
    # The first look at the board is taken when the first file has been given to the loader.
    printed = small_shm(
        "from shmkit.loading.files.inputs import inputs\n"
        "from shmkit.loading.load import load\n"
        "from shmkit._monitor import NoMonitor\n"
        "class Filler(NoMonitor):\n"
        "    def update(self, board):\n"
        "        if board.files[-1].segment is not None:\n"
        "            fill()\n"
        "import glob\n"
        "files = {path: os.path.abspath(path) for path in sorted(glob.glob('[0-9].*'))}\n"
        "with inputs(files, None, 'auto', skip_failed=False) as found:\n"
        f"    arrays = load(found, reader=None, options={options}, processes=1,\n"
        "        backing='auto', skip_failed=False, monitor=Filler())\n"
        "for number, array in enumerate(arrays):\n"
        "    array = array if array.dtype.names is None else array['f0']\n"
        "    assert (array == number).all()\n"
        "    print(array.segment.backing)\n"
    )
    assert "memfd" in printed  # the first may have had room still, or the second its room


def test_a_reader_that_fills_shm_itself_does_not_crash_the_load(small_shm, tmp_path):
    np.save(tmp_path / "x.npy", np.ones(3))
    assert small_shm(
        "def read(path):\n"
        "    fill()\n"
        "    return np.full(20 * MB, 7, 'u1')\n"
        "with shared_load('x.npy', reader=read, progress=False) as (array,):\n"
        "    assert (array == 7).all()\n"
        "    print(array.segment.backing)\n"
        "try:\n"
        "    shared_load('x.npy', reader=read, progress=False, backing='shm')\n"
        "except NotEnoughMemoryError as error:\n"
        "    print(error.where)\n"
    ) == ["memfd", "/dev/shm"]


def test_room_comes_back_when_the_last_view_is_gone(small_shm, tmp_path):
    np.save(tmp_path / "x.npy", np.arange(5 * MB))  # 40 MB
    small_shm(
        "for _ in range(3):\n"
        "    arrays = shared_load('x.npy', progress=False, backing='shm')\n"
        "    assert free() < 24 * MB\n"
        "    part = memoryview(arrays[0][7:])[1:]\n"
        "    arrays.close()\n"
        "    assert free() < 24 * MB and part[0] == 8\n"
        "    del part\n"
        "    assert free() == 64 * MB\n"
        "array = shared_empty(5 * MB, backing='shm')\n"
        "array.close()\n"
        "assert free() < 24 * MB\n"
        "del array\n"
        "assert free() == 64 * MB\n"
    )


UNUSABLE = {
    "read-only": "mount -t tmpfs -o ro tmpfs /dev/shm",
    "no inodes": "mount -t tmpfs -o size=64m,nr_inodes=1 tmpfs /dev/shm",
    "few inodes": "mount -t tmpfs -o size=64m,nr_inodes=8 tmpfs /dev/shm",
    "not there": "mount -t tmpfs tmpfs /dev",
}


@pytest.mark.slow
@pytest.mark.parametrize("shm", UNUSABLE)
def test_where_shm_cannot_be_used_arrays_go_elsewhere(with_mount, tmp_path, shm):
    for n in range(12):
        np.save(tmp_path / f"{n:02}.npy", np.full(10, n))
    code = """
from shmkit import SegmentError
kept = [share([n]) for n in range(12)]
assert [array.tolist() for array in kept] == [[n] for n in range(12)]
arrays = shared_load("*.npy", progress=False)
assert [array[3] for array in arrays] == list(range(12))
print(kept[-1].segment.backing, arrays[-1].segment.backing)
for call in (lambda: share([1], backing="shm"), lambda: kept[-1].publish("x")):
    try:
        call()
    except (SegmentError, ValueError) as error:
        print(error)
"""
    mount = UNUSABLE[shm]
    if shm == "not there":
        mount = f"mkdir null && touch null/null && mount --bind /dev/null null/null && {mount} && "
        mount += "touch /dev/null && mount --bind null/null /dev/null"
    printed = with_mount(mount, PREAMBLE + code).splitlines()
    assert printed[0] == "memfd memfd"
    assert printed[1].startswith("/dev/shm: no segment can be made there: ")
    if shm != "not there":  # else names are published in the directory for temporary files
        assert "no name can be published here: " in printed[2]


def test_a_shm_that_this_user_may_not_write_to_is_passed_by(superuser, with_mount):
    code = """
from shmkit import share
share([0], backing=".").close()  # imports what this user may not read
os.setgroups([]); os.setgid(65534); os.setuid(65534)
print(share([1]).segment.backing)
"""
    mount = "mount -t tmpfs -o mode=755 tmpfs /dev/shm"
    assert with_mount(mount, PREAMBLE + code) == "memfd\n"


NO_PROC = """
from shmkit import SegmentError
np.save("x.npy", np.arange(5))
with share([1, 2]) as array, shared_load("x.npy", progress=False) as (loaded,):
    print(array.segment.backing, loaded.sum())
try:
    share([1], backing="memfd")
except SegmentError as error:
    print(error)
print(len(os.listdir("/dev/fd")) if os.path.exists("/dev/fd") else "")
"""


def test_without_proc_a_memfd_is_a_clear_error(with_mount):
    printed = with_mount("mount -t tmpfs tmpfs /proc", PREAMBLE + NO_PROC).splitlines()
    assert printed[0] == "shm 10"
    assert "no /proc is mounted here" in printed[1]
    assert 'backing="shm"' in printed[1]


def test_a_memfd_under_the_proc_of_another_pid_namespace_is_found(tmp_path):
    code = (
        PREAMBLE
        + """
import pickle
np.save("x.npy", np.arange(5))
array = share([1, 2], backing="memfd")
with shared_load("x.npy", progress=False, backing="memfd") as (loaded,):
    print(loaded.sum(), pickle.loads(pickle.dumps(array)).sum())
array.publish(f"outer-{os.getpid()}-{array.segment.identity[1]}")
print(shmkit.attach(f"outer-{os.getpid()}-{array.segment.identity[1]}").tolist())
print(os.getpid() == int(os.readlink("/proc/self")))
"""
    )
    done = subprocess.run(
        [tool("unshare"), "--pid", "--fork", sys.executable, "-W", "error", "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    if done.stderr.startswith("unshare:"):
        refuse(done.stderr)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == ["10 3", "[1, 2]", "False"]


@pytest.fixture
def limited(tmp_path):
    """Run a text as a script in a control group of 300 MB; gives what it printed."""
    version1 = Path("/sys/fs/cgroup/memory")
    root = version1 if version1.is_dir() else Path("/sys/fs/cgroup")
    group = root / f"shmkit-test-{uuid.uuid4().hex}"
    try:
        if root != version1 and "memory" not in (root / "cgroup.subtree_control").read_text():
            refuse("control groups below this one get no memory limit")
        group.mkdir()
    except OSError as error:
        refuse(f"no control group can be made: {error}")

    def run(text):
        setting = "memory.limit_in_bytes" if root == version1 else "memory.max"
        (group / setting).write_text(str(300 * MB))
        script = tmp_path / "script.py"
        enter = f"import os\nwith open({str(group / 'cgroup.procs')!r}, 'w') as file:\n"
        script.write_text(f"{enter}    file.write(str(os.getpid()))\n" + PREAMBLE + text)
        done = subprocess.run(
            [sys.executable, "-W", "error", script],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout.split()

    yield run
    remove(group)


def remove(group):
    """Remove the group, as soon as the guard and the loaders of the script have ended."""
    pids = map(int, (group / "cgroup.procs").read_text().split())
    assert not living(pids), "they outlive their owner"
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            group.rmdir()
        except OSError as error:
            # Until the processes are gone, and not only ended: no event tells of it.
            if error.errno != errno.EBUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return


REFUSED = """
def refused(call):
    try:
        call()
    except NotEnoughMemoryError as error:
        assert error.where == "the container's memory limit", error
        assert error.need > 300 * MB == error.limit > error.free, error
    else:
        raise AssertionError("there is no room")
    assert not [n for n in os.listdir("/dev/shm") if n.startswith(f"shmkit-{os.getpid()}-")]
"""


@pytest.mark.slow
def test_a_load_beyond_the_containers_limit_is_refused(limited, big, tmp_path):
    np.lib.format.open_memmap(tmp_path / "large.npy", "w+", "u1", (500 * MB,))  # a hole in a file
    limited(
        REFUSED + "for backing in ('auto', 'shm', 'memfd'):\n"
        "    refused(lambda: shared_load('large.npy', progress=False, backing=backing))\n"
        f"    text = {str(big / 'a.txt')!r}\n"
        "    refused(lambda: shared_load(text, dtype='U100', progress=False, backing=backing))\n"
        "    refused(lambda: shared_empty(500 * MB, 'u1', backing=backing))\n"
        "    np.save('small.npy', np.arange(10 * MB))\n"
        "    with shared_load('small.npy', progress=False, backing=backing) as (array,):\n"
        "        assert array[-1] == 10 * MB - 1\n"
    )


@pytest.mark.slow
@pytest.mark.parametrize("backing", ["shm", "memfd"])
def test_loaders_that_pass_the_containers_limit_together_do_not_end_their_owner(
    limited, tmp_path, backing
):
    for n in range(4):
        (tmp_path / f"{n}.raw").touch()
    limited(
        "def read(path):\n"  # what it makes is not known before
        "    return np.full(90 * MB, 1, 'u1')\n"
        "expected = (NotEnoughMemoryError, shmkit.LoaderDiedError)\n"
        "try:\n"
        f"    shared_load('*.raw', reader=read, processes=4, progress=False, backing={backing!r})\n"
        "except expected:\n"
        "    pass\n"
        "else:\n"
        "    raise AssertionError('there is no room')\n"
        "with shared_load('*.raw', reader=read, processes=4, progress=False, on_error='skip',\n"
        f"        backing={backing!r}) as arrays:\n"
        "    assert arrays.failures\n"
        "    for error in arrays.failures.values():\n"
        "        assert isinstance(error, expected), error\n"
        "    assert all((array == 1).all() for array in arrays)\n"
        "del arrays\n"
        "with shared_load('0.raw', reader=read, progress=False) as (array,):\n"
        "    assert array.nbytes == 90 * MB\n"
        "assert not [n for n in os.listdir('/dev/shm') if n.startswith(f'shmkit-{os.getpid()}-')]\n"
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "load",
    [
        "shared_load('0.raw', reader=read, progress=False)",  # how much it needs shows in the end
        "shared_load('large.npy', progress=False)",
    ],
    ids=["read", "known"],
)
def test_idle_loaders_make_room(limited, tmp_path, load):
    for n in range(4):
        (tmp_path / f"{n}.raw").touch()
    np.save(tmp_path / "large.npy", np.ones(200 * MB, "u1"))
    limited(
        "import time\n"
        "def small(path):\n"
        "    time.sleep(0.3)\n"  # so that each loader gets one
        "    return np.zeros(10)\n"
        "def read(path):\n"
        "    return np.ones(100 * MB, 'u1')\n"
        "shared_load('*.raw', reader=small, processes=4, progress=False).close()\n"
        f"with {load} as (array,):\n"
        "    assert array.min() == array.max() == 1\n"
    )


def test_too_little_room_is_an_error_before_anything_is_made(backing):
    with pytest.raises(NotEnoughMemoryError) as caught:
        choose_backing(backing, 1 << 60)
    assert caught.value.need == 1 << 60
    assert isinstance(caught.value, MemoryError)
    assert 0 < caught.value.free <= caught.value.limit


def test_auto_takes_shared_memory():
    assert choose_backing("auto", 1000).kind == "shm"


def test_a_backing_that_is_none_is_an_error():
    with pytest.raises(ValueError, match='neither "auto", "shm", "memfd" nor a directory'):
        choose_backing("shmem", 0)
