"""The name of a segment: made, opened and unlinked, so that an interrupt leaves none behind.

    mark_unfinished ──▶ os.open, then an owner ──▶ mark_finished    what an interrupt leaves
    mark_unfinished ──▶ os.unlink ───────────────▶ mark_finished    between the two,
                                                                    finish_interrupted unlinks

A path may lead to another file later, above all that of a memfd, whose number is used again. So a
segment is known by its path and its identity.
"""

from __future__ import annotations

import errno
import os
import stat
import threading
from contextlib import suppress
from typing import BinaryIO

from shmkit.cleanup import published as _published
from shmkit.errors import SegmentError, SegmentGoneError

__all__ = [
    "Identity",
    "create_file",
    "finish_interrupted",
    "gone",
    "identity_at",
    "identity_of",
    "mark_finished",
    "mark_unfinished",
    "open_file",
    "remove",
]

Identity = tuple[int, int]  # of a file: device and inode

# Paths that are being made or unlinked, and by which thread.
_unfinished: dict[str, int] = {}


def mark_unfinished(path: str) -> None:
    """Note that this thread makes or unlinks the name."""
    _unfinished[path] = threading.get_ident()


def mark_finished(path: str) -> None:
    """Note that it has an owner, or is gone."""
    _unfinished.pop(path, None)


def finish_interrupted() -> None:
    """Unlink what an interrupt of this thread left between its name and its owner."""
    for path, thread in list(_unfinished.items()):
        if thread == threading.get_ident():
            with suppress(OSError):
                os.unlink(path)
            mark_finished(path)


def create_file(path: str) -> Identity:
    """Make a new, empty file that is not finished until it has an owner; gives its identity.

    Raises
    ------
    FileExistsError
        If anything has this path: it is left alone.
    OSError
        If no file can be made there.
    """
    mark_unfinished(path)
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError:
        mark_finished(path)
        raise
    try:
        return identity_of(os.fstat(fd))
    finally:
        os.close(fd)


def identity_at(path: str) -> Identity:
    """The identity of the file at the path of a segment; raises as `open_file`."""
    try:
        return identity_of(os.stat(path, follow_symlinks=path.startswith("/proc/")))
    except FileNotFoundError:
        raise gone(path) from None
    except OSError as error:
        raise SegmentError(path, f"cannot be opened as a segment: {error.strerror}") from error


def identity_of(status: os.stat_result) -> Identity:
    """What tells a file from any other."""
    return status.st_dev, status.st_ino


def open_file(path: str) -> tuple[BinaryIO, Identity]:
    """The file at the path of a segment, and its identity; raises `SegmentGoneError`."""
    # A /proc/<pid>/fd/<n> is a link by nature; anywhere else a link is not ours.
    follow = 0 if path.startswith("/proc/") else os.O_NOFOLLOW
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | follow)
    except FileNotFoundError:
        raise gone(path) from None
    except OSError as error:
        if not follow and error.errno in (errno.ENXIO, errno.EISDIR):
            raise gone(path) from None
        raise SegmentError(path, f"cannot be opened as a segment: {error.strerror}") from error
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode):
        os.close(fd)
        if not follow:  # the descriptor of a memfd, used again for something else
            raise gone(path)
        raise SegmentError(path, "is not a segment: not a regular file")
    return os.fdopen(fd, "r+b", buffering=0), identity_of(status)


def gone(path: str) -> SegmentGoneError:
    """The error for a segment that is not there any more."""
    return SegmentGoneError(
        path,
        "this segment is gone: its arrays were closed, or the process that loaded them ended; "
        "keep the with block open until the workers have finished",
    )


def remove(path: str, identity: Identity, links: list[str], creator: int, fd: int | None) -> None:
    """Remove the name, and those it is published under; or close a memfd's descriptor."""
    if os.getpid() != creator:  # a forked child: the segment is its parent's
        return
    _published.withdraw(links, path)
    if fd is not None:
        os.close(fd)
        return
    mark_unfinished(path)
    with suppress(FileNotFoundError):
        if identity_of(os.lstat(path)) == identity:
            os.unlink(path)
    mark_finished(path)
