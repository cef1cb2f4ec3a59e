"""Small files of a load: many are read by one task, into one segment.

    file file file … ──▶ lot ──▶ │ rows │ rows │ rows ┆ room │    a segment a lot
            └ looks otherwise, belies the plan, fails ──▶ read alone, as any other file

    their arrays: a section of the segment each; or, with concat=, one array of all (concat/)

To make a segment, map it, read its header back and close it takes longer than to parse a small
file. So where there are many of them, a segment has the rows of several.

1. The segment has room for as many rows as the bytes of the files may have; in a table, if their
   lines are about as long as those of the first. What is not written takes no memory.
2. Each file is read behind the one before, with the plan of the first. Whatever goes wrong with
   one, the next begins where that began; it is read alone then, which tells what is wrong.
3. Where a file that was read alone needs a wider type, all files with its columns are read again,
   each alone.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from shmkit._format import counted
from shmkit.loaders.loader import Task
from shmkit.loading.board.record import State
from shmkit.loading.file import LoadingFile
from shmkit.loading.tasks import Outcome, Place, Source, opened
from shmkit.readers.base import Part, Piece, Plan, Reader
from shmkit.readers.formats import Format
from shmkit.segments.section import Section
from shmkit.segments.segment import Segment
from shmkit.segments.writer import SegmentWriter

__all__ = ["Lot", "add_lot", "lots_of", "settle_as_one", "settle_sections"]

_FEW = 16  # files, for which a segment each takes no time that anybody sees
_FILES = 256  # in a lot, at most
_DATASET_NBYTES = 1 << 16  # from here on their filters had better be undone in parallel
_SHARES = 4  # lots for each loader, so that all end at about the same time


class Lot(NamedTuple):
    """Files that are read by one task."""

    files: Sequence[LoadingFile]
    segment: Segment
    task: Task


class Found(NamedTuple):
    """What became of the files of a lot: the plan of texts, and what was read of each, or None."""

    plan: Plan | None
    pieces: Sequence[Piece | None]


def lots_of(
    files: Sequence[LoadingFile], processes: int, *, as_one: bool
) -> list[list[LoadingFile]]:
    """The files that are read in lots: small texts, in their order, if there are many."""
    alike: dict[Any, list[LoadingFile]] = {}
    for file in files:
        if file.is_small and file.form is Format.TEXT and "categories" not in file.options:
            alike.setdefault(None, []).append(file)
        elif not as_one and _is_small_dataset(file):
            alike.setdefault((file.path, file.kind), []).append(file)
    found = []
    for fit in alike.values():
        count = min(_FILES, -(-len(fit) // (_SHARES * processes)))
        if count > 1 and (len(fit) > _FEW or as_one):
            found += [fit[first : first + count] for first in range(0, len(fit), count)]
    return found


def add_lot(files: Sequence[LoadingFile], segment: Segment, records: Any) -> Lot:
    """The lot of these files, to be read into this segment."""
    for file in files:
        file.segment = segment
    first = files[0]
    segment.source = {"file": counted(len(files), "file", "files"), "options": {}}
    place = Place(segment.path, segment.identity, records, first.number)
    if first.kind is not None:
        names = [file.dataset["dataset"] for file in files]
        numbers = [file.number for file in files]
        return Lot(files, segment, Task(_read_datasets, (first.source, names, numbers, place)))
    arguments = (
        [file.source for file in files],
        [(file.number, file.nbytes) for file in files],
        first.like,
        first.like_nbytes,
        place,
    )
    return Lot(files, segment, Task(_read_lot, arguments))


def settle_as_one(lot: Lot, outcome: Any) -> Iterator[tuple[LoadingFile, int, int]]:
    """The files that were read, and their rows in the segment; the others have none now."""
    for file, piece, plan, row in _settled(lot, outcome):
        file.outcomes = {0: Outcome(piece, {}, plan)}
        file.look_back(lot.segment)
        yield file, row, row + piece.rows


def settle_sections(lot: Lot, outcome: Any) -> Iterator[LoadingFile]:
    """The files that were read, each with its section of the segment; the others have none now."""
    found = list(_settled(lot, outcome))
    total = sum(piece.rows for _, piece, _, _ in found)
    for file, piece, plan, row in found:
        if plan is None:  # a dataset has the dimensions that it has in the file
            lengths = int(file.kind is not None and file.kind[1] is None)
        else:
            # A row alone may be an array of fewer dimensions, and no row one of others.
            lengths = len(plan.final_shape(total)) - len(plan.final_shape(piece.rows))
        if not piece.rows or total == 1 or (lengths != 0 and (lengths, piece.rows) != (1, 1)):
            file.segment = None
            file.record["state"] = State.WAITING
            continue
        stop = None if lengths else row + piece.rows
        file.segment = Section.of(lot.segment, row, stop)
        file.outcomes = {0: Outcome(piece, {}, plan)}
        yield file
    if not any(isinstance(file.segment, Section) for file in lot.files):
        lot.segment.unlink()


def _settled(lot: Lot, outcome: Any) -> Iterator[tuple[LoadingFile, Piece, Plan | None, int]]:
    """What was read of each file, and its first row in the segment."""
    row = 0
    pieces = outcome.pieces if isinstance(outcome, Found) else [None] * len(lot.files)
    if not any(pieces):
        lot.segment.unlink()
    for file, piece in zip(lot.files, pieces, strict=True):
        if piece is None:
            file.segment = None
            file.record["state"] = State.WAITING
            continue
        file.record["state"], file.record["bytes_done"] = State.READY, file.nbytes
        yield file, piece, outcome.plan, row
        row += piece.rows


def _read_lot(
    sources: Sequence[Source],
    files: Sequence[tuple[int, int]],
    like: Plan | None,
    like_nbytes: int,
    place: Place,
) -> Found | None:
    """Read the files into the segment, one behind another; None if none could be."""
    records = np.asarray(place.records)
    plan: Plan | None = None
    pieces: list[Piece | None] = []
    row = room = 0
    total = sum(nbytes + 1 for _, nbytes in files)  # a last line may have no end
    with SegmentWriter(Segment.attach(place.segment, place.identity)) as writer:
        for source, (number, nbytes) in zip(sources, files, strict=True):
            record = records[number : number + 1]
            record["pid"], record["started"] = os.getpid(), time.time()
            record["state"] = State.LOADING
            piece = None
            try:
                with opened(source, source.opener.load()) as reader:
                    if like is None:
                        like, like_nbytes = reader.probe().shared(), nbytes
                    if plan is None:
                        room = like.most_rows(total, like_nbytes)
                        plan = replace(like, shape=(room, *like.shape[1:]))
                    if _is_alike(reader, like):
                        writer.seek(row * plan.row_nbytes)
                        piece = reader.read(plan, Part(rows=room - row, row=row), writer)
            except Exception:  # noqa: BLE001 - it is read alone, which tells what is wrong
                piece = None
            if piece is not None and (piece.belied is not None or piece.categories):
                piece = None
            if piece is not None:
                row += piece.rows
                record["rows"], record["ended"] = piece.rows, time.time()
            pieces.append(piece)
        if plan is None or not any(pieces):
            return None
        plan.finish(writer, [(0, row)])
    return Found(plan, pieces)


def _read_datasets(
    first: Source, names: Sequence[str], numbers: Sequence[int], place: Place
) -> Found:
    """Read datasets of a file, which are as the first one, into the segment."""
    from shmkit.readers.hdf5.reader import HDF5Reader  # noqa: PLC0415 - where it is needed

    records = np.asarray(place.records)
    lot = records[numbers]
    lot["pid"], lot["started"], lot["state"] = os.getpid(), time.time(), State.LOADING
    records[numbers] = lot
    with (
        opened(first, first.load_opener()) as reader,
        SegmentWriter(Segment.attach(place.segment, place.identity)) as writer,
    ):
        assert isinstance(reader, HDF5Reader)
        rows = reader.read_alike(names, writer)
    lot["rows"], lot["ended"] = [count or 0 for count in rows], time.time()
    records[numbers] = lot
    return Found(None, [None if count is None else Piece(count) for count in rows])


def _is_small_dataset(file: LoadingFile) -> bool:
    """Whether it is a dataset that takes longer to be found than read, and is loaded as it is."""
    return (
        file.kind is not None
        and max(file.nbytes, file.loaded_nbytes) <= _DATASET_NBYTES
        and not file.options.get("decode")
        and "select" not in file.options
    )


def _is_alike(reader: Reader, like: Plan) -> bool:
    """Whether this plan is that of a file, too."""
    found = reader.probe(like)
    if found is like or found.key is not None:
        return found is like
    return replace(found, shape=like.shape) == like and found.shape[1:] == like.shape[1:]
