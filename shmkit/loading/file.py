"""A file while it is read: whole, by one task, or in parts, by a task for each.

Where there is a file for each loader process, of about the same size, they are read whole: then
nothing is counted before. Any other large file is read in parts:

plan.span  ├──────────────────────────────────────────────┤   bytes of a large file
cut        ├─────────┼──────────┼──────────┼──────────────┤   about as long as one another
count      ├──────────┼─────────┼───────────┼─────────────┤   whole lines, so many rows each
                │          │          │            │
read_part       ▼          ▼          ▼            ▼          each into its own rows
segment    [ . . . . . . . . . . . . . . . . . . . . . . ]
join       [ . . . . . . . . . . . . . . . . . . . . ]        closed up where there were fewer
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shmkit.errors import LoadError
from shmkit.loading import tasks as _reading
from shmkit.loading.board import State
from shmkit.loading.pool import LEAST_NBYTES, Died, Task
from shmkit.memory.segment import Segment
from shmkit.memory.writer import SegmentWriter
from shmkit.readers.base import Part, Plan

__all__ = ["File", "cut", "read_whole"]

_PARTS = 4  # for each loader process, so that all end at about the same time
_UNEVEN = 1.1  # times as long as a file's share may be read without a count: that takes longer
_COMPRESSED = 3  # times as long as plain text takes to be read


def read_whole(
    spans: Mapping[int, tuple[int, int]], nbytes: Sequence[int], processes: int
) -> set[int]:
    """The files to read whole, given the spans of the large ones, and the bytes of all files.

    They are taken a file for each loader process at a time, the largest first, as long as what is
    left keeps the others busy until the largest is read.
    """
    work = {n: stop * (_COMPRESSED if nbytes[n] < stop else 1) for n, (_, stop) in spans.items()}
    numbers = sorted(work, key=work.__getitem__, reverse=True)
    whole: set[int] = set()
    while len(numbers) >= processes and (
        work[numbers[0]] * processes <= _UNEVEN * sum(work[number] for number in numbers)
    ):
        whole |= set(numbers[:processes])
        del numbers[:processes]
    return whole


def cut(spans: Mapping[int, tuple[int, int]], processes: int) -> list[tuple[int, int, int]]:
    """Where to cut files, given their spans, for so many loader processes: (file, start, stop)."""
    nbytes = sum(stop - start for start, stop in spans.values())
    longest = max(nbytes // (_PARTS * processes), LEAST_NBYTES)
    cuts = []
    for number, (start, stop) in spans.items():
        count = max(1, round((stop - start) / longest))
        count += -count % processes if count > 1 else 0  # so that none waits for another's last
        edges = [start + (stop - start) * i // count for i in range(count + 1)]
        cuts += [(number, *edge) for edge in pairwise(edges)]
    return cuts


@dataclass
class File:
    """One file while it is read.

    Attributes
    ----------
    number, path, plan
        As on the board.
    segment
        What it is read into.
    parts
        None if it is read whole.
    records
        What the loader processes write: the board's records, or those of the parts of all files.
    first
        The first of them that is this file's.
    outcomes
        Of the tasks that have ended.
    settled
        What became of the file is known.
    """

    number: int
    path: str
    plan: Plan | None
    segment: Segment
    parts: list[Part] | None
    records: NDArray[Any]
    first: int
    outcomes: dict[int, Any] = field(default_factory=dict)
    settled: bool = False

    def tasks(self, reader: _reading.Pickled) -> list[Task]:
        """What the loader processes are to do."""
        place = self._place()
        if self.parts is None:
            return [Task(_reading.read, (self.path, reader, self.plan, place))]
        assert self.plan is not None
        with SegmentWriter(self.segment) as writer:
            writer.declare(self.plan.dtype, self.plan.shape)
        skipped = self.plan.options.get("skiprows", 0)
        lines = accumulate((part.lines for part in self.parts), initial=skipped)
        rows = accumulate((part.rows for part in self.parts), initial=0)
        return [
            Task(
                _reading.read_part,
                (self.path, reader, self.plan, part, line, row, place._replace(number=number)),
            )
            for number, (part, line, row) in enumerate(
                zip(self.parts, lines, rows, strict=False), self.first
            )
        ]

    def outcome(self) -> Any:
        """What became of the file: the failure that counts, the outcomes of all tasks, or None.

        Of lines that cannot be read the first one in the file counts; so that of a part is known
        when those before it have ended. A failure of any other kind counts at once.
        """
        for outcome in self.outcomes.values():
            if isinstance(outcome, (Exception, Died)) and not isinstance(outcome, LoadError):
                return outcome
        found = []
        for number in range(1 if self.parts is None else len(self.parts)):
            if number not in self.outcomes:
                return None
            if isinstance(self.outcomes[number], LoadError):
                return self.outcomes[number]
            found.append(self.outcomes[number])
        return found

    def join(self, reader: _reading.Pickled) -> Task:
        """The task that makes one array of the parts, when all are read."""
        assert self.parts is not None
        rows = accumulate((part.rows for part in self.parts), initial=0)
        counts = [piece.rows for piece in self.pieces()]
        pieces = list(zip(rows, counts, strict=False))
        return Task(_reading.join, (self.path, reader, self.plan, pieces, self._place()))

    def pieces(self) -> list[_reading.Piece]:
        """What was read, in order."""
        return [piece for _, piece in sorted(self.outcomes.items())]

    def recode(self, codes: Mapping[str, Mapping[str, int]]) -> list[Task]:
        """The tasks that give each piece these codes for its names, where it has others."""
        tasks, start = [], 0
        for piece in self.pieces():
            stop = None if piece.rows is None else start + piece.rows
            found = {
                field: np.array([codes[field][name] for name in names], np.uint16)
                for field, names in piece.names.items()
            }
            other = {f: new for f, new in found.items() if (new != np.arange(len(new))).any()}
            if other and start != stop:
                segment = self.segment.path, self.segment.identity
                tasks.append(Task(_reading.recode, (self.path, start, stop, other, *segment)))
            start = stop or 0
        return tasks

    def _place(self) -> _reading.Place:
        return _reading.Place(self.segment.path, self.segment.identity, self.records, self.first)

    def show(self, record: np.void) -> None:
        """Sum up what is done of the parts in the record of the file."""
        if self.parts is None or record["state"] not in (State.WAITING, State.LOADING):
            return
        parts = self.records[self.first : self.first + len(self.parts)]
        begun = parts[parts["pid"] > 0]
        if len(begun):
            record["state"] = State.LOADING
            record["pid"], record["started"] = begun["pid"][0], begun["started"].min()
            record["ended"] = begun["ended"].max()
            for name in ("bytes_done", "rows"):
                record[name] = begun[name].sum()
