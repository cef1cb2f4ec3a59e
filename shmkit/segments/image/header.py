"""The image of an array that .npy files and segments hold: a header, then the data (NEP 1).

    header │ data │ trailer: what numpy's header cannot say, if there is anything (trailer.py)

What reads .npy files does not look behind the data.
"""

from __future__ import annotations

import ast
import functools
import math
import os
import re
import sys
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.lib import format as npy

from shmkit.errors import SegmentError
from shmkit.segments.image.layout import layout_of
from shmkit.segments.image.trailer import read_trailer

__all__ = [
    "USUAL_NBYTES",
    "Header",
    "header_bytes",
    "read_header",
    "read_segment_header",
    "read_with_note",
]

_LENGTH = r"-?\d+L?\s*"  # Python 2 wrote an L
_SHAPE = re.compile(
    rf"""(?<=['"]shape['"])\s*:\s*\(\s*(|{_LENGTH},\s*|{_LENGTH}(?:,\s*{_LENGTH})+,?\s*)\)""",
    re.ASCII,
)
_ALIGNMENT = 64  # of the data in the file; what np.save uses
USUAL_NBYTES = 512  # more than nearly all headers have
_VERSIONS = {b"\1\0": (2, "latin1"), b"\2\0": (4, "latin1"), b"\3\0": (4, "utf8")}
_MAX_HEADER_NBYTES = 1 << 20  # some 30,000 fields fit, and a second parses them
_MAX_DIMENSIONS = 64  # numpy's NPY_MAXDIMS


class Header(NamedTuple):
    """What array is in a file, and where its data begin."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    fortran_order: bool
    data_offset: int
    attrs: Mapping[str, Any] = MappingProxyType({})  # what its file said of it

    @property
    def nbytes(self) -> int:
        """Bytes of the array's data."""
        return math.prod(self.shape) * self.dtype.itemsize

    def __reduce__(self) -> tuple[Any, ...]:
        """As pickle wants it, which takes no MappingProxyType."""
        return Header, (*self[:4], dict(self.attrs))


def header_bytes(
    dtype: np.dtype[Any], shape: tuple[int, ...], fortran_order: bool, length: int | None = None
) -> bytes:
    """A header, of `length` bytes in all if given; the data begin where it ends.

    Raises ValueError for a dtype that has no description, and for one that is too long.
    """
    description, order = _description(dtype), fortran_order
    text = f"{{'descr': {description}, 'fortran_order': {order}, 'shape': {shape}}}"
    # Version 3 is version 2 with field names in UTF-8.
    version, encoded = (2, text.encode("latin1")) if text.isascii() else (3, text.encode())
    start = npy.MAGIC_PREFIX + bytes([version, 0])
    if length is None:  # room for any other shape of as many dimensions, so that a new length fits
        room = len(start) + 4 + len(encoded) + 20 * len(shape) + 1
        if layout := layout_of(dtype, shape):
            room += max(layout.max_description_nbytes() - len(description), 0)
        length = -(-room // _ALIGNMENT) * _ALIGNMENT
    if length > _MAX_HEADER_NBYTES:
        raise ValueError(f"its field names take {length} bytes")
    padded = encoded.ljust(length - len(start) - 5) + b"\n"
    return start + len(padded).to_bytes(4, "little") + padded


# Cached: for many small files these would take as long as all the rest.
@functools.lru_cache(maxsize=8)
def _description(dtype: np.dtype[Any]) -> str:
    return repr(npy.dtype_to_descr(npy.drop_metadata(dtype)))


@functools.lru_cache(maxsize=8)
def _but_shape(text: str) -> tuple[np.dtype[Any], bool]:
    fields: dict[str, Any] = ast.literal_eval(text)
    order = fields["fortran_order"]
    if not isinstance(order, bool):
        raise TypeError("fortran_order is neither True nor False")
    dtype = npy.descr_to_dtype(fields["descr"])
    _check_items(dtype)
    return dtype, order


def read_header(file: BinaryIO, nbytes: int | None = None) -> Header:
    """Read and check a .npy header; nothing in it is executed or trusted.

    `file` is then at the data. Of what is part of a file, `nbytes` says how long it is. Raises
    ValueError for whatever is not the image of an array.
    """
    if nbytes is None:
        nbytes = os.fstat(file.fileno()).st_size
    begin = file.read(USUAL_NBYTES)
    try:
        if not begin.startswith(npy.MAGIC_PREFIX):
            raise ValueError("it does not begin as a .npy file does")
        version = begin[len(npy.MAGIC_PREFIX) : npy.MAGIC_LEN]
        if version not in _VERSIONS:
            raise ValueError(f"its version, {tuple(version)}, is none that is known")
        width, encoding = _VERSIONS[version]
        start = npy.MAGIC_LEN + width
        data_offset = start + int.from_bytes(begin[npy.MAGIC_LEN : start], "little")
        if data_offset - start > min(nbytes, _MAX_HEADER_NBYTES):
            raise ValueError("its header is too long, or cut short")
        if data_offset > len(begin):
            begin += file.read(data_offset - len(begin))
        text = begin[start:data_offset].decode(encoding).strip()
        places = list(_SHAPE.finditer(text))  # a field's name may look like one
        if len(places) != 1:
            raise ValueError("its shape is no tuple of numbers, or stands there twice")
        (found,) = places
        dtype, order = _but_shape(f"{text[: found.start()]}:(){text[found.end() :]}")
        dtype = dtype.newbyteorder("|")  # a copy: names= changes a dtype in place
        lengths = filter(None, map(str.strip, found[1].split(",")))
        shape = tuple(int(length.rstrip("L")) for length in lengths)
        header = Header(dtype, shape, order, data_offset)
    except (
        LookupError,
        MemoryError,
        OverflowError,
        RecursionError,
        SyntaxError,
        TypeError,
    ) as error:
        raise ValueError(f"its header: {type(error).__name__}: {error}") from None
    # numpy's own limits, which hold for an empty array too: it multiplies the other lengths.
    most = sys.maxsize // max(dtype.itemsize, 1)
    if (
        len(shape) + dtype.ndim > _MAX_DIMENSIONS
        or max(shape, default=0) > most
        or math.prod(filter(None, shape)) > most
    ):
        raise ValueError(f"no array of {dtype} can have its shape")
    need = data_offset + header.nbytes
    if min(shape, default=0) < 0 or need > nbytes:
        raise ValueError(f"shape {shape} of {dtype} takes {need} bytes, the file has {nbytes}")
    file.seek(data_offset)
    return header


def _check_items(dtype: np.dtype[Any]) -> None:
    """Raise ValueError for a dtype that ends the process if numpy does more with it."""
    if dtype.hasobject:
        raise ValueError(f"it holds Python objects ({dtype}), which cannot lie in shared memory")
    if not _fields_within(dtype):
        raise ValueError("its items are larger than numpy can tell")


def _fields_within(dtype: np.dtype[Any]) -> bool:
    """Whether all fields lie in the item, also where numpy's sum of their bytes overflowed."""
    if dtype.names is None and dtype.subdtype is None:  # as most are: one number, one text
        return True
    base: np.dtype[Any] = dtype.base
    if dtype.itemsize != math.prod(dtype.shape) * base.itemsize:
        return False
    places = [(field[0], field[1]) for field in (base.fields or {}).values()]
    return all(
        0 <= offset <= offset + field.itemsize <= base.itemsize and _fields_within(field)
        for field, offset in places
    )


def read_segment_header(path: str, file: BinaryIO) -> Header:
    """What array is in a segment, with what its trailer says; `file` is open at its begin.

    Raises
    ------
    SegmentError
        If nothing is written there yet, or it is damaged; names the path.
    """
    return read_with_note(path, file)[0]


def read_with_note(path: str, file: BinaryIO) -> tuple[Header, Any]:
    """As `read_segment_header`; and the note in its trailer, or None."""
    try:
        header = read_header(file)
        end = header.data_offset + header.nbytes
        dtype, attrs, note = read_trailer(file, end, header.dtype, header.shape)
        return header._replace(dtype=dtype, attrs=attrs), note
    except ValueError as error:
        raise SegmentError(path, f"is not a segment, or is damaged: {error}") from None
