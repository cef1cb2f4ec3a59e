"""A segment: one array in shared memory, as one file that describes itself.

    path ──▶ ┌─────────────┬──────────────────────────────────────────────┐
             │ .npy header │ data                                         │ ◀── mapping ◀── views
             └─────────────┴──────────────────────────────────────────────┘

A segment ends in two steps. *Unlinked*: its name is gone, nobody can attach any more. *Freed*: the
last mapping is gone too and the memory is back. Every view holds the mapping (numpy#23305: views
made with ``buffer=shm.buf`` do not, and reading one after close() kills the interpreter), so
unlinking is safe at any time. The mapping's end unlinks the name, so a segment that nobody holds
any more, or whose interpreter exits, leaves nothing. Only the process that created a segment
unlinks it: not a worker that attached (cpython#82300), not a forked child.
"""

from __future__ import annotations

import errno
import itertools
import mmap
import multiprocessing
import os
import re
import stat
import weakref
from collections.abc import Mapping
from multiprocessing.util import Finalize
from typing import Any, BinaryIO

import numpy as np

from shmkit import _limits
from shmkit._backing import SHM, Backing, check_room, kind_of
from shmkit._npy import Header, header_bytes, read_header
from shmkit._owner import Owner, this_process
from shmkit.errors import NotEnoughMemoryError, SegmentError, SegmentGoneError

__all__ = ["Identity", "Mapped", "Segment", "attach", "create", "remove_orphans"]

_NAME = re.compile(r"shmkit-(\d+)-([0-9a-f]+)-([0-9a-f]+)-\d+\.npy")
_numbers = itertools.count()

Identity = tuple[int, int]  # of a file: device and inode


class Mapped(mmap.mmap):
    """The memory of a segment: the base of every view of it."""

    segment: Segment


_mapped_here: weakref.WeakValueDictionary[str, Mapped] = weakref.WeakValueDictionary()


class Segment:
    """One segment, in the process that created it or in one that attached to it.

    Attributes
    ----------
    path : str
        A file in /dev/shm, a ``/proc/<pid>/fd/<n>``, or a file in a directory of the user's.
    backing : str
        ``"shm"``, ``"memfd"`` or ``"file"``.
    owned : bool
        Whether this process created it, and so unlinks it.
    identity : tuple of int
        Device and inode: what tells it from another file that has its path later.
    source : dict
        Where the array came from: ``file`` and the reader's ``options``; empty for other arrays.
    """

    def __init__(self, path: str, backing: str, fd: int, *, owned: bool) -> None:
        self.path = path
        self.backing = backing
        self.owned = owned
        self.source: Mapping[str, Any] = {}
        self.identity = _identity(os.fstat(fd))
        self._header: Header | None = None
        self._mapped: weakref.ref[Mapped] | None = None
        if owned:
            # Runs once, at the first of: unlink(), the last view's end, the interpreter's exit.
            keep = fd if backing == "memfd" else None
            self._unlink = weakref.finalize(self, _unlink, path, self.identity, os.getpid(), keep)
            if multiprocessing.parent_process() is not None:  # whose end skips atexit
                Finalize(self, self._unlink, exitpriority=0)

    @property
    def header(self) -> Header:
        """What array is in it. Read once; a segment is of no use before its header is written."""
        if self._header is None:
            with self._open() as file:
                try:
                    self._header = read_header(file)
                except ValueError as error:
                    reason = f"is not a segment, or is damaged: {error}"
                    raise SegmentError(self.path, reason) from None
        return self._header

    @property
    def dtype(self) -> np.dtype[Any]:
        """The array's dtype."""
        return self.header.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        """The array's shape."""
        return self.header.shape

    @property
    def nbytes(self) -> int:
        """Bytes that it takes: the array's data and the header."""
        return self.header.data_offset + self.header.nbytes

    @property
    def linked(self) -> bool:
        """Whether its name still leads to it, so that other processes can attach."""
        try:
            return _identity(os.stat(self.path)) == self.identity
        except OSError:
            return False

    @property
    def mapped(self) -> bool:
        """Whether a view in this process still holds its memory."""
        return self._mapped is not None and self._mapped() is not None

    def map(self) -> Mapped:
        """Its memory in this process; the same object as long as a view holds it."""
        mapped = self._mapped() if self._mapped is not None else None
        if mapped is None:
            with self._open() as file:
                mapped = Mapped(file.fileno(), 0)
            mapped.segment = self
            self._mapped = weakref.ref(mapped)
            _mapped_here[self.path] = mapped
            if self.owned:
                weakref.finalize(mapped, self._unlink)
        return mapped

    def reserve(
        self, dtype: np.dtype[Any], shape: tuple[int, ...], *, fortran_order: bool = False
    ) -> None:
        """Reserve room for an array and write its header, before any data are written.

        Writing to memory that is not there ends in SIGBUS; reserving it fails cleanly
        (cpython#114390).
        """
        if dtype.hasobject:
            raise TypeError(
                f"an array of Python objects ({dtype}) cannot lie in shared memory; give it a "
                "numeric, string or structured dtype first, for example with astype"
            )
        try:
            text = header_bytes(dtype, shape, fortran_order)
        except ValueError as error:
            raise TypeError(
                f"an array of {dtype} cannot lie in a segment: {error}; "
                "numpy.lib.recfunctions.repack_fields makes one that can"
            ) from None
        header = Header(dtype, shape, fortran_order, len(text))
        need = header.data_offset + header.nbytes
        if self.backing != "file":  # the limit of a container kills, it does not refuse
            check_room(_limits.memory(), need)
        with self._open() as file:
            try:
                if hasattr(os, "posix_fallocate"):
                    os.posix_fallocate(file.fileno(), 0, need)
                else:
                    os.truncate(file.fileno(), need)
            except OSError as error:
                if error.errno not in (errno.ENOSPC, errno.ENOMEM, errno.EFBIG):
                    raise
                room = _limits.memory()
                if self.backing != "memfd":
                    room = _limits.room_in(os.path.dirname(self.path))
                raise NotEnoughMemoryError(need, room.free, room.limit, room.where) from None
            file.write(text)
        self._header = header

    def trim(self, shape: tuple[int, ...]) -> None:
        """Give the array its true shape and give back the room it does not need.

        No view of this process may be used afterwards: the memory behind it may be gone.
        """
        text = header_bytes(self.dtype, shape, self.header.fortran_order, self.header.data_offset)
        self._header = self.header._replace(shape=shape)
        with self._open() as file:
            os.truncate(file.fileno(), self.nbytes)
            file.write(text)

    def unlink(self) -> None:
        """Remove its name, if this process created it. Views stay valid; a second time is fine."""
        if self.owned:
            self._unlink()

    def _open(self) -> BinaryIO:
        """Open by name and make sure that it is the same file still."""
        file = _open(self.path)
        if _identity(os.fstat(file.fileno())) != self.identity:
            file.close()
            raise _gone(self.path)
        return file


def create(backing: Backing) -> Segment:
    """Make a new, empty segment that this process owns."""
    if backing.kind == "memfd":
        fd = os.memfd_create("shmkit", os.MFD_CLOEXEC)
        return Segment(f"/proc/{os.getpid()}/fd/{fd}", "memfd", fd, owned=True)
    path = os.path.join(backing.directory, f"shmkit-{this_process()}-{next(_numbers)}.npy")
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        return Segment(path, backing.kind, fd, owned=True)
    finally:
        os.close(fd)


def attach(path: str, identity: Identity | None = None) -> Segment:
    """The segment at `path`, which some process created; raises `SegmentGoneError`.

    With an `identity`, only if it is that very file: the path of a memfd may lead to another one
    by now, or to any file that its owner has opened since.
    """
    mapped = _mapped_here.get(path)
    if mapped is not None and mapped.segment.linked and identity in (None, mapped.segment.identity):
        return mapped.segment
    with _open(path) as file:
        if identity not in (None, _identity(os.fstat(file.fileno()))):
            raise _gone(path)
        return Segment(path, kind_of(path), file.fileno(), owned=False)


def remove_orphans(directory: str = SHM) -> list[str]:
    """Unlink what killed owners left in `directory`, and say which paths.

    Never touched: a living owner's, another user's, a name that is not a segment's.
    """
    removed: list[str] = []
    try:
        entries = list(os.scandir(directory))
    except OSError:
        return removed
    for entry in entries:
        name = _NAME.fullmatch(entry.name)
        if name is None:
            continue
        owner = Owner(int(name[1]), int(name[2], 16), int(name[3], 16))
        try:
            if entry.stat(follow_symlinks=False).st_uid == os.geteuid() and not owner.may_live():
                os.unlink(entry.path)
                removed.append(entry.path)
        except FileNotFoundError:  # another process removes it at the same moment
            continue
    return removed


def _identity(status: os.stat_result) -> Identity:
    return status.st_dev, status.st_ino


def _open(path: str) -> BinaryIO:
    # A /proc/<pid>/fd/<n> is a link by nature; anywhere else a link is not ours.
    follow = 0 if path.startswith("/proc/") else os.O_NOFOLLOW
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | follow)
    except FileNotFoundError:
        raise _gone(path) from None
    except OSError as error:
        raise SegmentError(path, f"cannot be opened as a segment: {error.strerror}") from error
    file = os.fdopen(fd, "r+b", buffering=0)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        file.close()
        raise SegmentError(path, "is not a segment: not a regular file")
    return file


def _gone(path: str) -> SegmentGoneError:
    return SegmentGoneError(
        path,
        "this segment is gone: its arrays were closed, or the process that loaded them ended; "
        "keep the with block open until the workers have finished",
    )


def _unlink(path: str, identity: Identity, creator: int, fd: int | None) -> None:
    if os.getpid() != creator:  # a forked child: the segment is its parent's
        return
    if fd is not None:
        os.close(fd)
        return
    try:
        if _identity(os.lstat(path)) == identity:
            os.unlink(path)
    except FileNotFoundError:
        pass
