"""Columns as Arrow has them, over the same memory wherever that is possible.

    numbers, times        the memory itself
    codes                 the memory itself, with the texts as a dictionary
    text, bytes           a copy: Arrow's are not of a fixed width
    bool, times in days   a copy: Arrow's take a bit, and 4 bytes
    NaN, NaT              null, by a bit for each value of the columns that have some

Which values are null is what it was when the frame was made: a number that is written over a NaN
later stays null there, and any other number is seen.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shmkit._categories import names_of
from shmkit._text_dtype import encoded, is_text
from shmkit.views.frames.capsule import ArrowColumn

__all__ = ["arrow_column", "arrow_struct"]

_NUMBERS = {"i1": "c", "u1": "C", "i2": "s", "u2": "S", "i4": "i", "u4": "I", "i8": "l", "u8": "L"}
_NUMBERS |= {"f2": "e", "f4": "f", "f8": "g"}
_COARSER = ("Y", "M", "W", "D", "h", "m")  # units than those of Arrow
_UNITS = {"s": "s", "ms": "m", "us": "u", "ns": "n"}
_MAX_OFFSET = 2**31 - 1  # of text with offsets of 4 bytes
_BLOCK = 1 << 16  # rows


def arrow_struct(columns: Mapping[str, Any], length: int) -> ArrowColumn:
    """The rows of a table: a struct of its columns.

    Raises TypeError for a column that Arrow has no type for; names it.
    """
    children = []
    for name, column in columns.items():
        try:
            children.append((name, arrow_column(column)))
        except TypeError as error:
            raise TypeError(f"column {name!r}: {error}") from None
    return ArrowColumn("+s", length, [None], children=children)


def arrow_column(column: Any) -> ArrowColumn:
    """A column, or a field; a structured array is a struct.

    Raises TypeError for what Arrow has no type for.
    """
    array = np.asarray(getattr(column, "stored", column))
    dtype, length = array.dtype, len(array)
    if array.ndim != 1:
        raise TypeError(f"an array of the shape {array.shape} is no column")
    if dtype.names:
        return arrow_struct({name: array[name] for name in dtype.names}, length)
    names = names_of(dtype)
    if names is not None or (is_text(dtype) and dtype.kind != "S"):
        return _codes(array, np.array([""]) if names is None else names)
    if dtype.kind == "U":
        return _text(encoded(array), "u")
    if dtype.kind == "S":
        return _text(array, "u" if is_text(dtype) else "z")
    if dtype.kind == "b":
        return ArrowColumn("b", length, [None, np.packbits(array, bitorder="little")])
    if dtype.kind in "mM":
        return _times(array)
    letter = _NUMBERS.get(dtype.str[1:])
    if letter is None:
        raise TypeError(f"Arrow has no type for {dtype}")
    return _fixed(letter, array)


def _fixed(letter: str, array: NDArray[Any]) -> ArrowColumn:
    """Values of a fixed width, in the machine's byte order; NaN and NaT are null."""
    values = np.ascontiguousarray(array, array.dtype.newbyteorder("="))
    nulls, there = _nulls(values)
    return ArrowColumn(letter, len(values), [there, values], nulls)


def _nulls(values: NDArray[Any]) -> tuple[int, NDArray[np.uint8] | None]:
    """How many are NaN or NaT, and a bit for each that is not; no bits if none is."""
    if values.dtype.kind not in "fmM":
        return 0, None
    there: NDArray[np.uint8] | None = None
    count = 0
    for start in range(0, len(values), _BLOCK):  # a multiple of 8
        missing = np.isnan(values[start : start + _BLOCK])
        found = int(np.count_nonzero(missing))
        if found:
            if there is None:
                there = np.full(-(-len(values) // 8), 255, np.uint8)
            bits = np.packbits(~missing, bitorder="little")
            there[start // 8 : start // 8 + len(bits)] = bits
            count += found
    return count, there


def _times(array: NDArray[Any]) -> ArrowColumn:
    unit, count = np.datetime_data(array.dtype)
    letter = array.dtype.kind
    if letter == "M" and unit == "D" and count == 1:
        nulls, there = _nulls(array)
        days = np.where(np.isnat(array), 0, array.astype(np.int64))
        if np.max(np.abs(days), initial=0) > np.iinfo(np.int32).max:
            raise TypeError("Arrow has no dates so far away; astype('M8[s]') makes times of them")
        return ArrowColumn("tdD", len(array), [there, days.astype(np.int32)], nulls)
    if unit == "generic":
        raise TypeError(f"Arrow has no type for {array.dtype}, which has no unit")
    if unit in _COARSER:
        unit, count, array = "s", 1, array.astype(f"{letter}8[s]")
    if unit not in _UNITS:
        raise TypeError(f"Arrow has no type for {array.dtype}, whose unit is finer than ns")
    if count != 1:
        array = array.astype(f"{letter}8[{unit}]")
    kind = f"ts{_UNITS[unit]}:" if letter == "M" else f"tD{_UNITS[unit]}"
    return _fixed(kind, array)


def _codes(array: NDArray[Any], names: NDArray[np.str_]) -> ArrowColumn:
    """Codes of texts, whose dictionary they index without a check."""
    codes = np.ascontiguousarray(array, array.dtype.newbyteorder("="))
    if len(codes) and not 0 <= codes.min() <= codes.max() < len(names):
        raise TypeError(f"it holds codes beyond those of its {len(names)} categories")
    dictionary = _text(encoded(names), "u")
    return ArrowColumn(_NUMBERS[codes.dtype.str[1:]], len(codes), [None, codes], 0, (), dictionary)


def _text(utf8: NDArray[np.bytes_], letter: str) -> ArrowColumn:
    """Text, or bytes, of varying length: ended by zeros in numpy's memory."""
    lengths = np.strings.str_len(utf8)
    offsets = np.zeros(len(utf8) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    data = np.empty(offsets[-1], np.uint8)
    for start in range(0, len(utf8), _BLOCK):
        block = np.ascontiguousarray(utf8[start : start + _BLOCK])
        place = data[offsets[start] : offsets[start + len(block)]]
        letters = block.view(np.uint8).reshape(len(block), -1)
        used = letters[letters != 0]
        if len(used) < len(place):  # there are zeros within
            used = letters[np.arange(utf8.itemsize) < lengths[start : start + _BLOCK, None]]
        place[:] = used
    if offsets[-1] <= _MAX_OFFSET:
        return ArrowColumn(letter, len(utf8), [None, offsets.astype(np.int32), data])
    return ArrowColumn(letter.upper(), len(utf8), [None, offsets, data])
