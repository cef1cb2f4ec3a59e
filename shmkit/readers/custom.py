"""A reader of the user's own: any function ``path -> array``, defined in a cell if need be."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from shmkit.readers import Plan, Reader, Target

__all__ = ["reader"]


class _Custom:
    def __init__(self, function: Callable[[str], Any]) -> None:
        self._function = function

    def probe(self, path: str, options: Mapping[str, Any]) -> Plan | None:
        """None: only calling the function can tell what is in the file."""
        del path, options
        return None

    def read_into(self, path: str, plan: Plan | None, target: Target) -> None:
        del plan
        result = self._function(path)
        if isinstance(result, np.ma.MaskedArray):
            raise TypeError(
                "a masked array's mask would be lost; return result.filled(...) instead"
            )
        array = np.asarray(result)
        fortran_order = array.flags.f_contiguous and not array.flags.c_contiguous
        target.reserve(array.dtype, array.shape, fortran_order=fortran_order)[...] = array
        target.advance(bytes_done=0, rows=len(array) if array.ndim else 1)


def reader(function: Callable[[str], Any]) -> Reader:
    """The reader that calls `function`."""
    return _Custom(function)
