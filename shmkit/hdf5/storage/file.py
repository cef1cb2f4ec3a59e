"""A file for HDF5, which must never learn of a failed write."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Callable, Iterator
from typing import Any

from shmkit._descriptors import above_standard
from shmkit.hdf5.storage.place import naming

__all__ = ["Storage"]


class Storage(io.FileIO):
    """A file for HDF5, which must never learn of a failed write.

    After a write that failed HDF5 cannot close the file, and the interpreter dies later (h5py#914,
    h5py#1775). So each write seems to succeed, and the error is kept here. `check` raises it, which
    is called between two calls of HDF5.

    Attributes
    ----------
    error : BaseException or None
        What went wrong.
    path : str
        Of the file that is meant, as the user gave it.
    written : int
        Bytes, about: threads add to it at the same time.
    """

    def __init__(
        self, file: str, mode: str, path: str, opener: Callable[[str, int], int] | None = None
    ) -> None:
        with above_standard():
            super().__init__(file, mode, opener=opener)
        self.error: BaseException | None = None
        self.written = 0
        self.path = path

    def write(self, data: Any) -> int:
        """Write all of it, or keep the error."""
        view = memoryview(data).cast("B")
        start = self.tell()
        self.write_at(view, start)
        self.seek(start + len(view))
        return len(view)

    def write_at(self, data: memoryview, start: int) -> None:
        """Write all of it there, or keep the error; any thread may."""
        with self._keeping_error():
            while data:
                count = os.pwrite(self.fileno(), data, start)
                data, start = data[count:], start + count
                self.written += count

    def truncate(self, size: int | None = None) -> int:
        """Change the file's length, or keep the error."""
        with self._keeping_error():
            return super().truncate(size)
        return size or 0

    @contextlib.contextmanager
    def _keeping_error(self) -> Iterator[None]:
        try:
            with naming(self.path):
                yield
        except OSError as error:
            self.error = self.error or error

    def sync(self) -> None:
        """Bring to the disk what was written, or keep the error: the disk tells it only once."""
        with self._keeping_error():
            os.fdatasync(self.fileno())

    def check(self) -> None:
        """Raise the error that was kept."""
        if self.error is not None:
            raise self.error
