"""New arrays in shared memory: zeros for workers to fill, or a copy of an array or a table."""

from __future__ import annotations

import operator
import os
from collections.abc import Mapping, Sequence
from typing import Any, SupportsIndex, overload

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from shmkit.errors import BriefErrors
from shmkit.segments.backing import choose_backing
from shmkit.segments.image.layout import layout_of
from shmkit.segments.segment import Segment, segment_nbytes
from shmkit.segments.writer import SegmentWriter
from shmkit.views.array import SharedArray, new_array, view
from shmkit.views.image import image_of
from shmkit.views.table import SharedTable

__all__ = ["share", "shared_empty"]


def shared_empty(
    shape: SupportsIndex | Sequence[SupportsIndex],
    dtype: DTypeLike = float,
    *,
    backing: str | os.PathLike[str] = "auto",
) -> SharedArray:
    """A new array of zeros in shared memory, for workers to fill.

    Parameters
    ----------
    shape : int or sequence of int
    dtype : dtype, default float64
        Anything but Python objects.
    backing : {"auto", "shm", "memfd"} or a directory
        Where the segment lives; see `shared_load`.

    Returns
    -------
    SharedArray
        Also a context manager. The segment is unlinked by ``close()``, at the end of a ``with``
        block, when the last view is gone, or when the interpreter exits, whichever is first.

    Raises
    ------
    NotEnoughMemoryError
        If there is no room. Nothing is left behind.
    TypeError
        If the dtype holds Python objects.

    Examples
    --------
    >>> with shared_empty((2, 3), "i4") as a:
    ...     a += 7
    ...     print(a.sum())
    42
    """
    with BriefErrors():
        dtype = np.dtype(dtype)
        lengths = shape if isinstance(shape, Sequence) else [shape]
        shape = tuple(operator.index(length) for length in lengths)
        return new_array(dtype, shape, backing=backing)


@overload
def share(
    source: Mapping[str, ArrayLike], *, backing: str | os.PathLike[str] = "auto"
) -> SharedTable: ...
@overload
def share(source: ArrayLike, *, backing: str | os.PathLike[str] = "auto") -> SharedArray: ...
def share(source: Any, *, backing: str | os.PathLike[str] = "auto") -> SharedArray | SharedTable:
    """Copy an array, or a table, into a new segment.

    Parameters
    ----------
    source : array_like, or a table
        An array of any shape and dtype but Python objects; a Fortran-ordered one stays so. Or a
        table: a mapping of column names to arrays of one length, a data frame of pandas or polars,
        a table of pyarrow. Its text becomes UTF-8 of a fixed width, or codes where it is held by
        categories; what is missing becomes NaN, NaT, and the empty text; whole numbers of which
        some are missing become float64. An index of pandas is a column if it has a name.
    backing : {"auto", "shm", "memfd"} or a directory
        Where the segment lives; see `shared_load`.

    Returns
    -------
    SharedArray or SharedTable
        With the same lifetime as that of `shared_empty`.

    Raises
    ------
    NotEnoughMemoryError
        If there is no room. Nothing is left behind.
    TypeError
        If the array, or a column, holds Python objects that are no text, or is masked.
    ValueError
        If the columns are not of one length, or have more dimensions than one.

    Examples
    --------
    >>> from multiprocessing import get_context
    >>> with share(range(1_000_000)) as a, get_context("spawn").Pool(1) as pool:
    ...     pool.apply(sum, (a[:10],))        # the worker maps the memory of a
    np.int64(45)
    >>> with share({"x": [1, 2], "who": ["me", "you"]}) as t:
    ...     t["who"][1]
    'you'
    """
    with BriefErrors():
        image = image_of(source)
        segment = Segment.create(choose_backing(backing, segment_nbytes(image.nbytes)))
        try:
            with SegmentWriter(segment) as writer:
                image.write(writer)
            array = view(segment, writer.header)
        except BaseException:
            segment.unlink()
            raise
        return array if layout_of(array.dtype, array.shape) is None else SharedTable(array)
