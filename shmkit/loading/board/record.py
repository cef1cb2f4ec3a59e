"""What loader processes write while they read: one record a file, in shared memory.

loader process ── advance ──▶ │ state │ pid │ bytes_done │ rows │ started │ ended │
▲
the notebook's process looks, about ten times a second
"""

from __future__ import annotations

import enum

import numpy as np

__all__ = ["RECORD", "State"]


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
