"""Files that np.save wrote: copied into the target, bit for bit.

    file ┌────────┬─────────────────────────┐
         │ header │ data                    │
         └────────┴───────────┬─────────────┘
                              ▼ a piece at a time, which stays in the cache
         target's array  [ . . . . . . . . . ]

In Fortran order the same: the bytes are taken as they lie there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np

from shmkit.errors import LoadError
from shmkit.memory.header import read_header
from shmkit.memory.writer import SegmentWriter
from shmkit.readers.base import Plan

__all__ = ["probe", "read", "read_into"]

_PIECE_NBYTES = 1 << 18


def probe(path: str, options: Mapping[str, Any]) -> Plan:  # noqa: ARG001 - as every reader's
    """Read the header of a ``.npy`` file of version 1, 2 or 3; there are no options.

    Raises
    ------
    LoadError
        If it is no ``.npy`` file, is damaged or cut short, or holds Python objects.
    OSError
        If it cannot be opened.

    Examples
    --------
    >>> import os, tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "grid.npy")
    >>> np.save(path, np.zeros((2, 3), np.float32, order="F"))
    >>> plan = probe(path, {})
    >>> plan.dtype, plan.shape, plan.fortran_order
    (dtype('float32'), (2, 3), True)
    """
    with open(path, "rb") as file:
        return _plan(path, file)


def read(path: str, options: Mapping[str, Any], target: SegmentWriter) -> Plan:
    """Both `probe` and `read_into`; raises what they raise."""
    plan = probe(path, options)
    read_into(path, plan, target)
    return plan


def read_into(path: str, plan: Plan, target: SegmentWriter) -> None:
    """Read the data into the target.

    Raises
    ------
    LoadError
        If the file is no longer what `probe` found.
    NotEnoughMemoryError
        If the target has no room.
    OSError
        If it cannot be read.
    """
    with open(path, "rb", buffering=0) as file:
        if _plan(path, file) != plan:
            raise LoadError(path, None, None, "the file was replaced while loading; load it again")
        target.allocate(plan.dtype, plan.shape, fortran_order=plan.fortran_order)
        rows = plan.shape[0] if plan.shape else 1
        start, nbytes, done = file.tell(), plan.nbytes, 0
        piece = np.empty(min(nbytes, _PIECE_NBYTES), np.uint8)
        while done < nbytes:
            count = file.readinto(piece[: nbytes - done].data)
            if not count:
                raise LoadError(path, None, None, "the file was cut short while loading")
            target.write(piece[:count])
            done += count
            # In Fortran order no row is whole before nearly all of them are.
            by_rows = not plan.fortran_order or done == nbytes
            target.advance(bytes_done=start + done, rows=rows * done // nbytes if by_rows else 0)
        if not nbytes:
            target.advance(bytes_done=start, rows=rows)


def _plan(path: str, file: BinaryIO) -> Plan:
    """What the header says; `file` is then at the data."""
    try:
        header = read_header(file)
    except ValueError as error:
        reason = f"is not a .npy file that can be read: {error}; copy or save it again"
        raise LoadError(path, None, None, reason) from None
    return Plan(header.dtype, header.shape, header.fortran_order)
