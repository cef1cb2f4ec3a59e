"""Writing the array of a segment: what every reader writes to.

    declare    │ header │                               the length may be a guess; takes no memory
    allocate   │ header │ ░░░░░░░░░░░░░░░░░░░░░░░░░░░   or: memory is reserved for all of it
    write      │ header │ ██████████▶                   the next items, behind those before
    resize     │ header │ ██████████                    the length that there is in the end

A reader fills a small buffer again and again, which stays in the cache of its core, and writes it.

1. `declare` or `allocate` writes the header, so the file describes the array before any data are
   there. The file is as long as the array will be, but takes memory only where it was written.
2. `check_memory` refuses an array for which the machine, or the container, has too little memory
   left, before the first byte of it is written. A reader calls it after a mere `declare`.
3. `write` copies the buffer into the file by pwrite. `advance` notes how far the reader is, in the
   record that the notebook looks at.
4. `resize` declares as many items as were written. What was declared or allocated beyond them is
   given back.

What does not work:

- To store into a mapping of the file: a store to a page that is not there takes a page fault, and
  the kernel clears the page first. That is three times slower than pwrite from the cache. And where
  /dev/shm is full, such a store ends the process by SIGBUS (cpython#114390), while pwrite and
  posix_fallocate fail cleanly.
- To rely on ENOSPC alone: /dev/shm may be larger than the container's memory, and passing a
  container's limit ends the process by SIGKILL. So the memory that is left is looked up before
  every large step.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from shmkit import _limits
from shmkit.errors import SegmentError
from shmkit.segments.huge_pages import HugePages
from shmkit.segments.image.header import Header, header_bytes, read_segment_header
from shmkit.segments.image.trailer import trailer_bytes
from shmkit.segments.segment import Segment

__all__ = ["SegmentWriter"]

_STEP_NBYTES = 1 << 28  # between two looks at the memory that is left
_MOVE_NBYTES = 1 << 22


class SegmentWriter:
    """Writes the array of a segment; a context manager, which opens the segment's file once.

    Parameters
    ----------
    segment : Segment
        Nobody may have mapped it yet: a view would show what is written, and end the process
        where it goes beyond the end of a file that became shorter.
    record : ndarray, optional
        With the fields ``bytes_done`` and ``rows``: where `advance` says how far the reader is.

    Raises
    ------
    SegmentGoneError
        If the segment was unlinked.
    """

    def __init__(self, segment: Segment, record: NDArray[Any] | None = None) -> None:
        self._segment = segment
        self._record = record
        self._file = segment.open()
        self._header: Header | None = None
        self._position = 0  # of the next item, in bytes of the array's data
        # A file in a directory of the user's has the pages of its file system.
        in_memory = segment.backing != "file"
        self._huge_pages = HugePages(self._file.fileno()) if in_memory else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    @property
    def header(self) -> Header:
        """What array is declared, by this writer or by one before it."""
        if self._header is None:
            self._header = read_segment_header(self._segment.path, self._file)
        return self._header

    def declare(
        self,
        dtype: np.dtype[Any],
        shape: tuple[int, ...],
        *,
        fortran_order: bool = False,
        attrs: Mapping[str, Any] = MappingProxyType({}),
        gaps: bool = False,
    ) -> None:
        """Write the header of an array, which takes memory only as it is written.

        Parameters
        ----------
        dtype, shape
            Of the array; its first length may be a guess: `write` goes beyond it.
        fortran_order
            Whether its data are laid out by columns.
        attrs
            What its file says of it.
        gaps
            Whether much between what is written may stay empty. It takes no memory then, but what
            is written takes longer (huge_pages.py).

        Raises
        ------
        TypeError
            If an array of this dtype cannot lie in a segment.
        NotEnoughMemoryError
            If a file of this process may not be so long, or there is no room for the header.
        """
        known = self._header
        if known is not None and dtype is known.dtype:  # a dtype takes its time to be compared
            same = shape, fortran_order, attrs
            if same == (known.shape, known.fortran_order, known.attrs):
                return  # where a segment has the rows of several files, those before said it
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
        if gaps:
            self._huge_pages = None
        self._write_header(Header(dtype, shape, fortran_order, len(text), attrs))

    def allocate(
        self, dtype: np.dtype[Any], shape: tuple[int, ...], *, fortran_order: bool = False
    ) -> None:
        """Declare an array, and reserve memory for all of it.

        Raises
        ------
        TypeError
            As `declare`.
        NotEnoughMemoryError
            If there is no room. What was reserved is given back when the segment is unlinked.
        """
        self.declare(dtype, shape, fortran_order=fortran_order)
        if not hasattr(os, "posix_fallocate"):
            return
        fd, nbytes = self._file.fileno(), self.header.data_offset + self.header.nbytes
        # In steps: other loaders reserve memory at the same time, and to reserve takes it at once.
        for start in range(0, nbytes, _STEP_NBYTES):
            self.check_memory(nbytes - start)
            if self._huge_pages is not None:
                self._huge_pages.take(start, min(start + _STEP_NBYTES, nbytes), nbytes)
            try:
                os.posix_fallocate(fd, start, min(_STEP_NBYTES, nbytes - start))
            except OSError as error:
                raise self._without_room(error, nbytes) from None

    def check_memory(self, nbytes: int) -> None:
        """Raise `NotEnoughMemoryError` unless so many bytes of memory are left.

        A backing in a directory of the user's is no memory: there only the file system counts.
        """
        if self._segment.backing != "file":
            _limits.check_memory(nbytes)

    def write(self, array: NDArray[Any]) -> None:
        """Put these items, in C order, behind those that were written.

        They may go beyond the shape that was declared.

        Raises
        ------
        NotEnoughMemoryError
            If there is no room.
        """
        if array.nbytes:
            self._write_data(array.reshape(-1).view(np.uint8).data)

    def _write_data(self, data: memoryview) -> None:
        header = self.header
        at = header.data_offset + self._position
        if at // _STEP_NBYTES != (at + len(data)) // _STEP_NBYTES:
            self.check_memory(_STEP_NBYTES)
        if self._huge_pages is not None:
            self._huge_pages.take(at, at + len(data), header.data_offset + header.nbytes)
        try:
            _write_at(self._file.fileno(), data, at)
        except OSError as error:
            raise self._without_room(error, header.data_offset + header.nbytes) from None
        self._position += len(data)

    def seek(self, position: int) -> None:
        """Write the next items from this byte of the array's data on."""
        self._position = position

    def move(self, start: int, nbytes: int, to: int) -> None:
        """Copy bytes of the array's data to a place before them; both may overlap."""
        self.seek(to)
        offset = self.header.data_offset
        # Forwards, each step read before it is written: what is overwritten was moved before.
        for first in range(start, start + nbytes, _MOVE_NBYTES):
            count = min(_MOVE_NBYTES, start + nbytes - first)
            data = os.pread(self._file.fileno(), count, offset + first)
            if len(data) < count:
                raise SegmentError(self._segment.path, "is shorter than the array that is in it")
            self._write_data(memoryview(data))

    def advance(self, *, bytes_done: int, rows: int) -> None:
        """Say how many bytes of the file are read and how many rows are written, so far in all."""
        if self._record is not None:
            self._record["bytes_done"], self._record["rows"] = bytes_done, rows

    def resize(self, shape: tuple[int, ...]) -> None:
        """Give the array the shape that it has in the end, and give back what it does not need."""
        if shape != self.header.shape:
            self._write_header(self.header._replace(shape=shape))

    def describe(self, dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
        """Give the array the dtype and shape that it has in the end: those of a table's rows."""
        self._write_header(self.header._replace(dtype=dtype, shape=shape))

    def set_dtype(self, dtype: np.dtype[Any]) -> None:
        """Give the array another dtype with items as long: one that names its codes."""
        self._write_header(self.header._replace(dtype=dtype))

    def add_note(self, note: Mapping[str, Any]) -> None:
        """Write a note into the trailer; raises ValueError or TypeError for what is no JSON."""
        self._write_header(self.header, note)

    def _write_header(self, header: Header, note: Mapping[str, Any] | None = None) -> None:
        """Make the file as long as the array, and write the header and the trailer."""
        fd = self._file.fileno()
        at = header.data_offset + header.nbytes
        trailer = trailer_bytes(header.dtype, header.attrs, note)
        nbytes = at + len(trailer)
        try:
            os.truncate(fd, nbytes)
            _write_at(fd, memoryview(header_bytes(*header[:4])), 0)
            _write_at(fd, memoryview(trailer), at)
        except OSError as error:
            raise self._without_room(error, nbytes) from None
        self._header = header

    def _without_room(self, error: OSError, need: int) -> Exception:
        """What to raise when there is no room for so many bytes."""
        if error.errno not in (errno.ENOSPC, errno.ENOMEM, errno.EFBIG, errno.EDQUOT):
            return error
        if error.errno == errno.EFBIG:
            room = _limits.file_size()
        elif self._segment.backing == "memfd":
            room = _limits.memory()
        else:
            room = _limits.room_in(os.path.dirname(self._segment.path))
        return room.shortage(need)


def _write_at(fd: int, data: memoryview, at: int) -> None:
    while data:
        count = os.pwrite(fd, data, at)
        data, at = data[count:], at + count
