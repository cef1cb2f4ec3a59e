"""Readers, one module a format. Each has these functions, which run in a loader process:

    probe(path, options) -> Plan         what is in the file: dtype, shape, resolved options
    read_into(path, plan, target)        declare the array in the target, write it
    read(path, options, target)          both, of a small file; all that a user's function has

A reader of large files that can be read in parts, by several loader processes at once, says in
the plan which bytes these are, and has three more:

    count(path, plan, start, stop) -> Part      which lines begin there, how many rows at most
    read_part(path, plan, part, …) -> rows      write these rows of the array
    whole_shape(plan, rows)                     the shape of the array, once they are counted

The notebook's process sees the plans of all files but the small ones before any of them is read, so
it can refuse a load that has no room. The first dimension of a plan is a bound, or where nothing
was counted an estimate: `SegmentWriter.write` goes past it, `SegmentWriter.resize` gives back what
is not needed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np

from shmkit.memory.writer import SegmentWriter

__all__ = ["InParts", "Part", "Plan", "Planned", "Reader"]


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


class Part(NamedTuple):
    """Whole lines of a file that is read in parts."""

    start: int  # bytes, as in the span
    stop: int
    lines: int
    rows: int  # at most: blank lines and comments may be among the lines


class Reader(Protocol):
    """What every reader has."""

    def probe(self, path: str, options: Mapping[str, Any]) -> Plan | None:
        """Say what is in the file, or None where only reading it can tell."""

    def read(self, path: str, options: Mapping[str, Any], target: SegmentWriter) -> Plan | None:
        """Read a file into the target that was not looked into before; says what was in it."""


class Planned(Reader, Protocol):
    """What a reader has besides if it gives plans."""

    def read_into(self, path: str, plan: Plan, target: SegmentWriter) -> None:
        """Read the file into the target."""


class InParts(Planned, Protocol):
    """What a reader has besides if its plans have a span."""

    def count(self, path: str, plan: Plan, start: int, stop: int) -> Part:
        """The lines that begin in these bytes of the span."""

    def read_part(self, path: str, plan: Plan, part: Part, line: int, target: SegmentWriter) -> int:
        """Write the part's rows, before which there are `line` lines; gives their number.

        They are at most ``part.rows``: the next part has its place behind them.
        """

    def whole_shape(self, plan: Plan, rows: int) -> tuple[int, ...]:
        """The shape of the whole array, when its rows are known."""
