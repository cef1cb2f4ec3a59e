"""What a reader is: one file, open, with the options of its format.

    probe()                     ──▶ Plan     what is in the file: dtype, shape, resolved options
    count(plan, start, stop)    ──▶ Part     the lines that begin there, and their rows at most;
                                             not of an array, whose plan tells it: `ArrayPlan`
    read(plan, part, writer)    ──▶ Piece    the part's rows are written

Readers run in loader processes. A file that is read whole is read as one part, `WHOLE`; a file
whose plan has a span may be read in several parts, each by another loader process:

    plan.span ├───────────────────────────────────────────┤    bytes of the file
    count     ├─────────┼──────────┼──────────┼───────────┤    whole lines, so many rows each
    read           ▼          ▼          ▼          ▼          each at its own place of the array

The notebook's process sees the plans of all large files before any of them is read, so it can
refuse a load that has no room. The first dimension of a plan is a bound, or where nothing was
counted an estimate: `SegmentWriter.write` goes past it, and the array gets its length in the end.

Each task opens the file anew, and the path may lead to another file by then. So a reader tells the
version of what it has opened, and all tasks of a file must have seen the same one.

What a plan guesses may be belied by a part: then its piece says what was found instead, and the
file is read again with the plan that the guess and the finding give together (`Plan.widened`).
Files with one `Plan.key` share their guesses, so that the same column has the same type in all.
"""

from __future__ import annotations

import math
import os
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Protocol, Self

import numpy as np

from shmkit._categories import with_enums
from shmkit.readers.select import stop_of_chunk
from shmkit.segments.writer import SegmentWriter

__all__ = ["WHOLE", "ArrayPlan", "Part", "Piece", "Plan", "Reader", "Version"]

_MIN_ROW_NBYTES = 2  # of a line: a digit and its end


@dataclass(frozen=True)
class Plan:
    """What a probe found in one file.

    Attributes
    ----------
    dtype, shape
        Of the array to come; ``shape[0]`` may be a bound or an estimate.
    fortran_order
        Whether the array is laid out by columns.
    options
        The reader's options with everything inferred filled in: reading the file again with these
        gives the same array, so they are what an export records.
    span
        Bytes of the file (decompressed) that may be read in parts, from and to; None if it is
        read whole.
    """

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    fortran_order: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)
    span: tuple[int, int] | None = None

    @property
    def nbytes(self) -> int:
        """Bytes that the array takes."""
        return math.prod(self.shape) * self.dtype.itemsize

    @property
    def row_nbytes(self) -> int:
        """Bytes that a row of the array takes."""
        return math.prod(self.shape[1:]) * self.dtype.itemsize

    @property
    def key(self) -> Hashable:
        """What files have in common that share their guesses; None where nothing is guessed."""
        return None

    def final_shape(self, rows: int) -> tuple[int, ...]:  # noqa: ARG002 - for plans that are a bound
        """The shape of the array, once its rows are known."""
        return self.shape

    @property
    def open_end(self) -> bool:
        """Whether there is place for any number of rows in the last part: they need no count."""
        return False

    def most_rows(self, nbytes: int, of: int) -> int:  # noqa: ARG002 - for those that guess
        """Rows of files that look alike, at most; they have so many bytes, that of the plan `of`.

        It may be a guess where to have more room than is needed takes something.
        """
        return nbytes // _MIN_ROW_NBYTES

    def part(self, start: int, stop: int) -> Part | None:  # noqa: ARG002 - for those that know
        """What begins in these bytes of the span; None if a reader has to count it."""
        return None

    def in_parts(self, counted: Sequence[Any]) -> tuple[Self, list[Part]]:
        """The plan and the parts of a file, of which these were counted, one after another."""
        line, row, parts = self.options.get("skiprows", 0), 0, []
        for part in counted:
            parts.append(part._replace(line=line, row=row))
            line, row = line + part.lines, row + (part.rows or 0)
        return replace(self, shape=(row, *self.shape[1:])), parts

    def finish(self, writer: SegmentWriter, pieces: Sequence[tuple[int, int]]) -> None:
        """Make one array of what was written of each part: (first row, rows)."""
        stop, row_nbytes = 0, self.row_nbytes
        for row, rows in pieces:
            if row != stop:
                writer.move(row * row_nbytes, rows * row_nbytes, stop * row_nbytes)
            stop += rows
        writer.resize(self.final_shape(stop))

    def shared(self) -> Self:
        """The plan for other files of the load that look alike; see `Reader.probe`."""
        return self

    def agreed(self, others: Sequence[Self]) -> Self:  # noqa: ARG002 - for plans with a key
        """The plan of the same file that holds what plans of the same key hold, too."""
        return self

    def same_types(self, other: Self) -> bool:
        """Whether both give each column the same type, but for the width of text."""
        return self.dtype == other.dtype

    def name_codes(self, writer: SegmentWriter, codes: Mapping[str, Mapping[str, int]]) -> None:
        """Write the names of categories, by field, beside the array that is there."""
        writer.set_dtype(with_enums(writer.header.dtype, codes))

    def notes(self, missing: Mapping[str, int]) -> list[str]:  # noqa: ARG002 - for plans that guess
        """What is to be said of the types, and of the missing values, of a file that was read."""
        return []

    def widened(self, found: Iterable[Any]) -> Self:
        """The plan that holds what pieces found (`Piece.belied`), too."""
        raise NotImplementedError


@dataclass(frozen=True)
class ArrayPlan(Plan):
    """The plan of an array in a file, whose span is the array's bytes.

    Attributes
    ----------
    rows
        Which rows of the file are wanted.
    chunk
        How many rows a chunk in the file has, which is read by one task.
    """

    rows: range = range(0)
    chunk: int = 1

    def part(self, start: int, stop: int) -> Part:
        """The chunks whose rows begin in these bytes."""
        first, last = map(self._begin_of_chunk, (start, stop))
        return Part(first, last, rows=last - first)

    def _begin_of_chunk(self, nbytes: int) -> int:
        """The first row from this byte on with which a chunk begins, or the end."""
        row = -(-nbytes // max(self.row_nbytes, 1))
        if not 0 < row < len(self.rows):
            return min(row, len(self.rows))
        return stop_of_chunk(self.rows, row - 1, self.chunk)


class Part(NamedTuple):
    """What one task reads of a file: whole lines of a text, rows of a dataset, or all of it.

    Attributes
    ----------
    start, stop
        Where it begins and ends, as the reader counts: bytes of a text, rows of a dataset. Without
        a stop it goes to the end of the file.
    lines
        Lines in it.
    rows
        Rows in it, at most: blank lines and comments may be among the lines. None if they were
        not counted: all that is read whole, and the last part of a plan with an open end.
    line, row
        Lines of the file, and rows of the array, before it.
    """

    start: int = 0
    stop: int | None = None
    lines: int = 0
    rows: int | None = None
    line: int = 0
    row: int = 0


WHOLE = Part()


class Piece(NamedTuple):
    """What was read of one part.

    Attributes
    ----------
    rows
        Rows that were written.
    categories
        The texts that the codes of each category field stand for, by code.
    no_text
        Fields of the plan that are no text, as their bytes have shown, and what their label in
        the file says.
    missing
        How many values of each column the text has a word for that means missing.
    belied
        What was found that the plan does not hold, for `Plan.widened`: the file is read again.
    """

    rows: int
    categories: Mapping[str, list[str]] = {}
    no_text: Mapping[str, str] = {}
    missing: Mapping[str, int] = {}
    belied: Any = None


class Version(NamedTuple):
    """What tells a file from every other one, and from itself before and after it was written to.

    A write that leaves its length as it is shows in its time alone, whose steps are as long as the
    kernel's ticks: a few milliseconds.
    """

    device: int
    inode: int
    nbytes: int
    mtime_ns: int

    @classmethod
    def of(cls, status: os.stat_result) -> Self:
        """The version of a file of this status."""
        return cls(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


class Reader(Protocol):
    """One open file, bound to its path and its options."""

    def version(self) -> Version | None:
        """The version of the open file as it is now; None for what is no file, but a directory."""

    def probe(self, like: Plan | None = None) -> Plan:
        """Say what is in the file.

        `like` is the plan of another file of the load, with the same options: what is guessed is
        taken from there, and that very plan given back, where this file looks alike.
        """

    def count(self, plan: Plan, start: int, stop: int) -> Part:  # noqa: ARG002 - for those with parts
        """The lines that begin in these bytes of the plan's span; `line` and `row` are not set.

        Not of a file that is read whole, nor of one whose plan knows its parts.
        """
        return WHOLE

    def read(self, plan: Plan, part: Part, writer: SegmentWriter) -> Piece:
        """Write the rows of a part, at most ``part.rows``: the next part has its place there."""
