"""Readers, one module a format. Each has two functions, both run in a loader process:

    probe(path, options) -> Plan         what is in the file: dtype, shape, resolved options
    read_into(path, plan, target)        reserve the array in the target, fill it

Between the two the notebook's process sees every plan, so it can refuse a load that has no room
before anything is read. The first dimension of a plan is a bound, or where only reading can tell,
an estimate: `Target.resize` makes more room, and gives back what is not needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["Plan", "Reader", "Target"]


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
    """

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    fortran_order: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def nbytes(self) -> int:
        """Bytes that the array takes."""
        count = 1
        for length in self.shape:
            count *= length
        return count * self.dtype.itemsize


class Target(Protocol):
    """Where a reader puts its array: one segment, seen from the loader process."""

    def reserve(
        self, dtype: np.dtype[Any], shape: tuple[int, ...], *, fortran_order: bool = False
    ) -> NDArray[Any]:
        """Reserve room and give the writable array over it; raises `NotEnoughMemoryError`."""

    def advance(self, *, bytes_done: int, rows: int) -> None:
        """Say how many bytes of the file are read and how many rows are filled, so far in all."""

    def resize(self, shape: tuple[int, ...]) -> NDArray[Any]:
        """Give the array another shape and return it; raises `NotEnoughMemoryError`.

        Larger, with what was written in place; or smaller. Arrays from before are not to be used.
        """


class Reader(Protocol):
    """The two functions of a format's module."""

    def probe(self, path: str, options: Mapping[str, Any]) -> Plan | None:
        """Say what is in the file, or None where only reading it can tell."""

    def read_into(self, path: str, plan: Plan | None, target: Target) -> None:
        """Read the file into the target."""
