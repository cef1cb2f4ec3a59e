"""A segment: one array in shared memory, as one file that describes itself.

    path ──▶ ┌─────────────┬──────────────────────────────────────────────┐
             │ .npy header │ data                                         │ ◀── mapping ◀── views
             └─────────────┴──────────────────────────────────────────────┘

A segment ends in two steps. *Unlinked*: its name is gone, nobody can attach any more. *Freed*: the
last mapping is gone too and the memory is back. Every view holds the mapping (numpy#23305: views
made with ``buffer=shm.buf`` do not, and reading one after close() kills the interpreter), so
unlinking is safe at any time. The mapping's end unlinks the name, so a segment that nobody holds
any more, or whose interpreter exits, leaves nothing. Only the process that created a segment
unlinks it: not a worker that attached (cpython#82300), not a forked child. If that process is
killed, its guard does.
"""

from __future__ import annotations

import errno
import importlib
import itertools
import mmap
import os
import sys
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, BinaryIO, ClassVar, Self

import numpy as np

from shmkit import _limits
from shmkit.cleanup import guard as _guard
from shmkit.cleanup import published as _published
from shmkit.cleanup.owner import owner_of, this_process
from shmkit.errors import NotEnoughMemoryError, SegmentError
from shmkit.memory.backing import Backing, check_room, kind_of
from shmkit.memory.files import Identity, begin, done, gone, identity_of, open_path, unlink
from shmkit.memory.header import (
    USUAL_NBYTES,
    Header,
    header_bytes,
    read_header,
    read_trailer,
    trailer_bytes,
)

__all__ = [
    "Mapped",
    "Segment",
    "allow",
    "attach",
    "create",
    "is_worker",
    "mapped_here",
    "taken",
]

_STEP_NBYTES = 1 << 28
_UNSEEN_NBYTES = 1 << 22  # of arrays, before it is looked how much memory there is
_MAPPING_HOLDS_DESCRIPTOR = sys.version_info < (3, 13)
_numbers = itertools.count()


class Mapped(mmap.mmap):
    """The memory of a segment: the base of every view of it."""

    segment: Segment

    def close(self) -> None:
        """Refuse, where mmap itself would not: it does not know of numpy's views."""
        raise BufferError("views of it may exist; it is unmapped when the last of them is gone")

    def resize(self, newsize: int) -> None:
        """Refuse, as close()."""
        del newsize
        self.close()


# By path, as long as it leads there; and all of them, since the path of a memfd is used again.
_mapped_at: weakref.WeakValueDictionary[str, Mapped] = weakref.WeakValueDictionary()
_mapped: weakref.WeakSet[Mapped] = weakref.WeakSet()


class Segment:
    """One segment, in the process that created it or in one that attached to it.

    Attributes
    ----------
    path : str
        A file in /dev/shm, a ``/proc/<pid>/fd/<n>``, or a file in a directory of the user's.
    backing : str
        ``"shm"``, ``"memfd"`` or ``"file"``.
    identity : tuple of int
        Device and inode: what tells it from another file that has its path later.
    source : dict
        Where the array came from: ``file`` and the reader's ``options``; empty for other arrays.
    """

    _unseen: ClassVar[int] = 0  # bytes of all of them since it was looked

    def __init__(self, path: str, backing: str, identity: Identity) -> None:
        self.path = path
        self.backing = backing
        self.identity = identity
        self.source: Mapping[str, Any] = {}
        self._creator = 0
        self._file: BinaryIO | None = None  # while it is kept open
        self._header: Header | None = None
        self._mapped: Callable[[], Mapped | None] = lambda: None

    def own(self, memfd: int | None) -> None:
        """Have this process unlink it, and close the descriptor that it lives by, if it does."""
        self._creator = os.getpid()
        self._links: list[str] = []  # the names that it is published under
        # Runs once, at the first of: unlink(), the last view's end, the interpreter's exit.
        self._unlink = weakref.finalize(
            self, unlink, self.path, self.identity, self._links, self._creator, memfd
        )
        if is_worker():  # whose end skips atexit
            util = importlib.import_module("multiprocessing.util")
            util.Finalize(self, self._unlink, exitpriority=0)

    @property
    def owned(self) -> bool:
        """Whether this process created it, and so unlinks it; not one that it forked."""
        return self._creator == os.getpid()

    @property
    def header(self) -> Header:
        """What array is in it. Read once; a segment is of no use before its header is written."""
        if self._header is None:
            with self._open() as file:
                self._header = self._read_header(file)
        return self._header

    def _read_header(self, file: BinaryIO) -> Header:
        file.seek(0)
        try:
            header = read_header(file)
            return header._replace(dtype=read_trailer(file, header))
        except ValueError as error:
            raise SegmentError(self.path, f"is not a segment, or is damaged: {error}") from None

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
        mapped = self._mapped()
        if mapped is not None:  # also if its owner has unlinked it before the header was read
            return len(mapped)
        return self.header.data_offset + self.header.nbytes

    @property
    def linked(self) -> bool:
        """Whether its name still leads to it, so that other processes can attach."""
        try:
            return identity_of(os.stat(self.path)) == self.identity
        except OSError:
            return False

    @property
    def mapped(self) -> bool:
        """Whether a view in this process still holds its memory."""
        return self._mapped() is not None

    def map(self) -> Mapped:
        """Its memory in this process; the same object as long as a view holds it."""
        mapped = self._mapped()
        if mapped is None:
            with self._open() as file:
                mapped = self._map(file)
        return mapped

    def map_with_header(self) -> tuple[Mapped, Header]:
        """Its memory and what array is in it; it is opened once for both."""
        mapped = self._mapped()
        if mapped is None or self._header is None:
            with self._open() as file:
                self._header = self._header or self._read_header(file)
                mapped = mapped or self._map(file)
        return mapped, self._header

    def _map(self, file: BinaryIO) -> Mapped:
        if _MAPPING_HOLDS_DESCRIPTOR:
            _limits.allow_descriptors(1)
        mapped = _mapping(file.fileno())
        mapped.segment = self
        at_end = self._unlink if self.owned else lambda: None
        self._mapped = weakref.ref(mapped, lambda _: at_end())
        _mapped_at[self.path] = mapped
        _mapped.add(mapped)
        return mapped

    def reserve(
        self, dtype: np.dtype[Any], shape: tuple[int, ...], *, fortran_order: bool = False
    ) -> None:
        """Reserve room for an array and write its header, before any data are written."""
        self._begin(dtype, shape, fortran_order=fortran_order, reserve=True)

    def outline(self, dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
        """Write the header of an array whose data `write` brings, which needs no room reserved."""
        self._begin(dtype, shape, fortran_order=False, reserve=False)

    def _begin(
        self, dtype: np.dtype[Any], shape: tuple[int, ...], *, fortran_order: bool, reserve: bool
    ) -> None:
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
        self._rewrite(Header(dtype, shape, fortran_order, len(text)), text, reserve=reserve)

    def write(self, start: int, data: memoryview) -> None:
        """Write bytes of the array's data, from the byte `start` of them on; it may grow.

        Where there is no room this fails cleanly, unlike a store into the mapping. It is also three
        times as fast as one, which takes a page fault for each new page, and clears it first.
        """
        at = self.header.data_offset + start
        if at // _STEP_NBYTES != (at + len(data)) // _STEP_NBYTES:
            self.expect(_STEP_NBYTES)
        with self._open() as file:
            try:
                _write_at(file.fileno(), data, at)
            except OSError as error:
                raise self._without_room(error, self.nbytes) from None

    def resize(self, shape: tuple[int, ...]) -> None:
        """Give the array the length that was written, and give back what it does not need.

        A view of this process may be used afterwards only as far as the array still goes: the
        memory behind the rest is gone.
        """
        if shape == self.shape:
            return
        self._replace(self.header._replace(shape=shape))
        self._mapped = lambda: None  # it is as long as the array was

    def name(self, dtype: np.dtype[Any]) -> None:
        """Give the array's codes the names that this dtype has, which else is the array's."""
        self._replace(self.header._replace(dtype=dtype))

    def _replace(self, header: Header) -> None:
        self._rewrite(header, header_bytes(*header), reserve=False)

    def _rewrite(self, header: Header, text: bytes, *, reserve: bool) -> None:
        """Make the file as long as the array, and write the header and the trailer."""
        at, trailer = header.data_offset + header.nbytes, trailer_bytes(header.dtype)
        nbytes = at + len(trailer)
        with self._open() as file:
            try:
                os.truncate(file.fileno(), nbytes)
                if reserve:
                    self._reserve(file.fileno(), nbytes)
                _write_at(file.fileno(), memoryview(text), 0)
                _write_at(file.fileno(), memoryview(trailer), at)
            except OSError as error:
                raise self._without_room(error, nbytes) from None
        self._header = header

    def expect(self, nbytes: int) -> None:
        """Raise NotEnoughMemoryError unless there is so much memory: a container's limit kills.

        It is looked at before every step, and two loaders that look at the same time pass it by two
        steps at most. For small arrays it is looked at now and then: that takes longer than loading
        one.
        """
        Segment._unseen += nbytes
        if self.backing != "file" and Segment._unseen >= _UNSEEN_NBYTES:
            check_room(_limits.memory(), nbytes)
            Segment._unseen = 0

    def _reserve(self, fd: int, nbytes: int) -> None:
        """Have the memory behind the bytes of the file.

        Storing to memory that is not there ends in SIGBUS; reserving it fails cleanly
        (cpython#114390).
        """
        if hasattr(os, "posix_fallocate"):
            for start in range(0, nbytes, _STEP_NBYTES):
                self.expect(nbytes - start)
                os.posix_fallocate(fd, start, min(_STEP_NBYTES, nbytes - start))

    def _without_room(self, error: OSError, need: int) -> Exception:
        """What to raise when there is no room for so many bytes."""
        if error.errno not in (errno.ENOSPC, errno.ENOMEM, errno.EFBIG, errno.EDQUOT):
            return error
        if error.errno == errno.EFBIG:
            room = _limits.file_size()
        elif self.backing == "memfd":
            room = _limits.memory()
        else:
            room = _limits.room_in(os.path.dirname(self.path))
        return NotEnoughMemoryError(need, room.free, room.limit, room.where)

    def publish(self, name: str) -> None:
        """Have `name` lead to it as well, until it is unlinked; see `SharedArray.publish`."""
        if not self.owned or not self.linked:
            raise SegmentError(
                self.path,
                "only a segment that is linked, and by the process that created it, is published",
            )
        self._links.append(_published.publish(name, self.path))

    def unlink(self) -> None:
        """Remove its name, if this process created it. Views stay valid; a second time is fine."""
        if self.owned and self._unlink.alive:
            if self.backing != "memfd":
                begin(self.path)
            self._unlink()

    @contextmanager
    def kept_open(self) -> Iterator[Self]:
        """Open it once for all that is written in the block; for one thread at a time."""
        with self._open() as file:
            self._file = file
            try:
                yield self
            finally:
                self._file = None

    def _open(self) -> AbstractContextManager[BinaryIO]:
        """Open by name and make sure that it is the same file still."""
        if self._file is not None:
            return nullcontext(self._file)
        file, identity = open_path(self.path)
        if identity != self.identity:
            file.close()
            raise gone(self.path)
        return file


def create(backing: Backing) -> Segment:
    """Make a new, empty segment that this process owns; raises `TooManySegmentsError`."""
    allow(1, backing.kind)
    name = f"shmkit-{this_process()}-{next(_numbers)}"
    if backing.kind == "memfd":
        fd = os.memfd_create(name, os.MFD_CLOEXEC)
        os.fchmod(fd, 0o600)  # it is made 0777
        segment = Segment(f"/proc/{os.getpid()}/fd/{fd}", "memfd", identity_of(os.fstat(fd)))
        segment.own(fd)
        return segment
    _guard.watch(backing.directory)
    path = os.path.join(backing.directory, f"{name}.npy")
    begin(path)
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        done(path)
        if isinstance(error, FileExistsError):  # somebody put it there
            return create(backing)
        raise
    try:
        segment = Segment(path, backing.kind, identity_of(os.fstat(fd)))
        segment.own(None)
    finally:
        os.close(fd)
    done(path)
    return segment


def taken(nbytes: int) -> int:
    """Bytes of memory that a segment with so many bytes of data takes: the header, whole pages."""
    return -(-(nbytes + USUAL_NBYTES) // mmap.PAGESIZE) * mmap.PAGESIZE


def allow(count: int, kind: str) -> None:
    """Have descriptors for `count` more segments of this kind of backing, all of them mapped."""
    held = count * ((kind == "memfd") + _MAPPING_HOLDS_DESCRIPTOR)
    if held:
        _limits.allow_descriptors(held)


def is_worker() -> bool:
    """Whether a process of multiprocessing started this one.

    Then that package is imported; `import shmkit` alone does without it, and its sockets.
    """
    process = sys.modules.get("multiprocessing.process")
    return process is not None and process.parent_process() is not None


def mapped_here() -> list[Segment]:
    """The segments that a view in this process maps, whoever created them."""
    return [mapped.segment for mapped in list(_mapped)]


def attach(path: str, identity: Identity | None = None) -> Segment:
    """The segment at `path`, which some process created; raises `SegmentGoneError`.

    With an `identity`, only if it is that very file: the path of a memfd may lead to another one
    by now, or to any file that its owner has opened since. That shows when it is used.
    """
    mapped = _mapped_at.get(path)
    if mapped is not None and mapped.segment.linked and identity in (None, mapped.segment.identity):
        return mapped.segment
    if identity is not None:
        return Segment(path, kind_of(path), identity)
    if owner_of(path) is None:
        if not os.path.lexists(path):
            raise gone(path)
        raise SegmentError(
            path, 'is not a segment; numpy.load(path, mmap_mode="r") maps other .npy files'
        )
    file, identity = open_path(path)
    file.close()
    return Segment(path, kind_of(path), identity)


def _mapping(fd: int) -> Mapped:
    try:
        if sys.version_info >= (3, 13):
            return Mapped(fd, 0, trackfd=False)
        return Mapped(fd, 0)
    except OSError as error:
        if error.errno != errno.ENOMEM:
            raise
        _limits.allow_mappings(1)
        room = _limits.memory()
        where = "the address space of this process (RLIMIT_AS)"
        raise NotEnoughMemoryError(os.fstat(fd).st_size, 0, room.limit, where) from None


def _write_at(fd: int, data: memoryview, at: int) -> None:
    while data:
        count = os.pwrite(fd, data, at)
        data, at = data[count:], at + count
