"""One after another: processes that add to the same file wait for their turn.

    this process     take the turn ─────── add ─────── rename ── give it back
    another          take the turn … waits, asks again …             └──▶ add

The turn is a lock of the file itself (an open file description's lock, fcntl_locking(2)), which the
kernel drops when its process ends. HDF5 does not know it (it uses flock), so readers open the file
meanwhile. As the file is another one after the rename, who got the turn looks whether it is still
that of the path, and else asks again. Where there is no file yet, its directory is locked.

What does not work: flock on the file, which shuts readers out; a lock file beside it, which stays
after a kill; POSIX's own locks, which are lost when the process closes any descriptor of the file.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import struct
import time
from collections.abc import Iterator

from shmkit._descriptors import directory, opened
from shmkit._interrupts import uninterrupted

__all__ = ["is_taken", "turn"]

_WAIT = 0.02  # seconds between two questions
_BUSY = (errno.EAGAIN, errno.EACCES)


@contextlib.contextmanager
def turn(path: str, timeout: float) -> Iterator[None]:
    """Have the turn to add to a file; raises BlockingIOError if it takes longer than the timeout.

    The error says which process has it, where the system tells.
    """
    deadline = time.monotonic() + timeout
    while True:
        with _opened(path) as file:
            if _take(file) and _is_of(file, path):
                yield
                return
            if time.monotonic() > deadline:
                raise BlockingIOError(
                    errno.EWOULDBLOCK,
                    f"is being added to{_holder(file)} for longer than timeout={timeout:g} s",
                    path,
                )
        time.sleep(_WAIT)


def is_taken(path: str) -> bool:
    """Whether somebody has the turn for a file."""

    def asked() -> bool:
        with _opened(path) as file:
            return not _take(file)

    return uninterrupted(asked)


@contextlib.contextmanager
def _opened(path: str) -> Iterator[int]:
    """The file, or where there is none the directory that it is to be made in."""
    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(opened(os.open, path, os.O_RDWR | os.O_CLOEXEC)).fileno()
        except FileNotFoundError:
            file = stack.enter_context(directory(os.path.dirname(os.path.realpath(path))))
        yield file


def _take(file: int) -> bool:
    is_directory = os.path.isdir(f"/proc/self/fd/{file}")
    try:
        if is_directory:  # which cannot be open for writing, as the other lock wants
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        else:
            lock = struct.pack("hhqqi", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
            fcntl.fcntl(file, fcntl.F_OFD_SETLK, lock)
    except OSError as error:
        return error.errno not in _BUSY  # no locks in this file system: then nobody has one
    return True


def _is_of(file: int, path: str) -> bool:
    """Whether the file has the path still, or it is a directory and there is no such file still."""
    status = os.fstat(file)
    try:
        now = os.stat(path)
    except FileNotFoundError:
        return os.path.isdir(f"/proc/self/fd/{file}")
    return (status.st_dev, status.st_ino) == (now.st_dev, now.st_ino)


def _holder(file: int) -> str:
    """Which process has the lock, as ``/proc`` shows it."""
    inode = f":{os.fstat(file).st_ino} "
    for pid in filter(str.isdecimal, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            for number in os.listdir(f"/proc/{pid}/fdinfo"):
                with open(f"/proc/{pid}/fdinfo/{number}", encoding="utf-8") as info:
                    held = any(x.startswith("lock:") and inode in x for x in info)
                if held:
                    with open(f"/proc/{pid}/comm", encoding="utf-8") as comm:
                        return f" by the process {pid} ({comm.read().strip()})"
    return ""
