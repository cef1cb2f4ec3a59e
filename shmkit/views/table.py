"""A table by columns: each a contiguous view, all of them in one segment.

    segment  │ pos pos pos │ pct pct pct │ station station station │        (layout)
                  ▲             ▲                   ▲
    t["pos"] ─────┘   t["pct"] ─┘      t["station"] ┘
    SharedArray       SharedArray      SharedText                          (array, text)

A slice of rows is a table of views of the same memory. Whatever picks rows or columns copies them
into a `Table`, whose columns are plain arrays in this process's own memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from shmkit._categories import names_of
from shmkit._format import count_text, counted, nbytes_text
from shmkit._html import columns_html
from shmkit._text_dtype import is_text
from shmkit.errors import BriefErrors
from shmkit.pools import reducers
from shmkit.segments.image.layout import Layout, layout_of
from shmkit.segments.segment import Segment
from shmkit.views.array import SharedArray, state_of
from shmkit.views.reference import sent
from shmkit.views.text import SharedText

if TYPE_CHECKING:
    import pandas as pd

    from shmkit.views.of_segment import Sources

__all__ = ["SharedTable", "Table"]

_MAX_NAMES = 8  # in the repr
_BLOCK = 1 << 16  # rows; what is looked at stays in the cache


class Table:
    """Columns of equal length, in this process's own memory: what copying from a table gives.

    Parameters
    ----------
    columns : mapping of str to array
        One-dimensional, all of one length.

    Examples
    --------
    >>> t = Table({"x": np.arange(3), "name": np.array(["a", "b", "c"])})
    >>> t[t["x"] > 0]["name"]
    array(['b', 'c'], dtype='<U1')
    """

    def __init__(self, columns: Mapping[str, Any]) -> None:
        self._columns = dict(columns)
        self._length = len(next(iter(self._columns.values())))

    @property
    def columns(self) -> list[str]:
        """The names of the columns, in order."""
        return list(self._columns)

    @property
    def dtypes(self) -> dict[str, np.dtype[Any]]:
        """The dtype of each column; of text, that of its texts as an array."""
        return {name: column.dtype for name, column in self._columns.items()}

    @property
    def nbytes(self) -> int:
        """Bytes of memory that the columns take."""
        return sum(column.nbytes for column in self._columns.values())

    @property
    def missing(self) -> dict[str, int]:
        """How many values of each column are missing: NaN or NaT. It is counted anew each time."""
        return {name: _missing_in(column) for name, column in self._columns.items()}

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[str]:
        return iter(self.columns)

    def __contains__(self, name: object) -> bool:
        return name in self._columns

    def __getitem__(self, key: Any) -> Any:
        """A column by its name; rows by a slice, as views; copies by names, a mask or row numbers.

        Raises
        ------
        KeyError
            For a name that no column has.
        IndexError
            For a mask that is longer or shorter than the table, and a row that it does not have.
        TypeError
            For anything else.
        """
        if isinstance(key, str):
            return self._column(key)
        if isinstance(key, slice):
            return self._slice(key)
        if isinstance(key, list | tuple) and key and all(isinstance(name, str) for name in key):
            return Table({name: self._column(name).copy() for name in key})
        rows = np.asarray(key)
        if rows.ndim != 1 or rows.dtype.kind not in "biu":
            raise TypeError(
                f"{key!r} picks nothing from a table: it takes a name, a list of names, a slice of "
                "rows, a mask, or an array of row numbers"
            )
        if rows.dtype.kind == "b":
            if len(rows) != len(self):
                raise IndexError(f"the mask has {len(rows)} values, the table {len(self)} rows")
            rows = np.flatnonzero(rows)  # numbers pick several times as fast as a mask
        return Table({name: column[rows] for name, column in self._columns.items()})

    def __setitem__(self, name: str, values: Any) -> None:
        """Write values into a column that there is."""
        column = self._column(name)
        if values is not column:  # after t["x"] += 1
            column[...] = values

    def head(self, n: int = 5) -> Table:
        """A copy of the first rows."""
        return Table({name: column[:n].copy() for name, column in self._columns.items()})

    def to_records(self) -> NDArray[np.void]:
        """The rows as a structured array, a copy; text is `str`."""
        records = np.empty(len(self), list(self.dtypes.items()))
        for name, column in self._columns.items():
            records[name] = column
        return records

    def _column(self, name: str) -> Any:
        try:
            return self._columns[name]
        except KeyError:
            raise KeyError(f"{name!r} is none of {', '.join(self.columns)}") from None

    def _slice(self, rows: slice) -> Table:
        return Table({name: column[rows] for name, column in self._columns.items()})

    def __array__(self, dtype: object = None, copy: object = None) -> NDArray[Any]:
        # pandas.DataFrame(t) would be one column of rows, or of the names.
        raise TypeError(
            "a table is no array; take a column, t['name'], the rows, t.to_records(), or make a "
            "data frame by t.to_pandas(), polars.DataFrame(t), pyarrow.table(t)"
        )

    def to_pandas(self) -> pd.DataFrame:
        """The table as a data frame of pandas: numbers and times over the same memory.

        Writes are seen on both sides as long as pandas has not copied a column by itself. Texts,
        bool beside missing values and codes are pandas' own, in a copy. The memory stays valid as
        long as the frame, or what was made of it without a copy, is there.

        Raises
        ------
        ImportError
            If pandas is not there.

        Examples
        --------
        >>> from shmkit import share
        >>> with share({"x": [1.5, 2.5], "name": ["a", "b"]}) as t:
        ...     frame = t.to_pandas()
        ...     t["x"][0] = 7
        >>> frame["x"].tolist(), frame["name"].tolist()
        ([7.0, 2.5], ['a', 'b'])
        """
        from shmkit.views.frames.frames import to_pandas  # noqa: PLC0415 - only for those who have pandas

        return to_pandas(self._columns)

    def __arrow_c_schema__(self) -> object:
        from shmkit.views.frames import (  # noqa: PLC0415 - only for those who hand it over
            arrow,
            capsule,
        )

        return capsule.schema_capsule(arrow.arrow_struct(self._columns, len(self)))

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        from shmkit.views.frames import (  # noqa: PLC0415 - only for those who hand it over
            arrow,
            capsule,
        )

        del requested_schema  # the library casts what it gets
        return capsule.stream_capsule(arrow.arrow_struct(self._columns, len(self)))

    def __repr__(self) -> str:
        more = ", …" if len(self._columns) > _MAX_NAMES else ""
        names = ", ".join(self.columns[:_MAX_NAMES]) + more
        rows = counted(len(self), "row", "rows")
        return f"<{type(self).__name__}: {rows} of {names} ({nbytes_text(self.nbytes)})>"

    def _repr_html_(self) -> str:
        """Types, how many values are missing, and the first and last rows."""
        about = {"type": {name: _type_text(column) for name, column in self._columns.items()}}
        if any(missing := self.missing.values()):
            about["missing"] = {
                name: count_text(n) if n else "" for name, n in zip(self, missing, strict=True)
            }
        title, summary = type(self).__name__, " · ".join(self._summary())
        return columns_html(title, summary, self._columns, len(self), about, self.notes)

    @property
    def notes(self) -> list[str]:
        """What is to be said of it: nothing of a copy."""
        return []

    def _summary(self) -> list[str]:
        return [nbytes_text(self.nbytes)]

    def _ipython_key_completions_(self) -> list[str]:
        return self.columns


class SharedTable(Table):
    """A table by columns in shared memory; `shared_load`, `share` and `attach` make them.

    A column is a contiguous `SharedArray`, or a `SharedText`: writes to it are seen by everyone,
    and numpy's functions take it as any array. ``t[10:20]`` is a table of views of the same memory;
    ``t[["pos", "pct"]]``, ``t[mask]``, ``t[row_numbers]`` and ``t.head()`` are copies: a `Table` of
    plain arrays. Iterating gives the names of the columns, `len` the number of rows.

    A table, or a column of one, goes to the processes of a pool as a reference to the same memory,
    as a SharedArray does, and everywhere else as data: a `Table`.

    Views stay valid as long as you hold them, also after `close`: closing removes the segment's
    name, and the memory is given back when the last view of any column is gone.

    Attributes
    ----------
    whole : SharedArray
        What lies in the segment: all columns, as its header describes them.
    rows : range
        Which rows of those these are.

    Examples
    --------
    >>> from shmkit import share
    >>> with share({"pos": [10, 20, 30], "station": ["a", "b", "a"]}) as t:
    ...     t["pos"] += 1
    ...     print(t, t[1:]["pos"].tolist(), t[t["station"] == "a"]["pos"])
    <SharedTable: 3 rows of pos, station (27 B)> [21, 31] [11 31]
    """

    def __init__(
        self, whole: SharedArray, rows: range | None = None, layout: Layout | None = None
    ) -> None:
        layout = layout or layout_of(whole.dtype, whole.shape)
        assert layout is not None
        self.whole = whole
        self.rows = range(layout.rows) if rows is None else rows
        data = whole.reshape(-1).view(np.uint8)
        columns: dict[str, SharedArray | SharedText] = {}
        run = self.rows if self.rows.step == 1 and self.rows else range(layout.rows)
        for name, dtype, offset in layout.columns:
            # ndarray's own, as slices are always views: tables may be many.
            place = slice(offset + run.start * dtype.itemsize, offset + run.stop * dtype.itemsize)
            column: SharedArray = np.ndarray.__getitem__(data, place).view(dtype)  # type: ignore[assignment]
            if run != self.rows:
                column = column[_slice_of(self.rows)]
            columns[name] = SharedText(column) if is_text(dtype) else column
        super().__init__(columns)
        segment = self.segment
        own = None if segment is None else segment.span
        self._is_whole = self.rows == (own or range(layout.rows))

    @property
    def segment(self) -> Segment | None:
        """The segment in which the columns are."""
        return self.whole.segment

    @property
    def sources(self) -> Sources:
        """The files whose rows these are, as `SharedArray.sources`."""
        from shmkit.views.of_segment import Sources  # noqa: PLC0415 - which imports this module

        return Sources(self.segment)

    def close(self) -> None:
        """Unlink the segment, as `SharedArray.close`: the views of all columns stay valid."""
        self.whole.close()

    def publish(self, name: str) -> None:
        """Give the segment a name by which other processes can `attach` to it.

        It takes what `SharedArray.publish` takes, and raises what that raises: ValueError also if
        this is a slice of a table.
        """
        with BriefErrors():
            if not self._is_whole:
                raise ValueError("only the whole table of a segment is published; publish that one")
            self.whole.publish(name)

    def stored(self, name: str) -> SharedArray:
        """A column as it lies in memory: text as UTF-8, or codes."""
        column = self._column(name)
        return column.stored if isinstance(column, SharedText) else column

    @property
    def notes(self) -> list[str]:
        """What loading the whole from text found: what made a column text, what is missing."""
        if self.segment is None or not self._is_whole:
            return []
        return list(self.segment.source.get("notes", ()))

    def __repr__(self) -> str:
        return "\n  ".join([super().__repr__(), *self.notes])

    def _slice(self, rows: slice) -> SharedTable:
        return SharedTable(self.whole, self.rows[rows])

    def _summary(self) -> list[str]:
        assert self.segment is not None
        return [*super()._summary(), state_of(self.segment), self.segment.path]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        # The data, of these rows only.
        return Table, ({name: column.copy() for name, column in self._columns.items()},)


def _reduced(table: SharedTable) -> tuple[Any, ...]:
    """How a pool pickles it: as a reference to the whole, and which of its rows."""
    reference = sent(table.whole)
    return table.__reduce__() if reference is None else (_received, (*reference, table.rows))


def _received(function: Any, arguments: tuple[Any, ...], rows: range) -> Any:
    whole = function(*arguments)
    return SharedTable(whole, rows) if isinstance(whole, SharedArray) else whole  # it is gone


reducers.register(SharedTable, _reduced)


def _slice_of(rows: range) -> slice:
    """The slice that picks these rows."""
    if not rows:
        return slice(0, 0)
    return slice(rows.start, rows.stop if rows.stop >= 0 else None, rows.step)


def _missing_in(column: Any) -> int:
    if column.dtype.kind not in "fcmM":
        return 0
    values = np.asarray(column)
    blocks = (values[start : start + _BLOCK] for start in range(0, len(values), _BLOCK))
    return sum(int(np.count_nonzero(np.isnan(block))) for block in blocks)


def _type_text(column: Any) -> str:
    if column.dtype.kind == "U":
        return "text"
    names = names_of(column.dtype)
    return str(column.dtype) if names is None else counted(len(names), "category", "categories")
