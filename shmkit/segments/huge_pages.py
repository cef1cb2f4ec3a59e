"""Huge pages for the memory of a segment, where the kernel gives some.

    file     │ header │ data                                             │
    extents  ├───────────────┼───────────────┼───────────────┼───────────┤   of 2 MB each
    pages      a huge one      a huge one      a huge one      small ones

With a page for every 4 KB, the kernel spends most of the time of a write to shared memory, and all
of the time that it takes to give it back, on pages. With one for 2 MB, a table of 50 MB is written
in 6 ms instead of 16, and given back in 0.2 instead of 6.

1. The writer says where it is about to write. So memory is taken for what is written, and for at
   most 64 MB behind it, but never beyond the end that was declared. Where memory is reserved for
   an array, that is for all of it.
2. An extent that is in the file as a whole gets one small page, as the kernel makes no huge page of
   nothing, and is mapped at an address that is a multiple of 2 MB.
3. ``madvise(MADV_COLLAPSE)``, of Linux 6.1, makes a huge page of what is there, and of zeros. What
   another process writes there meanwhile waits for that.
4. Where the kernel knows nothing of this, or has no such page left, the file keeps small pages.

What does not work:

- To have such pages from the start: it is for the mount of /dev/shm (``huge=``), and for a memfd
  for ``shmem_enabled``, to say so; nearly everywhere these are off. MADV_HUGEPAGE obeys them.
- One call for each extent: the kernel waits in each for all other CPUs, which parse, to hand over
  the pages that they have at hand. That cost more than the pages saved.
- Huge pages for columns that have room for more rows than come: their gaps would take memory.
"""

from __future__ import annotations

import errno
import functools
import mmap
import os
import sys
from typing import Any

__all__ = ["EXTENT_NBYTES", "HugePages"]

EXTENT_NBYTES = 1 << 21
_AHEAD = 32  # extents, in one call
_COLLAPSE, _MAP_FIXED = 25, 0x10  # of Linux
_BUSY = (errno.EAGAIN, errno.EBUSY)  # the extent, just now


class HugePages:
    """Gives the extents of one file huge pages.

    Parameters
    ----------
    fd
        Of the file, in tmpfs, open for reading and writing.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._taken: set[int] = set()  # numbers of extents
        self._there_are_some = sys.platform == "linux" and sys.maxsize > 1 << 32

    def take(self, start: int, stop: int, file_nbytes: int) -> None:
        """Have huge pages where the file, so long in the end, is about to be written."""
        first, last = start // EXTENT_NBYTES, -(-stop // EXTENT_NBYTES)
        wanted = [extent for extent in range(first, last) if extent not in self._taken]
        if not wanted or not self._there_are_some:
            return
        self._taken.update(wanted)
        first, end = wanted[0], file_nbytes // EXTENT_NBYTES
        last = max(last, first + 1)
        while last < min(end, first + _AHEAD) and last not in self._taken:
            self._taken.add(last)
            last += 1
        last = min(last, end)
        if first < last:
            try:
                _collapse(self._fd, first * EXTENT_NBYTES, last * EXTENT_NBYTES)
            except OSError as error:
                self._there_are_some = error.errno in _BUSY


def _collapse(fd: int, start: int, stop: int) -> None:
    """Make huge pages of these bytes of a file, whole extents."""
    import ctypes  # noqa: PLC0415 - only large arrays need it

    for offset in range(start, stop, EXTENT_NBYTES):
        os.posix_fallocate(fd, offset, 1)
    nbytes = stop - start
    # Room to place the mapping in, which goes with it.
    with mmap.mmap(-1, nbytes + EXTENT_NBYTES, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as room:
        address = ctypes.addressof(ctypes.c_char.from_buffer(room))
        shift = -address % EXTENT_NBYTES
        prot, flags = mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_SHARED | _MAP_FIXED
        if _mmap()(address + shift, nbytes, prot, flags, fd, start) != address + shift:
            raise OSError(ctypes.get_errno(), "mmap")
        room.madvise(_COLLAPSE, shift, nbytes)


@functools.cache
def _mmap() -> Any:
    """The C function: Python's places nothing."""
    import ctypes  # noqa: PLC0415 - as above

    function = ctypes.CDLL(None, use_errno=True).mmap
    number, size = ctypes.c_int, ctypes.c_size_t
    function.argtypes = ctypes.c_void_p, size, number, number, number, ctypes.c_long
    function.restype = ctypes.c_void_p
    return function
