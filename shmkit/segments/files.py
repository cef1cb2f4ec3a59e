"""The name of a segment: made, opened and removed, so that an interrupt leaves none behind.

    create   mark_unfinished ──▶ os.open ──▶ Segment with its finalizer ──▶ mark_finished
    unlink   mark_unfinished ──▶ finalizer ──▶ os.unlink ─────────────────▶ mark_finished
                    │                    ✕ KeyboardInterrupt
                    ▼
             _unfinished: path ──▶ thread ──▶ finish_interrupted unlinks what is noted there

What happens when a user interrupts the kernel while a name is made:

1. Python raises KeyboardInterrupt in the main thread, between any two bytecodes. The file may be
   there already, while the segment that will unlink it is not.
2. So `mark_unfinished` notes the path before the file is made, and `mark_finished` removes the note
   when the segment with its finalizer exists. Wherever the interrupt comes, the file is without an
   owner only while its path is noted.
3. To unlink is noted too. A `weakref.finalize` counts as run before it calls its function: an
   interrupt between the two leaves the file, and no later call removes it.
4. `finish_interrupted` unlinks the files whose paths are still noted. A load calls it when it
   fails, which an interrupt makes it do, and before it begins, for what was interrupted outside of
   a load, in `share` or `close`. It leaves the paths of other threads alone: they are at work.
5. If the process is killed instead, the guard unlinks by name all that the process owned (guard).

What does not work:

- ``try: fd = os.open(...)`` with a ``finally``: the interrupt may come when the file is made but
  ``try`` is not entered, or its result not stored; and a ``finally`` block can be interrupted too.
- To hold the signal back while the file is made: only the main thread may set a handler, and the
  handler is not ours to replace; it is the kernel's or the user's.
- To make the finalizer before the file: the identity is known only when the file is there. Without
  it the finalizer would unlink whatever somebody else has put at the path.

A memfd has no name, and ends with its descriptor, which no interrupt loses (`_descriptors`).

A path may lead to another file later, above all that of a memfd, whose number is used again. So a
segment is known by its path and its identity, and what has the path but not the identity is left
alone.
"""

from __future__ import annotations

import errno
import io
import os
import stat
import threading
from contextlib import suppress

from shmkit._descriptors import opened
from shmkit.cleanup import published as _published
from shmkit.cleanup.owner import owner_of
from shmkit.errors import SegmentError, SegmentGoneError

__all__ = [
    "Identity",
    "create_file",
    "finish_interrupted",
    "gone",
    "identity_at",
    "identity_of",
    "link_file",
    "mark_finished",
    "mark_unfinished",
    "open_file",
    "remove",
]

_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
Identity = tuple[int, int]  # of a file: device and inode

# The paths of files that are being made or unlinked, and the thread that does it.
_unfinished: dict[str, int] = {}


def mark_unfinished(path: str) -> None:
    """Note that this thread begins to make or to unlink the file at this path."""
    _unfinished[path] = threading.get_ident()


def mark_finished(path: str) -> None:
    """Note that the file has an owner now, or is gone."""
    _unfinished.pop(path, None)


def finish_interrupted() -> None:
    """Unlink the files that an interrupt of this thread left without an owner."""
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
        file = opened(os.open, path, _NEW, 0o600)
    except OSError:
        mark_finished(path)
        raise
    with file:
        return identity_of(os.fstat(file.fileno()))


def link_file(path: str, name: str) -> Identity:
    """Give a file a second name, unfinished as in `create_file`; the identity of what has it now.

    Raises
    ------
    SegmentGoneError
        If nothing is at the path (any more).
    SegmentError
        If no link can be made there.
    """
    mark_unfinished(name)
    try:
        os.link(path, name, follow_symlinks=False)
        return identity_of(os.lstat(name))
    except FileNotFoundError:
        mark_finished(name)
        raise gone(path) from None
    except OSError as error:
        mark_finished(name)
        raise SegmentError(path, f"cannot be co-owned: no hard link: {error.strerror}") from None


def identity_at(path: str, *, any_user: bool = False) -> Identity:
    """The identity of the file at the path of a segment; raises as `open_file`.

    Also raises SegmentError for what other users may change, unless `any_user` is true.
    """
    try:
        status = os.stat(path, follow_symlinks=path.startswith("/proc/"))
    except FileNotFoundError:
        raise gone(path) from None
    except OSError as error:
        raise SegmentError(path, f"cannot be opened as a segment: {error.strerror}") from error
    if stat.S_ISREG(status.st_mode) and not any_user:
        _check_private(path, status)
    return identity_of(status)


def _check_private(path: str, status: os.stat_result) -> None:
    """Raise SegmentError for a file that other users may change."""
    danger = "could cut it short and so end this process; any_user=True attaches it all the same"
    if status.st_uid != os.geteuid():
        raise SegmentError(path, f"belongs to another user (uid {status.st_uid}), who {danger}")
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        mode = stat.filemode(status.st_mode)
        raise SegmentError(path, f"may be written by other users ({mode}), who {danger}")


def identity_of(status: os.stat_result) -> Identity:
    """What tells a file from every other one that exists."""
    return status.st_dev, status.st_ino


def open_file(path: str, *, writable: bool = True) -> tuple[io.FileIO, Identity]:
    """The file at the path of a segment, open for reading and writing, and its identity.

    If it is not to be `writable`, for reading only.

    Raises
    ------
    SegmentGoneError
        If nothing is there (any more).
    SegmentError
        If it may not be opened, or is no regular file.
    """
    # A /proc/<pid>/fd/<n> is a link by nature; anywhere else a link is not ours.
    follow = 0 if path.startswith("/proc/") else os.O_NOFOLLOW
    try:
        # Not to wait for the writer of a FIFO.
        access = os.O_RDWR if writable else os.O_RDONLY | os.O_NONBLOCK
        file = opened(os.open, path, access | os.O_CLOEXEC | follow)
    except FileNotFoundError:
        raise gone(path) from None
    except OSError as error:
        if not follow and error.errno in (errno.ENXIO, errno.EISDIR):
            raise gone(path) from None
        raise SegmentError(path, f"cannot be opened as a segment: {error.strerror}") from error
    status = os.fstat(file.fileno())
    if not stat.S_ISREG(status.st_mode):
        file.close()
        if not follow:  # the descriptor of a memfd, used again for something else
            raise gone(path)
        raise SegmentError(path, "is not a segment: not a regular file")
    return file, identity_of(status)


def gone(path: str) -> SegmentGoneError:
    """The error for a segment that is not there any more: it says what has happened to it."""
    if _owner_has_ended(path):
        reason = (
            "the process that made this array has ended, and its memory is gone; another session "
            "needs the data: save numpy.array(a), not a reference to it"
        )
    else:
        reason = (
            "this segment is gone: its arrays were closed, or no variable held them any more; "
            "hold the arrays, and keep the with block open, until the workers have finished"
        )
    return SegmentGoneError(path, reason)


def _owner_has_ended(path: str) -> bool:
    """Whether the owner of a segment that is gone is, too: as far as a pid tells, for a message."""
    if path.startswith("/proc/"):  # of a memfd nothing is left that has its owner's name
        return not os.path.exists(os.path.dirname(path))
    owner = owner_of(path)
    return owner is not None and not (owner.of_this_boot and os.path.exists(f"/proc/{owner.pid}"))


def remove(
    path: str, identity: Identity, links: list[str], creator: int, memfd: io.FileIO | None
) -> None:
    """Remove the name of a segment, or close the descriptor of a memfd; what its finalizer calls.

    Parameters
    ----------
    path, identity
        Of the segment. What has the path by now but is another file stays.
    links
        The names that it is published under, which are removed as well.
    creator
        The process that created it; in a child that this process forked nothing is removed.
    memfd
        Of a memfd, which has no name; else None.
    """
    if os.getpid() != creator:  # a forked child: the segment is its parent's
        if memfd is not None:
            memfd.close()  # the child's own descriptor
        return
    _published.withdraw(links, path)
    if memfd is not None:
        memfd.close()
        return
    mark_unfinished(path)
    with suppress(FileNotFoundError):
        if identity_of(os.lstat(path)) == identity:
            os.unlink(path)
    mark_finished(path)
