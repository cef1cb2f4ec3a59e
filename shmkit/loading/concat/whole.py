"""What the arrays of files are together: the columns of all, and the widest type of each.

columns, or fields, of the first file, by name ──┬──▶ type that holds all values ──▶ whole
those of each other file ────────────────────────┴──▶ none: an error that names both files
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from shmkit._categories import MAX_NAMES, category, enum_of
from shmkit._text_dtype import is_text, text_dtype
from shmkit.errors import LoadError
from shmkit.loaders.loader import Task
from shmkit.loading.concat.placing import SOURCE, place_rows
from shmkit.loading.file import LoadingFile
from shmkit.loading.tasks import Place
from shmkit.segments.image.layout import Layout
from shmkit.segments.segment import Segment
from shmkit.segments.writer import SegmentWriter
from shmkit.views.array import SharedArray
from shmkit.views.table import SharedTable
from shmkit.views.text import SharedText

__all__ = ["Array", "Rows", "Whole", "whole_of"]

Array = SharedArray | SharedText | SharedTable


class Rows(NamedTuple):
    """The rows of a file, in what a segment holds."""

    array: Array
    start: int
    stop: int

    @property
    def segment(self) -> Segment:
        """Where they are."""
        assert self.array.segment is not None
        return self.array.segment


class Whole(NamedTuple):
    """The array of all files.

    Attributes
    ----------
    columns
        Of a table.
    dtype, shape
        Of an array; of a table those of its rows.
    starts
        By number of the file: the first row that it has.
    codes
        By number of the file: how the column names it that says where rows are from, if there is.
    notes
        What the user is told.
    """

    columns: list[tuple[str, np.dtype[Any]]]
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    starts: dict[int, int]
    codes: dict[int, int]
    notes: list[str]

    def declare(self, segment: Segment) -> None:
        """Write the header of the array, which takes memory only as it is written."""
        with SegmentWriter(segment) as writer:
            if self.columns:
                writer.declare(*Layout.new(self.columns, self.shape[0]).image())
            else:
                writer.declare(self.dtype, self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of its data."""
        return math.prod(self.shape) * self.dtype.itemsize

    def task(
        self,
        run: Sequence[LoadingFile],
        rows: Mapping[int, Rows],
        segment: Segment,
        records: SharedArray,
    ) -> Task:
        """The task that writes the rows of files, one behind another already, to their place."""
        first, last = rows[run[0].number], rows[run[-1].number]
        place = Place(segment.path, segment.identity, records, run[0].number)
        source = run[0].path, first.segment.path, first.segment.identity, first.start, last.stop
        number = run[0].number
        return Task(place_rows, (*source, place, self.starts[number], self.codes.get(number)))


def whole_of(
    files: Sequence[LoadingFile],
    rows: Mapping[int, Rows],
    refuse: Callable[[LoadingFile, Exception], None],
    *,
    column: bool,
    as_lines: bool,
) -> Whole | None:
    """What the arrays of these files become together; `refuse` gets a file that does not fit.

    With `column` there is one more column, or field: the name of the file. None without a file.
    """
    first: LoadingFile | None = None
    types: dict[str, np.dtype[Any]] = {}  # "" of an array without fields
    inner: tuple[int, ...] = ()
    widest: dict[str, dict[np.dtype[Any], str]] = {}
    starts: dict[int, int] = {}
    kept, total = [], 0
    known: dict[str, tuple[dict[str, np.dtype[Any]], tuple[int, ...]]] = {}  # by segment
    table = False
    for file in files:  # no variable is a view: an error's traceback would keep its memory
        count = rows[file.number].stop - rows[file.number].start
        try:
            path = rows[file.number].segment.path
            if path in known:  # a lot: its files are alike
                found, shape = known[path]
            else:
                found, shape = known[path] = _types_of(rows[file.number].array)
            if as_lines and shape == (1,) and "ndmin" in file.options:
                shape = ()
            if first is None:
                first, types, inner = file, found, shape
                table = isinstance(rows[file.number].array, SharedTable)
            elif table or count:
                types = _agreed(first, types, inner, file, found, shape)
        except LoadError as error:
            refuse(file, error)
            continue
        for name, dtype in found.items():
            widest.setdefault(name, {}).setdefault(dtype, file.name)
        starts[file.number] = total
        kept.append(file)
        total += count
    if first is None:
        return None
    columns = list(types.items())
    if column:
        columns.append((SOURCE, _source_dtype(first, types, [file.name for file in kept])))
    dtype = columns[0][1] if list(types) == [""] else np.dtype(columns)
    return Whole(
        columns if table else [],
        dtype,
        (total, *inner),
        starts,
        {file.number: code for code, file in enumerate(kept)} if column else {},
        list(_told(types, widest)),
    )


def _types_of(array: Array) -> tuple[dict[str, np.dtype[Any]], tuple[int, ...]]:
    """The dtype of each column, or field, and the shape of a row."""
    if isinstance(array, SharedTable):
        return {name: array.stored(name).dtype for name in array.columns}, ()
    stored = array.stored if isinstance(array, SharedText) else array
    shape = stored.shape[1:]
    if stored.dtype.names is None:
        return {"": stored.dtype}, shape
    assert stored.dtype.fields is not None
    return {name: stored.dtype.fields[name][0] for name in stored.dtype.names}, shape


def _agreed(
    first: LoadingFile,
    types: Mapping[str, np.dtype[Any]],
    inner: tuple[int, ...],
    file: LoadingFile,
    found: Mapping[str, np.dtype[Any]],
    shape: tuple[int, ...],
) -> dict[str, np.dtype[Any]]:
    """The types that hold both, or LoadError."""
    if ("" in found) != ("" in types):
        raise _unlike(file, first, "one has columns with names, and the other has none")
    if set(found) != set(types):
        missing = [name for name in types if name not in found]
        more = [name for name in found if name not in types]
        what = [f"it has no column {', '.join(map(repr, missing))}"] if missing else []
        what += [f"it has the column {', '.join(map(repr, more))}"] if more else []
        raise _unlike(file, first, "; ".join(what))
    if shape != inner:
        raise _unlike(file, first, f"its rows have the shape {shape}, and those there {inner}")
    agreed = {}
    for name, dtype in types.items():
        wide = _wider(dtype, found[name])
        if wide is None:
            where = f"its column {name!r}" if name else "it"
            raise _unlike(file, first, f"{where} is {_text(found[name])}, there {_text(dtype)}")
        agreed[name] = wide
    return agreed


def _unlike(file: LoadingFile, first: LoadingFile, what: str) -> LoadError:
    reason = (
        f"it cannot be one array with {first.path}: {what}; "
        "leave concat= out, or give dtype=, usecols= or transform= that make them alike"
    )
    return LoadError(file.path, None, None, reason)


def _wider(one: np.dtype[Any], two: np.dtype[Any]) -> np.dtype[Any] | None:
    """The dtype that holds the values of both; None if there is none of their kind."""
    if one == two and enum_of(one) == enum_of(two) and is_text(one) == is_text(two):
        return one
    if is_text(one) and is_text(two) and one.kind == two.kind == "S":
        return text_dtype(max(one.itemsize, two.itemsize))
    if enum_of(one) is not None or enum_of(two) is not None or is_text(one) or is_text(two):
        return None
    alike = one.kind == two.kind or {one.kind, two.kind} <= set("iufc")
    if not alike or one.subdtype or two.subdtype or one.names or two.names or one.kind == "V":
        return None
    wide = np.promote_types(one, two)
    return None if {one.kind, two.kind} == {"i", "u"} and wide.kind == "f" else wide


def _text(dtype: np.dtype[Any]) -> str:
    if enum_of(dtype) is not None:
        return "of categories"
    return "text" if is_text(dtype) else str(dtype)


def _source_dtype(
    first: LoadingFile, types: Mapping[str, Any], names: Sequence[str]
) -> np.dtype[Any]:
    """Of the column that says from which file a row is."""
    if list(types) == [""]:
        raise TypeError('concat="column" adds a column to tables and records; these have none')
    if SOURCE in types:
        raise _unlike_source(first)
    if len(names) > MAX_NAMES:
        raise ValueError(
            f'concat="column" names {MAX_NAMES:,} files at most; concat=True takes any number'
        )
    return category(names)


def _unlike_source(first: LoadingFile) -> LoadError:
    reason = f"it has a column {SOURCE!r} already; concat=True adds none, and a.sources tells files"
    return LoadError(first.path, None, None, reason)


def _told(
    types: Mapping[str, np.dtype[Any]], found: Mapping[str, Mapping[np.dtype[Any], str]]
) -> Iterator[str]:
    """Which columns have another type than in a file; the width of text is no matter."""
    for name, dtype in types.items():
        others = [
            f"{_text(one)} in {file}"
            for one, file in found[name].items()
            if one != dtype and one.kind not in "SU"
        ]
        if others:
            which = f"{name}: " if name else ""
            yield f"{which}{dtype}, though {', '.join(others[:4])}"
