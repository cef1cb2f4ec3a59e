"""What is known, once a load has ended, of which loader process read what when."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["READ", "Timeline"]

READ = np.dtype(
    [
        ("file", "i8"),  # its number
        ("pid", "i4"),  # of the loader process
        ("start", "f8"),  # seconds since the start of the load
        ("stop", "f8"),
        ("nbytes", "f8"),  # of the segment that it wrote, or its share of it
    ]
)


class Timeline(NamedTuple):
    """The reads of one load.

    Attributes
    ----------
    names
        Of the files.
    failed
        The numbers of the files that could not be loaded.
    seconds
        How long the load took.
    reads : ndarray of READ
        Each read of a file, or of a part of one, in the order in which they began.
    """

    names: list[str]
    failed: list[int]
    seconds: float
    reads: NDArray[Any]
