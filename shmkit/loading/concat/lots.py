"""Small files that become one array: many are read by one task, into one segment.

    file file file … ──▶ lot ──▶ │ rows │ rows │ rows ┆ room │    a segment a lot
            └ looks otherwise, belies the plan, fails ──▶ read alone, as any other file

1. The segment has room for as many rows as the bytes of the files may have. What is not written
   takes no memory.
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

from shmkit.loaders.loader import Task
from shmkit.loading.board.record import State
from shmkit.loading.file import LoadingFile
from shmkit.loading.tasks import Outcome, Place, Source, opened
from shmkit.readers.base import Part, Piece, Plan, Reader
from shmkit.readers.formats import Format
from shmkit.segments.segment import Segment
from shmkit.segments.writer import SegmentWriter

__all__ = ["Lot", "add_lot", "lots_of", "settle_lot"]

_FILES = 256  # in a lot, at most
_SHARES = 4  # lots for each loader, so that all end at about the same time
_LEAST_ROW_NBYTES = 2  # of a line: a digit and its end


class Lot(NamedTuple):
    """Files that are read by one task."""

    files: Sequence[LoadingFile]
    task: Task


class Found(NamedTuple):
    """What became of the files of a lot: the plan, and what was read of each, or None."""

    plan: Plan
    pieces: Sequence[Piece | None]


def lots_of(files: Sequence[LoadingFile], processes: int) -> Iterator[list[LoadingFile]]:
    """The files that may be read in lots: small texts, in their order."""
    fit = [file for file in files if file.is_small and file.form is Format.TEXT]
    count = min(_FILES, -(-len(fit) // (_SHARES * processes)))
    if count > 1:
        for first in range(0, len(fit), count):
            yield fit[first : first + count]


def add_lot(files: Sequence[LoadingFile], segment: Segment, records: Any) -> Lot:
    """The lot of these files, to be read into this segment."""
    for file in files:
        file.segment = segment
    first = files[0]
    place = Place(segment.path, segment.identity, records, first.number)
    room = sum(file.nbytes for file in files) // _LEAST_ROW_NBYTES + len(files)
    arguments = (
        [file.source for file in files],
        [file.number for file in files],
        first.like or first.plan,
        room,
        place,
    )
    return Lot(files, Task(_read_lot, arguments))


def settle_lot(lot: Lot, outcome: Any) -> Iterator[tuple[LoadingFile, int, int]]:
    """The files that were read, and their rows in the segment; the others have none now."""
    segment, row = lot.files[0].segment, 0
    assert segment is not None
    pieces = outcome.pieces if isinstance(outcome, Found) else [None] * len(lot.files)
    if not any(pieces):
        segment.unlink()
    for file, piece in zip(lot.files, pieces, strict=True):
        if piece is None:
            file.segment = None
            file.record["state"] = State.WAITING
            continue
        file.outcomes = {0: Outcome(piece, {}, outcome.plan)}
        file.look_back(segment)
        file.record["state"], file.record["bytes_done"] = State.READY, file.nbytes
        yield file, row, row + piece.rows
        row += piece.rows


def _read_lot(
    sources: Sequence[Source],
    numbers: Sequence[int],
    like: Plan | None,
    room: int,
    place: Place,
) -> Found | None:
    """Read the files into the segment, one behind another; None if none could be."""
    records = np.asarray(place.records)
    plan: Plan | None = None
    pieces: list[Piece | None] = []
    row = 0
    with SegmentWriter(Segment.attach(place.segment, place.identity)) as writer:
        for source, number in zip(sources, numbers, strict=True):
            record = records[number : number + 1]
            record["pid"], record["started"] = os.getpid(), time.time()
            record["state"] = State.LOADING
            piece = None
            try:
                with opened(source, source.opener.load()) as reader:
                    if plan is None:
                        plan = _plan(reader, like, room)
                    if plan is not None and _is_alike(reader, like, plan):
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


def _plan(reader: Reader, like: Plan | None, room: int) -> Plan:
    """The plan of a lot whose first file this is."""
    plan = reader.probe() if like is None else like
    return replace(plan, shape=(room, *plan.shape[1:]))


def _is_alike(reader: Reader, like: Plan | None, plan: Plan) -> bool:
    """Whether the plan of the lot is that of this file, too."""
    found = reader.probe(like)
    if like is not None:
        return found is like
    return replace(found, shape=plan.shape) == plan and found.shape[1:] == plan.shape[1:]
