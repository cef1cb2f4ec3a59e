"""Tables by columns as arrays, whose items are made a block at a time.

    codes of texts ──Utf8──▶ their UTF-8
    columns ────────Rows───▶ the rows, as an array with a field for each column

HDF5 has no text by codes: its enums have at most 64 kB of names, and none that is empty. So text is
UTF-8 in the file, which gzip makes as small as codes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from shmkit._categories import names_of
from shmkit._text_dtype import encoded, is_text, text_dtype
from shmkit.segments.segment import Segment
from shmkit.views.table import SharedTable, Table
from shmkit.views.text import SharedText

__all__ = ["Rows", "Utf8", "column_of"]


class Utf8:
    """Text that lies in memory as codes, as an array of its UTF-8."""

    def __init__(self, codes: NDArray[Any]) -> None:
        names = names_of(codes.dtype)
        utf8 = encoded(np.array([""]) if names is None else names)
        self._utf8 = utf8.astype(text_dtype(utf8.itemsize))
        self._codes = codes
        self.dtype = self._utf8.dtype
        self.shape, self.ndim = codes.shape, codes.ndim

    def __len__(self) -> int:
        return len(self._codes)

    def __getitem__(self, index: Any) -> NDArray[Any]:
        found: NDArray[Any] = self._utf8[self._codes[index]]
        return found


class Rows:
    """The rows of a table, as an array with a field for each column.

    Attributes
    ----------
    missing : dict of str to int
        How many values of a column are missing, where that can be.
    segment : Segment or None
        Where the columns are.
    attrs : mapping of str to mapping
        What the file says about a column besides.
    is_masked : bool
        Whether one of the columns has a mask.
    """

    def __init__(
        self,
        columns: Mapping[str, Any],
        missing: Mapping[str, int],
        *,
        segment: Segment | None = None,
        attrs: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        self._columns = dict(columns)
        self.dtype = np.dtype([(name, column.dtype) for name, column in columns.items()])
        self.shape, self.ndim = (len(next(iter(columns.values()))),), 1
        self.missing = dict(missing)
        self.segment = segment
        self.attrs = attrs or {}
        self.is_masked = any(isinstance(c, np.ma.MaskedArray) for c in columns.values())

    @classmethod
    def of_table(cls, table: Table) -> Self:
        """The rows of a table."""
        columns = {name: column_of(table[name]) for name in table}
        numbers = {
            n: count for n, count in table.missing.items() if columns[n].dtype.kind in "fcmM"
        }
        segment = table.segment if isinstance(table, SharedTable) else None
        return cls(columns, numbers, segment=segment)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> Any:
        """A column by its name; or rows, in a copy."""
        if isinstance(index, str):
            return self._columns[index]
        columns = {name: column[index] for name, column in self._columns.items()}
        rows = np.empty(next(iter(columns.values())).shape, self.dtype)
        if self.is_masked:
            rows = np.ma.MaskedArray(rows)
        for name, column in columns.items():
            rows[name] = column
        return rows


def column_of(column: Any) -> NDArray[Any] | Utf8:
    """A column as an array for the file: text is UTF-8.

    Raises UnicodeEncodeError for text that UTF-8 does not have.
    """
    if isinstance(column, SharedText):
        column = column.stored
    if is_text(column.dtype) and column.dtype.kind != "S":
        return Utf8(np.asarray(column))
    if column.dtype.kind == "U":
        utf8 = encoded(column)
        return utf8.astype(text_dtype(utf8.itemsize))
    array: NDArray[Any] = column
    return array
