"""The rows in a segment, written to their place in another one by a loader process.

segment ──▶ rows ──▶ as they are, or converted block by block ──▶ the one segment, from a row on
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shmkit.loading.tasks import Place, named_error
from shmkit.segments.files import Identity
from shmkit.segments.image.layout import layout_of
from shmkit.segments.segment import Segment
from shmkit.segments.writer import SegmentWriter
from shmkit.views.of_segment import view_of
from shmkit.views.table import SharedTable
from shmkit.views.text import SharedText

__all__ = ["SOURCE", "place_rows"]

SOURCE = "source"  # the column that says from which file a row is
_ROWS = 1 << 16  # that are converted at once; they stay in the cache of a core


def place_rows(
    path: str,
    read: str,
    identity: Identity,
    first: int,
    last: int,
    place: Place,
    start: int,
    code: int | None,
) -> None:
    """Write these rows in a segment to their place in another one, from row `start` on."""
    array = view_of(Segment.attach(read, identity))
    if isinstance(array, SharedTable) or array.ndim:
        array = array[first:last]
    try:
        with SegmentWriter(Segment.attach(place.segment, place.identity)) as writer:
            header = writer.header
            layout = layout_of(header.dtype, header.shape)
            if layout is None:
                _place_items(writer, array, start, code)
                return
            assert isinstance(array, SharedTable)
            for name, dtype, offset in layout.columns:
                writer.seek(offset + start * dtype.itemsize)
                if code is not None and name == SOURCE:
                    writer.write(np.full(len(array), code, dtype))
                else:
                    _write(writer, np.asarray(array.stored(name)), dtype, name)
    except Exception as error:  # noqa: BLE001 - it is raised again, with the file's name
        raise named_error(path, error) from None


def _place_items(writer: SegmentWriter, array: Any, start: int, code: int | None) -> None:
    header = writer.header
    stored = np.asarray(array.stored if isinstance(array, SharedText) else array)
    stored = stored.reshape(-1, *header.shape[1:]) if stored.size else stored[:0]
    row_nbytes = math.prod(header.shape[1:]) * header.dtype.itemsize
    writer.seek(start * row_nbytes)
    if header.dtype.names is None or (code is None and header.dtype == stored.dtype):
        _write(writer, stored, header.dtype, "")
        return
    for first in range(0, len(stored), _ROWS):
        some = stored[first : first + _ROWS]
        block = np.zeros(some.shape, header.dtype)
        for name in header.dtype.names:
            if code is not None and name == SOURCE:
                block[name] = code
            else:
                block[name] = _converted(some[name], header.dtype[name], name)
        writer.write(block)


def _write(writer: SegmentWriter, values: NDArray[Any], dtype: np.dtype[Any], name: str) -> None:
    if values.dtype == dtype and values.flags.c_contiguous:
        writer.write(values)
        return
    for first in range(0, len(values), _ROWS):
        block = _converted(values[first : first + _ROWS], dtype, name)
        writer.write(np.ascontiguousarray(block))


def _converted(values: NDArray[Any], dtype: np.dtype[Any], name: str) -> NDArray[Any]:
    """The values in a wider type; ValueError for one that would become another."""
    found = values.astype(dtype)
    if values.dtype.kind in "iu" and dtype.kind in "fc":
        # What is rounded up to the power of two beyond the integers is not cast back: that gives
        # what the CPU likes, on some the same number again.
        beyond = 2.0 ** (8 * values.dtype.itemsize - (values.dtype.kind == "i"))
        fits = found.real < beyond
        same = fits & (np.where(fits, found.real, 0).astype(values.dtype) == values)
        if not same.all():
            value = values[~same].flat[0]
            where = f"the column {name!r}" if name else "the array"
            raise ValueError(
                f"{where} is {dtype} because of other files, and {value} would become another "
                "number; give dtype=, or leave concat= out"
            )
    return found
