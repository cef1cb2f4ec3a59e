"""A reader of the user's own: any function ``path -> array``, defined in a cell if need be."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable
from typing import Any, Self

import numpy as np

from shmkit.readers.base import Part, Piece, Plan, Reader, Version
from shmkit.segments.writer import SegmentWriter
from shmkit.views.image import image_of

__all__ = ["CustomReader"]


class CustomReader(Reader):
    """The reader that calls a function. Only calling it tells what is in the file."""

    def __init__(self, path: str, function: Callable[[str], Any]) -> None:
        self._path = path
        self._function = function

    @classmethod
    def open(
        cls, path: str, function: Callable[[str], Any]
    ) -> contextlib.AbstractContextManager[Self]:
        """The reader of a file; opening it is the function's business."""
        return contextlib.nullcontext(cls(path, function))

    def version(self) -> Version | None:
        """The version of what the path leads to: the function opens it itself.

        A directory has none: a function may put files of its own there.
        """
        status = os.stat(self._path)
        return Version.of(status) if stat.S_ISREG(status.st_mode) else None

    def probe(self, like: Plan | None = None) -> Plan:  # noqa: ARG002 - nothing is guessed
        """Call the function, and say what it returned; `read` writes it.

        Raises
        ------
        TypeError
            If it returned a masked array.
        Exception
            Whatever the function raises.
        """
        result = self._function(self._path)
        if isinstance(result, np.ma.MaskedArray):
            raise TypeError(
                "a masked array's mask would be lost; return result.filled(...) instead"
            )
        self._image = image = image_of(np.asarray(result))
        return Plan(image.dtype, image.shape, image.fortran_order)

    def read(self, plan: Plan, part: Part, writer: SegmentWriter) -> Piece:  # noqa: ARG002 - there is one
        """Write what the function returned to `probe`.

        Raises
        ------
        NotEnoughMemoryError
            If there is no room.
        TypeError
            If no array in shared memory can have the dtype.
        """
        self._image.write(writer)
        writer.advance(bytes_done=0, rows=self._image.rows)
        return Piece(self._image.rows)
