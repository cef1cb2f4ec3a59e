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

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from shmkit.errors import LoaderDiedError
from shmkit.loaders.process import Died
from shmkit.loading.concat.whole import Array, Rows, Whole, whole_of
from shmkit.loading.file import LoadingFile
from shmkit.loading.steps import Steps
from shmkit.segments.backing import choose_backing
from shmkit.segments.image.layout import as_rows
from shmkit.segments.segment import Segment
from shmkit.views.of_segment import view_of
from shmkit.views.table import SharedTable

__all__ = ["concatenated"]


def concatenated(
    steps: Steps, backing: str | os.PathLike[str], *, column: bool, as_lines: bool
) -> Array | None:
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
    rows: dict[int, Rows],
    backing: str | os.PathLike[str],
    *,
    column: bool,
    as_lines: bool,
) -> Array | None:
    """The rows as one array; those that have their place are taken out of `rows`."""

    def refuse(file: LoadingFile, error: Exception) -> None:
        del rows[file.number]
        steps.arrays.pop(file.number, None)
        steps.fail(file, error)

    files = [file for file in steps.files if file.number in rows]
    whole = whole_of(files, rows, refuse, column=column, as_lines=as_lines)
    if whole is None:
        return None
    files = [file for file in files if file.number in rows]
    # The segments that the rows come from go one by one meanwhile.
    room = min(2 * max(some.array.nbytes for some in rows.values()), whole.nbytes)
    segment = Segment.create(choose_backing(backing, room))
    segment.source = _origin(files, rows, whole)
    runs = [[file] for file in files] if column else list(_runs(files, rows))
    work = [whole.task(run, rows, segment, steps.records) for run in runs]
    headers = {one: one.header for one in {rows[file.number].segment for file in files}}
    of_rows = {one: as_rows(header.dtype, header.shape) for one, header in headers.items()}
    for file in files:
        one, (_, start, stop) = rows[file.number].segment, rows[file.number]
        dtype, shape = of_rows[one]
        shape = (stop - start, *shape[1:]) if shape else shape
        file.segment, file.header = segment, headers[one]._replace(dtype=dtype, shape=shape)
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


def _rows_of(steps: Steps) -> dict[int, Rows]:
    """Where the rows of each file are, by its number."""
    found: dict[int, Rows] = {}
    views: dict[str, Array] = {}
    for file in steps.files:
        if (array := steps.arrays.get(file.number)) is not None:
            rows = len(array) if isinstance(array, SharedTable) or array.ndim else 1
            found[file.number] = Rows(array, 0, rows)
        elif file.number in steps.lots and file.segment is not None:
            if file.segment.path not in views:
                views[file.segment.path] = view_of(file.segment)
            found[file.number] = Rows(views[file.segment.path], *steps.lots[file.number])
    return found


def _runs(files: Sequence[LoadingFile], rows: Mapping[int, Rows]) -> Iterator[list[LoadingFile]]:
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


def _origin(files: Sequence[LoadingFile], rows: Mapping[int, Rows], whole: Whole) -> dict[str, Any]:
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
