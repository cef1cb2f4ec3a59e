"""One load, from files to views.

    notebook's process                              loader processes
    list    ── path of an HDF5 file ──────────────▶ which datasets it has: each is as a file
            ◀──── names ───────────────────────────
    probe   ── path, options ─────────────────────▶ look into each file, but for small ones
            ◀──── plan: dtype, shape ──────────────
    count   ── path, bytes a..b ──────────────────▶ how many rows the parts of a large file have
            ◀──── part ────────────────────────────
    room       is there any for all of it?
    name       the next segments, while others are read
    read    ── path, plan, segment ───────────────▶ read into it, which takes room; write the board
            ◀──── options found, an error, or dead
    join    ── segment, rows of the parts ────────▶ one array again
    recode  ── segment, codes of categories ──────▶ the same in all arrays
    views      one SharedArray a file, as each is ready

The notebook's process names and owns every segment before a loader touches it. So whatever
becomes of a loader, unlinking all of them, in one place, leaves nothing behind.
"""

from __future__ import annotations

import contextlib
import itertools
import operator
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shmkit import _limits
from shmkit._categories import coded, with_enums
from shmkit._monitor import Monitor
from shmkit.cleanup.orphans import kill_orphaned_loaders, remove_orphans
from shmkit.errors import LoaderDiedError, LoadError, NotEnoughMemoryError
from shmkit.loading import tasks as _reading
from shmkit.loading.board import RECORD, Board, State
from shmkit.loading.file import File, cut, read_whole
from shmkit.loading.pool import Died, Loaders, Task, worth
from shmkit.memory.array import SharedArray, shared_empty, view
from shmkit.memory.arrays import SharedArrays
from shmkit.memory.backing import NAMES, Backing, choose_backing
from shmkit.memory.files import finish_interrupted
from shmkit.memory.segment import Segment, allow_segments, segment_nbytes
from shmkit.memory.writer import SegmentWriter
from shmkit.readers.base import Part
from shmkit.readers.text import reader as text

__all__ = ["load"]

# Of a file that is read without a look into it before, which takes as long as reading it, and how
# many times larger than the file its array may be before it finds no room.
_SMALL_NBYTES = 1 << 18
_SMALL_FACTOR = 4
_NEXT_FILES = 128  # whose segments are made at once


def load(
    files: Mapping[str, str],
    nbytes: Sequence[int],
    *,
    reader: Callable[[str], Any] | None,
    options: Mapping[str, Any],
    processes: int,
    backing: str | os.PathLike[str],
    skip_failed: bool,
    monitor: Monitor[Board],
    datasets: Sequence[str] = ("*",),
    prefix: bool = False,
) -> SharedArrays:
    """Load `files` (name -> absolute path) of so many bytes; else see `shmkit.shared_load`.

    Datasets of HDF5 files are loaded as if they were files: those that match one of `datasets`,
    named after their file too if `prefix` is true.
    """
    directories = [] if backing in ("auto", "shm", "memfd") else [os.path.abspath(backing)]
    finish_interrupted()  # what was made, or closed, before
    if remove_orphans([NAMES, *directories]):  # their guard was killed as well
        kill_orphaned_loaders()
    processes = worth(nbytes, processes)
    with contextlib.ExitStack() as stack:
        loaders = stack.enter_context(Loaders(processes))
        options = text.checked(options)
        pickled = _reading.pickled_reader(reader, options)
        sources = {
            name: _Source(path, size, {} if _reading.is_npy(path) else options, pickled)
            for (name, path), size in zip(files.items(), nbytes, strict=True)
        }
        if reader is None:
            sources = _with_datasets(sources, datasets, loaders, prefix=prefix)
        records = stack.enter_context(shared_empty(len(sources), RECORD))
        records["bytes_total"] = [source.nbytes for source in sources.values()]
        paths = [source.path for source in sources.values()]
        board = Board(list(sources), paths, np.asarray(records), processes)
        monitor.begin(board)
        loading = _Load(board, records, loaders, monitor, list(sources.values()), skip_failed)
        try:
            arrays = loading.run(backing)
            _end(board, monitor)
            records.close()  # here, so that an interrupt of it is like any other
        except BaseException as error:
            loading.arrays.clear()  # the traceback holds it
            for segment in board.segments:
                if segment is not None:
                    segment.unlink()
            finish_interrupted()
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

    return SharedArrays(arrays, failures, close, board)


class _Source(NamedTuple):
    """What becomes one array."""

    path: str
    nbytes: int
    options: Mapping[str, Any]
    reader: _reading.Pickled  # with the options
    failure: Exception | Died | None = None


def _with_datasets(
    sources: Mapping[str, _Source], patterns: Sequence[str], loaders: Loaders, *, prefix: bool
) -> dict[str, _Source]:
    """The sources, with the datasets of an HDF5 file in its place."""
    files = [name for name in sources if _reading.is_hdf5(sources[name].path)]
    tasks = [Task(_reading.datasets, (sources[name].path, patterns)) for name in files]
    found = {files[number]: outcome for number, outcome in loaders.run(tasks, lambda: None)}
    listed: dict[str, _Source] = {}
    for name, source in sources.items():
        datasets = found.get(name)
        if datasets is None:
            listed[name] = source
        elif isinstance(datasets, Exception | Died):
            listed[name] = source._replace(failure=datasets)
        else:
            for dataset, nbytes in datasets:
                whole = f"{name}/{dataset}" if len(datasets) > 1 else name
                options = {"dataset": dataset}
                reader = _reading.pickled_reader(None, options)
                listed[whole if prefix else dataset] = _Source(source.path, nbytes, options, reader)
    return listed


def _end(board: Board, monitor: Monitor[Board]) -> None:
    board.ended = time.time()
    board.records = np.array(board.records)
    monitor.end(board)


@dataclass
class _Load:
    """The steps of one load, in the notebook's process."""

    board: Board
    records: SharedArray  # the board's
    loaders: Loaders
    monitor: Monitor[Board]
    sources: Sequence[_Source]
    skip_failed: bool
    parts: dict[int, list[Part]] = field(default_factory=dict)  # of the files read in parts
    files: list[File] = field(default_factory=list)  # that are being read
    named: list[File] = field(default_factory=list)  # that have categories
    arrays: dict[int, SharedArray] = field(default_factory=dict)  # by number of the file

    def run(self, backing: str | os.PathLike[str]) -> dict[str, SharedArray]:
        small = self.small(backing)
        self.probe(small)
        self.count(backing, small)
        chosen = choose_backing(backing, self.need(small))
        allow_segments(len(self.board.names), chosen.kind)
        _limits.allow_mappings(len(self.board.names))
        good = [n for n in range(len(self.board.names)) if n not in self.board.errors]
        # Only reading tells what a reader= returns, and others may fill /dev/shm meanwhile: what
        # finds no room there is read again into a memfd.
        movable = backing == "auto" and chosen.kind == "shm"
        if without_room := self.read(good, chosen, movable=movable):
            self.read(without_room, choose_backing("memfd", 0), movable=False)
        self.name_categories()
        return {self.board.names[number]: array for number, array in sorted(self.arrays.items())}

    def small(self, backing: str | os.PathLike[str]) -> set[int]:
        """The files that are read without a look before: small ones, if there is room for any."""
        small = {n for n, source in enumerate(self.sources) if source.nbytes < _SMALL_NBYTES}
        return small if self.has_room(backing, self.most_nbytes(small)) else set()

    def has_room(self, backing: str | os.PathLike[str], nbytes: int) -> bool:
        """Whether there is room where it is looked for first."""
        try:
            choose_backing("shm" if backing == "auto" else backing, nbytes)
        except NotEnoughMemoryError:
            return False
        return True

    def need(self, small: set[int]) -> int:
        """Bytes that all arrays take, as far as it is known."""
        planned = sum(segment_nbytes(plan.nbytes) for plan in self.board.plans if plan is not None)
        return planned + self.most_nbytes(small)

    def most_nbytes(self, numbers: Iterable[int]) -> int:
        return sum(
            segment_nbytes(_SMALL_FACTOR * self.sources[number].nbytes) for number in numbers
        )

    def probe(self, small: set[int]) -> None:
        numbers = []
        for number, source in enumerate(self.sources):
            if not self.note_failure(number, source.failure) and number not in small:
                numbers.append(number)
        tasks = [
            Task(_reading.probe, (self.sources[number].path, self.sources[number].reader))
            for number in numbers
        ]
        for index, outcome in self.loaders.run(tasks, self.tick):
            if not self.note_failure(numbers[index], outcome):
                self.board.plans[numbers[index]] = outcome

    def count(self, backing: str | os.PathLike[str], small: set[int]) -> None:
        """Cut large files into parts, and count their rows."""
        plans, processes = self.board.plans, self.board.processes
        spans = {number: plan.span for number, plan in enumerate(plans) if plan and plan.span}
        whole = read_whole(spans, [source.nbytes for source in self.sources], processes)
        # Where a guess of their rows finds no room, which may be a bad one, they are counted.
        if whole and self.has_room(backing, self.need(small)):
            spans = {number: span for number, span in spans.items() if number not in whole}
        cuts = cut(spans, processes)
        tasks = [
            Task(
                _reading.count,
                (self.sources[number].path, self.sources[number].reader, plans[number], *edges),
            )
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
            plans[number] = replace(plan, shape=shape)
            self.parts[number] = parts

    def read(self, numbers: Sequence[int], backing: Backing, *, movable: bool) -> list[int]:
        """Read these files into new segments; if movable, say which of them had no room there."""
        # The largest first, so that no loader begins with it when the others have finished. Of
        # more than _NEXT_FILES that holds for each lot of them: the next lot comes before the rest.
        numbers = sorted(numbers, key=lambda n: -self.sources[n].nbytes)
        with contextlib.ExitStack() as stack:
            records = np.empty(0, RECORD)
            if count := sum(len(self.parts.get(number, ())) for number in numbers):
                records = stack.enter_context(shared_empty(count, RECORD))
            new_files = self.new_files(numbers, backing, records)
            without_room = self.run_tasks(new_files, movable=movable)
            for file in self.files:
                if file.parts is not None:
                    mine = records[file.first : file.first + len(file.parts)]
                    self.board.parts[file.number] = np.array(mine)
            self.files = []  # they hold the records
        return without_room

    def new_files(
        self, numbers: Sequence[int], backing: Backing, records: NDArray[Any]
    ) -> Iterator[File]:
        used = 0  # of the records of parts
        for number in numbers:
            segment = self.board.segments[number] = Segment.create(backing)
            parts = self.parts.get(number)
            place = (self.records, number) if parts is None else (records, used)
            used += len(parts or ())
            path, plan = self.board.paths[number], self.board.plans[number]
            yield File(number, path, plan, segment, parts, *place)

    def run_tasks(self, new_files: Iterator[File], *, movable: bool) -> list[int]:
        """Read the files, and join the parts of each; gives those that had no room."""
        tasks: list[Task] = []
        jobs: list[tuple[File, int | None]] = []  # whose they are; None to join its parts
        without_room = []
        self.add_tasks(tasks, jobs, new_files)
        for index, outcome in self.loaders.run(tasks, self.tick):
            self.add_tasks(tasks, jobs, new_files)
            file, number = jobs[index]
            if number is None:
                self.settle(file, outcome)
                continue
            file.outcomes[number] = outcome
            result = file.outcome()
            if file.settled or result is None:
                continue
            file.settled = True
            if movable and isinstance(result, NotEnoughMemoryError):
                file.segment.unlink()
                without_room.append(file.number)
            elif file.parts is not None and isinstance(result, list):
                tasks.append(file.join(self.sources[file.number].reader))
                jobs.append((file, None))
            else:
                self.settle(file, result)
        return without_room

    def add_tasks(
        self, tasks: list[Task], jobs: list[tuple[File, int | None]], new_files: Iterator[File]
    ) -> None:
        """Add those of the next files; the first are read while others are made."""
        files = list(itertools.islice(new_files, _NEXT_FILES))
        self.files += files
        found = [
            (n // self.board.processes, number, file, task)
            for n, file in enumerate(files)
            for number, task in enumerate(file.tasks(self.sources[file.number].reader))
        ]
        # A file for each loader at a time: of processes that write to one, the kernel lets one.
        found.sort(key=operator.itemgetter(0, 1))
        tasks += (task for *_, task in found)
        jobs += ((file, number) for _, number, file, _ in found)

    def settle(self, file: File, outcome: Any) -> None:
        """Note that a file is ready, or has failed."""
        if self.fail(file, outcome):
            return
        pieces = file.pieces()
        given, inferred = self.sources[file.number].options, pieces[0].options
        options = file.plan.options if file.plan else {**given, **inferred}
        file.segment.source = {"file": file.path, "options": dict(options)}
        if any(piece.names for piece in pieces):
            self.named.append(file)
        else:
            self.arrays[file.number] = view(file.segment)
        record = self.board.records[file.number]
        file.show(record)
        record["bytes_done"], record["state"] = record["bytes_total"], State.READY

    def name_categories(self) -> None:
        """Give each category the same code in all arrays, in the order of first appearance."""
        self.named.sort(key=lambda file: file.number)
        found = [piece.names for file in self.named for piece in file.pieces()]
        # HDF5 has no empty name; as the first of several it is in the file too, as a gap.
        codes = {f: {"": 0} for names in found for f, texts in names.items() if "" in texts}
        tasks, owners = [], []
        for file in self.named:
            try:
                codes = coded(codes, [piece.names for piece in file.pieces()])
            except ValueError as error:
                self.fail(file, LoadError(file.path, None, None, str(error)))
        good = [file for file in self.named if file.number not in self.board.errors]
        for file in good:
            recoding = file.recode(codes)
            tasks += recoding
            owners += [file] * len(recoding)
        for index, outcome in self.loaders.run(tasks, self.tick):
            self.fail(owners[index], outcome)
        for file in good:
            if file.number not in self.board.errors:
                with SegmentWriter(file.segment) as writer:
                    writer.set_dtype(with_enums(writer.header.dtype, codes))
                self.arrays[file.number] = view(file.segment)
        self.named = []  # they hold the records

    def fail(self, file: File, outcome: Any) -> bool:
        """As `note_failure`, for a file that has a segment."""
        failed = self.note_failure(file.number, outcome)
        if failed:
            file.segment.unlink()
        return failed

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
