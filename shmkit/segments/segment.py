"""A segment: one array in shared memory, as one file that describes itself.

    path ──▶ ┌─────────────┬──────────────────────────────────────────────┐
             │ .npy header │ data                                         │ ◀── mapping ◀── views
             └─────────────┴──────────────────────────────────────────────┘

    create ──▶ SegmentWriter (writer.py) ──▶ map ──▶ unlink ──▶ the last view ends
    (owner)    header and data              views    no name    freed
                                   attach ──▶ map                            (any other process)
                                    adopt ──▶ map ──▶ unlink                     (another owner)

A segment ends in two steps. *Unlinked*: its name is gone, and nobody can attach any more. *Freed*:
the last mapping is gone too, and the memory is back. Every view holds the mapping, so unlinking is
safe at any time. When the mapping ends, it unlinks the name; so a segment that nobody holds any
more, or whose interpreter exits, leaves nothing behind. Only the process that created a segment
unlinks it. If that process is killed, its guard does.

What does not work:

- ``numpy.ndarray(buffer=shm.buf)`` of a `multiprocessing.shared_memory` block: such a view does
  not hold the mapping, and reading it after ``close()`` kills the interpreter (numpy#23305).
- To let every process that attached unlink at its end, as multiprocessing's resource tracker does:
  the first worker that ends takes the memory from all others (cpython#82300). So a worker, and a
  forked child, unlink nothing.
- To know a segment by its path alone: the path of a memfd is used again for another one. So a
  segment is its path and its identity (device and inode), and both must fit.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import mmap
import os
import sys
import weakref
from collections.abc import Mapping
from typing import Any, Self

import numpy as np

from shmkit._descriptors import opened
from shmkit.cleanup import guard as _guard
from shmkit.cleanup import published as _published
from shmkit.cleanup.lock import hold
from shmkit.cleanup.owner import new_name, owner_of, this_process
from shmkit.errors import SegmentError
from shmkit.segments.backing import Backing, kind_of
from shmkit.segments.files import (
    Identity,
    create_file,
    gone,
    identity_at,
    identity_of,
    link_file,
    mark_finished,
    mark_unfinished,
    open_file,
    remove,
)
from shmkit.segments.image.header import USUAL_NBYTES, Header, read_segment_header
from shmkit.segments.image.layout import Layout, as_rows, layout_of
from shmkit.segments.mapping import Mapped, allow_segments, map_file
from shmkit.segments.sealed import changed, is_sealed

__all__ = [
    "Segment",
    "is_worker",
    "mapped_here",
    "segment_nbytes",
]

# One object a segment, so that all in a process see the same mapping and the same owner. When a
# file is gone, another may get its identity; but not while it is mapped.
_segments: weakref.WeakValueDictionary[Identity, Segment] = weakref.WeakValueDictionary()


class Segment:
    """One segment, in the process that created it or in one that attached to it.

    `create` and `attach` make them; a `SegmentWriter` writes the array.

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
    sealed : bool
        Whether its file is read-only, and a write to a view stays in this process (sealed.py).
    """

    def __init__(
        self, path: str, identity: Identity, *, owned: bool = False, memfd: io.FileIO | None = None
    ) -> None:
        self.path = path
        self.backing = kind_of(path)
        self.identity = identity
        self.source: Mapping[str, Any] = {}
        self.sealed = False  # known once it is mapped
        self._creator = os.getpid() if owned else 0
        self._links: list[str] = []  # the names that it is published under
        self._header: Header | None = None  # once it is mapped
        self._mapping: weakref.ref[Mapped] | None = None
        self._readonly: weakref.ref[Mapped] | None = None  # another, for views that may not write
        # Runs once, at the first of: unlink(), the last view's end, the interpreter's exit.
        self._remove: weakref.finalize[..., Segment] | None = None
        if owned:
            arguments = path, identity, self._links, self._creator, memfd
            self._remove = weakref.finalize(self, remove, *arguments)
            if is_worker():  # whose end skips atexit
                util = importlib.import_module("multiprocessing.util")
                util.Finalize(self, self._remove, exitpriority=0)
        _segments[identity] = self

    @classmethod
    def create(cls, backing: Backing) -> Segment:
        """Make a new, empty segment that this process owns.

        Raises
        ------
        TooManySegmentsError
            If the process may open no more descriptors. Nothing is left behind.
        SegmentError
            If no file can be made in the directory, nor a memfd instead where the backing allows
            it; or if a memfd cannot be reached by others. Nothing is left behind.
        """
        if backing.kind == "memfd":
            return cls._create_memfd()
        allow_segments(1, backing.kind)
        _guard.watch(backing.directory)
        hold(backing.directory)
        while True:
            path = os.path.join(backing.directory, f"{new_name()}.npy")
            try:
                identity = create_file(path)
            except FileExistsError:  # somebody put it there
                continue
            except OSError as error:  # read-only, another user's, without an inode left
                if backing.or_memfd:
                    return cls._create_memfd()
                raise SegmentError(
                    backing.directory,
                    f"no segment can be made there: {error.strerror}; give another backing=",
                ) from None
            segment = cls(path, identity, owned=True)
            mark_finished(path)
            return segment

    @classmethod
    def link(cls, path: str, directory: str) -> Segment:
        """Make a segment of a sealed file: another name for it, which this process owns.

        Raises OSError or SegmentError if that cannot be, or the file is another user's, or not
        sealed.
        """
        name, _ = _second_name(path, directory)
        try:
            if not is_sealed(name):
                raise SegmentError(path, "is not sealed")
            segment = cls(name, identity_at(name), owned=True)  # of this user alone
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(name)
            mark_finished(name)
            raise
        mark_finished(name)
        return segment

    @classmethod
    def _create_memfd(cls) -> Self:
        allow_segments(1, "memfd")
        memfd = opened(os.memfd_create, new_name(), os.MFD_CLOEXEC)
        os.fchmod(memfd.fileno(), 0o600)  # it is made 0777
        identity = identity_of(os.fstat(memfd.fileno()))
        # Where the /proc of another pid namespace is mounted, this process has another number.
        path = f"/proc/{this_process().pid}/fd/{memfd.fileno()}"
        segment = cls(path, identity, owned=True, memfd=memfd)
        if not segment.linked:
            segment.unlink()
            raise SegmentError(
                path,
                "a memfd is reached by this path alone, and it does not lead there: no /proc is "
                'mounted here, or one that hides this process; give backing="shm" or a directory',
            )
        return segment

    @classmethod
    def attach(
        cls, path: str, identity: Identity | None = None, *, any_user: bool = False
    ) -> Segment:
        """The segment at `path`, which some process created.

        Without an `identity`, only if it is this user's and nobody else may write to it, unless
        `any_user` is true: who cuts it short ends every process that reads it, by SIGBUS.

        With an `identity`, only if it is that very file: the path of a memfd may lead to another
        one by now, or to any file that its owner has opened since. That shows when it is used.

        Raises
        ------
        SegmentGoneError
            If nothing is at the path (any more).
        SegmentError
            If what is there does not have the name of a segment, may not be looked at, or is
            another user's.
        """
        if identity is None:
            if owner_of(path) is None:
                if not os.path.lexists(path):
                    raise gone(path)
                raise SegmentError(
                    path,
                    'is not a segment; numpy.load(path, mmap_mode="r") maps other .npy files',
                )
            identity = identity_at(path, any_user=any_user)
        known = _known(path, identity)
        if known is not None and known.linked:
            return known
        if known is not None and known.mapped:
            raise gone(path)
        return cls(path, identity)

    @classmethod
    def adopt(cls, path: str, identity: Identity) -> Segment:
        """The segment at `path`, which another process owns, co-owned by this one from now on.

        A file gets a hard link, which has this process's name, lock and guard; of a memfd this
        process opens a descriptor. So each owner unlinks its own name, and the memory lives until
        the last of them has ended.

        Raises
        ------
        SegmentGoneError
            If nothing is at the path (any more), or another file.
        SegmentError
            If it may not be opened, or the file system has no hard links.
        TooManySegmentsError
            As `create`.
        """
        known = _segments.get(identity)
        if known is not None and known.owned and known.linked:
            return known
        if kind_of(path) == "memfd":
            allow_segments(1, "memfd")
            file, found = open_file(path)
            if found != identity:
                file.close()
                raise gone(path)
            assert isinstance(file, io.FileIO)
            own = f"/proc/{this_process().pid}/fd/{file.fileno()}"
            return cls(own, identity, owned=True, memfd=file)
        own, found = _second_name(path, os.path.dirname(path))
        segment = cls(own, found, owned=True)
        mark_finished(own)
        if found != identity:
            segment.unlink()
            raise gone(path)
        return segment

    @classmethod
    def referred(cls, path: str, identity: Identity) -> Segment:
        """As `attach`, also if it is unlinked: it may be mapped here, or have a second name."""
        known = _known(path, identity)
        if known is not None and (known.mapped or known.linked):
            return known
        return cls(path, identity)

    @property
    def whole(self) -> Segment:
        """What its file is: itself, but of a section (section.py) the segment that it is in."""
        return self

    @property
    def span(self) -> range | None:
        """Which rows of the segment a section has; None of a segment, which has all."""
        return None

    @property
    def owned(self) -> bool:
        """Whether this process created it, and so unlinks it; not one that it forked."""
        return self._creator == os.getpid()

    @property
    def header(self) -> Header:
        """What array is in it: read anew until it is mapped, since a loader may still write it.

        Raises
        ------
        SegmentGoneError
            If it was unlinked before this process mapped it.
        SegmentError
            If no header is written yet, or it is damaged.
        """
        if self._header is not None:
            return self._header
        with self.open() as file:
            return read_segment_header(self.path, file)

    @property
    def layout(self) -> Layout | None:
        """Where the columns lie, of a table; of a section those of the whole table."""
        header = self.header
        return layout_of(header.dtype, header.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The array's dtype."""
        return self.header.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        """The array's shape."""
        return self.header.shape

    @property
    def rows(self) -> int:
        """How many items the array has along its first axis, or rows the table."""
        _, shape = as_rows(self.header.dtype, self.header.shape)
        return shape[0] if shape else 1

    @property
    def nbytes(self) -> int:
        """Bytes that it takes: the array's data and the header."""
        mapped = self._mapped()
        if mapped is not None:
            return len(mapped)
        header = self.header
        return header.data_offset + header.nbytes

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

    def _mapped(self) -> Mapped | None:
        for mapping in (self._mapping, self._readonly):
            mapped = None if mapping is None else mapping()
            if mapped is not None:
                return mapped
        return None

    def open(self, *, writable: bool = True, name: str | None = None) -> io.FileIO:
        """Its file, opened by name; raises `SegmentGoneError` if the name leads elsewhere by now.

        `name` is a second one (lease.py); by default it is its path.

        A file object and no bare descriptor: an interrupt that comes before ``with`` leaves it to
        be closed by the interpreter.
        """
        file, identity = open_file(name or self.path, writable=writable)
        if identity != self.identity:
            file.close()
            raise gone(self.path)
        return file

    def map(
        self, header: Header | None = None, *, writable: bool = True, name: str | None = None
    ) -> Mapped:
        """Its memory in this process; the same object as long as a view holds it.

        From now on the array is what its header says now: nobody writes another. Who has just
        written that `header` may give it, so that it need not be read.

        What is not `writable` is so for the processor: no view of it, whatever its flags say, and
        no other library can write there. `name` is as in `open`.

        Raises
        ------
        SegmentGoneError, SegmentError
            As `header`.
        NotEnoughMemoryError
            If the address space of this process is limited, and full.
        TooManySegmentsError
            If the process may have no more mappings, or descriptors.
        """
        mapping = self._mapping if writable else self._readonly
        mapped = None if mapping is None else mapping()
        if mapped is None:
            other = self._mapped()
            self.sealed = self.sealed or (writable and is_sealed(self.path))
            access = mmap.ACCESS_COPY if self.sealed else mmap.ACCESS_WRITE
            with self.open(writable=writable and not self.sealed, name=name) as file:
                if other is None:
                    self._header = header or read_segment_header(self.path, file)
                mapped = map_file(file.fileno(), access if writable else mmap.ACCESS_READ)
            mapped.segment = self
            if writable:
                self._mapping = weakref.ref(mapped, self._remove)
            else:
                self._readonly = weakref.ref(mapped)
                mapped.writable = other
        return mapped

    def check_unchanged(self) -> None:
        """Raise SegmentError if it is sealed, and was written to here: nobody else sees that."""
        mapped = self._mapped()
        if self.sealed and mapped is not None and changed(mapped):
            raise SegmentError(
                self.path,
                "came from the cache, and was written to in this process, which others do not see; "
                "shmkit.share(a) makes an array of its own",
            )

    def publish(self, name: str) -> None:
        """Have `name` lead to it as well, until it is unlinked; see `SharedArray.publish`."""
        if not self.owned or not self.linked:
            raise SegmentError(
                self.path,
                "only a segment that is linked, and by the process that created it, is published",
            )
        self.check_unchanged()
        self.withdraw_with(_published.publish(name, self.path))

    def withdraw_with(self, link: str) -> None:
        """Have this link of a published name go with the segment's own."""
        self._links.append(link)

    def unlink(self) -> None:
        """Remove its name, if this process created it. Views stay valid; a second time is fine."""
        if self.owned and self._remove is not None and self._remove.alive:
            if self.backing != "memfd":
                # A finalizer counts as run before it runs: an interrupt in between would leave the
                # name (files).
                mark_unfinished(self.path)
            self._remove()


def _second_name(path: str, directory: str) -> tuple[str, Identity]:
    """Another name for a segment's file, unfinished yet, which goes with this process."""
    allow_segments(1, kind_of(path))
    _guard.watch(directory)
    hold(directory)
    name = os.path.join(directory, f"{new_name()}.npy")
    return name, link_file(path, name)


def _known(path: str, identity: Identity) -> Segment | None:
    """The object of a segment that this process has; a sealed file may be that of several."""
    known = _segments.get(identity)
    return None if known is not None and known.sealed and known.path != path else known


def segment_nbytes(nbytes: int) -> int:
    """Bytes of memory that a segment with so many bytes of data takes: the header, whole pages."""
    return -(-(nbytes + USUAL_NBYTES) // mmap.PAGESIZE) * mmap.PAGESIZE


def is_worker() -> bool:
    """Whether a process of multiprocessing started this one.

    Then that package is imported; `import shmkit` alone does without it, and its sockets.
    """
    process = sys.modules.get("multiprocessing.process")
    return process is not None and process.parent_process() is not None


def mapped_here() -> list[Segment]:
    """The segments that a view in this process maps, whoever created them."""
    return [segment for segment in list(_segments.values()) if segment.mapped]
