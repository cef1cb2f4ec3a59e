"""What is in a segment, as one sees it: an array, text, or a table."""

from __future__ import annotations

from shmkit._text_dtype import is_text
from shmkit.segments.image.header import Header
from shmkit.segments.image.layout import layout_of
from shmkit.segments.segment import Segment
from shmkit.views.array import SharedArray, view
from shmkit.views.table import SharedTable
from shmkit.views.text import SharedText

__all__ = ["view_of"]


def view_of(
    segment: Segment, header: Header | None = None, *, writable: bool = True
) -> SharedArray | SharedText | SharedTable:
    """What is in a segment, over its memory; `header` is that of it, if it was written just now."""
    array = view(segment, header, writable=writable)
    if layout_of(array.dtype, array.shape) is not None:
        return SharedTable(array)
    return SharedText(array) if is_text(array.dtype) else array
