"""The board that loader processes write on, and what watches it.

    loader process ──writes its file's record──▶ ┌───────── board ─────────┐
    loader process ──writes its file's record──▶ │ one record a file       │
                                                 └───────────┬─────────────┘
                              the calling thread reads it ~10 times a second
                                                             ▼
                                      Monitor: a widget, a tqdm bar, or nothing

The records lie in shared memory: nothing is queued, nothing is lost when a loader dies, and its
record still says which file it had.
"""

from __future__ import annotations

import enum
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shmkit.memory.segment import Segment
from shmkit.readers.base import Plan

__all__ = ["RECORD", "Board", "State"]


class State(enum.IntEnum):
    """The state of one file and its segment, in the order of its life."""

    WAITING = 0
    LOADING = 1
    READY = 2
    FAILED = 3
    UNLINKED = 4
    FREED = 5

    @property
    def word(self) -> str:
        """The word a person reads."""
        return self.name.lower()


RECORD = np.dtype(
    [
        ("state", "u1"),
        ("pid", "i4"),
        ("bytes_total", "i8"),  # of the file
        ("bytes_done", "i8"),
        ("rows", "i8"),
        ("started", "f8"),  # time.time(), 0 before
        ("ended", "f8"),
    ],
    align=True,
)


class Board:
    """Everything that a monitor shows: one record a file, and what the owner knows besides.

    Attributes
    ----------
    names, paths : list of str
        The files in order.
    records : ndarray of RECORD, shape (files,)
        What the loader processes write; over shared memory while the load runs.
    plans : list of Plan or None
        What was found in each file before it is read: dtype, and shape as far as it is known then.
        None for a file that is read without a look before: a small one, or by a function.
    parts : dict of int to ndarray of RECORD
        What the loader processes wrote of file number i, if it was read in parts.
    segments : list of Segment or None
        Each file's segment once it is named; its dtype and shape are there when it is READY.
    errors : dict of int to Exception
        What went wrong with file number i.
    processes : int
        How many loader processes work on it.
    started, ended : float
        `time.time` at the start and the end of the load; `ended` is 0 while it runs.
    failed, cancelled : bool
        The load kept nothing; because it was interrupted.
    closed : bool
        The arrays were closed.
    """

    def __init__(
        self, names: list[str], paths: list[str], records: NDArray[Any], processes: int
    ) -> None:
        self.names = names
        self.paths = paths
        self.records = records
        self.plans: list[Plan | None] = [None] * len(names)
        self.parts: dict[int, NDArray[Any]] = {}
        self.segments: list[Segment | None] = [None] * len(names)
        self.errors: dict[int, Exception] = {}
        self.processes = processes
        self.started = time.time()
        self.ended = 0.0
        self.failed = False
        self.cancelled = False
        self.closed = False

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
        for record, segment in zip(self.records, self.segments, strict=True):
            if segment is None or record["state"] not in (State.READY, State.UNLINKED):
                continue
            if not segment.linked:
                record["state"] = State.UNLINKED if segment.mapped else State.FREED
