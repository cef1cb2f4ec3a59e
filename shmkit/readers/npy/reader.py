"""Files that np.save wrote: copied into the segment, bit for bit.

    file ┌────────┬─────────────────────────┐
         │ header │ data                    │
         └────────┴───────────┬─────────────┘
                              ▼ a piece at a time, which stays in the cache
         segment's array [ . . . . . . . . . ]

In Fortran order the same: the bytes are taken as they lie there.
"""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterator, Mapping
from typing import Any, Self

import numpy as np

from shmkit.errors import LoadError
from shmkit.readers.base import Part, Piece, Plan, Reader, Version
from shmkit.readers.select import as_slice, picked, stop_of_chunk
from shmkit.segments.image.header import Header, read_header
from shmkit.segments.writer import SegmentWriter

__all__ = ["NpyReader"]

_PIECE_NBYTES = 1 << 18


class NpyReader(Reader):
    """Reads a ``.npy`` file of version 1, 2 or 3, or a part of it.

    Examples
    --------
    >>> import os, tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "grid.npy")
    >>> np.save(path, np.zeros((2, 3), np.float32, order="F"))
    >>> with NpyReader.open(path, {}) as reader:
    ...     plan = reader.probe()
    >>> plan.dtype, plan.shape, plan.fortran_order
    (dtype('float32'), (2, 3), True)
    """

    def __init__(
        self, path: str, options: Mapping[str, Any], file: Any, nbytes: int | None = None
    ) -> None:
        self._path = path
        self._options = options
        self._file = file
        self._nbytes = nbytes  # of what is part of a file

    @classmethod
    @contextlib.contextmanager
    def open(cls, path: str, options: Mapping[str, Any]) -> Iterator[Self]:
        """The reader of a file, or of the part ``options["select"]``.

        Raises `OSError` if it cannot be opened.
        """
        with open(path, "rb", buffering=0) as file:
            yield cls(path, options, file)

    def version(self) -> Version:
        """The version of the open file."""
        return Version.of(os.fstat(self._file.fileno()))

    def probe(self, like: Plan | None = None) -> Plan:  # noqa: ARG002 - nothing is guessed
        """Read the header.

        Raises
        ------
        LoadError
            If it is no ``.npy`` file, is damaged or cut short, or holds Python objects; if not so
            many axes can be selected.
        """
        header = self._header()
        try:
            shape = tuple(map(len, picked(self._options.get("select", ()), header.shape)))
        except ValueError as error:
            raise LoadError(self._path, None, None, str(error)) from None
        return Plan(header.dtype, shape, header.fortran_order, self._options)

    def _header(self) -> Header:
        self._file.seek(0)
        try:
            return read_header(self._file, self._nbytes)
        except ValueError as error:
            reason = f"is not a .npy file that can be read: {error}; copy or save it again"
            raise LoadError(self._path, None, None, reason) from None

    def read(self, plan: Plan, part: Part, writer: SegmentWriter) -> Piece:  # noqa: ARG002 - there is one
        """Copy the data.

        Raises
        ------
        LoadError
            If the file is no longer what `probe` found.
        NotEnoughMemoryError
            If there is no room.
        OSError
            If it cannot be read.
        """
        if self.probe() != plan:  # which leaves the file at the data
            reason = "the file was replaced while loading; load it again"
            raise LoadError(self._path, None, None, reason)
        writer.allocate(plan.dtype, plan.shape, fortran_order=plan.fortran_order)
        if "select" in self._options:
            return self._read_part(plan, writer)
        rows = plan.shape[0] if plan.shape else 1
        start, nbytes, done = self._file.tell(), plan.nbytes, 0
        piece = np.empty(min(nbytes, _PIECE_NBYTES), np.uint8)
        while done < nbytes:
            count = self._file.readinto(piece[: nbytes - done].data)
            if not count:
                reason = "the file was cut short while loading"
                raise LoadError(self._path, None, None, reason)
            writer.write(piece[:count])
            done += count
            # In Fortran order no row is whole before nearly all of them are.
            by_rows = not plan.fortran_order or done == nbytes
            writer.advance(bytes_done=start + done, rows=rows * done // nbytes if by_rows else 0)
        if not nbytes:
            writer.advance(bytes_done=start, rows=rows)
        return Piece(rows)

    def _read_part(self, plan: Plan, writer: SegmentWriter) -> Piece:
        """Copy what is selected, from the rows that hold it (the columns, in Fortran order)."""
        header = self._header()
        order = -1 if header.fortran_order else 1
        wanted = picked(self._options["select"], header.shape)[::order]
        outer, axes = wanted[0], tuple(map(as_slice, wanted[1:]))
        row = header.shape[::order][1:]
        row_nbytes = math.prod(row) * header.dtype.itemsize
        step, start = max(_PIECE_NBYTES // max(row_nbytes, 1), 1), 0
        while start < len(outer) and plan.nbytes:
            stop = stop_of_chunk(outer, start, step)
            rows = outer[start:stop]
            first, last = min(rows), max(rows)
            self._file.seek(header.data_offset + first * row_nbytes)
            data = self._file.read((last - first + 1) * row_nbytes)
            if len(data) < (last - first + 1) * row_nbytes:
                reason = "the file was cut short while loading"
                raise LoadError(self._path, None, None, reason)
            block = np.frombuffer(data, header.dtype).reshape(-1, *row)
            writer.write(np.ascontiguousarray(block[(as_slice(rows, first), *axes)]))
            done = header.data_offset + (last + 1) * row_nbytes
            writer.advance(bytes_done=done, rows=0 if order < 0 else stop)
            start = stop
        return Piece(plan.shape[0])
