"""One load, from files to views.

    notebook's process                              loader processes
    probe   ── path, options ─────────────────────▶ look into each file
            ◀──── plan: dtype, shape ──────────────
    count   ── path, bytes a..b ──────────────────▶ how many rows each part of a large file has
            ◀──── part ────────────────────────────
    reserve    is there room for all of it? name every segment
    read    ── path, plan, segment ───────────────▶ reserve, read into it; write the board
            ◀──── done, an error, or dead ─────────
    join    ── segment, rows of the parts ────────▶ one array again
    views      one SharedArray a file

The notebook's process names and owns every segment before a loader touches it. So whatever
becomes of a loader, unlinking all of them, in one place, leaves nothing behind.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shmkit import _limits
from shmkit import _reading as reading
from shmkit._array import SharedArray, shared_empty, view
from shmkit._arrays import SharedArrays
from shmkit._backing import NAMES, Backing, choose_backing
from shmkit._orphans import kill_orphaned_loaders, remove_orphans
from shmkit._progress import RECORD, Board, Monitor, State
from shmkit._segment import Segment, allow, create
from shmkit._workers import Died, Loaders, Task
from shmkit.errors import LoaderDiedError, NotEnoughMemoryError
from shmkit.readers import Part

__all__ = ["load"]

_PART_NBYTES = 1 << 23  # no part is smaller: it takes some milliseconds to read
_PARTS = 4  # for each loader process, so that all end at about the same time


def load(
    files: Mapping[str, str],
    *,
    reader: Callable[[str], Any] | None,
    options: Mapping[str, Any],
    processes: int,
    backing: str | os.PathLike[str],
    skip_failed: bool,
    monitor: Monitor,
) -> SharedArrays:
    """Load `files` (name -> absolute path); see `shmkit.shared_load` for everything else."""
    nbytes = [os.stat(path).st_size for path in files.values()]
    if remove_orphans([NAMES, os.path.abspath(backing)]):  # their guard was killed as well
        kill_orphaned_loaders()
    processes = min(processes, max(len(files), sum(nbytes) // _PART_NBYTES))
    with Loaders(processes) as loaders, shared_empty(len(files), RECORD) as records:
        board = Board(list(files), list(files.values()), records, processes)
        records["bytes_total"] = nbytes
        monitor.begin(board)
        try:
            pickled = reading.pickled_reader(reader, options)
            arrays = _Load(board, loaders, monitor, pickled, skip_failed).run(backing)
            _end(board, monitor)
        except BaseException as error:
            for segment in board.segments:
                if segment is not None:
                    segment.unlink()
            board.failed, board.cancelled = True, isinstance(error, KeyboardInterrupt)
            if not board.ended:
                _end(board, monitor)
            raise
    failures = {board.names[number]: error for number, error in sorted(board.errors.items())}

    here = os.getpid(), threading.get_ident()

    def close() -> None:
        board.closed = True
        # A front end hears only the thread that made it, and never a forked child; it looks again
        # after every cell.
        if (os.getpid(), threading.get_ident()) == here:
            monitor.close(board)

    return SharedArrays(arrays, failures, close)


def _end(board: Board, monitor: Monitor) -> None:
    board.ended = time.time()
    board.records = np.array(board.records)
    monitor.end(board)


@dataclass
class _File:
    """A file while it is read: by one task, or by one for each of its parts."""

    number: int
    segment: Segment
    tasks: list[Task]
    records: NDArray[Any]  # of the parts, as on the board; none if it is read whole
    outcomes: dict[int, Any] = field(default_factory=dict)  # of the tasks that have ended
    settled: bool = False

    def outcome(self) -> Any:
        """What became of the file, or None: the first failure by its place, or the rows read."""
        for number in range(len(self.tasks)):
            if number not in self.outcomes:
                return None
            if isinstance(self.outcomes[number], (Exception, Died)):
                return self.outcomes[number]
        return [self.outcomes[number] for number in range(len(self.tasks))]


@dataclass
class _Load:
    """The steps of one load, in the notebook's process."""

    board: Board
    loaders: Loaders
    monitor: Monitor
    reader: bytes  # pickled, with its options
    skip_failed: bool
    parts: dict[int, list[Part]] = field(default_factory=dict)  # of the files read in parts
    in_parts: list[_File] = field(default_factory=list)

    def run(self, backing: str | os.PathLike[str]) -> dict[str, SharedArray]:
        self.probe()
        self.count()
        need = sum(plan.nbytes for plan in self.board.plans if plan is not None)
        chosen = choose_backing(backing, need)
        allow(len(self.board.names), chosen.kind)
        _limits.allow_mappings(len(self.board.names))
        good = [n for n in range(len(self.board.names)) if n not in self.board.errors]
        # Only reading tells what a reader= returns, and others may fill /dev/shm meanwhile: what
        # finds no room there is read again into a memfd.
        movable = backing == "auto" and chosen.kind == "shm"
        without_room = self.read(good, chosen, movable=movable)
        self.read(without_room, choose_backing("memfd", 0), movable=False)
        return {
            name: view(segment)
            for name, segment, record in zip(
                self.board.names, self.board.segments, self.board.records, strict=True
            )
            if segment is not None and record["state"] == State.READY
        }

    def probe(self) -> None:
        tasks = [Task(reading.probe, (path, self.reader)) for path in self.board.paths]
        for number, outcome in self.loaders.run(tasks, self.tick):
            if not self.note_failure(number, outcome):
                self.board.plans[number] = outcome

    def count(self) -> None:
        """Cut the large files into parts, and count their rows."""
        spans = {n: plan.span for n, plan in enumerate(self.board.plans) if plan and plan.span}
        most = sum(stop - start for start, stop in spans.values()) // (
            _PARTS * self.board.processes
        )
        cuts: list[tuple[int, int, int]] = []
        for number, (start, stop) in spans.items():
            pieces = -(-(stop - start) // max(most, _PART_NBYTES))
            edges = [start + (stop - start) * i // pieces for i in range(pieces + 1)]
            cuts += [(number, *edge) for edge in pairwise(edges)]
        tasks = [
            Task(reading.count, (self.board.paths[n], self.reader, self.board.plans[n], *cut))
            for n, *cut in cuts
        ]
        found: dict[int, Part] = {}
        for index, outcome in self.loaders.run(tasks, self.tick):
            number = cuts[index][0]
            if number not in self.board.errors and not self.note_failure(number, outcome):
                found[index] = outcome
        for number in spans.keys() - self.board.errors.keys():
            parts = [part for index, part in sorted(found.items()) if cuts[index][0] == number]
            plan = self.board.plans[number]
            assert plan is not None
            shape = sum(part.rows for part in parts), *plan.shape[1:]
            self.board.plans[number] = replace(plan, shape=shape)
            self.parts[number] = parts

    def read(self, numbers: Sequence[int], backing: Backing, *, movable: bool) -> list[int]:
        """Read these files into new segments; if movable, say which of them had no room there."""
        # The largest first, so that no loader begins with it when the others have finished.
        order = sorted(numbers, key=lambda number: -self.board.records["bytes_total"][number])
        without_room: list[int] = []
        to_join: list[tuple[_File, Task]] = []
        with shared_empty(sum(len(self.parts.get(n, ())) for n in order), RECORD) as records:
            rest = iter(range(len(records)))
            files = [self.file(number, create(backing), records, rest) for number in order]
            self.in_parts = [file for file in files if len(file.records)]
            jobs = [(file, number) for file in files for number in range(len(file.tasks))]
            tasks = [file.tasks[number] for file, number in jobs]
            for index, outcome in self.loaders.run(tasks, self.tick):
                file, number = jobs[index]
                file.outcomes[number] = outcome
                result = file.outcome()
                if file.settled or result is None:
                    continue
                file.settled = True
                if movable and isinstance(result, NotEnoughMemoryError):
                    file.segment.unlink()
                    without_room.append(file.number)
                elif len(file.records) and isinstance(result, list):
                    to_join.append((file, self.joining(file, result)))
                else:
                    self.settle(file, result)
            for index, outcome in self.loaders.run([task for _, task in to_join], self.tick):
                self.settle(to_join[index][0], outcome)
            self.in_parts = []
        return without_room

    def file(
        self, number: int, segment: Segment, records: NDArray[Any], rest: Iterator[int]
    ) -> _File:
        """The tasks that read a file into a segment; those of parts write in the next records."""
        self.board.segments[number] = segment
        path, plan = self.board.paths[number], self.board.plans[number]
        where = segment.path, segment.identity
        if plan is None or number not in self.parts:
            task = Task(reading.read, (path, self.reader, plan, *where, self.board.records, number))
            return _File(number, segment, [task], records[:0])
        segment.outline(plan.dtype, plan.shape)
        tasks, places = [], []
        line, row = plan.options.get("skiprows", 0), 0
        for part in self.parts[number]:
            places.append(next(rest))
            arguments = path, self.reader, plan, part, line, row, *where, records, places[-1]
            tasks.append(Task(reading.read_part, arguments))
            line, row = line + part.lines, row + part.rows
        return _File(number, segment, tasks, records[places[0] : places[-1] + 1])

    def joining(self, file: _File, counts: Sequence[int]) -> Task:
        """The task that makes one array of the parts, in which so many rows were found."""
        rows = accumulate((part.rows for part in self.parts[file.number]), initial=0)
        parts = list(zip(rows, counts, strict=False))
        plan, path = self.board.plans[file.number], self.board.paths[file.number]
        where = file.segment.path, file.segment.identity
        return Task(reading.join, (path, self.reader, plan, *where, parts))

    def settle(self, file: _File, outcome: Any) -> None:
        """Note that a file is ready, or has failed."""
        if self.note_failure(file.number, outcome):
            file.segment.unlink()
            return
        record, plan = self.board.records[file.number], self.board.plans[file.number]
        if len(file.records):
            self.show_parts()
            record["bytes_done"], record["ended"] = record["bytes_total"], time.time()
        record["state"] = State.READY
        file.segment.source = {
            "file": self.board.paths[file.number],
            "options": dict(plan.options) if plan is not None else {},
        }

    def show_parts(self) -> None:
        """Sum up on the board what is done of the files that are read in parts."""
        for file in self.in_parts:
            record, begun = self.board.records[file.number], file.records[file.records["pid"] > 0]
            if len(begun) and record["state"] in (State.WAITING, State.LOADING):
                record["state"] = State.LOADING
                record["pid"], record["started"] = begun["pid"][0], begun["started"].min()
                record["bytes_done"], record["rows"] = (
                    begun["bytes_done"].sum(),
                    begun["rows"].sum(),
                )

    def note_failure(self, number: int, outcome: Any) -> bool:
        """Whether the outcome is a failure; raises it unless failed files are to be skipped."""
        if isinstance(outcome, Died):
            outcome = LoaderDiedError(self.board.paths[number], outcome.exitcode)
        if not isinstance(outcome, Exception):
            return False
        outcome = reading.named_error(self.board.paths[number], outcome)
        record = self.board.records[number]
        record["state"], record["ended"] = State.FAILED, time.time()
        self.board.errors[number] = outcome
        if not self.skip_failed:
            raise outcome
        return True

    def tick(self) -> None:
        self.show_parts()
        self.monitor.update(self.board)
