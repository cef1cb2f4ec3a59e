"""Rows are added to an HDF5 file: readers see the old rows, or all the new ones.

    results.h5 ──copy──▶ .shmkit-….tmp ──HDF5 adds rows──▶ ──fsync──▶ ──rename──▶ results.h5
        │                                                                             │
        └── open readers keep what they see: the old rows                             └── new ones

1. The content is copied: where the file system can (btrfs, xfs), as a clone that shares its blocks
   with the old file and takes no time; else by the kernel, at the speed of its cache.
2. HDF5 writes into the copy, then the copy takes the name (see `storage.replacing`).
3. Meanwhile the old file is locked as a reader of HDF5 locks it: others read it, but HDF5 refuses
   it to whoever wants to write. If it is replaced all the same, that is an error, and the new
   one stays.

What does not work: to write in place, as `storage.adding` does for datasets. There a reader that
has the file open is in the way, and to have it open for reading is what rows are added for.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
from collections.abc import Iterator

from shmkit.hdf5.storage.file import Storage
from shmkit.hdf5.storage.place import locked, naming
from shmkit.hdf5.storage.replacing import replacing

__all__ = ["growing"]

_FICLONE = 0x40049409  # ioctl_ficlone(2)
_PIECE_NBYTES = 1 << 30


@contextlib.contextmanager
def growing(path: str) -> Iterator[Storage]:
    """A copy of the file, to be written to in the block; it takes its place after that."""
    with naming(path):
        old = open(path, "rb")  # noqa: SIM115 - closed below, where errors are HDF5's
    with old, locked(old, path, fcntl.LOCK_SH), replacing(path) as storage:
        with naming(path):
            _copy(old.fileno(), storage.fileno())
        yield storage
        if os.stat(path).st_ino != os.fstat(old.fileno()).st_ino:
            reason = "was replaced while rows were added to it; add them again"
            raise BlockingIOError(errno.EWOULDBLOCK, reason, path)


def _copy(source: int, target: int) -> None:
    try:
        fcntl.ioctl(target, _FICLONE, source)
        return
    except OSError:  # this file system cannot
        pass
    try:
        while os.copy_file_range(source, target, _PIECE_NBYTES):
            pass
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP):
            raise
        with open(source, "rb", closefd=False) as old, open(target, "r+b", closefd=False) as new:
            shutil.copyfileobj(old, new)
