"""What is added to an HDF5 file is there whole or not at all.

    results.h5   [ superblock │ old data │ names of a group │ old data ]end
                       │                        │                      └──▶ new data │ new end
                       ▼                        ▼
    in memory    [ page 0 ]                [ page 7 ]        as HDF5 has changed them

HDF5 writes new data behind the end of the file. But it also changes a little of what was there:
tables of names in groups, and the superblock, the first bytes of the file, which say where it ends.

1. `begin` finds out where the content ends: the superblock says so. What lies behind that is left
   of a process that was killed, and is overwritten.
2. What HDF5 writes behind that end goes into the file. No reader looks there yet.
3. What it writes before the end goes into copies of the pages that it falls into. They are
   kept in memory; what HDF5 reads again is read from them.
4. `commit` brings the new data to the disk, then has the pages put in their places, by a process
   that goes on when this one is killed (`storage.pages`). Then these go to the disk.
5. `rollback` puts back the pages that `commit` has replaced, and cuts the file off at its old end.

So a process that is killed leaves the old file, with something behind its end, or the new one. Only
if the machine stops in the moment of step 4 may some pages be new and some old.

Data of the old file are never overwritten, as HDF5 puts something new only where it has freed room
since it opened the file. That is why a dataset that is replaced is renamed first, and deleted when
all else is written (`hdf5.writer`).

What does not work:

- To add to a copy, and rename that: an array of 1 MB added to a file of 100 GB takes 100 GB more.
- HDF5's core driver, which keeps changes in memory: it keeps the whole file there, and writes it in
  place when it is closed.
- HDF5's SWMR mode, made for readers beside a writer: no datasets can be created in it.
- A log of the old pages on the disk, to undo step 4: h5py and every other reader would open the
  file without a look at it.
- To let HDF5 know that a write failed: see `Storage`.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import threading
from collections.abc import Iterator
from typing import Any

from shmkit._interrupts import uninterrupted
from shmkit.hdf5.storage.file import Storage
from shmkit.hdf5.storage.pages import put
from shmkit.hdf5.storage.place import locked, naming, superblock_of

__all__ = ["appending"]


class _Appended(Storage):
    """An existing file, whose content stays as it is until `commit`; see the top of the module."""

    def __init__(self, path: str) -> None:
        super().__init__(path, "r+", path)
        self._pages: dict[int, bytearray] = {}
        self._replaced: list[tuple[bytes, int]] = []  # by `commit`: what was where
        self._rolled_back = False
        self._lock = threading.Lock()

    def begin(self) -> None:
        """Note how long it is; before it is locked, somebody may be adding to it."""
        self._nbytes = os.fstat(self.fileno()).st_size
        self._end = _end_of_content(self.fileno()) or self._nbytes

    def readinto(self, buffer: Any) -> int:
        """Read what was written, wherever it is."""
        view = memoryview(buffer).cast("B")
        start = self.tell()
        count = super().readinto(view) or 0
        for number in range(start // mmap.PAGESIZE, -(-(start + count) // mmap.PAGESIZE)):
            if (page := self._pages.get(number)) is not None:
                first = number * mmap.PAGESIZE
                begin = max(start, first)
                end = max(min(start + count, first + mmap.PAGESIZE, self._end), begin)
                view[begin - start : end - start] = page[begin - first : end - first]
        return count

    def write_at(self, data: memoryview, start: int) -> None:
        """Write it behind the end of what was there; keep the rest apart."""
        with self._lock:
            while data and start < self._end:
                number, offset = divmod(start, mmap.PAGESIZE)
                count = min(mmap.PAGESIZE - offset, self._end - start, len(data))
                page = self._pages.get(number)
                if page is None:
                    old = os.pread(self.fileno(), mmap.PAGESIZE, number * mmap.PAGESIZE)
                    page = self._pages[number] = bytearray(old.ljust(mmap.PAGESIZE, b"\0"))
                page[offset : offset + count] = data[:count]
                data, start = data[count:], start + count
        super().write_at(data, start)

    def truncate(self, size: int | None = None) -> int:
        """Change the length, but leave what was there."""
        return super().truncate(None if size is None else max(size, self._end))

    def commit(self) -> None:
        """Put in their place the pages that were kept."""
        self.sync()
        self.check()
        uninterrupted(self._put)
        self.sync()
        self.check()

    def _put(self) -> None:
        with self._lock:  # an interrupt ends the wait for this, and `rollback` is to come after it
            if self._rolled_back:
                return
            pages = []
            for number, kept in self._pages.items():
                start = number * mmap.PAGESIZE
                page = bytes(kept[: self._end - start])
                self._replaced.append((os.pread(self.fileno(), len(page), start), start))
                pages.append((page, start))
            with naming(self.path):
                put(self.fileno(), pages)

    def rollback(self) -> None:
        """Cut off what was added; put back what `commit` has replaced."""
        with self._lock:
            self._rolled_back = True
            if self._replaced:
                with contextlib.suppress(OSError):  # what cannot be written was not replaced
                    put(self.fileno(), self._replaced)
            os.ftruncate(self.fileno(), self._nbytes)


def _end_of_content(file: int) -> int:
    """Where an HDF5 file says that its content ends; 0 if that cannot be told.

    Behind it is what a killed process wrote.
    """
    if (found := superblock_of(file)) is None:
        return 0
    _, superblock = found
    start, sizes = {0: (40, 13), 1: (44, 13)}.get(superblock[8], (28, 9))
    if superblock[sizes] != 8:
        return 0
    return int.from_bytes(superblock[start : start + 8], "little")


@contextlib.contextmanager
def appending(path: str) -> Iterator[Storage]:
    """The file, with what is added to it in the block; as it was before if that fails."""
    with naming(path):
        storage = _Appended(path)
    with storage, locked(storage, path, fcntl.LOCK_EX):
        storage.begin()
        try:
            yield storage
            storage.commit()
        except BaseException:
            storage.rollback()
            raise
