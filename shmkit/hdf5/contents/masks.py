"""Masked values: what stands for them in the file, as netCDF does it.

    [1, --, 3] ──unused──▶ 999999, which is none of the values ──filled──▶ [1, 999999, 3]
                                                                 _FillValue = 999999

The value that stands for them is one that no other item has: so nothing is lost, and who knows of
``_FillValue`` (netCDF4, xarray) has the same mask again. It is the array's own `fill_value` where
that is free. By default it is NaN, NaT, an empty text, or the type's least number.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Fill", "filled", "is_masked", "unused"]

Fill = Any  # a value of the array's type; of an array with fields, a mapping of them; or None
_SMALL = 2  # bytes of integers of which an array can have all that there are


def is_masked(array: Any) -> bool:
    """Whether it has a mask, even one that masks nothing: more may come to it that is masked."""
    return isinstance(array, np.ma.MaskedArray) or getattr(array, "is_masked", False)


def unused(dtype: np.dtype[Any], arrays: Sequence[Any]) -> Fill:
    """A value that none of the items has that are not masked; None if no array has a mask.

    Raises
    ------
    ValueError
        If there is none: the items have every value that the type has.
    """
    if not any(map(is_masked, arrays)):
        return None
    if dtype.names is not None:
        return {
            name: unused(dtype[name], [array[name] for array in arrays]) for name in dtype.names
        }
    for candidate in _candidates(dtype.base, arrays):
        if not any(_has(array, candidate) for array in arrays):
            return candidate
    raise ValueError(
        f"it is masked, and has every value of {dtype}, so that none can stand for what is masked; "
        "give it a wider type, with astype"
    )


def filled(block: Any, fill: Fill) -> NDArray[Any]:
    """A block with that value where it is masked; a copy only where it has a mask."""
    if not isinstance(block, np.ma.MaskedArray):
        found: NDArray[Any] = block
        return found
    if block.dtype.names is None:
        return np.asarray(block.filled(fill)).view(block.dtype)
    rows = block.data.copy()
    for name in block.dtype.names:
        if fill[name] is not None:
            rows[name] = filled(block[name], fill[name])
    return rows


def _candidates(dtype: np.dtype[Any], arrays: Iterable[Any]) -> Iterator[Any]:
    usual = np.ma.default_fill_value(dtype)
    for array in arrays:
        if isinstance(array, np.ma.MaskedArray) and array.dtype.kind == dtype.kind:
            own = array.fill_value
            if dtype.kind not in "mM" and np.any(own != np.asarray(usual).astype(own.dtype)):
                yield own.astype(dtype)
    if dtype.kind in "fc":
        yield dtype.type(np.nan)
        yield dtype.type(usual)
        yield from (dtype.type(-(2.0**power)) for power in range(7, 127))
    elif dtype.kind in "mM":
        yield np.array("NaT", dtype)[()]
    elif dtype.kind in "SU":
        width = dtype.itemsize // (4 if dtype.kind == "U" else 1)
        for length in range(min(width, 3) + 1):
            for letters in itertools.product("?-_~#", repeat=length):
                yield np.array("".join(letters)).astype(dtype)[()]
    elif dtype.kind in "iu":
        limits = np.iinfo(dtype)
        yield from (dtype.type(limits.min), dtype.type(limits.max))
        count = 1 << 8 * dtype.itemsize if dtype.itemsize <= _SMALL else 1000
        yield from (dtype.type(limits.max - number) for number in range(1, count - 1))


def _has(array: Any, value: Any) -> bool:
    values = np.ma.asanyarray(array)
    data, mask = values.data, np.ma.getmaskarray(values)
    if isinstance(value, np.datetime64 | np.timedelta64):
        return False  # NaT is missing, whoever has it
    same = np.isnan(data) if value != value else data == value  # noqa: PLR0124 - NaN
    return bool(np.any(same & ~mask))
