"""Calls of a user's function on a loader process, a batch of items at a time.

    message: function, items, a segment for each or none      what comes back of each item
    ───────▶ function(*item) ──▶ a row of `out`          ──▶ STORED
                             ──▶ an array in its segment ──▶ STORED
                             ──▶ anything else           ──▶ the value, pickled

1. The function was pickled once, and is made anew for each batch: what an item changes of its
   globals may or may not be seen by the next one, as in any pool.
2. What it returned goes into a row of `out`, if there is one. Else an array, or a table, goes into
   the segment that the owner has made for the item. If the owner did not expect one, it is pickled
   as all else, and the owner puts it into a segment.
3. What lies in shared memory already, as a slice of the argument, goes as a reference.
4. An exception ends the batch. It gets a note: which item it was, and the traceback, which does
   not travel.
"""

from __future__ import annotations

import enum
import os
import pickle
import time
import traceback
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shmkit.loaders.pickling import Pickled
from shmkit.loading.board.record import State
from shmkit.segments.files import Identity
from shmkit.segments.segment import Segment
from shmkit.segments.writer import SegmentWriter
from shmkit.views.array import SharedArray
from shmkit.views.image import image_of
from shmkit.views.table import SharedTable, Table
from shmkit.views.text import SharedText

__all__ = ["Result", "Slot", "call", "is_data"]

_FIELDS = "state", "pid", "started", "ended", "bytes_done", "bytes_total"  # of a record


class Result(enum.Enum):
    """What stands for a result that does not travel."""

    STORED = enum.auto()


class Slot(NamedTuple):
    """An empty segment, for what the function returns."""

    path: str
    identity: Identity


def call(
    function: Pickled,
    names: Sequence[str],
    items: bytes,
    first: int,
    records: NDArray[Any],
    slots: Sequence[Slot],
    out: SharedArray | None,
) -> list[Any]:
    """Call the function on items of these names, whose numbers begin with `first`."""
    state, pid, started, ended, done, total = (np.asarray(records)[name] for name in _FIELDS)
    number, found = first, []
    try:
        called = function.load()
        for number, item in enumerate(pickle.loads(items), first):  # noqa: S301 - our owner's
            state[number], pid[number], started[number] = State.LOADING, os.getpid(), time.time()
            value = called(*item)
            if out is not None:
                out[number] = value
                value = Result.STORED
            elif slots and (is_data(value) or _ends_here(value)):
                with SegmentWriter(Segment.attach(*slots[number - first])) as writer:
                    image_of(value).write(writer)
                value = Result.STORED
            found.append(value)
            ended[number], done[number] = time.time(), total[number]
    except Exception as error:
        ended[number] = time.time()
        trace = error.__traceback__
        lines = traceback.format_exception(type(error), error, trace and (trace.tb_next or trace))
        error.add_note(
            f"raised for {names[number - first]}, in a loader process:\n{''.join(lines).rstrip()}"
        )
        raise
    return found


def is_data(value: Any) -> bool:
    """Whether it is an array or a table outside of shared memory."""
    if isinstance(value, SharedArray | SharedText | SharedTable):
        return value.segment is None
    return isinstance(value, Table) or (isinstance(value, np.ndarray) and not value.dtype.hasobject)


def _ends_here(value: Any) -> bool:
    """Whether its memory goes with this process: that of a segment which a function made here."""
    segment = value.segment if isinstance(value, SharedArray | SharedText | SharedTable) else None
    return segment is not None and segment.owned
