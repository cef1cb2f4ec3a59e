"""A file of a load: all that is known of it, and the tasks that read it.

Where there is a file for each loader process, of about the same size, they are read whole, by one
task each: then nothing is counted before. Any other large file is read in parts, by all loaders:

    plan.span    ├──────────────────────────────────────────────┤   bytes of a large file
    split_spans  ├─────────┼──────────┼──────────┼──────────────┤   about as long as one another
    count        ├──────────┼─────────┼───────────┼─────────────┤   whole lines, so many rows each
                     │          │          │            │
    read             ▼          ▼          ▼            ▼          each into its own rows
    segment      [ . . . . . . . . . . . . . . . . . . . . . . ]
    join         [ . . . . . . . . . . . . . . . . . . . . ]        closed up where there were fewer

1. The plan of a large file has a span: bytes that may be cut anywhere.
2. `split_spans` cuts the spans of all such files into pieces of about the same length, one for
   each loader. Where rows lie behind one another, the last piece is as long and the others are
   half as long: it needs no count, as whatever comes has its place, and is begun first.
3. Loaders move each cut to the next line, and count the lines between: so it is known where the
   rows of each part belong, and which number its first line has.
4. Each part is read into its own rows. A file that is read whole has one part, `WHOLE`.
5. A part may have fewer rows than were counted, where lines are blank or comments. Then the rows
   behind it are moved up.

What does not work:

- Two parts or more for each loader where they take less than some 50 ms: to begin one costs a
  millisecond, 4 to 8 % of such a load.
- Not to count at all, and to give each part more room than it needs: to close the gaps takes one
  process about as long as it takes all of them to count, and it is not known then which parts begin
  inside of quotes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shmkit._categories import with_enums
from shmkit._text_dtype import without_text
from shmkit.errors import LoadError
from shmkit.loaders.loader import Task
from shmkit.loaders.pickling import Pickled
from shmkit.loaders.pool import MIN_NBYTES
from shmkit.loaders.process import Died
from shmkit.loading import tasks
from shmkit.loading.board.entry import Entry
from shmkit.loading.board.record import State
from shmkit.readers.base import WHOLE, Part, Piece, Plan, Version
from shmkit.readers.formats import Format
from shmkit.readers.names import Kind
from shmkit.segments.segment import Segment, segment_nbytes
from shmkit.segments.writer import SegmentWriter

__all__ = ["LoadingFile", "files_to_read_whole", "split_spans", "to_count"]

# To look into a small file takes as long as to read it. So it is read without a plan, if there is
# room for an array so many times larger than the file.
_SMALL_NBYTES = 1 << 18
_SMALL_FACTOR = 4
# Of a part, one for each loader process. Of longer ones there are two, so that none waits long for
# one whose CPU others use.
_LONG_NBYTES = 1 << 27
_LINE_NBYTES = 1 << 16  # longer than nearly all lines
_UNEVEN = 1.1  # times as long as a file's share may be read without a count: that takes longer
_COMPRESSED = 3  # times as long as plain text takes to be read


@dataclass(eq=False)
class LoadingFile(Entry):
    """One file of a load, or one dataset of an HDF5 file.

    Attributes
    ----------
    opened
        What loader processes open: the path, or a copy of what comes from a pipe.
    options
        What the user gave of the options that its format has use for.
    opener
        What opens it in a loader process; None once the load has ended: a function of the user's
        may hold much memory.
    may_be_probed
        Whether looking into it is cheaper than reading it. What is not has no plan: a small file,
        or one that a function reads.
    guessed
        Whether types are inferred, which files that look alike share.
    like
        The plan of another file that looks alike, perhaps.
    like_nbytes
        How many bytes that file has.
    form
        As what it is read.
    alone
        Whether its array depends on no other file.
    dataset
        Those of the options that are of this dataset alone, which its opener does not have.
    version
        The version of it that was looked into; None before that.
    kind
        What a dataset has in common with others that may share a segment; see `Listed.kind`.
    loaded_nbytes
        Bytes of its array, about, where that is known before it is looked into; else 0.
    parts
        What is read of it by one task each.
    outcomes
        What became of each part whose task has ended, by its number.
    settled
        Whether nothing of its parts can change what becomes of it.
    """

    opened: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    opener: Pickled | None = None
    may_be_probed: bool = True
    guessed: bool = False
    like: Plan | None = None
    like_nbytes: int = 0
    form: Format = Format.TEXT
    alone: bool = True
    dataset: Mapping[str, Any] = field(default_factory=dict)
    version: Version | None = None
    kind: Kind | None = None
    loaded_nbytes: int = 0
    parts: Sequence[Part] = (WHOLE,)
    outcomes: dict[int, Any] = field(default_factory=dict)
    settled: bool = False

    @property
    def is_small(self) -> bool:
        """Whether to look into it takes as long as to read it."""
        return max(self.nbytes, self.loaded_nbytes) < _SMALL_NBYTES

    @property
    def need(self) -> int:
        """Bytes of memory that its array takes, as far as it is known."""
        if self.plan is not None:
            return segment_nbytes(self.plan.nbytes)
        nbytes = self.loaded_nbytes or _SMALL_FACTOR * self.nbytes
        return segment_nbytes(nbytes) if self.is_small else 0

    @property
    def source(self) -> tasks.Source:
        """What a loader process must know to open it."""
        assert self.opener is not None
        return tasks.Source(self.path, self.opened, self.opener, self.dataset, self.version)

    def set_parts(self, counted: Sequence[Any]) -> None:
        """Have it read in these parts, one after another in the file."""
        assert self.plan is not None
        self.plan, self.parts = self.plan.in_parts(counted)

    def read_into(self, segment: Segment, part_records: NDArray[Any] | None) -> None:
        """Have it read into this segment; the loader processes say how far in these records."""
        self.segment, self.part_records = segment, part_records
        self.outcomes, self.settled = {}, False

    def read_tasks(self, records: NDArray[Any]) -> list[tuple[int, Task]]:
        """The tasks that read it, one for each part, and its number, in the order to begin them.

        `records` are the board's. A part that was not counted is the longest, and comes first.
        """
        alone = len(self.parts) == 1
        found = [
            Task(
                tasks.read,
                (self.source, self.plan, part, self._place(records, number), self.like, alone),
            )
            for number, part in enumerate(self.parts)
        ]
        return sorted(enumerate(found), key=lambda one: self.parts[one[0]].rows is not None)

    def look_back(self, segment: Segment) -> None:
        """Note what is known of it now that it is read."""
        self.plan = self.outcomes[0].plan or self.plan or (self.like if self.guessed else None)
        if self.plan is not None:
            missing: Counter[str] = Counter()
            for piece in self.pieces():
                missing.update(piece.missing)
            self.notes = self.plan.notes(missing)
        segment.source = {"file": self.path, "options": self.source_options, "notes": self.notes}

    def drop_labels(self) -> list[str]:
        """Have fields be bytes whose label in the file says text, and is wrong; says which."""
        labels = {field: label for piece in self.pieces() for field, label in piece.no_text.items()}
        if not labels:
            return []
        assert self.segment is not None
        with SegmentWriter(self.segment) as writer:
            writer.set_dtype(without_text(writer.header.dtype, labels))
        return [
            f"{f'the field {name} of ' if name else ''}{self.name} in {self.path} is labelled as "
            f"text in {label}, but is not; it is loaded as bytes: "
            'numpy.strings.decode(x, "utf-8"), or "latin-1", makes text of them'
            for name, label in labels.items()
        ]

    def belied(self) -> bool:
        """Whether what was read belies the plan; then it has a wider one now, to be read again."""
        found = [piece.belied for piece in self.pieces() if piece.belied is not None]
        if found:
            assert self.plan is not None
            self.plan = self.plan.widened(found)
        return bool(found)

    @property
    def has_gaps(self) -> bool:
        """Whether a part had fewer rows than were counted, so that those behind it move."""
        pieces = zip(self.parts, self.pieces(), strict=True)
        return any(piece.rows != part.rows for part, piece in list(pieces)[:-1])

    def join_task(self, records: NDArray[Any]) -> Task:
        """The task that makes one array of the parts, when all are read."""
        pieces = [(p.row, piece.rows) for p, piece in zip(self.parts, self.pieces(), strict=True)]
        return Task(tasks.join, (self.plan, pieces, self._place(records, 0)))

    def recode_tasks(
        self, codes: Mapping[str, Mapping[str, int]], records: NDArray[Any]
    ) -> list[Task]:
        """The tasks that give each piece these codes for its texts, where it has others."""
        found, start = [], 0
        for piece in self.pieces():
            stop = start + piece.rows
            new = {
                field: np.array([codes[field][text] for text in texts], np.uint16)
                for field, texts in piece.categories.items()
            }
            other = {f: to for f, to in new.items() if (to != np.arange(len(to))).any()}
            if other and start != stop:
                place = self._place(records, 0)
                found.append(Task(tasks.recode, (start, stop, other, place)))
            start = stop
        return found

    def name_codes(self, writer: SegmentWriter, codes: Mapping[str, Mapping[str, int]]) -> None:
        """Write which texts the codes in its segment stand for, when it is read."""
        if self.plan is not None:
            self.plan.name_codes(writer, codes)
        else:
            writer.set_dtype(with_enums(writer.header.dtype, codes))

    def _place(self, records: NDArray[Any], number: int) -> tasks.Place:
        assert self.segment is not None
        where = self.segment.path, self.segment.identity
        if self.part_records is None:
            return tasks.Place(*where, records, self.number)
        return tasks.Place(*where, self.part_records, number)

    def result(self) -> Any:
        """What became of it: the failure that counts, the outcomes of all parts, or None.

        Of lines that cannot be read the first one in the file counts; so that of a part is known
        when those before it have ended. A failure of any other kind counts at once.
        """
        for outcome in self.outcomes.values():
            if isinstance(outcome, Exception | Died) and not isinstance(outcome, LoadError):
                return outcome
        found = []
        for number in range(len(self.parts)):
            if number not in self.outcomes:
                return None
            if isinstance(self.outcomes[number], LoadError):
                return self.outcomes[number]
            found.append(self.outcomes[number])
        return found

    def pieces(self) -> list[Piece]:
        """What was read of each part, in order, when all are."""
        return [self.outcomes[number].piece for number in range(len(self.parts))]

    @property
    def source_options(self) -> dict[str, Any]:
        """The options that read it, with everything inferred filled in, when it is read."""
        if self.plan is not None:
            return dict(self.plan.options)
        return {**self.options, **self.outcomes[0].options}

    def show(self) -> None:
        """Sum up in its record what is done of the parts."""
        record, parts = self.record, self.part_records
        if parts is None or record["state"] not in (State.WAITING, State.LOADING):
            return
        begun = parts[parts["pid"] > 0]
        if len(begun):
            record["state"] = State.LOADING
            record["pid"], record["started"] = begun["pid"][0], begun["started"].min()
            record["ended"] = begun["ended"].max()
            for name in ("bytes_done", "rows"):
                record[name] = begun[name].sum()

    def end(self, record: Any) -> None:
        """Keep what a monitor shows after the load, and let go of all the rest."""
        super().end(record)
        self.opener, self.outcomes = None, {}


def files_to_read_whole(files: Iterable[LoadingFile], processes: int) -> set[LoadingFile]:
    """Those of the large files, whose plans have a span, that are to be read whole.

    They are taken a file for each loader process at a time, the largest first, as long as what is
    left keeps the others busy until the largest is read.
    """
    work = {file: _work(file) for file in files}
    left = sorted(work, key=work.__getitem__, reverse=True)
    whole: set[LoadingFile] = set()
    while len(left) >= processes and (
        work[left[0]] * processes <= _UNEVEN * sum(work[file] for file in left)
    ):
        whole |= set(left[:processes])
        del left[:processes]
    return whole


def _work(file: LoadingFile) -> int:
    """How long it takes to read a large file, as the bytes of plain text that take as long."""
    _, stop = _span(file)
    return stop * (_COMPRESSED if file.nbytes < stop else 1)


def split_spans(
    files: Sequence[LoadingFile], processes: int
) -> dict[LoadingFile, list[tuple[int, int]]]:
    """Where to split the spans of files for so many loader processes: from and to, of each part."""
    spans = [_span(file) for file in files]
    nbytes = sum(stop - start for start, stop in spans)
    longest = max(nbytes // processes, MIN_NBYTES)
    if longest > _LONG_NBYTES:
        longest //= 2
    pieces = {}
    for file, (start, stop) in zip(files, spans, strict=True):
        count = max(1, (stop - start) // longest)
        if count > 1:  # as many for each loader, so that none waits for another's last
            count = max(1, count // processes) * processes
        edges = [start + (stop - start) * i // count for i in range(count + 1)]
        if file.plan is not None and file.plan.open_end and 1 < processes <= count:
            # All for one loader, which is not counted, and two at least for each of the others.
            edges = [start + (stop - start) * i // (2 * count) for i in range(2 * count + 1)]
            del edges[-2 * count // processes : -1]
        pieces[file] = list(pairwise(edges))
    return pieces


def to_count(plan: Plan, edges: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """What of these parts of a span is to be counted."""
    (*first, (start, stop)) = edges
    if first and plan.open_end:  # but where its first line begins
        stop = min(stop, start + _LINE_NBYTES)
    return [*first, (start, stop)]


def _span(file: LoadingFile) -> tuple[int, int]:
    assert file.plan is not None
    assert file.plan.span is not None
    return file.plan.span
