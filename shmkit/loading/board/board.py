"""The board that loader processes write on, and what watches it.

    loader process ──writes its file's record──▶ ┌───────── board ─────────┐
    loader process ──writes its item's record──▶ │ one record a file, item │
                                                 └───────────┬─────────────┘
                              the calling thread reads it ~10 times a second
                                                             ▼
                                      Monitor: a widget, a tqdm bar, or nothing

The records lie in shared memory: nothing is queued, nothing is lost when a loader dies, and its
record still says which file it had.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shmkit._format import counted
from shmkit._monitor import Monitor
from shmkit._timeline import READ, Timeline
from shmkit.loading.board.entry import Entry
from shmkit.loading.board.record import State
from shmkit.segments.files import finish_interrupted

__all__ = ["FILES", "ITEMS", "Board", "Words"]


class Words(NamedTuple):
    """How a monitor speaks of the entries of a board."""

    one: str
    many: str
    doing: str  # what is done to them, as a title begins
    read: bool  # whether it is their bytes that are done; else these only say which is more work

    def counted(self, count: int) -> str:
        """So many of them, in words."""
        return counted(count, self.one, self.many)


FILES = Words("file", "files", "Loading", read=True)
ITEMS = Words("item", "items", "Mapping", read=False)


class Board:
    """Everything that a monitor shows.

    Attributes
    ----------
    files : sequence of Entry
        The files of a load, or the items of a map, in order; each has its record of the board.
    records : ndarray of RECORD, shape (files,)
        What the loader processes write; over shared memory while the load runs.
    processes : int
        How many loader processes work on it.
    words : Words
        What the entries are.
    started, ended : float
        `time.time` at the start and the end of the load; `ended` is 0 while it runs.
    failed, cancelled : bool
        The load kept nothing; because it was interrupted.
    closed : bool
        The arrays were closed.
    """

    def __init__(
        self,
        files: Sequence[Entry],
        records: NDArray[Any],
        processes: int,
        words: Words = FILES,
    ) -> None:
        self.files = files
        self.records = records
        self.processes = processes
        self.words = words
        self.started = time.time()
        self.ended = 0.0
        self.failed = False
        self.cancelled = False
        self.closed = False
        for number, (file, record) in enumerate(zip(files, records, strict=True)):
            file.number, file.record = number, record

    def end(self) -> None:
        """Note that the load has ended; the records are the board's own from now on."""
        self.ended = time.time()
        self.records = np.array(self.records)
        for file, record in zip(self.files, self.records, strict=True):
            file.end(record)

    def fail(self, error: BaseException, monitor: Monitor[Board]) -> None:
        """Unlink all segments, and show that nothing is kept."""
        for file in self.files:
            if file.segment is not None:
                file.segment.unlink()
        finish_interrupted()
        self.failed, self.cancelled = True, isinstance(error, KeyboardInterrupt)
        if not self.ended:
            self.end()
            monitor.end(self)

    @property
    def nbytes_done(self) -> int:
        """Bytes of files that are read."""
        return int(self.records["bytes_done"].sum())

    @property
    def nbytes_total(self) -> int:
        """Bytes of all files."""
        return int(self.records["bytes_total"].sum())

    def refresh(self) -> None:
        """Bring READY, UNLINKED and FREED up to date with what became of the segments."""
        for file in self.files:
            segment, record = file.segment, file.record
            if segment is None or record["state"] not in (State.READY, State.UNLINKED):
                continue
            if not segment.linked:
                record["state"] = State.UNLINKED if segment.mapped else State.FREED

    def timeline(self) -> Timeline:
        """Which loader process read which file, or part of one, when."""
        records = [
            self.records[n : n + 1] if file.part_records is None else file.part_records
            for n, file in enumerate(self.files)
        ]
        numbers = np.repeat(np.arange(len(records)), [len(record) for record in records])
        reads = np.concatenate(records)
        # The loader of a part that failed, or died, did not write when it ended.
        ended = np.where(reads["ended"], reads["ended"], self.records["ended"][numbers])
        nbytes = np.array([0 if f.error is not None else f.segment_nbytes for f in self.files])
        rows, parts = np.bincount(numbers, reads["rows"])[numbers], np.bincount(numbers)[numbers]
        share = np.where(rows, reads["rows"] / np.maximum(rows, 1), 1 / parts)
        found = np.empty(len(reads), READ)
        found["file"], found["pid"] = numbers, reads["pid"]
        found["start"] = reads["started"] - self.started
        found["stop"] = np.maximum(ended - self.started, found["start"])
        found["nbytes"] = nbytes[numbers] * share
        begun = found[reads["started"] > 0]
        return Timeline(
            [file.name for file in self.files],
            [file.number for file in self.files if file.error is not None],
            max(self.ended - self.started, 1e-3),
            begun[np.argsort(begun["start"], kind="stable")],
        )
