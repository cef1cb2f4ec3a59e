"""What has a row on a board: a file of a load, or an item of a map."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shmkit.readers.base import Plan
from shmkit.segments.image.header import Header
from shmkit.segments.segment import Segment

__all__ = ["Entry"]


@dataclass(eq=False)
class Entry:
    """One row of a board.

    Attributes
    ----------
    name, path, nbytes
        What its array is called, where it comes from, and how many bytes there are to be read.
    number, record
        Its place on the board, and its record there.
    plan
        What its array will be, as far as it is known before.
    part_records : ndarray of RECORD
        What the loader processes write of each part, if it is read in several.
    segment
        Where its array is. What array that is, is known when it is READY.
    header
        Of the array that its rows alone would be, where a segment has the rows of several.
    notes
        What is to be said of it when it is read: types that a value belied, missing values.
    error
        What went wrong.
    """

    name: str
    path: str
    nbytes: int
    number: int = field(default=0, kw_only=True)
    record: Any = field(default=None, kw_only=True)
    plan: Plan | None = field(default=None, kw_only=True)
    part_records: NDArray[Any] | None = field(default=None, kw_only=True)
    segment: Segment | None = field(default=None, kw_only=True)
    header: Header | None = field(default=None, kw_only=True)
    notes: Sequence[str] = field(default_factory=list, kw_only=True)
    error: Exception | None = field(default=None, kw_only=True)

    @property
    def segment_nbytes(self) -> int:
        """Bytes of the segment that its rows take."""
        if self.segment is None or self.header is None:
            return 0 if self.segment is None else self.segment.nbytes
        return self.header.nbytes

    def end(self, record: Any) -> None:
        """Keep what a monitor shows at the end, and let go of all the rest."""
        self.record = record
        if self.part_records is not None:
            self.part_records = np.array(self.part_records)
