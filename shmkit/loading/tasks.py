"""What a loader process does: the tasks of a load, each with one file or a part of one.

datasets    HDF5 file, or another with several arrays ──▶ which datasets it has
probe       file ──▶ plan
count       bytes a..b of a large file ──▶ part: lines that begin there, rows at most; for several
read        part ──▶ reader ──▶ writer ──▶ segment
└──────▶ record      bytes and rows so far
join        rows that no line gave, where comments or blank lines were many ──▶ closed up
recode      codes of categories ──▶ the codes that they have in all arrays of the load
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shmkit.errors import LoadError, ShmkitError
from shmkit.loaders.pickling import Pickled
from shmkit.loading.board.record import State
from shmkit.readers.base import Part, Piece, Plan, Reader, Version
from shmkit.readers.choose import Opener, listed
from shmkit.readers.formats import Format
from shmkit.readers.names import Listed
from shmkit.segments.files import Identity
from shmkit.segments.segment import Segment
from shmkit.segments.writer import SegmentWriter
from shmkit.views.array import SharedArray
from shmkit.views.of_segment import view_of
from shmkit.views.table import SharedTable

__all__ = [
    "Outcome",
    "Place",
    "Source",
    "count",
    "datasets",
    "join",
    "named_error",
    "opened",
    "probe",
    "read",
    "recode",
]

_RECODE_ROWS = 1 << 16  # stay in the cache of a core


class Source(NamedTuple):
    """A file, or one dataset of it, and what a loader process must know to open it.

    Attributes
    ----------
    path
        As the user named it.
    opened
        Where it is opened.
    opener
        By what: the same for all datasets of a file.
    dataset
        The options of this dataset, beside those of the opener.
    version
        That a task before has seen of it.
    """

    path: str
    opened: str
    opener: Pickled
    dataset: Mapping[str, Any] = {}
    version: Version | None = None

    def load_opener(self) -> Opener:
        """The opener, with all options."""
        opener: Opener = self.opener.load()
        if not self.dataset:
            return opener
        return opener._replace(options={**opener.options, **self.dataset})


class Place(NamedTuple):
    """Where a loader process puts what it reads, and where it says how far it is."""

    segment: str
    identity: Identity
    records: NDArray[Any]
    number: int  # of its record


def datasets(
    path: str, opened: str, form: Format, patterns: Sequence[str]
) -> tuple[list[Listed], Version]:
    """The datasets of a file that these names and globs mean, and the file's version."""
    try:
        return listed(form, opened, patterns)
    except Exception as error:  # noqa: BLE001 - as below
        raise named_error(path, error, opened) from None


def probe(source: Source) -> tuple[Plan, Version | None]:
    """What is in the file, and its version."""
    with opened(source, source.load_opener()) as reader:
        return reader.probe(), reader.version()


def count(source: Source, plan: Plan, edges: Sequence[tuple[int, int]]) -> list[Any]:
    """What lines begin in each of these parts of a file, from and to, for `Plan.in_parts`."""
    with opened(source, source.load_opener()) as reader:
        return [reader.count(plan, start, stop) for start, stop in edges]


class Outcome(NamedTuple):
    """What became of a part that was read.

    Attributes
    ----------
    piece
        What was read.
    options
        Those that were found on the way, of a file that was not looked into before.
    plan
        Where it was guessed on the way: of a file that is not like others, or belied its plan.
    """

    piece: Piece
    options: Mapping[str, Any] = {}
    plan: Plan | None = None


def read(
    source: Source, plan: Plan | None, part: Part, place: Place, like: Plan | None, finish: bool
) -> Outcome:
    """Read a part into the segment; without a plan, look into the file first.

    The plan of another file, `like`, is taken where this one looks alike. The only part of a file
    finishes the array, and is read again if it belies the plan.
    """
    # A plain array: writing to a SharedArray's fields takes as long as parsing a small file.
    record = np.asarray(place.records)[place.number : place.number + 1]
    record["state"], record["pid"], record["started"] = State.LOADING, os.getpid(), time.time()
    opener, found = source.load_opener(), {}
    segment = Segment.attach(place.segment, place.identity)
    with opened(source, opener) as reader, SegmentWriter(segment, record) as writer:
        known = like if plan is None else plan
        if plan is None:
            plan = reader.probe(like)
            found = {} if plan is like else _found(plan, opener.options)
        piece = _read(reader, plan, part, writer)
        while finish and piece.belied is not None:
            plan = plan.widened([piece.belied])
            piece = _read(reader, plan, part, writer)
        if finish:
            plan.finish(writer, [(0, piece.rows)])
    record["ended"] = time.time()
    return Outcome(piece, found, plan if plan.key is not None and plan is not known else None)


def _read(reader: Reader, plan: Plan, part: Part, writer: SegmentWriter) -> Piece:
    start = part.row * plan.row_nbytes
    nbytes = plan.nbytes - start if part.rows is None else part.rows * plan.row_nbytes
    writer.check_memory(nbytes)
    writer.seek(start)
    return reader.read(plan, part, writer)


def _found(plan: Plan, given: Mapping[str, Any]) -> dict[str, Any]:
    """The options of the plan that are not as they were given.

    To send those back that the owner has takes its time: a dtype as long as all the rest.
    """
    resolved = plan.options.items()
    return {name: v for name, v in resolved if name not in given or v is not given[name]}


def join(plan: Plan, pieces: Sequence[tuple[int, int]], place: Place) -> None:
    """Make one array of parts that were read: (first row, rows that there are) of each."""
    with SegmentWriter(Segment.attach(place.segment, place.identity)) as writer:
        plan.finish(writer, pieces)


def recode(start: int, stop: int, codes: Mapping[str, NDArray[Any]], place: Place) -> None:
    """Give these rows other codes, in each field that has some: at the code's place."""
    whole = view_of(Segment.attach(place.segment, place.identity))
    for field, others in codes.items():
        if isinstance(whole, SharedTable):
            stored = np.asarray(whole.stored(field))
        else:
            assert isinstance(whole, SharedArray)  # codes are no text
            stored = np.asarray(whole.reshape(-1)[field])
        for i in range(start, stop, _RECODE_ROWS):
            column = stored[i : min(i + _RECODE_ROWS, stop)]
            column[:] = others[column]


@contextmanager
def opened(source: Source, opener: Opener) -> Iterator[Reader]:
    """The reader of a file; errors in the block name the file.

    Another version than tasks before have seen is an error, and so is one that changes in the
    block, whatever else went wrong there: what was read may be of both.
    """
    begin = end = None
    try:
        with opener.open(source.opened, keep=True) as reader:
            begin = end = reader.version()
            if source.version in (None, begin):
                try:
                    yield reader
                finally:
                    end = reader.version()
    except Exception as error:  # noqa: BLE001 - it is raised again, with the file's name
        if begin == end:
            raise named_error(source.path, error, source.opened) from None
    if source.version not in (None, begin) or begin != end:
        reason = "it changed while it was read; load it again, or a copy if it is being written"
        raise LoadError(source.path, None, None, reason)


def named_error(path: str, error: Exception, opened: str = "") -> Exception:
    """An error that names the file as the user does: the error itself, or a `LoadError`.

    `opened` is the path that its reader knows it by.
    """
    if isinstance(error, LoadError) and error.path == opened != path:
        return LoadError(path, error.line, error.column, error.reason)
    if isinstance(error, OSError) and error.filename == opened != path:
        return type(error)(error.errno, error.strerror, path)
    if isinstance(error, ShmkitError) or (isinstance(error, OSError) and error.filename):
        return error
    named = LoadError(path, None, None, f"{type(error).__name__}: {error}")
    import traceback  # noqa: PLC0415 - only for errors

    # It does not travel between processes, and the reader may be the user's own.
    named.add_note("".join(traceback.format_exception(error)))
    return named
