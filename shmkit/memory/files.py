"""The name of a segment: made, opened and unlinked, so that an interrupt leaves none behind.

    begin ──▶ os.open, then an owner ──▶ done          what an interrupt leaves between the two,
    begin ──▶ os.unlink ───────────────▶ done          finish_interrupted unlinks

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
    "begin",
    "done",
    "finish_interrupted",
    "gone",
    "identity_of",
    "open_path",
    "unlink",
]

Identity = tuple[int, int]  # of a file: device and inode

# Paths that are being made or unlinked, and by which thread.
_halfway: dict[str, int] = {}


def begin(path: str) -> None:
    """Note that this thread makes or unlinks the name."""
    _halfway[path] = threading.get_ident()


def done(path: str) -> None:
    """Note that it has an owner, or is gone."""
    _halfway.pop(path, None)


def finish_interrupted() -> None:
    """Unlink what an interrupt of this thread left between its name and its owner."""
    for path, thread in list(_halfway.items()):
        if thread == threading.get_ident():
            with suppress(OSError):
                os.unlink(path)
            done(path)


def identity_of(status: os.stat_result) -> Identity:
    """What tells a file from any other."""
    return status.st_dev, status.st_ino


def open_path(path: str) -> tuple[BinaryIO, Identity]:
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


def unlink(path: str, identity: Identity, links: list[str], creator: int, fd: int | None) -> None:
    """Remove the name, and those it is published under; or close a memfd's descriptor."""
    if os.getpid() != creator:  # a forked child: the segment is its parent's
        return
    _published.withdraw(links, path)
    if fd is not None:
        os.close(fd)
        return
    begin(path)
    with suppress(FileNotFoundError):
        if identity_of(os.lstat(path)) == identity:
            os.unlink(path)
    done(path)
