"""One load, from files to views.

    notebook's process                              loader processes
    probe   ── path, options ─────────────────────▶ look into each file
            ◀──── plan: dtype, shape ──────────────
    reserve    is there room for all of it? name every segment
    read    ── path, plan, segment ───────────────▶ reserve, read into it; write the board
            ◀──── done, an error, or dead ─────────
    views      one SharedArray a file

The notebook's process names and owns every segment before a loader touches it. So whatever
becomes of a loader, unlinking all of them, in one place, leaves nothing behind.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from shmkit import _limits
from shmkit._array import SharedArray, shared_empty, view
from shmkit._arrays import SharedArrays
from shmkit._backing import NAMES, Backing, choose_backing
from shmkit._orphans import kill_orphaned_loaders, remove_orphans
from shmkit._progress import RECORD, Board, Monitor, State
from shmkit._reading import named_error, pickled_reader, probe, read
from shmkit._segment import allow, create
from shmkit._workers import Died, Loaders, Task
from shmkit.errors import LoaderDiedError, NotEnoughMemoryError

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
    if remove_orphans([NAMES, os.path.abspath(backing)]):  # their guard was killed as well
        kill_orphaned_loaders()
    with (
        Loaders(min(processes, len(files))) as loaders,
        shared_empty(len(files), RECORD) as records,
    ):
        board = Board(list(files), list(files.values()), records, min(processes, len(files)))
        records["bytes_total"] = nbytes
        monitor.begin(board)
        try:
            pickled = pickled_reader(reader, options)
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

    def run(self, backing: str | os.PathLike[str]) -> dict[str, SharedArray]:
        self.probe()
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
        tasks = [Task(probe, (path, self.reader)) for path in self.board.paths]
        for number, outcome in self.loaders.run(tasks, self.tick):
            if not self.note_failure(number, outcome):
                self.board.plans[number] = outcome

    def read(self, numbers: Sequence[int], backing: Backing, *, movable: bool) -> list[int]:
        """Read these files into new segments; if movable, say which of them had no room there."""
        # The largest first, so that no loader begins with it when the others have finished.
        order = sorted(numbers, key=lambda number: -self.board.records["bytes_total"][number])
        segments = {number: create(backing) for number in numbers}
        for number, segment in segments.items():
            self.board.segments[number] = segment
        tasks = [
            Task(
                read,
                (
                    self.board.paths[number],
                    self.reader,
                    self.board.plans[number],
                    segments[number].path,
                    segments[number].identity,
                    self.board.records,
                    number,
                ),
            )
            for number in order
        ]
        without_room = []
        for index, outcome in self.loaders.run(tasks, self.tick):
            number = order[index]
            if movable and isinstance(outcome, NotEnoughMemoryError):
                segments[number].unlink()
                without_room.append(number)
            elif self.note_failure(number, outcome):
                segments[number].unlink()
            else:
                self.board.records[number]["state"] = State.READY
                plan = self.board.plans[number]
                segments[number].source = {
                    "file": self.board.paths[number],
                    "options": dict(plan.options) if plan is not None else {},
                }
        return without_room

    def note_failure(self, number: int, outcome: Any) -> bool:
        """Whether the outcome is a failure; raises it unless failed files are to be skipped."""
        if isinstance(outcome, Died):
            outcome = LoaderDiedError(self.board.paths[number], outcome.exitcode)
        if not isinstance(outcome, Exception):
            return False
        outcome = named_error(self.board.paths[number], outcome)
        record = self.board.records[number]
        record["state"], record["ended"] = State.FAILED, time.time()
        self.board.errors[number] = outcome
        if not self.skip_failed:
            raise outcome
        return True

    def tick(self) -> None:
        self.monitor.update(self.board)
