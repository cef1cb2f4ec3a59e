"""Arrays as HDF5 can hold them: text as UTF-8, times as int64, all else as it is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

__all__ = ["check_array", "encode", "time_attrs"]


def check_array(name: str, array: NDArray[Any]) -> None:
    """Raise a `TypeError` for what HDF5 cannot hold."""
    if isinstance(array, np.ma.MaskedArray):
        raise TypeError(
            f"{name} is a masked array, and HDF5 has no masks; save {name}.filled(...), or "
            f"{name}.data and {name}.mask as two datasets"
        )
    for field, dtype in _fields(name, array.dtype):
        if dtype.hasobject:
            raise TypeError(
                f"{field} holds Python objects ({dtype}), which HDF5 cannot hold; convert it "
                "first, for example with astype(float), or astype(str) for strings"
            )
    try:
        encoded = encode(np.empty(0, array.dtype)).dtype
        same = h5py.h5t.py_create(encoded, logical=True).dtype == encoded
    except (TypeError, ValueError):
        same = False
    if not same:
        raise TypeError(
            f"{name}: HDF5 has no type for {array.dtype}: it has fields that overlap or hold "
            "nothing; keep only the others, with numpy.lib.recfunctions.repack_fields"
        )


def encode(array: NDArray[Any]) -> NDArray[Any]:
    """The array as HDF5 can hold it; a copy only where it has strings."""
    return _utf8(np.asarray(array).view(_int_for_times(array.dtype)))


def time_attrs(dtype: np.dtype[Any]) -> dict[str, str]:
    """The attributes of a dataset that say which int64 were times.

    >>> time_attrs(np.dtype([("at", "M8[ns]"), ("price", "f8")]))
    {'numpy_dtype.at': '<M8[ns]'}
    """
    return {name: field.str for name, field in _fields("numpy_dtype", dtype) if field.kind in "mM"}


def _fields(name: str, dtype: np.dtype[Any]) -> Iterator[tuple[str, np.dtype[Any]]]:
    """The innermost fields of a dtype; of one without fields, itself."""
    if dtype.base.names is None:
        yield name, dtype.base
    for field in dtype.base.names or ():
        yield from _fields(f"{name}.{field}", dtype.base[field])


def _int_for_times(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The same layout with int64 for times."""
    if dtype.subdtype is not None:
        base, shape = dtype.subdtype
        return np.dtype((_int_for_times(base), shape))
    if dtype.names is not None and dtype.fields is not None:
        layout: Any = {
            "names": dtype.names,
            "formats": [_int_for_times(dtype[name]) for name in dtype.names],
            "offsets": [dtype.fields[name][1] for name in dtype.names],
            "itemsize": dtype.itemsize,
        }
        same_layout: np.dtype[Any] = np.dtype(layout)
        return same_layout
    return np.dtype(f"{dtype.byteorder}i8") if dtype.kind in "mM" else dtype


def _utf8(array: NDArray[Any]) -> NDArray[Any]:
    """The array with UTF-8 for ``U`` strings."""
    if not any(dtype.kind == "U" for _, dtype in _fields("", array.dtype)):
        return array
    if array.dtype.names is None:
        encoded = np.strings.encode(array, "utf-8")
        return encoded.view(h5py.string_dtype("utf-8", encoded.dtype.itemsize))
    columns = {name: _utf8(array[name]) for name in array.dtype.names}
    layout = [(name, c.dtype, c.shape[array.ndim :]) for name, c in columns.items()]
    table = np.empty(array.shape, layout)
    for name, column in columns.items():
        table[name] = column
    return table
