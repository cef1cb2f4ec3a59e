"""A function of the user's on each of many items, by the loader processes of loads.

    notebook's process                              loader processes
    pickle     the function, once, by value
    name       an empty segment for each next item, if arrays are expected
    call    ── function, a batch of items ────────▶ function(*item) of each in turn
            ◀──── it is in the segment; or a value ─
    views      a SharedArray or a SharedTable of each segment that was written

The notebook's process names and owns every segment before a loader touches it, as in a load.

1. The first batches have one item each, and a segment for it: so it shows how long an item takes,
   and whether arrays come back.
2. Short items travel together: a message and its answer take longer than to call a small function.
   A batch grows as long as it takes less than `_BATCH_SECONDS`, and the last ones are a share of
   what is left, so that all loaders end at about the same time.
3. While no array has come back, no segment is made for the next items: making one takes as long as
   many small items do. Where one comes unexpected, it is pickled, and put into a segment here.
4. Items are pickled when their turn is near, not all at once: together they may be much.
5. A loader that dies has one item under way: the one of its batch whose record began, and has not
   ended.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from shmkit import _limits
from shmkit._monitor import Monitor
from shmkit.errors import LoaderDiedError
from shmkit.loaders.loader import Task
from shmkit.loaders.pickling import Pickled, dumps, pickled_by_value, users_modules
from shmkit.loaders.pool import LoaderPool
from shmkit.loaders.process import Died
from shmkit.loading.board.board import ITEMS, Board
from shmkit.loading.board.entry import Entry
from shmkit.loading.board.record import RECORD, State
from shmkit.loading.calls.call import Result, Slot, call, is_data
from shmkit.segments.backing import SHM, Backing, choose_backing
from shmkit.segments.files import finish_interrupted
from shmkit.segments.segment import Segment
from shmkit.segments.writer import SegmentWriter
from shmkit.views.array import SharedArray, new_array
from shmkit.views.image import image_of
from shmkit.views.of_segment import view_of

__all__ = ["map_items"]

_AHEAD = 2  # batches for each loader that are pickled ahead of their turn
_SHARES = 2  # in which a loader gets its part of what is left, at least
_BATCH_SECONDS = 0.02
_GROWTH = 8


def map_items(
    function: Callable[..., Any],
    names: Sequence[str],
    items: Sequence[tuple[Any, ...]],
    *,
    processes: int,
    out: SharedArray | None,
    monitor: Monitor[Board],
) -> list[Any]:
    """Call the function on the arguments of each item; else see `shmkit.shared_map`."""
    finish_interrupted()  # names that an interrupt of an earlier call left
    processes = min(processes, max(len(items), 1))
    work = [_nbytes(item) for item in items]
    entries = [Entry(name, name, nbytes) for name, nbytes in zip(names, work, strict=True)]
    with contextlib.ExitStack() as stack:
        pool = stack.enter_context(LoaderPool(processes))
        pool.renew(users_modules())
        pickled = pickled_by_value(function, [function]).shared(stack)
        records = stack.enter_context(new_array(RECORD, (len(items),)))
        records["bytes_total"] = work
        board = Board(entries, np.asarray(records), processes, ITEMS)
        monitor.begin(board)
        mapping = _Map(entries, pickled, items, out, board, records, pool, monitor)
        try:
            results = mapping.run(_backing(sum(work)))
            board.end()
            monitor.end(board)
            records.close()  # inside of try: an interrupt may come here too
        except BaseException as error:
            mapping.results.clear()  # the traceback holds `mapping`; the memory is to come back
            mapping.let_go()
            board.fail(error, monitor)
            raise
    return results


class _Map:
    """The steps of one map, in the notebook's process."""

    def __init__(
        self,
        entries: Sequence[Entry],
        function: Pickled,
        items: Sequence[tuple[Any, ...]],
        out: SharedArray | None,
        board: Board,
        records: SharedArray,
        pool: LoaderPool,
        monitor: Monitor[Board],
    ) -> None:
        self.entries = entries
        self.function = function
        self.items = items
        self.out = out
        self.board = board
        self.records = records  # the board's, as they travel to the loaders
        self.pool = pool
        self.monitor = monitor
        self.waiting: list[Task] = []
        self.batches: list[range] = []  # the numbers of the items of each task
        self.begun = 0  # items that are in one
        self.batch = 1  # items of the next
        self.arrays_come = True
        self.unused: list[Segment] = []
        self.results: dict[int, Any] = {}

    def run(self, backing: Backing) -> list[Any]:
        """The results in order."""
        for _ in range(_AHEAD * self.board.processes):
            self.add_task(backing)
        for number, outcome in self.pool.run(self.waiting, self.tick):
            self.settle(self.batches[number], outcome, backing)
            self.add_task(backing)
        self.let_go()
        return [self.results.pop(number) for number in range(len(self.items))]

    def add_task(self, backing: Backing) -> None:
        """Pickle the next batch of items; give each a segment, if arrays are expected."""
        left = len(self.items) - self.begun
        if not left:
            return
        share = left // (_SHARES * self.board.processes)
        size = min(self.batch, max(share, self.batch // _GROWTH, 1), left)
        batch = range(self.begun, self.begun + size)
        self.begun += size
        slots = []
        if self.arrays_come and self.out is None:
            for entry in self.entries[batch.start : batch.stop]:
                entry.segment = self.unused.pop() if self.unused else Segment.create(backing)
                slots.append(Slot(entry.segment.path, entry.segment.identity))
        names = [entry.name for entry in self.entries[batch.start : batch.stop]]
        items = self.pickled(batch)
        arguments = self.function, names, items, batch.start, self.records, slots, self.out
        self.batches.append(batch)
        self.waiting.append(Task(call, arguments))

    def pickled(self, batch: range) -> bytes:
        """The arguments of these items; an error names the item that cannot be pickled."""
        try:
            return dumps(self.items[batch.start : batch.stop])
        except Exception:
            for number in batch:
                try:
                    dumps(self.items[number])
                except Exception as error:
                    name = self.entries[number].name
                    error.add_note(f"raised while {name} was pickled, to be sent to a loader")
                    raise
            raise

    def settle(self, batch: range, outcome: Any, backing: Backing) -> None:
        """Note the results of a batch; raises what went wrong with one of its items."""
        records = self.board.records[batch.start : batch.stop]
        if isinstance(outcome, Died | Exception):
            begun = np.flatnonzero(records["started"])
            entry = self.entries[batch.start + (int(begun[-1]) if len(begun) else 0)]
            if isinstance(outcome, Died):
                outcome = LoaderDiedError(entry.name, outcome.exitcode)
            entry.error = outcome
            entry.record["state"], entry.record["ended"] = State.FAILED, time.time()
            raise outcome
        entries = self.entries[batch.start : batch.stop]
        for entry, value in zip(entries, outcome, strict=True):
            self.results[entry.number] = self.result(entry, value, backing)
        records["state"] = State.READY
        seconds = float((records["ended"] - records["started"]).mean())
        self.arrays_come = any(entry.segment is not None for entry in entries)
        if self.batch * seconds < _BATCH_SECONDS:
            self.batch *= _GROWTH

    def result(self, entry: Entry, value: Any, backing: Backing) -> Any:
        """The result of an item; an array lies in its segment, whose view it is."""
        if entry.segment is not None and value is not Result.STORED:
            self.unused.append(entry.segment)
            entry.segment = None
        if entry.segment is None and is_data(value):
            entry.segment = Segment.create(backing)
            with SegmentWriter(entry.segment) as writer:
                image_of(value).write(writer)
            return view_of(entry.segment)
        return value if entry.segment is None else view_of(entry.segment)

    def let_go(self) -> None:
        """Unlink the segments that nothing was put into."""
        while self.unused:
            self.unused.pop().unlink()

    def tick(self) -> None:
        self.monitor.update(self.board)


def _backing(nbytes: int) -> Backing:
    """Where results go that take about as much as what they are made of."""
    backing = choose_backing("auto", 0)
    if backing.kind == "shm" and _limits.room_in(SHM).free < nbytes:
        return choose_backing("memfd", 0)
    return backing


def _nbytes(item: tuple[Any, ...]) -> int:
    """How much work an item is: the bytes of its arrays, or 1, as of any other."""
    return sum(int(getattr(argument, "nbytes", 0)) for argument in item) or 1
