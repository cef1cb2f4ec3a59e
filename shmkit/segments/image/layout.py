"""The layout of a table: where in its segment the columns lie.

    .npy header │ pos pos pos pos      │ pct pct pct pct      │ trailer
                  ├─ rows ─┤ ╌ hole ╌ ╌ ╌╌ aligned

Each column is contiguous and begins at a multiple of 64 bytes. What lies between two columns is
not used: a few bytes, or a hole that takes no memory, where columns were laid out for more rows
than came.

The header describes the table as one item of a structured dtype whose fields are sub-arrays,
``[("pos", "<i4", (4,)), …]``, so ``np.load(path, mmap_mode="r")["pos"]`` is a column for anyone.
numpy counts the bytes of an item in a C int: it has no such dtype for more than 2 GiB. The header
of a larger table says bytes, ``u1``, and the trailer has the columns.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Self

import numpy as np

__all__ = ["Column", "Layout", "as_rows", "described_in_trailer", "layout_of"]

_ALIGNMENT = 64  # bytes; no two columns share a cache line
_MAX_NBYTES = 2**31 - 1  # of one item: numpy counts them in a C int
_KINDS = "biufcSmM"  # of what a column may hold; text is bytes or codes
_KEY = "shmkit_table"
_PADDING_LENGTH = len("('', '|V2147483647'), ")


class Column(NamedTuple):
    """One column: `offset` in bytes from the start of the segment's data."""

    name: str
    dtype: np.dtype[Any]
    offset: int


class Layout(NamedTuple):
    """Where the columns of a table lie."""

    rows: int
    columns: tuple[Column, ...]

    @classmethod
    def new(
        cls, columns: Sequence[tuple[str, np.dtype[Any]]], rows: int, room: int | None = None
    ) -> Self:
        """The layout of a new table, with room for so many rows if they may become more.

        Raises TypeError for dtypes that a column cannot have, ValueError for names that it cannot.

        >>> Layout.new([("pos", np.dtype("i4")), ("pct", np.dtype("f4"))], rows=3).columns[1].offset
        64
        """
        _check(columns)
        found, offset = [], 0
        for name, dtype in columns:
            found.append(Column(name, dtype, offset))
            end = offset + max(rows, room or 0) * dtype.itemsize
            offset = -(-end // _ALIGNMENT) * _ALIGNMENT
        return cls(rows, tuple(found))

    @property
    def nbytes(self) -> int:
        """Bytes from the first column's start to the last one's end, holes included."""
        *_, last = self.columns
        return last.offset + self.rows * last.dtype.itemsize

    def row_dtype(self) -> np.dtype[Any]:
        """The dtype of one row: of the records that have the same fields."""
        return np.dtype([(column.name, column.dtype) for column in self.columns])

    def with_dtypes(self, dtypes: Iterable[np.dtype[Any]]) -> Layout:
        """The layout with dtypes that say more: as long, in the same places."""
        pairs = zip(self.columns, dtypes, strict=True)
        return Layout(self.rows, tuple(column._replace(dtype=dtype) for column, dtype in pairs))

    def image(self) -> tuple[np.dtype[Any], tuple[int, ...]]:
        """Dtype and shape of the array that the segment's header describes."""
        if self.nbytes > _MAX_NBYTES:
            return self.as_bytes(), (self.nbytes,)
        layout: Any = {
            "names": [column.name for column in self.columns],
            "formats": [(column.dtype, (self.rows,)) for column in self.columns],
            "offsets": [column.offset for column in self.columns],
            "itemsize": self.nbytes,
        }
        return np.dtype(layout), ()

    def as_bytes(self) -> np.dtype[Any]:
        """The dtype of a table's bytes, which knows the columns."""
        return np.dtype("u1", metadata={_KEY: self})

    def max_description_nbytes(self) -> int:
        """Bytes that the dtype takes in a header at most, however many rows it will have."""
        fields = [(column.name, column.dtype.str, (_MAX_NBYTES,)) for column in self.columns]
        return len(repr(fields).encode()) + len(fields) * _PADDING_LENGTH

    def to_json(self) -> dict[str, Any]:
        """As it stands in a trailer."""
        return {
            "rows": self.rows,
            "columns": [[column.name, column.dtype.str, column.offset] for column in self.columns],
        }

    @classmethod
    def from_json(cls, found: Any, nbytes: int) -> Self:
        """From a trailer, whose columns must lie one behind another in so many bytes.

        Raises AttributeError, KeyError, TypeError or ValueError for anything else.
        """
        rows = found["rows"]
        columns = tuple(Column(name, np.dtype(text), at) for name, text, at in found["columns"])
        _check([(column.name, column.dtype) for column in columns])
        begin = 0
        for column in columns:
            if type(rows) is not int or type(column.offset) is not int or rows < 0:
                raise TypeError("rows and places of columns are numbers")
            if column.offset < begin:
                raise ValueError(f"the column {column.name!r} lies in another")
            begin = column.offset + rows * column.dtype.itemsize
        if begin > nbytes:
            raise ValueError(f"the columns take {begin} bytes of {nbytes}")
        return cls(rows, columns)


def layout_of(dtype: np.dtype[Any], shape: tuple[int, ...]) -> Layout | None:
    """The layout of the table that a header describes; None for an array.

    >>> layout_of(np.dtype([("x", "f8", (3,)), ("y", "i2", (3,))]), ()).rows
    3
    """
    if found := described_in_trailer(dtype):
        return found
    if shape or not dtype.names:
        return None
    assert dtype.fields is not None
    fields = [dtype.fields[name] for name in dtype.names]
    (shape, *others) = {field[0].shape for field in fields}
    if others or len(shape) != 1 or not all(field[0].base.kind in _KINDS for field in fields):
        return None
    columns = zip(dtype.names, fields, strict=True)
    return Layout(shape[0], tuple(Column(name, field[0].base, field[1]) for name, field in columns))


def as_rows(dtype: np.dtype[Any], shape: tuple[int, ...]) -> tuple[np.dtype[Any], tuple[int, ...]]:
    """What a header describes, a table as the array of its rows: for whoever shows it."""
    layout = layout_of(dtype, shape)
    return (dtype, shape) if layout is None else (layout.row_dtype(), (layout.rows,))


def described_in_trailer(dtype: np.dtype[Any]) -> Layout | None:
    """The layout of a table that is too large for its header; None for anything else."""
    metadata: Mapping[str, Any] = dtype.metadata or {}
    found = metadata.get(_KEY)
    return found if isinstance(found, Layout) else None


def _check(columns: Sequence[tuple[str, np.dtype[Any]]]) -> None:
    if not columns:
        raise ValueError("a table has a column at least")
    names = set()
    for name, dtype in columns:
        # numpy takes a field without a name for padding.
        if not isinstance(name, str) or not name or name in names:
            raise ValueError(f"{name!r} cannot name a column: it is empty, no text, or there twice")
        names.add(name)
        if dtype.kind not in _KINDS or dtype.subdtype is not None or not dtype.itemsize:
            raise TypeError(
                f"column {name!r}: {dtype} cannot be a column of a table; "
                "give it numbers, times, bytes or text, for example with astype"
            )
