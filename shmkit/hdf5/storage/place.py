"""Where a file may be written, and whether somebody holds it open."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import io
import os
import stat
from collections.abc import Iterator
from typing import IO

from shmkit._descriptors import opened
from shmkit.hdf5.storage.turn import is_taken

__all__ = ["check_path", "locked", "naming", "superblock_of"]

_SIGNATURE = b"\x89HDF\r\n\x1a\n"

_ANY_WRITE = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH


def check_path(
    path: str | os.PathLike[str], mode: str = "w", *, beside_readers: bool = False
) -> str:
    """The path as a string; an `OSError` if no file can be written there, before any work is done.

    Modes are those of `shmkit.to_hdf5`. `beside_readers` says that the file may be open for
    reading. Who adds to it just now is waited for later.
    """
    text = os.path.expanduser(os.fsdecode(path))
    if not text:
        raise ValueError("the path is empty")
    exists = os.path.exists(text)
    if os.path.isdir(text):
        raise IsADirectoryError(errno.EISDIR, "is a directory; give the path of a file in it", text)
    if exists and not os.path.isfile(text):  # a FIFO would block, /dev/null be replaced
        raise OSError(errno.EINVAL, "is a device or pipe; give the path of a file", text)
    directory = os.path.dirname(os.path.realpath(text))
    if not os.path.isdir(directory):
        raise FileNotFoundError(
            errno.ENOENT, f"there is no directory {directory!r}; make it first", text
        )
    if exists and mode == "x":
        raise FileExistsError(errno.EEXIST, 'is there already; mode="w" replaces it', text)
    places = [text] if exists else []
    if mode != "a" or beside_readers or not exists:  # a new file is made in it
        places.insert(0, directory)
    for place in places:
        # Root may write everything; but a file that nobody may write to is to stay as it is.
        sealed = place == text and not os.stat(place).st_mode & _ANY_WRITE
        if sealed or not os.access(place, os.W_OK):
            reason = f"cannot be written: {place!r} is read-only here"
            raise PermissionError(errno.EACCES, reason, text)
    if exists and not (mode == "a" and is_taken(text)):
        kind = fcntl.LOCK_EX if mode == "a" and not beside_readers else fcntl.LOCK_SH
        access = os.O_RDWR if mode == "a" else os.O_RDONLY
        with opened(os.open, text, access | os.O_CLOEXEC) as file, locked(file, text, kind):
            pass
    return text


@contextlib.contextmanager
def locked(file: IO[bytes] | io.FileIO, path: str, kind: int) -> Iterator[None]:
    """Lock a file as HDF5 does; an error if somebody holds it open who minds."""
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        how = "" if kind == fcntl.LOCK_EX else " for writing"
        reason = f"is open{how}, here or in another process; close it there first"
        raise BlockingIOError(errno.EWOULDBLOCK, reason, path) from None
    except OSError:  # no locks in this file system
        pass
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            fcntl.flock(
                file, fcntl.LOCK_UN
            )  # closing it does not unlock while a forked child has it


@contextlib.contextmanager
def naming(path: str) -> Iterator[None]:
    """Have an error say which file cannot be written."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, f"cannot be written: {error.strerror}", path) from None


def superblock_of(file: int) -> tuple[int, bytes] | None:
    """Where an HDF5 file begins, behind a user block perhaps, and how; None if it is no such file.

    See "Disk Format: Level 0A", HDF5 File Format Specification 3.0.
    """
    place = 0
    while found := os.pread(file, 64, place):
        if found.startswith(_SIGNATURE):
            return place, found.ljust(64, b"\0")
        place = max(2 * place, 512)
    return None
