"""A file that is there whole or not at all.

    write ──▶ .shmkit-….tmp ──fsync──▶ ──rename──▶ results.h5 ──▶ fsync of the directory
                    │
                a failure ──▶ unlink: results.h5 is what it was, or is not there

The new file lies in the directory of the old one: only there is a rename one step.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import secrets
import stat
from collections.abc import Iterator
from typing import Any

__all__ = ["Storage", "check_path", "replacing"]


def check_path(path: str | os.PathLike[str]) -> str:
    """The path as a string; an `OSError` if no file can be there, before any work is done."""
    text = os.fsdecode(path)
    if not text:
        raise ValueError("the path is empty")
    if os.path.isdir(text):
        raise IsADirectoryError(errno.EISDIR, "is a directory; give the path of a file in it", text)
    directory = os.path.dirname(text) or os.curdir
    if not os.path.isdir(directory):
        raise FileNotFoundError(
            errno.ENOENT, f"there is no directory {directory!r}; make it first", text
        )
    return text


class Storage(io.FileIO):
    """A file for HDF5, which must never learn of a failed write.

    After one it cannot close the file, and the interpreter dies later (h5py#914, h5py#1775). So
    the error is kept here, for `check` to raise between two calls of HDF5.
    """

    error: BaseException | None = None

    def write(self, data: Any) -> int:
        """Write all of it, or keep the error."""
        view = memoryview(data)
        try:
            while view:
                view = view[super().write(view) :]
        except OSError as error:
            self.error = self.error or error
        return len(data)

    def truncate(self, size: int | None = None) -> int:
        """Change the file's length, or keep the error."""
        try:
            return super().truncate(size)
        except OSError as error:
            self.error = self.error or error
            return size or 0

    def check(self) -> None:
        """Raise the error that was kept."""
        if self.error is not None:
            raise self.error


@contextlib.contextmanager
def replacing(path: str) -> Iterator[Storage]:
    """A new file that takes the place of `path` after the block, or is removed if that fails."""
    target = os.path.realpath(path)  # a symbolic link stays one
    directory = os.path.dirname(target)
    temporary = os.path.join(directory, f".shmkit-{secrets.token_hex(8)}.tmp")
    storage = None
    try:
        with Storage(temporary, "x+") as storage:
            yield storage
            storage.check()
            with contextlib.suppress(FileNotFoundError):
                os.fchmod(storage.fileno(), stat.S_IMODE(os.stat(target).st_mode))
            os.fsync(storage.fileno())
        os.replace(temporary, target)
        _sync(directory)
    except OSError as error:
        if error.errno is None or (storage is not None and error is not storage.error):
            raise
        raise OSError(error.errno, f"cannot be written: {error.strerror}", path) from None
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)


def _sync(directory: str) -> None:
    """Bring the new name to the disk too; the file's own fsync does not (fsync(2))."""
    fd = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
