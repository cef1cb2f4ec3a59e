"""New arrays in shared memory: zeros for workers to fill, or a copy of an array."""

from __future__ import annotations

import math
import operator
import os
from collections.abc import Sequence
from typing import Any, SupportsIndex

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from shmkit.memory.array import SharedArray, view
from shmkit.memory.backing import choose_backing
from shmkit.memory.segment import Segment, segment_nbytes
from shmkit.memory.writer import SegmentWriter

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
    dtype = np.dtype(dtype)
    lengths = shape if isinstance(shape, Sequence) else [shape]
    shape = tuple(operator.index(length) for length in lengths)
    return _new(dtype, shape, fortran_order=False, backing=backing)


def share(array: ArrayLike, *, backing: str | os.PathLike[str] = "auto") -> SharedArray:
    """Copy an array into a new segment.

    Parameters
    ----------
    array : array_like
        Any shape and dtype but Python objects; a Fortran-ordered array stays so.
    backing : {"auto", "shm", "memfd"} or a directory
        Where the segment lives; see `shared_load`.

    Returns
    -------
    SharedArray
        With the same lifetime as that of `shared_empty`.

    Raises
    ------
    NotEnoughMemoryError
        If there is no room. Nothing is left behind.
    TypeError
        If the array holds Python objects, or is masked.

    Examples
    --------
    >>> from multiprocessing import get_context
    >>> with share(range(1_000_000)) as a, get_context("spawn").Pool(1) as pool:
    ...     pool.apply(sum, (a[:10],))        # the worker maps the memory of a
    np.int64(45)
    """
    if isinstance(array, np.ma.MaskedArray):
        raise TypeError("a masked array's mask would be lost; share array.filled(...) instead")
    array = np.asarray(array)
    fortran_order = array.flags.f_contiguous and not array.flags.c_contiguous
    shared = _new(array.dtype, array.shape, fortran_order=fortran_order, backing=backing)
    shared[...] = array
    return shared


def _new(
    dtype: np.dtype[Any],
    shape: tuple[int, ...],
    *,
    fortran_order: bool,
    backing: str | os.PathLike[str],
) -> SharedArray:
    if min(shape, default=0) < 0:
        raise ValueError(f"shape {shape} has a negative length")
    need = segment_nbytes(math.prod(shape) * dtype.itemsize)
    segment = Segment.create(choose_backing(backing, need))
    try:
        with SegmentWriter(segment) as writer:
            writer.allocate(dtype, shape, fortran_order=fortran_order)
        return view(segment, writer.header)
    except BaseException:
        segment.unlink()
        raise
