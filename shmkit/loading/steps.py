"""The steps of one load, from files to views.

notebook's process                              loader processes
take       what the cache has, if it is wanted: the steps below are for the other files
list    ── path of an HDF5 file ──────────────▶ which datasets it has: each is as a file
◀──── names ───────────────────────────
probe   ── path, options ─────────────────────▶ look into each file, but for small ones
◀──── plan: dtype, shape ──────────────
count   ── path, bytes a..b ──────────────────▶ how many rows the parts of a large file have
◀──── part ────────────────────────────
room       is there any for all of it, and where? (room)
name       the next segments, while others are read
lots    ── paths, plan, segment ──────────────▶ many small files behind one another (lots)
read    ── path, plan, part, segment ─────────▶ read into it, which takes room; write the board
◀──── options found, an error, or dead
join    ── segment, rows of the parts ────────▶ one array again; here, if no rows move
recode  ── segment, codes of categories ──────▶ the same in all arrays
transform  segment, the user's function ──────▶ what it returns, in another segment
views      one SharedArray a file, as each is ready
"""

from __future__ import annotations

import contextlib
import itertools
import operator
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from shmkit._format import printable
from shmkit._monitor import Monitor
from shmkit.errors import LoaderDiedError, LoadError, NotEnoughMemoryError
from shmkit.loaders.loader import Task
from shmkit.loaders.pickling import Pickled
from shmkit.loaders.pool import LoaderPool, end_idle
from shmkit.loaders.process import Died
from shmkit.loading import tasks
from shmkit.loading.board.board import Board
from shmkit.loading.board.record import RECORD, State
from shmkit.loading.cached import CachedFiles
from shmkit.loading.calls.transform import transform_task
from shmkit.loading.file import LoadingFile, files_to_read_whole, split_spans, to_count
from shmkit.loading.files.alike import agree
from shmkit.loading.files.peers import Alone, Peers
from shmkit.loading.lots import add_lot, lots_of, settle_as_one, settle_sections
from shmkit.loading.room import has_room, places_of
from shmkit.segments.backing import Backing
from shmkit.segments.segment import Segment
from shmkit.segments.writer import SegmentWriter
from shmkit.views.array import SharedArray, new_array
from shmkit.views.of_segment import view_of
from shmkit.views.table import SharedTable
from shmkit.views.text import SharedText

__all__ = ["Steps"]

_READ_AGAIN = "its loader process was killed, though memory was not short; it was read once more"
_NEXT_FILES = 128  # segments that are made at once, while loaders read the files before


class Steps:
    """The steps of one load, in the notebook's process."""

    def __init__(
        self,
        files: Sequence[LoadingFile],
        transform: Pickled | None,
        cached: CachedFiles | None,
        board: Board,
        records: SharedArray,
        pool: LoaderPool,
        monitor: Monitor[Board],
        peers: Peers,
        *,
        skip_failed: bool,
        as_one: bool,
        most: int | None,
    ) -> None:
        self.files = files
        self.transform = transform
        self.cached = cached
        self.board = board
        self.records = records  # the board's, as they travel to the loaders
        self.pool = pool
        self.monitor = monitor
        self.peers = peers
        self.skip_failed = skip_failed
        self.in_parts: list[LoadingFile] = []  # whose parts are being read
        self.categorized: set[LoadingFile] = set()
        # By number of the file. The files do not hold them: a panel keeps the files, and shows
        # them when the arrays are gone.
        self.arrays: dict[int, SharedArray | SharedText | SharedTable] = {}
        self.notes: list[str] = []  # what the user is told when all is loaded
        self.tried_again: set[LoadingFile] = set()
        self.taken: set[LoadingFile] = set()  # from the cache
        self.most = most  # bytes of all arrays
        self.as_one = as_one  # whether all files become one array
        # What is kept, or counted, given to a function, or to other nodes, has a segment for each.
        alone = isinstance(peers, Alone)
        self.in_lots = alone and transform is None and cached is None and most is None
        self.lots: dict[int, tuple[int, int]] = {}  # then, rows in a lot, by number of the file

    def run(
        self, backing: str | os.PathLike[str], failed: Iterable[tuple[LoadingFile, Any]]
    ) -> None:
        """Load the files, but for those that failed before."""
        for file, outcome in failed:
            self.fail(file, outcome)
        with contextlib.ExitStack() as stack:
            if self.cached is not None:
                self.take(self.cached)
                if missed := self.good():
                    stack.enter_context(self.cached.turn(missed, self.tick))
                    self.take(self.cached)  # others may have kept more meanwhile
                if not self.good():
                    return
            self.pool.grow(self.board.processes)
            self.probe(backing)
            self.count(backing)
            lots = []
            if self.in_lots:
                lots = lots_of(self.good(), self.board.processes, as_one=self.as_one)
            segments = len(self.good()) - sum(map(len, lots)) + len(lots)
            places = places_of(
                *(self.good(), backing, self.cached, self.most, self.peers), segments=segments
            )
            again = set(self.good()) - self.read_lots(lots, places[0][1][0])
            any_left = True
            if not again:  # each lot may have had a plan of its own
                again, any_left = agree(self.good(), self.peers)
            while any_left:
                for files, backings in places:
                    self.read_somewhere([file for file in files if file in again], backings)
                again, any_left = agree(self.good(), self.peers)
            self.share_categories()
            if self.transform is not None:
                for files, backings in places:
                    self.apply_transform(self.transform, files, backings)
            if self.cached is not None and (note := self.cached.keep()):
                self.notes.append(note)

    def take(self, cached: CachedFiles) -> None:
        """Take what the cache has of the files."""
        for file, array in cached.take(self.good()):
            self.arrays[file.number] = array
            self.taken.add(file)
            assert file.segment is not None
            file.record["rows"] = file.segment.rows
            file.record["bytes_done"], file.record["state"] = file.nbytes, State.READY

    def read_somewhere(self, files: Sequence[LoadingFile], backings: Sequence[Backing]) -> None:
        """Read these files into the first of the places that has room for each."""
        for number, backing in enumerate(backings, 1):
            files = self.read(files, backing, movable=number < len(backings))
            if files:
                end_idle()  # for the room that they take

    def good(self) -> list[LoadingFile]:
        """The files that are to be read, of which none has failed so far."""
        return [f for f in self.files if f.error is None and f not in self.taken]

    def probe(self, backing: str | os.PathLike[str]) -> None:
        """Look into the files, but not into small ones if there is room for what they may hold."""
        files = [file for file in self.good() if file.may_be_probed]
        small = [file for file in self.good() if file.is_small]
        guessed = [file for file in small if file.guessed]
        if has_room(backing, small):
            first = guessed[:1] if len(guessed) > 1 else []  # what it shows is shared by the others
            files = [file for file in files if not file.is_small or file in first]
        probes = [Task(tasks.probe, (file.source,)) for file in files]
        for index, outcome in self.pool.run(probes, self.tick, lambda n: self.again(files[n])):
            if not self.fail(files[index], outcome):
                files[index].plan, files[index].version = outcome
        first_file = next((file for file in guessed if file.plan is not None), None)
        if first_file is not None and first_file.plan is not None:
            like = first_file.plan.shared()  # one for all: it is kept once
            for file in guessed:
                file.like, file.like_nbytes = like, first_file.nbytes
        agree(self.good(), self.peers)

    def count(self, backing: str | os.PathLike[str]) -> None:
        """Split large files into parts, and count their rows where the plan does not tell them."""
        large = [file for file in self.good() if file.plan is not None and file.plan.span]
        if not large:
            return
        whole = files_to_read_whole(large, self.board.processes)
        # The rows of a file that is read whole are a guess, which may be a bad one: where there is
        # no room for it, they are counted.
        if whole and has_room(backing, self.good()):
            large = [file for file in large if file not in whole]
        parts: dict[LoadingFile, list[Any]] = {}
        lots = []
        for file, edges in split_spans(large, self.board.processes).items():
            assert file.plan is not None
            parts[file] = [file.plan.part(*edge) for edge in edges]
            if parts[file][0] is not None:
                continue
            # One task for each loader: to count a part takes no longer than to hand a task over.
            wanted = to_count(file.plan, edges)
            parts[file], count = [], min(len(wanted), self.board.processes)
            ends = [len(wanted) * i // count for i in range(count + 1)]
            lots += [(file, wanted[start:stop]) for start, stop in itertools.pairwise(ends)]
        counts = [Task(tasks.count, (file.source, file.plan, edges)) for file, edges in lots]
        counted: dict[int, list[Any]] = {}
        for index, outcome in self.pool.run(counts, self.tick, lambda n: self.again(lots[n][0])):
            file = lots[index][0]
            if file.error is None and not self.fail(file, outcome):
                counted[index] = outcome
        for index, found in sorted(counted.items()):
            parts[lots[index][0]] += found
        for file, of_file in parts.items():
            if file.error is None:
                file.set_parts(of_file)

    def read(
        self, files: Sequence[LoadingFile], backing: Backing, *, movable: bool
    ) -> list[LoadingFile]:
        """Read these files into new segments; if movable, say which of them had no room there."""
        # The largest first, so that no loader begins with it when the others have finished. Of
        # more than _NEXT_FILES that holds for each lot of them: the next lot comes before the rest.
        new_files = iter(sorted(files, key=lambda file: -file.nbytes))
        waiting: list[Task] = []
        jobs: list[tuple[LoadingFile, int | None]] = []  # whose part; None to join all of them
        without_room = []
        with contextlib.ExitStack() as stack:
            self.add_tasks(waiting, jobs, new_files, backing, stack)
            for index, outcome in self.pool.run(
                waiting, self.tick, lambda n: jobs[n][1] is not None and self.again(jobs[n][0])
            ):
                self.add_tasks(waiting, jobs, new_files, backing, stack)
                file, number = jobs[index]
                if number is None:
                    self.settle(file, outcome)
                    continue
                file.outcomes[number] = outcome
                result = file.result()
                if file.settled or result is None:
                    continue
                file.settled = True
                if movable and isinstance(result, NotEnoughMemoryError):
                    assert file.segment is not None
                    file.segment.unlink()
                    without_room.append(file)
                elif len(file.parts) > 1 and isinstance(result, list):
                    if file.belied():
                        self.add_again(waiting, jobs, file)
                        continue
                    if file.has_gaps:
                        waiting.append(file.join_task(self.records))
                        jobs.append((file, None))
                    else:
                        self.settle(file, _done(file.join_task(self.records)))
                else:
                    self.settle(file, result)
        return without_room

    def read_lots(
        self, lots: Sequence[Sequence[LoadingFile]], backing: Backing
    ) -> set[LoadingFile]:
        """Read small files many at a time; which could be read so."""
        made = [add_lot(files, Segment.create(backing), self.records) for files in lots]
        read = set()
        for index, outcome in self.pool.run([lot.task for lot in made], self.tick):
            if self.as_one:
                for file, start, stop in settle_as_one(made[index], outcome):
                    self.lots[file.number] = start, stop
                    read.add(file)
            else:
                for file in settle_sections(made[index], outcome):
                    self.settle(file, outcome)
                    read.add(file)
        return read

    def again(self, file: LoadingFile) -> bool:
        """Note that a task of this file is run once more; it may be."""
        self.tried_again.add(file)
        return True

    def add_tasks(
        self,
        waiting: list[Task],
        jobs: list[tuple[LoadingFile, int | None]],
        new_files: Iterator[LoadingFile],
        backing: Backing,
        stack: contextlib.ExitStack,
    ) -> None:
        """Make the segments of the next files, while others are read, and add their tasks."""
        found = []
        for n, file in enumerate(itertools.islice(new_files, _NEXT_FILES)):
            records = None
            if len(file.parts) > 1:
                records = stack.enter_context(new_array(RECORD, (len(file.parts),)))
                self.in_parts.append(file)
            if file.segment is not None:
                file.segment.unlink()
                self.arrays.pop(file.number, None)
                self.lots.pop(file.number, None)
            file.read_into(Segment.create(backing), records)
            for order, (number, task) in enumerate(file.read_tasks(self.records)):
                found.append((n // self.board.processes, order, number, file, task))
        # A file for each loader at a time: of processes that write to one, the kernel lets one.
        found.sort(key=operator.itemgetter(0, 1))
        waiting += (task for *_, task in found)
        jobs += ((file, number) for *_, number, file, _ in found)

    def add_again(
        self, waiting: list[Task], jobs: list[tuple[LoadingFile, int | None]], file: LoadingFile
    ) -> None:
        """Add the tasks that read a file once more, into the same segment."""
        assert file.segment is not None
        assert file.part_records is not None
        file.part_records[...] = 0
        file.read_into(file.segment, file.part_records)
        for number, task in file.read_tasks(self.records):
            waiting.append(task)
            jobs.append((file, number))

    def settle(self, file: LoadingFile, outcome: Any) -> None:
        """Note that a file is ready, or has failed."""
        if self.fail(file, outcome):
            return
        assert file.segment is not None
        file.look_back(file.segment)
        if file in self.tried_again:
            file.notes = [*file.notes, _READ_AGAIN]
            self.notes.append(f"{printable(file.name)}: {_READ_AGAIN}")
        if any(piece.categories for piece in file.pieces()):
            self.categorized.add(file)
        else:
            self.notes += file.drop_labels()
            self.view_read(file)
        file.show()
        record = file.record
        record["bytes_done"] = record["bytes_total"]
        if self.transform is None:
            record["state"] = State.READY

    def share_categories(self) -> None:
        """Give each category the same code in all arrays, in the order of first appearance."""
        files = sorted(self.categorized, key=lambda file: file.number)
        codes, failures = self.peers.codes(
            {file.name: [piece.categories for piece in file.pieces()] for file in files}
        )
        for file in files:
            if file.name in failures:
                self.fail(file, LoadError(file.path, None, None, failures[file.name]))
        recodings = [
            (file, task)
            for file in files
            if file.error is None
            for task in file.recode_tasks(codes, self.records)
        ]
        for index, outcome in self.pool.run([task for _, task in recodings], self.tick):
            self.fail(recodings[index][0], outcome)
        for file in files:
            if file.error is None and file.segment is not None:
                with SegmentWriter(file.segment) as writer:
                    file.name_codes(writer, codes)
                self.view_read(file)

    def apply_transform(
        self, function: Pickled, files: Iterable[LoadingFile], backings: Sequence[Backing]
    ) -> None:
        """Put what the user's function makes of it in the place of each array."""
        left = [file for file in files if file.error is None]
        for number, backing in enumerate(backings, 1):
            work = []
            for file in left:
                read = self.arrays[file.number].segment
                assert read is not None
                work.append(transform_task(file, read, function, self.records, backing))
            without_room = []
            for index, outcome in self.pool.run(work, self.tick):
                file = left[index]
                assert file.segment is not None
                if number < len(backings) and isinstance(outcome, NotEnoughMemoryError):
                    file.segment.unlink()
                    without_room.append(file)
                    continue
                self.arrays.pop(file.number).close()
                if not self.fail(file, outcome):
                    self.view(file)
                    file.record["state"] = State.READY
            left = without_room

    def view_read(self, file: LoadingFile) -> None:
        """Make the view of what was read of a file, which a function may be called on."""
        assert file.segment is not None
        if self.transform is None:
            self.view(file)
        else:
            self.arrays[file.number] = view_of(file.segment)

    def view(self, file: LoadingFile) -> None:
        """Make the view of the array that a file has in the end."""
        assert file.segment is not None
        if self.cached is not None:
            self.cached.seal(file)
        self.arrays[file.number] = view_of(file.segment)

    def fail(self, file: LoadingFile, outcome: Any) -> bool:
        """Whether the outcome is a failure; raises it unless failed files are to be skipped."""
        if isinstance(outcome, Died):
            outcome = LoaderDiedError(file.path, outcome.exitcode)
        if not isinstance(outcome, Exception):
            return False
        if file.segment is not None:
            file.segment.unlink()
        file.error = tasks.named_error(file.path, outcome)
        file.record["state"], file.record["ended"] = State.FAILED, time.time()
        if not self.skip_failed:
            raise file.error
        return True

    def tick(self) -> None:
        """Show how far the load is."""
        for file in self.in_parts:  # not all files: where they are many, that takes its time
            file.show()
        self.monitor.update(self.board)


def _done(task: Task) -> Any:
    """The outcome of a task that takes less time here than to hand it to a loader process."""
    try:
        return task.function(*task.arguments)
    except Exception as error:  # noqa: BLE001 - as of a loader process
        return error
