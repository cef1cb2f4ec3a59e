"""A reader of the user's own: any function ``path -> array``, defined in a cell if need be."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shmkit.memory.writer import SegmentWriter
from shmkit.readers.base import Plan

__all__ = ["Custom"]

_PIECE_NBYTES = 1 << 18  # stays in the cache of a core until it is written


class Custom:
    """The reader that calls a function."""

    def __init__(self, function: Callable[[str], Any]) -> None:
        self._function = function

    def probe(self, path: str, options: Mapping[str, Any]) -> Plan | None:
        """None: only calling the function can tell what is in the file."""
        del path, options
        return None

    def read(self, path: str, options: Mapping[str, Any], target: SegmentWriter) -> None:
        """Call the function, and write what it returns."""
        del options
        result = self._function(path)
        if isinstance(result, np.ma.MaskedArray):
            raise TypeError(
                "a masked array's mask would be lost; return result.filled(...) instead"
            )
        array = np.asarray(result)
        fortran_order = array.flags.f_contiguous and not array.flags.c_contiguous
        target.allocate(array.dtype, array.shape, fortran_order=fortran_order)
        for piece in _pieces(array.T if fortran_order else array):
            target.write(piece)
        target.advance(bytes_done=0, rows=len(array) if array.ndim else 1)


def _pieces(array: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """The items in C order, contiguous, without a copy of an array that is not so as a whole."""
    yield from np.nditer(  # type: ignore[call-overload] # its stub misspells "contig"
        array,
        flags=["external_loop", "buffered", "zerosize_ok"],
        op_flags=["readonly", "contig"],
        buffersize=1 + _PIECE_NBYTES // max(array.dtype.itemsize, 1),
        order="C",
    )
