"""Files as one array: the rows of each behind those of the file before, in one segment.

    file ──▶ segment ─┐  one dtype   ┌──────────────── one segment ────────────────┐
    file ──▶ segment ─┼──for all───▶ │ rows of file │ rows of file │ rows of file  │
    file ──▶ segment ─┘              └─────────────────────────────────────────────┘
                ✕ unlinked as soon as its rows have their place

1. Only when all files are read it is known how many rows each has, and which types all need: a
   value may belie a type in the last line of the last file.
2. The columns of tables, and the fields of records, are those of the first file, by name; each gets
   the widest of its types. What no type holds is an error that names both files.
3. Small files are read many at a time into a segment (lots); of these no rows are looked at alone.
4. A loader process writes the rows of a segment to their place, converted where a type is
   another one. That segment goes then, so that all of them together take little more memory than
   the one array.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shmkit._categories import MAX_NAMES, category, enum_of
from shmkit._text_dtype import is_text, text_dtype
from shmkit.errors import LoaderDiedError, LoadError
from shmkit.loaders.loader import Task
from shmkit.loaders.process import Died
from shmkit.loading.file import LoadingFile
from shmkit.loading.steps import Steps
from shmkit.loading.tasks import Place, named_error
from shmkit.segments.backing import choose_backing
from shmkit.segments.files import Identity
from shmkit.segments.image.header import Header
from shmkit.segments.image.layout import Layout, layout_of
from shmkit.segments.segment import Segment
from shmkit.segments.writer import SegmentWriter
from shmkit.views.array import SharedArray
from shmkit.views.of_segment import view_of
from shmkit.views.table import SharedTable
from shmkit.views.text import SharedText

__all__ = ["concatenated"]

SOURCE = "source"  # the column that says from which file a row is
_ROWS = 1 << 16  # that are converted at once; they stay in the cache of a core

_Array = SharedArray | SharedText | SharedTable


def concatenated(
    steps: Steps, backing: str | os.PathLike[str], *, column: bool, as_lines: bool
) -> _Array | None:
    """The rows of all files of a load as one array, if any file could be loaded.

    With `column` there is one more column, or field: the name of the file. With `as_lines` texts
    were read as two-dimensional, however few lines they have, and a single column is none.
    """
    rows = _rows_of(steps)
    read = {some.segment for some in rows.values()}
    try:
        return _joined(steps, rows, backing, column=column, as_lines=as_lines)
    finally:
        rows.clear()  # a traceback holds them; the memory is to come back
        steps.arrays.clear()
        for segment in read:
            segment.unlink()


def _joined(
    steps: Steps,
    rows: dict[int, _Rows],
    backing: str | os.PathLike[str],
    *,
    column: bool,
    as_lines: bool,
) -> _Array | None:
    """The rows as one array; those that have their place are taken out of `rows`."""

    def refuse(file: LoadingFile, error: Exception) -> None:
        del rows[file.number]
        steps.arrays.pop(file.number, None)
        steps.fail(file, error)

    files = [file for file in steps.files if file.number in rows]
    whole = _whole_of(files, rows, refuse, column=column, as_lines=as_lines)
    if whole is None:
        return None
    files = [file for file in files if file.number in rows]
    # The segments that the rows come from go one by one meanwhile.
    room = min(2 * max(some.array.nbytes for some in rows.values()), whole.nbytes)
    segment = Segment.create(choose_backing(backing, room))
    segment.source = _origin(files, rows, whole)
    runs = [[file] for file in files] if column else list(_runs(files, rows))
    work = [whole.task(run, rows, segment, steps.records) for run in runs]
    for file in files:
        file.segment, file.header = segment, rows[file.number].header
    whole.declare(segment)
    steps.notes += whole.notes
    for index, outcome in steps.pool.run(work, steps.tick):
        if isinstance(outcome, Died):
            raise LoaderDiedError(runs[index][0].path, outcome.exitcode)
        if isinstance(outcome, Exception):
            raise outcome
        for file in runs[index]:  # a segment goes with the last of its rows
            del rows[file.number]
            steps.arrays.pop(file.number, None)
    return view_of(segment)


class _Rows(NamedTuple):
    """The rows of a file, in what a segment holds."""

    array: _Array
    start: int
    stop: int

    @property
    def segment(self) -> Segment:
        """Where they are."""
        assert self.array.segment is not None
        return self.array.segment

    @property
    def header(self) -> Header:
        """Of the array that they alone would be."""
        whole = self.segment.header
        layout = layout_of(whole.dtype, whole.shape)
        count = self.stop - self.start
        if layout is None:
            return whole._replace(shape=(count, *whole.shape[1:])) if whole.shape else whole
        dtype, shape = layout.image() if count == layout.rows else (layout.row_dtype(), (count,))
        return whole._replace(dtype=dtype, shape=shape)


def _rows_of(steps: Steps) -> dict[int, _Rows]:
    """Where the rows of each file are, by its number."""
    found: dict[int, _Rows] = {}
    views: dict[str, _Array] = {}
    for file in steps.files:
        if (array := steps.arrays.get(file.number)) is not None:
            rows = len(array) if isinstance(array, SharedTable) or array.ndim else 1
            found[file.number] = _Rows(array, 0, rows)
        elif file.number in steps.lots and file.segment is not None:
            path = file.segment.path
            if path not in views:
                views[path] = view_of(file.segment)
            found[file.number] = _Rows(views[path], *steps.lots[file.number])
    return found


def _runs(files: Sequence[LoadingFile], rows: Mapping[int, _Rows]) -> Iterator[list[LoadingFile]]:
    """Files whose rows lie behind one another already."""
    run: list[LoadingFile] = []
    for file in files:
        if run:
            before, here = rows[run[-1].number], rows[file.number]
            if before.array is not here.array or before.stop != here.start:
                yield run
                run = []
        run.append(file)
    yield run


def _origin(
    files: Sequence[LoadingFile], rows: Mapping[int, _Rows], whole: _Whole
) -> dict[str, Any]:
    """What is known of where the one array came from."""
    notes = [note for file in files for note in file.notes]
    folder = os.path.commonpath([os.path.dirname(file.path) for file in files])
    stops = [*list(whole.starts.values())[1:], whole.shape[0]]
    return {
        "file": files[0].path if len(files) == 1 else f"{len(files)} files in {folder}",
        "options": rows[files[0].number].segment.source.get("options", {}),
        "notes": [*dict.fromkeys(notes), *whole.notes],
        "sources": [
            (file.name, file.path, whole.starts[file.number], stop)
            for file, stop in zip(files, stops, strict=True)
        ],
    }


class _Whole(NamedTuple):
    """The array of all files.

    Attributes
    ----------
    columns
        Of a table.
    dtype, shape
        Of an array; of a table those of its rows.
    fields
        Whether what has names is a table, by columns, or records.
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
        rows: Mapping[int, _Rows],
        segment: Segment,
        records: SharedArray,
    ) -> Task:
        """The task that writes the rows of files, one behind another already, to their place."""
        first, last = rows[run[0].number], rows[run[-1].number]
        place = Place(segment.path, segment.identity, records, run[0].number)
        source = run[0].path, first.segment.path, first.segment.identity, first.start, last.stop
        number = run[0].number
        return Task(_place, (*source, place, self.starts[number], self.codes.get(number)))


def _whole_of(
    files: Sequence[LoadingFile],
    rows: Mapping[int, _Rows],
    refuse: Callable[[LoadingFile, Exception], None],
    *,
    column: bool,
    as_lines: bool,
) -> _Whole | None:
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
            if path not in known:
                known[path] = _types_of(rows[file.number].array)
            found, shape = known[path]
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
    return _Whole(
        columns if table else [],
        dtype,
        (total, *inner),
        starts,
        {file.number: code for code, file in enumerate(kept)} if column else {},
        list(_told(types, widest)),
    )


def _types_of(array: _Array) -> tuple[dict[str, np.dtype[Any]], tuple[int, ...]]:
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


def _place(
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
        with np.errstate(invalid="ignore"):
            same = found.real.astype(values.dtype) == values
        if not same.all():
            value = values[~same].flat[0]
            where = f"the column {name!r}" if name else "the array"
            raise ValueError(
                f"{where} is {dtype} because of other files, and {value} would become another "
                "number; give dtype=, or leave concat= out"
            )
    return found
