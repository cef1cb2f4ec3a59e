"""Attaching from another process, and everything at a path that is not a segment."""

import os
import pathlib
import pickle
import signal
import socket
import stat
import subprocess
import sys
import threading
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from machine import tool
from processes import Owner, left_of

from shmkit import SegmentError, SegmentExistsError, SegmentGoneError, attach, share
from shmkit.cleanup.orphans import remove_orphans
from shmkit.cleanup.owner import lock_path, this_process
from shmkit.cleanup.published import published_names
from shmkit.segments import segment
from shmkit.segments.header import header_bytes

NAME = f"test-{os.getpid()}"  # names are the user's, so other runs of the suite see them
RECORDS = np.array([(b"chr1", 7, [1, 2])], [("chr", "S5"), ("größe", ">i4"), ("pct", "f4", 2)])


# Owns a segment of 0..9, published, until its stdin ends.
OWNER = """
import sys, shmkit
array = shmkit.share(range(10), backing=sys.argv[1])
array.publish(sys.argv[2])
print(array.segment.path, flush=True)
sys.stdin.read()
"""


def links():
    return [name for name in os.listdir("/dev/shm") if name.startswith("shmkit.") and NAME in name]


@pytest.fixture(autouse=True)
def no_names_left():
    before = links()
    yield
    assert links() == before


def image(descr, shape, *, fortran_order=False):
    """A segment's first bytes with any header: a text for what is not a Python value."""
    fields = {"descr": descr, "fortran_order": fortran_order, "shape": shape}
    text = "{" + ", ".join(f"{key!r}: {value}" for key, value in fields.items()) + "}"
    encoded = text.encode()
    return b"\x93NUMPY\x03\x00" + len(encoded).to_bytes(4, "little") + encoded


def planted(folder, content):
    """The path of a file that has the name of a segment of ours."""
    path = folder / f"shmkit-{this_process()}-1000000.npy"
    path.write_bytes(content)
    return str(path)


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


def test_a_name_leads_to_one_segment(run_script):
    with share([1]) as array, share([2]) as other:
        array.publish(NAME)
        array.publish(NAME)
        with pytest.raises(SegmentExistsError, match=f"published as '{NAME}'") as caught:
            other.publish(NAME)
        assert caught.value.path == array.segment.path
        done = run_script(
            "import shmkit\n"
            "try:\n"
            f"    shmkit.share([3]).publish({NAME!r})\n"
            "except shmkit.SegmentExistsError as error:\n"
            "    print(error.path)\n"
        )
        assert done.stdout.strip() == array.segment.path
        other.publish(f"{NAME}-2")
        other.publish(f"{NAME}-3")
        assert sorted(published_names()[other.segment.path]) == [f"{NAME}-2", f"{NAME}-3"]
        assert attach(NAME).tolist() == [1]
        assert attach(f"{NAME}-3").tolist() == [2]


def test_a_name_ends_with_its_segment(backing):
    array = share([1], backing=backing)
    array.publish(NAME)
    array.close()
    with pytest.raises(SegmentGoneError, match="no segment is published under this name"):
        attach(NAME)
    last = share([2], backing=backing)
    last.publish(NAME)
    last = memoryview(last)
    assert attach(NAME).tolist() == [2]
    del last
    assert links() == []


@pytest.mark.parametrize(
    "name", ["", ".hidden", "-x", "a b", "größe", "x\n", "a\0b", "x" * 101, "*", ".."]
)
def test_a_name_that_is_none_is_refused(name):
    with share([1]) as array, pytest.raises(ValueError, match="is no name to publish"):
        array.publish(name)
    with pytest.raises(ValueError, match="is no name to publish"):
        attach(name)


def test_only_the_whole_array_is_published():
    with share(np.zeros((4, 6))) as array:
        for part in (
            array[1:],
            array[::2],
            array.T,
            array.reshape(-1),
            np.array(array, subok=True),
        ):
            with pytest.raises(ValueError, match="only the whole array"):
                part.publish(NAME)
        array.flags.writeable = False
        array[:].publish(NAME)
        assert attach(NAME).shape == (4, 6)


def test_only_the_owner_publishes_and_only_while_it_is_linked(run_script):
    with share([1]) as array:
        done = run_script(
            "import shmkit\n"
            "try:\n"
            f"    shmkit.attach({array.segment.path!r}).publish({NAME!r})\n"
            "except shmkit.SegmentError as error:\n"
            "    print(error.path)\n"
        )
        assert done.stdout.strip() == array.segment.path
    with pytest.raises(SegmentError, match="a segment that is linked"):
        array.publish(NAME)


def test_another_users_name_is_not_followed(superuser):
    link = f"/dev/shm/shmkit.{os.geteuid()}.{NAME}"
    with share([1]) as array, share([2]) as mine:
        os.symlink(array.segment.path, link)
        try:
            os.lchown(link, 65534, 65534)
            with pytest.raises(SegmentGoneError):
                attach(NAME)
            with pytest.raises(SegmentExistsError, match="is another user's"):
                mine.publish(NAME)
            assert os.readlink(link) == array.segment.path
        finally:
            os.unlink(link)


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


@pytest.mark.parametrize(
    ("descr", "shape"),
    [
        ("'<f8'", (1 << 62,)),
        ("'<f8'", (1 << 64, 0)),
        ("'<f8'", (1 << 62, 0)),
        ("'<f8'", (1 << 32, 1 << 32, 0)),
        ("'<f8'", (-1,)),
        ("'<f8'", (-1, -1)),
        ("'<f8'", (1,) * 65),
        ("('<f8', (1,))", (1,) * 64),
        ("'<f8'", "(1e999,)"),
        ("'<f8'", "(1j,)"),
        ("'<f8'", "(0x" + "f" * 10_000 + ",)"),
        ("'<f8'", "3"),
        ("'<f8'", "(1 << 2,)"),
        ("'S0'", (1 << 64,)),
        ("'V0'", (1 << 40, 1 << 40)),
        ("'V2147483647'", (1,)),
        ("'|O'", (1,)),
        ("[('a', [('b', 'O')])]", (1,)),
        ("'i4,O'", (1,)),
        ("'T'", (1,)),  # numpy's StringDType: its items are addresses
        ("()", (1,)),
        ("('<f8',)", (1,)),
        ("[]", (1 << 63,)),
        ("[('a',)]", (1,)),
        ("[('a', '<f8'), ('a', '<f8')]", (1,)),
        ("[(1, '<f8')]", (1,)),
        ("[('a', '<f8', (99999999999,))]", (1,)),
        ("{'names': ['a', 'b'], 'formats': ['O', 'f8'], 'offsets': [0, 0]}", (1,)),
        ("None", (1,)),
        ("'größe'", (1,)),
        ("(" * 150 + "'<f8'" + ",)" * 150, (1,)),
        ("[" * 100_000, (1,)),
        ("-" * 100_000 + "1", (1,)),
        ("1" + "+1j" * 100_000, (1,)),
        ("open('ran', 'w')", (1,)),
        ("'<f8'", "(__import__('os').mkdir('ran'),)"),
        ("'<f8'", "[*map(open, ['ran'])]"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_hostile_header_is_refused_and_runs_nothing(tmp_path, monkeypatch, descr, shape):
    monkeypatch.chdir(tmp_path)
    path = planted(tmp_path, image(descr, shape) + bytes(256))
    with pytest.raises(SegmentError, match="is not a segment, or is damaged"):
        attach(path)
    assert os.listdir(tmp_path) == [os.path.basename(path)]


class Opens:
    """Makes a file when it is unpickled."""

    def __reduce__(self):
        return open, ("ran", "w")


def test_a_pickle_is_not_loaded(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = planted(tmp_path, b"")
    with open(path, "wb") as file:
        np.save(file, np.array([Opens()], dtype=object))
    with pytest.raises(SegmentError, match="Python objects"):
        attach(path)
    pathlib.Path(path).write_bytes(pickle.dumps(Opens()))
    with pytest.raises(SegmentError, match="is not a segment"):
        attach(path)
    assert os.listdir(tmp_path) == [os.path.basename(path)]


def test_a_segment_that_was_cut_short_is_refused(tmp_path):
    with share(np.arange(5.0), backing=tmp_path) as array:
        whole = pathlib.Path(array.segment.path).read_bytes()
    for length in range(len(whole)):
        path = planted(tmp_path, whole[:length])
        with pytest.raises(SegmentError, match="is not a segment, or is damaged"):
            attach(path)
    assert attach(planted(tmp_path, whole)).tolist() == list(range(5))


@pytest.mark.parametrize(
    "content",
    [
        b"not a segment",
        b"\x93NUMPY\x09\x00" + b" " * 100,  # a version that there is not
        b"\x93NUMPY\x02\x00" + b"\xff\xff\xff\xff" + b"[" * 500,  # longer than the file
        b"\x93NUMPY\x01\x00\x26\x00{'descr': '<f8', 'shape': (1,)}".ljust(48) + bytes(64),
    ],
    ids=["text", "version", "length", "missing key"],
)
def test_what_has_only_the_name_of_a_segment_is_refused(tmp_path, content):
    with pytest.raises(SegmentError, match="is not a segment"):
        attach(planted(tmp_path, content))


def mutations():
    """The images of arrays with some bytes of their header written over, left out, or put in."""
    arrays = [RECORDS, np.arange(6, dtype=">i2").reshape(2, 3).T, np.array("ab"), np.ones((2, 0))]
    tokens = [b"0", b"-", b"9" * 19, b"(", b"[", b"'", b",", b":", b"O", b"\xff", b"1e999", b"None"]

    def mutate(array, edits):
        header = bytearray(header_bytes(array.dtype, array.shape, array.flags.f_contiguous))
        for place, removed, put in edits:
            start = place % len(header)
            header[start : start + removed] = put
        return bytes(header) + array.tobytes("A")

    edit = st.tuples(
        st.integers(0, 200),
        st.integers(0, 3),
        st.one_of(st.sampled_from(tokens), st.binary(max_size=3)),
    )
    return st.builds(mutate, st.sampled_from(arrays), st.lists(edit, min_size=1, max_size=4))


@settings(max_examples=300)
@given(content=mutations())
def test_a_damaged_header_is_refused_or_lies_within_the_file(tmp_path, content):
    path = planted(tmp_path, content)
    try:
        with warnings.catch_warnings():
            # numpy's and Python's, about what the damaged text happens to say.
            warnings.simplefilter("ignore")
            array = attach(path)
    except SegmentError:
        return
    assert array.segment.nbytes <= len(content)
    assert not array.dtype.hasobject
    assert len(array.tobytes()) == array.nbytes


def test_a_stale_name_is_taken_over_by_one_of_those_who_want_it():
    arrays = [share([number]) for number in range(8)]
    barrier = threading.Barrier(len(arrays))
    taken = []

    def publish(array, name):
        barrier.wait()
        try:
            array.publish(name)
        except SegmentExistsError:
            return
        taken.append((name, array.segment.path))

    for turn in range(20):
        name = f"race-{os.getpid()}-{turn}"
        dead = this_process()._replace(token=os.urandom(8).hex())
        pathlib.Path(lock_path("/dev/shm", dead)).touch()
        pathlib.Path(f"/dev/shm/shmkit-{dead}-0.npy").touch()
        os.symlink(f"/dev/shm/shmkit-{dead}-0.npy", f"/dev/shm/shmkit.{os.geteuid()}.{name}")
        threads = [threading.Thread(target=publish, args=(array, name)) for array in arrays]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [path for found, path in taken if found == name] == [attach(name).segment.path]
    remove_orphans(["/dev/shm"])


def test_a_forked_child_does_not_publish_what_is_its_parents(run_script):
    done = run_script(
        "import os, shmkit\n"
        "array = shmkit.share([1])\n"
        "if os.fork() == 0:\n"
        "    try:\n"
        "        array.publish('x')\n"
        "    except shmkit.SegmentError:\n"
        "        os._exit(7)\n"
        "    os._exit(0)\n"
        "print(os.waitstatus_to_exitcode(os.wait()[1]))\n"
    )
    assert (done.stdout, done.stderr) == ("7\n", "")


def test_names_that_were_planted_by_the_thousand_cost_nothing(tmp_path):
    """They gave a RecursionError; but a new name cannot be known before."""
    first = share([1], backing=tmp_path).segment.path
    for number in range(2000):
        (tmp_path / f"shmkit-{this_process()}-{number}.npy").touch()
    array = share([1, 2], backing=tmp_path)
    stems = {path.rpartition("-")[2] for path in (first, array.segment.path)}
    assert len(stems) == 2
    assert all(len(stem) == len(f"{0:016}.npy") for stem in stems)


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
