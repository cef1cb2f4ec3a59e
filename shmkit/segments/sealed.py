"""A sealed segment: its file is read-only, for it is kept (the cache), or others have it too.

    file (0400) ◀── copy-on-write: the views of the process that loaded it, which may be written to
                ◀── read-only: all other processes

A write to such a view goes to a page of this process's own. So what a worker would get by reference
is not what the notebook sees: `changed` says whether there are such pages, and then the view is
sent as data.
"""

from __future__ import annotations

import mmap
import os
import stat

import numpy as np

__all__ = ["changed", "is_sealed", "seal"]

_SEALED = 0o400
_ENTRY_NBYTES = 8  # of /proc/self/pagemap (pagemap.rst), one for each page
_THERE = np.uint64(0b11 << 62)  # present, or swapped out
_OF_FILE = np.uint64(1 << 61)
_MAX_ENTRIES = 1 << 16  # that are read at a time


def seal(path: str) -> None:
    """Have nobody write to this file any more."""
    os.chmod(path, _SEALED)


def is_sealed(path: str) -> bool:
    """Whether a file is sealed; False if it is not there."""
    try:
        return stat.S_IMODE(os.stat(path).st_mode) == _SEALED
    except OSError:
        return False


def changed(mapped: mmap.mmap) -> bool:
    """Whether this process has written to a copy-on-write mapping; True if it cannot be told."""
    start = np.frombuffer(mapped, np.uint8).__array_interface__["data"][0] // mmap.PAGESIZE
    stop = start + -(-len(mapped) // mmap.PAGESIZE)
    try:
        with open("/proc/self/pagemap", "rb", buffering=0) as file:
            for first in range(start, stop, _MAX_ENTRIES):
                count = min(_MAX_ENTRIES, stop - first)
                found = os.pread(file.fileno(), _ENTRY_NBYTES * count, _ENTRY_NBYTES * first)
                entries = np.frombuffer(found, np.uint64)
                own = ((entries & _THERE) != 0) & ((entries & _OF_FILE) == 0)
                if len(entries) < count or own.any():
                    return True
    except OSError:
        return True
    return False
