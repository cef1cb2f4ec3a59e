"""What panel and listing say of the array in a segment: in a word, and all of it in lines."""

from __future__ import annotations

from typing import Any

import numpy as np

from shmkit._categories import names_of
from shmkit._format import count_text, counted, dtype_text
from shmkit._text_dtype import is_text
from shmkit.segments.image.header import Header
from shmkit.segments.image.layout import layout_of

__all__ = ["column_lines", "nbytes_of", "short_text", "types_of"]

Shape = tuple[int | str, ...]


def nbytes_of(header: Header) -> int:
    """The `nbytes` of the array or table: without header, and what lies between columns."""
    layout = layout_of(header.dtype, header.shape)
    if layout is None:
        return header.nbytes
    return layout.rows * sum(column.dtype.itemsize for column in layout.columns)


def short_text(dtype: np.dtype[Any], shape: Shape) -> str:
    """The names of the columns; of an array without any, dtype and shape.

    >>> short_text(np.dtype("f4"), ("…", 3)), short_text(np.dtype("i4, S3"), (7,))
    ('float32 … \N{MULTIPLICATION SIGN} 3', 'f0 f1')
    """
    if dtype.names:
        return dtype_text(dtype)
    lengths = " \N{MULTIPLICATION SIGN} ".join(
        length if isinstance(length, str) else count_text(length) for length in shape
    )
    return f"{dtype} {lengths}".strip()


def types_of(dtype: np.dtype[Any]) -> dict[str, str]:
    """The type of each column, by its name; of an array without columns by an empty one."""
    return {name: _type_text(dtype[name] if name else dtype) for name in dtype.names or [""]}


def column_lines(dtype: np.dtype[Any]) -> list[str]:
    """A line for each column: its name and its type."""
    types = types_of(dtype)
    width = max(map(len, types))
    return [f"{name:{width}}  {text}".strip() for name, text in types.items()]


def _type_text(dtype: np.dtype[Any]) -> str:
    if is_text(dtype):
        return "text"
    names = names_of(dtype)
    if names is not None:
        return counted(len(names), "category", "categories")
    return str(dtype).lstrip("|<")
