"""Attaching from another process, and everything at a path that is not a segment."""

import os
import pathlib
import pickle
import signal
import socket
import stat
import subprocess
import sys

import numpy as np
import pytest
from machine import tool
from names import NAME, planted, published
from processes import Owner, left_of

from shmkit import SegmentError, SegmentGoneError, attach, share
from shmkit.cleanup.owner import this_process
from shmkit.cleanup.published import published_names
from shmkit.segments import segment

RECORDS = np.array([(b"chr1", 7, [1, 2])], [("chr", "S5"), ("größe", ">i4"), ("pct", "f4", 2)])


# Owns a segment of 0..9, published, until its stdin ends.
OWNER = """
import sys, shmkit
array = shmkit.share(range(10), backing=sys.argv[1])
array.publish(sys.argv[2])
print(array.segment.path, flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def no_names_left():
    yield
    assert published() == []


def test_another_process_finds_dtype_shape_and_values(run_script, backing, tmp_path):
    arrays = [RECORDS, np.asfortranarray(np.arange(6.0).reshape(2, 3)), np.array("größe")]
    arrays += [np.ones((0, 3)), np.array(["2020-01-01"], "M8[D]"), np.arange(4, dtype=">f4")]
    shared = [share(array, backing=backing) for array in arrays]
    for number, array in enumerate(shared):
        array.publish(f"{NAME}-{number}")
    done = run_script(
        "import pickle, numpy, shmkit\n"
        "got = []\n"
        f"for path in {[array.segment.path for array in shared]!r}:\n"
        "    array = shmkit.attach(path)\n"
        f"    same = shmkit.attach(f'{NAME}-{{len(got)}}')\n"
        "    assert same.segment is array.segment and not array.segment.owned\n"
        "    got.append(numpy.array(array, order='K'))\n"
        "with open('got', 'wb') as file:\n"
        "    pickle.dump(got, file, protocol=5)\n"  # the default forgets the byte order
    )
    assert (done.stdout, done.stderr) == ("", "")
    for got, array in zip(pickle.loads((tmp_path / "got").read_bytes()), arrays, strict=True):
        assert (got.dtype, got.shape) == (array.dtype, array.shape)
        assert got.flags.f_contiguous == array.flags.f_contiguous
        assert np.array_equal(got, array)


def test_what_is_attached_is_read_only_unless_asked_otherwise(run_script):
    with share([1, 2, 3]) as array:
        done = run_script(
            "from shmkit import attach\n"
            "try:\n"
            f"    attach({array.segment.path!r})[0] = 7\n"
            "except ValueError as error:\n"
            "    print(error)\n"
            f"attach({array.segment.path!r}, writable=True)[1] = 8\n"
        )
        assert "read-only" in done.stdout
        assert array.tolist() == [1, 8, 3]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("ending", "code"),
    [
        ("pass", 0),
        ("array.close(); array.segment.unlink()", 0),
        ("os._exit(3)", 3),
        ("os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
        ("os.kill(os.getpid(), signal.SIGSEGV)", -signal.SIGSEGV),
        ("shmkit.share([1]); shmkit.attach(path).close(); os.abort()", -signal.SIGABRT),
    ],
)
def test_however_an_attacher_ends_the_owner_is_not_harmed(run_script, ending, code, backing):
    with share(np.arange(5), backing=backing) as array:
        array.publish(NAME)
        done = run_script(
            "import os, resource, signal, shmkit\n"
            "resource.setrlimit(resource.RLIMIT_CORE, (0, 0))\n"
            f"path = {array.segment.path!r}\n"
            "array = shmkit.attach(path, writable=True)\n"
            f"again = shmkit.attach({NAME!r})\n"
            "array[0] = 9\n"
            f"{ending}\n",
            check=False,
        )
        assert (done.returncode, done.stderr) == (code, "")
        assert array.segment.linked
        assert published_names()[array.segment.path] == [NAME]
        assert attach(NAME).tolist() == array.tolist() == [9, 1, 2, 3, 4]


@pytest.mark.slow
@pytest.mark.parametrize("backing", ["shm", "memfd"])
@pytest.mark.parametrize("ending", ["close", "kill"])
def test_what_was_attached_outlives_its_owner(backing, ending):
    with Owner(OWNER, backing, NAME) as owner:
        (path,) = owner.says()
        array = attach(NAME)
        assert array.segment.path == path
        if ending == "kill":
            owner.process.kill()
        else:
            owner.process.stdin.close()
        assert owner.ended() == (-signal.SIGKILL if ending == "kill" else 0)
        assert array.tolist() == list(range(10))
        assert pickle.loads(pickle.dumps(array)).tolist() == list(range(10))
        for where in (NAME, path) if ending == "close" else (NAME,):
            with pytest.raises(SegmentGoneError):
                attach(where)
        with share([1]) as other:  # the name of one that was killed is free
            other.publish(NAME)
            assert attach(NAME).tolist() == [1]
        assert left_of(owner.pid) == []
        assert owner.complaints() == ""


def test_another_user_cannot_attach(superuser, run_script, backing):
    with share([1], backing=backing) as array:
        array.publish(NAME)
        done = run_script(
            "import os\n"
            "from shmkit import SegmentError, attach\n"
            "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
            f"for where in ({array.segment.path!r}, {NAME!r}):\n"
            "    try:\n"
            "        attach(where)\n"
            "    except SegmentError as error:\n"
            "        print(error.path)\n"
        )
        assert done.stdout.split() == [array.segment.path, NAME]


def test_segments_are_made_for_the_user_alone_whatever_the_umask(backing):
    before = os.umask(0)
    try:
        array = share([1], backing=backing)
    finally:
        os.umask(before)
    assert stat.S_IMODE(os.stat(array.segment.path).st_mode) == 0o600


@pytest.mark.parametrize("kind", ["file", "link", "dangling", "directory", "fifo"])
def test_what_was_planted_under_a_new_segments_name_is_not_opened(tmp_path, kind, monkeypatch):
    names = [f"shmkit-{this_process()}-{number}" for number in (1, 2, 3)]
    next_name = iter(names).__next__  # nobody can know it
    monkeypatch.setattr(segment, "new_name", next_name)
    share([1], backing=tmp_path)
    following = str(tmp_path / f"{names[1]}.npy")
    victim = tmp_path / "victim"
    victim.write_text("precious")
    {
        "file": lambda: os.link(victim, following),
        "link": lambda: os.symlink(victim, following),
        "dangling": lambda: os.symlink(tmp_path / "nowhere", following),
        "directory": lambda: os.mkdir(following),
        "fifo": lambda: os.mkfifo(following),
    }[kind]()
    before = sorted(os.listdir(tmp_path))
    array = share([1, 2, 3], backing=tmp_path)
    assert array.segment.path == str(tmp_path / f"{names[2]}.npy")
    array.close()
    assert victim.read_text() == "precious"
    assert sorted(os.listdir(tmp_path)) == before


@pytest.mark.parametrize("kind", ["fifo", "directory", "device", "link", "socket", "loop"])
def test_what_is_no_file_is_refused(tmp_path, monkeypatch, kind, request):
    path = str(tmp_path / f"shmkit-{this_process()}-1000000.npy")
    array = share([1])
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "directory":
        os.mkdir(path)
    elif kind == "device":
        request.getfixturevalue("superuser")
        os.mknod(path, 0o600 | stat.S_IFCHR, os.makedev(1, 5))
    elif kind == "link":
        os.symlink(array.segment.path, path)
    elif kind == "socket":
        monkeypatch.chdir(tmp_path)  # the address of a socket is short
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(os.path.basename(path))
    else:
        os.symlink(os.path.basename(path), path)
    with pytest.raises(SegmentError, match=r"cannot be opened|not a regular file"):
        attach(path)


def test_another_descriptor_of_a_process_is_no_segment(tmp_path):
    np.save(tmp_path / "x.npy", np.ones(3))
    with open(tmp_path / "x.npy", "rb") as file, pytest.raises(SegmentError, match=r"numpy\.load"):
        attach(f"/proc/{os.getpid()}/fd/{file.fileno()}")
    with pytest.raises(SegmentGoneError):
        attach(f"/proc/{os.getpid()}/fd/999999")


def test_names_that_were_planted_by_the_thousand_cost_nothing(tmp_path):
    """They gave a RecursionError; but a new name cannot be known before."""
    first = share([1], backing=tmp_path).segment.path
    for number in range(2000):
        (tmp_path / f"shmkit-{this_process()}-{number}.npy").touch()
    array = share([1, 2], backing=tmp_path)
    stems = {path.rpartition("-")[2] for path in (first, array.segment.path)}
    assert len(stems) == 2
    assert all(len(stem) == len(f"{0:016}.npy") for stem in stems)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("user", "mode", "message"),
    [
        (65534, 0o600, "belongs to another user"),
        (0, 0o620, "may be written by other users"),
        (0, 0o602, "may be written by other users"),
        (65534, 0o666, "belongs to another user"),
    ],
)
def test_what_others_could_cut_short_is_attached_only_if_told(
    superuser, tmp_path, run_script, user, mode, message
):
    with share([1, 2, 3], backing=tmp_path) as array:
        path = planted(tmp_path, pathlib.Path(array.segment.path).read_bytes())
    os.chown(path, user, user)
    os.chmod(path, mode)
    done = run_script(
        "import shmkit\n"
        "try:\n"
        f"    shmkit.attach({path!r})\n"
        "except shmkit.SegmentError as error:\n"
        "    print(error)\n"
        f"print(shmkit.attach({path!r}, any_user=True).tolist())\n"
    )
    error, values = done.stdout.splitlines()
    assert message in error
    assert "any_user=True" in error
    assert values == "[1, 2, 3]"


def test_a_memfd_that_proc_does_not_show_says_so(run_script):
    """Its name is in use all the same."""
    with share([1], backing="memfd") as array:
        array.publish(NAME)
        done = subprocess.run(
            [
                *(tool("unshare"), "--pid", "--fork", "--mount-proc"),
                *(sys.executable, "-W", "error", "-c", ELSEWHERE, NAME),
            ],
            capture_output=True,
            text=True,
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert "/proc does not show it to this process" in done.stdout
        assert f"published as '{NAME}' already" in done.stdout
        assert attach(NAME).tolist() == [1]


ELSEWHERE = """
import sys, shmkit
for call in (shmkit.attach, shmkit.share([2]).publish):
    try:
        call(sys.argv[1])
    except shmkit.SegmentError as error:
        print(error)
"""


def test_closing_what_the_owner_itself_attached_closes_the_owners_array():
    array = share([1, 2, 3])
    attach(array.segment.path).close()
    with pytest.raises(SegmentGoneError):
        attach(array.segment.path)
    assert array.tolist() == [1, 2, 3]
