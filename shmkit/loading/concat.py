"""Files as one array: the rows of each behind those of the file before, in one segment.

    file ──▶ segment ─┐  one dtype   ┌──────────────── one segment ────────────────┐
    file ──▶ segment ─┼──for all───▶ │ rows of file │ rows of file │ rows of file  │
    file ──▶ segment ─┘              └─────────────────────────────────────────────┘
                ✕ unlinked as soon as its rows have their place

1. Only when all files are read it is known how many rows each has, and which types all need: a
   value may belie a type in the last line of the last file.
2. The columns of tables, and the fields of records, are those of the first file, by name; each gets
   the widest of its types. What no type holds is an error that names both files.
3. A loader process writes the rows of a file to their place, converted where its type is another
   one. The file's own segment goes then, so that all of them together take little more memory than
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
    arrays = steps.arrays
    files = [file for file in steps.files if file.number in arrays]

    def refuse(file: LoadingFile, error: Exception) -> None:
        arrays.pop(file.number).close()
        steps.fail(file, error)

    whole = _whole_of(files, arrays, refuse, column=column, as_lines=as_lines)
    if whole is None:
        return None
    files = [file for file in files if file.number in arrays]
    # The arrays that the rows come from go one by one meanwhile.
    room = min(2 * max(arrays[file.number].nbytes for file in files), whole.nbytes)
    segment = Segment.create(choose_backing(backing, room))
    segment.source = _origin(files, arrays, whole)
    work = []
    for file in files:
        read = arrays[file.number].segment
        assert read is not None
        file.segment, file.header = segment, read.header
        work.append(whole.task(file, read, steps.records))
    whole.declare(segment)
    steps.notes += whole.notes
    for index, outcome in steps.pool.run(work, steps.tick):
        file = files[index]
        arrays.pop(file.number).close()
        if isinstance(outcome, Died):
            raise LoaderDiedError(file.path, outcome.exitcode)
        if isinstance(outcome, Exception):
            raise outcome
    return view_of(segment)


def _origin(
    files: Sequence[LoadingFile], arrays: Mapping[int, _Array], whole: _Whole
) -> dict[str, Any]:
    """What is known of where the one array came from."""
    segments = [arrays[file.number].segment for file in files]
    sources = [{} if segment is None else segment.source for segment in segments]
    notes = [note for source in sources for note in source.get("notes", ())]
    folder = os.path.commonpath([os.path.dirname(file.path) for file in files])
    stops = [*list(whole.starts.values())[1:], whole.shape[0]]
    return {
        "file": files[0].path if len(files) == 1 else f"{len(files)} files in {folder}",
        "options": sources[0].get("options", {}),
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

    def task(self, file: LoadingFile, read: Segment, records: SharedArray) -> Task:
        """The task that writes the rows of a file, which lie in another segment, to their place."""
        assert file.segment is not None
        code = self.codes.get(file.number)
        place = Place(file.segment.path, file.segment.identity, records, file.number)
        start = self.starts[file.number]
        return Task(_place, (file.path, read.path, read.identity, place, start, code))


def _whole_of(
    files: Sequence[LoadingFile],
    arrays: Mapping[int, _Array],
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
    kept, rows = [], 0
    for file in files:
        array = arrays[file.number]
        try:
            found, shape = _types_of(array)
            if as_lines and shape == (1,) and "ndmin" in file.options:
                shape = ()
            if first is None:
                first, types, inner = file, found, shape
            elif isinstance(array, SharedTable) or array.size:
                types = _agreed(first, types, inner, file, found, shape)
        except LoadError as error:
            refuse(file, error)
            continue
        for name, dtype in found.items():
            widest.setdefault(name, {}).setdefault(dtype, file.name)
        starts[file.number] = rows
        kept.append(file)
        rows += _rows_of(array, inner)
    if first is None:
        return None
    table = isinstance(arrays[first.number], SharedTable)
    columns = list(types.items())
    if column:
        columns.append((SOURCE, _source_dtype(first, types, [file.name for file in kept])))
    dtype = columns[0][1] if list(types) == [""] else np.dtype(columns)
    return _Whole(
        columns if table else [],
        dtype,
        (rows, *inner),
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


def _rows_of(array: _Array, inner: tuple[int, ...]) -> int:
    """Rows of an array, whose last ones have this shape; a single row may come as itself."""
    if isinstance(array, SharedTable):
        return len(array)
    return 1 if array.shape == inner and array.ndim <= len(inner) else len(array)


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
    path: str, read: str, identity: Identity, place: Place, start: int, code: int | None
) -> None:
    """Write the rows in a segment to their place in another one, from row `start` on."""
    array = view_of(Segment.attach(read, identity))
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
