"""Pipes, descriptors and devices: what only the notebook's process can open is loaded too."""

import array
import bz2
import collections
import contextlib
import fcntl
import gc
import gzip
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import termios
import threading

import h5py
import numpy as np
import pytest
from bgzip import bgzip

from shmkit import LoadError, NotEnoughMemoryError, shared_load
from shmkit.commands.cli import main

ROWS = 3 << 20  # in parts
TEXT = b"".join(b"%d\t%d\n" % (n, -n) for n in range(ROWS // 8))


def npy(path):
    with path.open("wb") as file:
        np.save(file, np.arange(5))
    return path.read_bytes()


def hdf5(path):
    with h5py.File(path, "w") as file:
        file["x"], file["y"] = np.arange(5), np.arange(6.0)
    return path.read_bytes()


@contextlib.contextmanager
def pipe(content, make=os.pipe):
    """The number of a descriptor, from which this comes."""
    there, here = make()

    def write():
        with open(here, "wb") as file, contextlib.suppress(BrokenPipeError):
            file.write(content)

    writing = threading.Thread(target=write)
    writing.start()
    try:
        yield there
    finally:
        os.close(there)
        writing.join()


def socketpair():
    one, other = socket.socketpair()
    return one.detach(), other.detach()


def load(path, **options):
    return shared_load(path, progress=False, **options)


@pytest.fixture(autouse=True)
def no_descriptor_is_left():
    shared_load([os.devnull] * 2, progress=False).close()  # the loaders and the guard
    before = descriptors()
    yield
    if descriptors() != before:
        gc.collect()  # a second, of all that the tests have imported
    assert descriptors() == before


def descriptors():
    """Where they lead, but for the locks of directories and other tests' segments."""
    found = collections.Counter()
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # that of the list itself
            target = os.readlink(f"/proc/self/fd/{name}")
            if ".lock" not in target and ".npy" not in target:
                found[re.sub(r"\d+", "", target)] += 1
    return found


@pytest.mark.slow
@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress, bgzip])
@pytest.mark.parametrize("name", ["/dev/fd/{}", "/proc/self/fd/{}", "/proc/thread-self/fd/{}"])
def test_a_descriptor_that_is_a_pipe_is_read(name, pack, backing):
    content = pack(TEXT)
    with pipe(content) as fd, load(name.format(fd), backing=backing, processes=2) as arrays:
        assert arrays.keys() == [str(fd)]
        assert arrays[0].shape == (ROWS // 8, 2)
        assert (arrays[0][:, 0] == -arrays[0][:, 1]).all()
        assert arrays[0][:, 0].sum() == sum(range(ROWS // 8))


@pytest.mark.parametrize("content", [npy, hdf5])
def test_the_format_of_a_pipe_is_told_by_its_content(tmp_path, content):
    path = tmp_path / "file"
    with pipe(content(path)) as fd, load(f"/dev/fd/{fd}") as arrays:
        assert arrays[0].tolist() == [0, 1, 2, 3, 4]
        assert len(arrays) == (2 if content is hdf5 else 1)
    with pipe(path.read_bytes()) as fd:
        os.set_blocking(fd, False)  # the copy waits all the same
        with load({"in": f"/dev/fd/{fd}"}) as arrays:
            assert arrays[0].tolist() == [0, 1, 2, 3, 4]


def test_an_option_for_hdf5_is_of_use_to_a_pipe(tmp_path):
    with pipe(hdf5(tmp_path / "file")) as fd, load(f"/dev/fd/{fd}", dataset="y") as (y,):
        assert y.tolist() == list(range(6))


def test_a_fifo_is_waited_for(fifo):
    def write():
        with open(fifo, "w") as file:
            file.write("1 2\n3 4\n")

    writing = threading.Thread(target=write)
    writing.start()
    with load(fifo) as arrays:
        assert arrays["fifo"].tolist() == [[1, 2], [3, 4]]
    writing.join()


def test_a_socket_is_read():
    with pipe(b"1 2\n", socketpair) as fd, load(f"/dev/fd/{fd}") as (found,):
        assert found.tolist() == [1, 2]


def test_a_pipe_that_is_named_twice_is_read_once():
    with pipe(b"1 2\n") as fd, load([f"/dev/fd/{fd}", f"/proc/self/fd/{fd}"]) as arrays:
        assert [found.tolist() for found in arrays] == [[1, 2], [1, 2]]


def test_a_descriptor_of_a_file_is_that_file_though_it_is_deleted(tmp_path):
    path, link = tmp_path / "x.csv", tmp_path / "link"
    path.write_text("1,2\n")
    with path.open() as file:
        path.unlink()
        path.write_text("3,4\n")
        link.symlink_to(f"/dev/fd/{file.fileno()}")
        for name in (f"/dev/fd/{file.fileno()}", link):
            with load(name) as (found,):
                assert found.tolist() == [1, 2]


def test_a_file_of_proc_says_no_size_and_is_read():
    with load("/proc/uptime") as (found,):
        assert found.shape == (2,)
    with load("/proc/self/stat", dtype="U99", comments=None) as (words,):
        assert int(words[0]) == os.getpid()


def test_an_empty_pipe_is_an_empty_file():
    with pipe(b"") as fd, load(f"/dev/fd/{fd}", dtype=float) as (found,):
        assert found.size == 0


def test_an_error_names_what_the_user_named():
    with pipe(b"1 2\n3 x\n") as fd, pytest.raises(LoadError) as caught:
        load(f"/dev/fd/{fd}", dtype=float)
    assert (caught.value.path, caught.value.line) == (f"/dev/fd/{fd}", 2)
    closed = os.dup(0)
    os.close(closed)
    with pytest.raises(OSError, match=f"'/dev/fd/{closed}'"):
        load(f"/dev/fd/{closed}")


def test_a_function_gets_the_copy():
    with pipe(bytes(24)) as fd, load(f"/dev/fd/{fd}", reader=np.fromfile) as (found,):
        assert found.tolist() == [0, 0, 0]
    with pipe(b"1") as fd, pytest.raises(LoadError, match=f"^/dev/fd/{fd}: ValueError: no"):
        load(f"/dev/fd/{fd}", reader=_refuse)


def _refuse(path):
    raise ValueError("no")


def test_the_source_of_an_array_is_what_the_user_named():
    with pipe(b"1 2\n") as fd, load(f"/dev/fd/{fd}") as (found,):
        assert found.segment.source["file"] == f"/dev/fd/{fd}"


@pytest.mark.parametrize("backing", ["memfd", "directory"], indirect=True)
def test_a_copy_that_finds_no_room_is_an_error_and_leaves_nothing(backing):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, before[1]))
    try:
        with pipe(bytes(1 << 21)) as fd, pytest.raises(NotEnoughMemoryError):
            load(f"/dev/fd/{fd}", backing=backing)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_waiting_for_a_pipe_can_be_interrupted(fifo):
    heard, ended = [], threading.Event()

    def stop(*_):
        if not heard:
            heard.append(True)
            raise KeyboardInterrupt

    def interrupt():
        with open(fifo, "wb", buffering=0) as file:
            file.write(b"1 2\n")
            unread = array.array("i", [1])
            while unread[0]:
                fcntl.ioctl(file, termios.FIONREAD, unread)
                os.sched_yield()
            while not heard:  # a signal just before the system call would wait for its end
                os.kill(os.getpid(), signal.SIGINT)
                os.sched_yield()
            ended.wait()

    before = signal.signal(signal.SIGINT, stop)
    interrupting = threading.Thread(target=interrupt)
    interrupting.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            load(fifo)
    finally:
        ended.set()
        interrupting.join()
        signal.signal(signal.SIGINT, before)


LOAD = """
import sys, shmkit
for path in sys.argv[1:]:
    with shmkit.shared_load(path, progress=False) as (found,):
        print(found.tolist(), end=" ")
"""


@pytest.mark.slow
def test_standard_input_and_what_a_shell_substitutes(tmp_path):
    path = tmp_path / "x.gz"
    path.write_bytes(gzip.compress(b"1 2\n"))
    (tmp_path / "load.py").write_text(LOAD)
    python = f"{sys.executable} load.py"
    for command in (
        f"zcat x.gz | {python} /dev/stdin",
        f"cat x.gz | {python} /proc/self/fd/0",
        f"{python} /dev/stdin < x.gz",
        f"{python} <(zcat x.gz)",
    ):
        shell = [shutil.which("bash"), "-c", command]
        done = subprocess.run(shell, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert (done.stdout, done.stderr) == ("[1.0, 2.0] ", "")


def test_convert_reads_standard_input(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "shmkit", "convert", "-", "out.h5"],
        cwd=tmp_path,
        input=b"a,b\n1,2\n3,4\n",
        check=False,
        capture_output=True,
    )
    assert done.stderr == b""
    with h5py.File(tmp_path / "out.h5") as file:
        assert file["stdin"]["b"][:].tolist() == [2, 4]
        assert file["stdin"]["b"].attrs["source_file"] == "/dev/stdin"


def test_convert_leaves_out_what_is_missing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", np.arange(3))
    with pytest.raises(SystemExit):
        main(["convert", "x.npy", "nowhere.npy", "out.h5", "--skip-failed"])
    assert "left out: [Errno 2] No such file or directory" in capsys.readouterr().out
    with h5py.File("out.h5") as file:
        assert [*file] == ["x"]
