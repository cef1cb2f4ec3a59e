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

import contextlib
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shmkit import _limits, _reading
from shmkit._array import SharedArray, shared_empty, view
from shmkit._arrays import SharedArrays
from shmkit._backing import NAMES, Backing, choose_backing
from shmkit._orphans import kill_orphaned_loaders, remove_orphans
from shmkit._parts import LEAST_NBYTES, File, cut
from shmkit._progress import RECORD, Board, Monitor, State
from shmkit._segment import allow, create, taken
from shmkit._workers import Died, Loaders, Task
from shmkit.errors import LoaderDiedError, NotEnoughMemoryError
from shmkit.readers import Part

__all__ = ["load"]


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
    directories = [] if backing in ("auto", "shm", "memfd") else [os.path.abspath(backing)]
    if remove_orphans([NAMES, *directories]):  # their guard was killed as well
        kill_orphaned_loaders()
    processes = min(processes, max(len(files), sum(nbytes) // LEAST_NBYTES))
    with Loaders(processes) as loaders, shared_empty(len(files), RECORD) as records:
        board = Board(list(files), list(files.values()), records, processes)
        records["bytes_total"] = nbytes
        monitor.begin(board)
        try:
            pickled = _reading.pickled_reader(reader, options)
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
class _Load:
    """The steps of one load, in the notebook's process."""

    board: Board
    loaders: Loaders
    monitor: Monitor
    reader: bytes  # pickled, with its options
    skip_failed: bool
    parts: dict[int, list[Part]] = field(default_factory=dict)  # of the files read in parts
    files: list[File] = field(default_factory=list)  # that are being read

    def run(self, backing: str | os.PathLike[str]) -> dict[str, SharedArray]:
        self.probe()
        self.count()
        need = sum(taken(plan.nbytes) for plan in self.board.plans if plan is not None)
        chosen = choose_backing(backing, need)
        allow(len(self.board.names), chosen.kind)
        _limits.allow_mappings(len(self.board.names))
        good = [n for n in range(len(self.board.names)) if n not in self.board.errors]
        # Only reading tells what a reader= returns, and others may fill /dev/shm meanwhile: what
        # finds no room there is read again into a memfd.
        movable = backing == "auto" and chosen.kind == "shm"
        if without_room := self.read(good, chosen, movable=movable):
            self.read(without_room, choose_backing("memfd", 0), movable=False)
        return {
            name: view(segment)
            for name, segment, record in zip(
                self.board.names, self.board.segments, self.board.records, strict=True
            )
            if segment is not None and record["state"] == State.READY
        }

    def probe(self) -> None:
        tasks = [Task(_reading.probe, (path, self.reader)) for path in self.board.paths]
        for number, outcome in self.loaders.run(tasks, self.tick):
            if not self.note_failure(number, outcome):
                self.board.plans[number] = outcome

    def count(self) -> None:
        """Cut the large files into parts, and count their rows."""
        plans = dict(enumerate(self.board.plans))
        spans = {number: plan.span for number, plan in plans.items() if plan and plan.span}
        cuts = cut(spans, self.board.processes)
        tasks = [
            Task(_reading.count, (self.board.paths[number], self.reader, plans[number], *edges))
            for number, *edges in cuts
        ]
        found: dict[int, Part] = {}
        for index, outcome in self.loaders.run(tasks, self.tick):
            number = cuts[index][0]
            if number not in self.board.errors and not self.note_failure(number, outcome):
                found[index] = outcome
        for number in spans.keys() - self.board.errors.keys():
            parts = [part for index, part in sorted(found.items()) if cuts[index][0] == number]
            plan = plans[number]
            assert plan is not None
            shape = sum(part.rows for part in parts), *plan.shape[1:]
            self.board.plans[number] = replace(plan, shape=shape)
            self.parts[number] = parts

    def read(self, numbers: Sequence[int], backing: Backing, *, movable: bool) -> list[int]:
        """Read these files into new segments; if movable, say which of them had no room there."""
        with contextlib.ExitStack() as stack:
            records = np.empty(0, RECORD)
            if count := sum(len(self.parts.get(number, ())) for number in numbers):
                records = stack.enter_context(shared_empty(count, RECORD))
            self.files = self.new_files(numbers, backing, records)
            without_room, to_join = self.run_tasks(movable=movable)
            tasks = [file.join(self.reader) for file in to_join]
            for index, outcome in self.loaders.run(tasks, self.tick):
                self.settle(to_join[index], outcome)
            self.files = []  # they hold the records
        return without_room

    def new_files(
        self, numbers: Sequence[int], backing: Backing, records: NDArray[Any]
    ) -> list[File]:
        files = []
        used = 0  # of the records of parts
        # The largest first, so that no loader begins with it when the others have finished.
        for number in sorted(numbers, key=lambda n: -self.board.records["bytes_total"][n]):
            segment = self.board.segments[number] = create(backing)
            parts = self.parts.get(number)
            place = (self.board.records, number) if parts is None else (records, used)
            used += len(parts or ())
            path, plan = self.board.paths[number], self.board.plans[number]
            files.append(File(number, path, plan, segment, parts, *place))
        return files

    def run_tasks(self, *, movable: bool) -> tuple[list[int], list[File]]:
        """Read the files; gives those that had no room, and those whose parts are to be joined."""
        jobs = [
            (file, number, task)
            for file in self.files
            for number, task in enumerate(file.tasks(self.reader))
        ]
        without_room, to_join = [], []
        for index, outcome in self.loaders.run([task for *_, task in jobs], self.tick):
            file, number, _ = jobs[index]
            file.outcomes[number] = outcome
            result = file.outcome()
            if file.settled or result is None:
                continue
            file.settled = True
            if movable and isinstance(result, NotEnoughMemoryError):
                file.segment.unlink()
                without_room.append(file.number)
            elif file.parts is not None and isinstance(result, list):
                to_join.append(file)
            else:
                self.settle(file, result)
        return without_room, to_join

    def settle(self, file: File, outcome: Any) -> None:
        """Note that a file is ready, or has failed."""
        if self.note_failure(file.number, outcome):
            file.segment.unlink()
            return
        record = self.board.records[file.number]
        file.show(record)
        record["bytes_done"], record["ended"] = record["bytes_total"], time.time()
        record["state"] = State.READY
        options = {} if file.plan is None else dict(file.plan.options)
        file.segment.source = {"file": file.path, "options": options}

    def note_failure(self, number: int, outcome: Any) -> bool:
        """Whether the outcome is a failure; raises it unless failed files are to be skipped."""
        if isinstance(outcome, Died):
            outcome = LoaderDiedError(self.board.paths[number], outcome.exitcode)
        if not isinstance(outcome, Exception):
            return False
        outcome = _reading.named_error(self.board.paths[number], outcome)
        record = self.board.records[number]
        record["state"], record["ended"] = State.FAILED, time.time()
        self.board.errors[number] = outcome
        if not self.skip_failed:
            raise outcome
        return True

    def tick(self) -> None:
        for file in self.files:
            file.show(self.board.records[file.number])
        self.monitor.update(self.board)
