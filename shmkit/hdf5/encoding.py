"""Arrays as HDF5 can hold them: text as UTF-8, times as int64, all else as it is.

    dtype of the array ──stored_dtype──▶ dtype in the file ──┐
    block of the array ────────────────encode────────────────┴──▶ block for the file
    dtype in the file, attributes ──loaded_dtype──▶ dtype of the array; decode, the way back

Only text needs other bytes, so only text is copied, a block at a time. What is text in a file is
text as `_text_dtype` has it. Where an attribute says so, it was an array of numpy's `str`, or of
bytes, which HDF5 would take for text, and is one again.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from shmkit._categories import enum_of, names_of, with_enums
from shmkit._metadata import with_formats
from shmkit._text_dtype import is_text, text_dtype
from shmkit.hdf5.chunks import blocks, chunk_shape

__all__ = [
    "MAX_ENUM_NBYTES",
    "TABLE_KEY",
    "check_array",
    "decode",
    "encode",
    "enum_nbytes",
    "kind_attrs",
    "kinds",
    "loaded_dtype",
    "stored_dtype",
    "text_labels",
]

_KIND = "numpy_dtype"  # the attribute that says what was stored as something else
MAX_ENUM_NBYTES = 65_000  # HDF5 describes the type of a dataset in a header of 64 kB
TABLE_KEY = "shmkit_table"  # the attribute of a table: a group "columns", or a compound "table"
_STORED_AS_INT = ("m", "M")
_CF_UNITS = {
    "D": "days",
    "h": "hours",
    "m": "minutes",
    "s": "seconds",
    "ms": "milliseconds",
    "us": "microseconds",
    "ns": "nanoseconds",
}


def check_array(name: str, array: Any) -> None:
    """Raise a `TypeError` for an array, or what has the dtype of one, that HDF5 cannot hold."""
    for field, dtype in _fields(name, array.dtype):
        if dtype.hasobject:
            raise TypeError(
                f"{field} holds Python objects ({dtype}), which HDF5 cannot hold; convert it "
                "first, for example with astype(float), or astype(str) for strings"
            )
        if enum_nbytes(dtype) > MAX_ENUM_NBYTES:
            raise TypeError(
                f"{field} has categories of {len(enum_of(dtype) or ())} names, and HDF5 can hold "
                "about 64 kB of them; save text instead, with x.categories[x] of the field x"
            )
    try:
        stored = stored_dtype(array.dtype, [])
        same = h5py.h5t.py_create(stored, logical=True).dtype == stored
    except (TypeError, ValueError):
        same = False
    if not same:
        raise TypeError(
            f"{name}: HDF5 has no type for {array.dtype}: it has fields that overlap, hold "
            "nothing or have names that are no text; keep only the others, with "
            "numpy.lib.recfunctions.repack_fields"
        )


def enum_nbytes(dtype: np.dtype[Any]) -> int:
    """Bytes that HDF5 needs for the names of codes: each in eights, with a zero, and its code."""
    names = enum_of(dtype) or ()
    return sum((len(text.encode()) // 8 + 1) * 8 + dtype.itemsize for text in names)


def stored_dtype(dtype: np.dtype[Any], arrays: Sequence[NDArray[Any]]) -> np.dtype[Any]:
    """What stands in the file for arrays of this dtype; text is as wide as theirs is in UTF-8.

    >>> stored_dtype(np.dtype([("at", "M8[ns]"), ("price", "f8")]), [])
    dtype([('at', '<i8'), ('price', '<f8')])
    """
    if dtype.subdtype is not None:
        base, shape = dtype.subdtype
        return np.dtype((stored_dtype(base, arrays), shape))
    if dtype.names is not None:
        formats = [stored_dtype(dtype[n], [array[n] for array in arrays]) for n in dtype.names]
        if _has_text(dtype):
            return np.dtype(list(zip(dtype.names, formats, strict=True)))
        return with_formats(dtype, formats)
    if dtype.kind == "U":
        text: np.dtype[Any] = h5py.string_dtype("utf-8", max([1, *map(_width, arrays)]))
        return text
    if enum := enum_of(dtype):  # HDF5 has no empty name: that code has none
        named = {"": {name: code for name, code in enum.items() if name}}
        return with_enums(np.dtype(dtype.str), named)
    return np.dtype(f"{dtype.byteorder}i8") if dtype.kind in "mM" else dtype


def encode(block: NDArray[Any], stored: np.dtype[Any]) -> NDArray[Any]:
    """A block of an array as it stands in the file; a copy only where there is text."""
    if not _has_text(block.dtype):
        return block.view(stored)
    if block.dtype.names is None:
        utf8 = np.strings.encode(block, "utf-8")
        return utf8.astype(f"S{stored.itemsize}").view(stored)
    table = np.zeros(block.shape, stored)  # what lay in its padding would be in the file
    for field in block.dtype.names:
        table[field] = encode(block[field], stored[field].base)
    return table


def decode(block: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """A block from the file as it stands in the array: the reverse of `encode`.

    Only text is copied: that of varying length, which h5py has as Python's bytes, and that which
    was no UTF-8 in the array.
    """
    if not block.dtype.hasobject and not _has_text(dtype):
        return block.view(dtype)
    if dtype.names is None:
        text = np.strings.decode(block, "utf-8") if dtype.kind == "U" else block
        return text.astype(dtype)
    table = np.zeros(block.shape, dtype)
    for field in dtype.names:
        table[field] = decode(block[field], dtype[field].base)
    return table


def kind_attrs(dtype: np.dtype[Any]) -> dict[str, Any]:
    """The attributes of a dataset that say what its arrays were, where that is not to be seen.

    Times say it also as the CF conventions do, and text as netCDF does, which xarray and others
    know.

    >>> kind_attrs(np.dtype([("at", "M8[ns]"), ("price", "f8")]))
    {'numpy_dtype.at': '<M8[ns]'}
    >>> kind_attrs(np.dtype("m8[ms]"))["units"]
    'milliseconds'
    """
    attrs: dict[str, Any] = {}
    for key, field in _fields(_KIND, dtype):
        if is_text(field):
            if key != _KIND:  # else it is text, as any
                attrs[key] = f"<U{field.itemsize}"
        elif field.kind in "mMUS":  # HDF5 would take bytes for text
            attrs[key] = field.str
    return attrs | _cf_attrs(dtype)


def _cf_attrs(dtype: np.dtype[Any]) -> dict[str, Any]:
    if dtype.kind == "U" or is_text(dtype):
        return {"_Encoding": "utf-8"}  # without it, xarray gives bytes
    if dtype.kind not in "mM":
        return {}
    unit, count = np.datetime_data(dtype)
    if unit not in _CF_UNITS or count != 1:
        return {}
    missing = {"_FillValue": np.int64(np.iinfo(np.int64).min)}
    if dtype.kind == "m":
        return {"units": _CF_UNITS[unit], **missing}
    since = f"{_CF_UNITS[unit]} since 1970-01-01"
    return {"units": since, "calendar": "proleptic_gregorian", **missing}


def loaded_dtype(
    stored: np.dtype[Any],
    attrs: Mapping[str, Any],
    widths: Mapping[str, int] = MappingProxyType({}),
    field: str = "",
) -> np.dtype[Any]:
    """The dtype of the array that is made of a dataset: text is text, times are what `attrs` say.

    Parameters
    ----------
    stored
        As h5py gives it.
    attrs
        The attributes of the dataset.
    widths
        Bytes of the longest text, of each field whose texts vary in length (see `text_labels`).
    field
        Which one this is, if it is a field of another.

    Raises
    ------
    TypeError
        If no array in shared memory can hold it: says which field, and why.

    >>> loaded_dtype(np.dtype([("at", "i8"), ("n", "u1")]), {"numpy_dtype.at": "<M8[ns]"})
    dtype([('at', '<M8[ns]'), ('n', 'u1')])
    """
    if stored.subdtype is not None:
        base, shape = stored.subdtype
        return np.dtype((loaded_dtype(base, attrs, widths, field), shape))
    if stored.names is not None:
        return _loaded_fields(stored, attrs, widths, field)
    kind = attrs.get(f"{_KIND}{field}")
    kind = kind if isinstance(kind, str) else ""
    text = h5py.check_string_dtype(stored)
    if text is not None and text.length is None:
        return text_dtype(widths[field])
    if text is not None:
        if kind[1:2] == "S":
            return np.dtype(stored.str)
        return np.dtype(kind) if kind[1:2] == "U" else text_dtype(stored.itemsize)
    if stored.hasobject:
        of = f"the field {field[1:]} holds" if field else "it holds"
        raise TypeError(f"{of} {_object_kind(stored)}, which cannot lie in shared memory")
    return np.dtype(kind) if stored.kind == "i" and kind[1:2] in _STORED_AS_INT else stored


def _loaded_fields(
    stored: np.dtype[Any], attrs: Mapping[str, Any], widths: Mapping[str, int], field: str
) -> np.dtype[Any]:
    """The fields in the order in which they lie, which not every writer has told them in."""
    assert stored.names is not None
    assert stored.fields is not None
    places = {name: stored.fields[name][1] for name in stored.names}
    names = sorted(places, key=places.__getitem__)
    formats = [loaded_dtype(stored[name], attrs, widths, f"{field}.{name}") for name in names]
    if stored.hasobject or any(map(_has_text, formats)):
        return np.dtype(list(zip(names, formats, strict=True)))
    offsets = [places[name] for name in names]
    for name, following, (offset, stop) in zip(
        names, names[1:], itertools.pairwise(offsets), strict=False
    ):
        if offset + stored[name].itemsize > stop:
            raise TypeError(
                f"its fields {name} and {following} overlap, which a .npy header cannot say"
            )
    layout: Any = {"names": names, "formats": formats, "offsets": offsets}
    found: np.dtype[Any] = np.dtype(layout | {"itemsize": stored.itemsize})
    return found


def _object_kind(stored: np.dtype[Any]) -> str:
    """What h5py has Python objects for."""
    if h5py.check_vlen_dtype(stored) is not None:
        return "sequences of varying length"
    if h5py.check_ref_dtype(stored) is not None:
        return "references"
    return f"Python objects ({stored})"


def text_labels(stored: np.dtype[Any], field: str = "") -> dict[str, tuple[str, bool]]:
    """Of each field that is text in the file: its encoding, and whether its length varies.

    Fields are named as in `text_fields`, with a point before each: "" if there are none.

    >>> text_labels(np.dtype([("id", "i4"), ("name", h5py.string_dtype())]))
    {'.name': ('utf-8', True)}
    """
    found = {}
    for key, inner in _fields(field, stored):
        text = h5py.check_string_dtype(inner)
        if text is not None:
            found[key] = text.encoding, text.length is None
    return found


def kinds(dtype: np.dtype[Any]) -> list[str]:
    """Of each innermost field, what its values are: letters of numpy's kinds, or its categories.

    >>> kinds(np.dtype([("at", "M8[ns]"), ("in", [("price", "f8"), ("name", "U3")])]))
    ['M', 'biufc', 'U']
    """
    return [_kind(field) for _, field in _fields("", dtype)]


def _kind(field: np.dtype[Any]) -> str:
    names, numbers = names_of(field), "biufc"
    if names is not None:
        return str(names.tolist())
    if is_text(field):
        return "U"
    return numbers if field.kind in numbers else field.kind


def _fields(prefix: str, dtype: np.dtype[Any]) -> Iterator[tuple[str, np.dtype[Any]]]:
    """The innermost fields of a dtype; of one without fields, itself."""
    if dtype.base.names is None:
        yield prefix, dtype.base
    for field in dtype.base.names or ():
        yield from _fields(f"{prefix}.{field}", dtype.base[field])


def _has_text(dtype: np.dtype[Any]) -> bool:
    return any(field.kind == "U" for _, field in _fields("", dtype))


def _width(array: NDArray[Any]) -> int:
    """Bytes of the longest text in UTF-8; a block at a time, since it may be a large array."""
    chunks = chunk_shape(array.shape, max(array.itemsize, 1))
    encoded = (
        np.strings.encode(np.asarray(array[block]), "utf-8")
        for block in blocks(array.shape, chunks)
    )
    return max((text.dtype.itemsize for text in encoded), default=1)
