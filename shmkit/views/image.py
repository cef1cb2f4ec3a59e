"""The image of an array or a table: what will lie in a segment.

    array_like, table, data frame ──▶ image_of ──▶ Image ──▶ SegmentWriter ──▶ segment

A table is written column by column, an array item by item in the order in which it will lie there.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shmkit.segments.image.layout import Layout
from shmkit.segments.writer import SegmentWriter
from shmkit.views.frames.frames import columns_of, stored_columns

__all__ = ["Image", "image_of"]

_PIECE_NBYTES = 1 << 18  # stays in the cache of a core until it is written


class Image(NamedTuple):
    """What the header of a segment will say, and where which data go.

    Attributes
    ----------
    dtype, shape, fortran_order
        Of the array that the header describes.
    parts : list of (int, ndarray)
        What to write, each from this byte of the data on.
    """

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    fortran_order: bool
    parts: list[tuple[int, NDArray[Any]]]

    @property
    def rows(self) -> int:
        """Items along the first axis, or rows of the table."""
        _, first = self.parts[0]
        return len(first.T) if self.fortran_order else len(first) if first.ndim else 1

    @property
    def nbytes(self) -> int:
        """Bytes of the data."""
        return math.prod(self.shape) * self.dtype.itemsize

    def write(self, writer: SegmentWriter) -> None:
        """Write it as the whole array of a segment; raises as `SegmentWriter.allocate`."""
        writer.allocate(self.dtype, self.shape, fortran_order=self.fortran_order)
        for offset, array in self.parts:
            writer.seek(offset)
            for piece in _pieces(array):
                writer.write(piece)


def image_of(source: Any) -> Image:
    """The image of an array, or of a table of whatever kind.

    Raises
    ------
    TypeError
        If the array, or a column, holds Python objects that are no text, or is masked.
    ValueError
        If the columns of a table are not of one length, or have more dimensions than one.
    """
    columns = columns_of(source)
    if columns is not None:
        stored = stored_columns(columns)
        rows = len(next(iter(stored.values()), ()))
        layout = Layout.new([(name, column.dtype) for name, column in stored.items()], rows)
        dtype, shape = layout.image()
        return Image(dtype, shape, False, [(c.offset, stored[c.name]) for c in layout.columns])
    if isinstance(source, np.ma.MaskedArray):
        raise TypeError("a masked array's mask would be lost; give array.filled(...) instead")
    array = np.asarray(source)
    fortran_order = array.flags.f_contiguous and not array.flags.c_contiguous
    items = array.T if fortran_order else array
    return Image(array.dtype, array.shape, fortran_order, [(0, items)])


def _pieces(array: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """The items in C order, contiguous, without a copy of an array that is not so as a whole."""
    yield from np.nditer(  # type: ignore[call-overload] # its stub misspells "contig"
        array,
        flags=["external_loop", "buffered", "zerosize_ok"],
        op_flags=["readonly", "contig"],
        buffersize=1 + _PIECE_NBYTES // max(array.dtype.itemsize, 1),
        order="C",
    )
