"""Files that np.save wrote: read straight into the target's memory, bit for bit.

    file ┌────────┬─────────────────────────┐
         │ header │ data                    │
         └────────┴───────────┬─────────────┘
                              ▼ readinto(), 8 MiB at a time, no copy between
         target's array  [ . . . . . . . . . ]

In Fortran order the same, seen transposed.
"""

from __future__ import annotations

import ast
import math
import os
from collections.abc import Mapping
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.lib import format as npy

from shmkit.errors import LoadError
from shmkit.readers import Plan, Target

__all__ = ["probe", "read_into"]

_PIECE_NBYTES = 8 << 20
_LONGEST_HEADER = 1 << 20  # bytes; np.load's own limit of 10 kB is too small for 500 fields


def probe(path: str, options: Mapping[str, Any]) -> Plan:  # noqa: ARG001 - as every reader's
    """Read the header.

    Parameters
    ----------
    path
        A ``.npy`` file of version 1, 2 or 3.
    options
        Empty: the file says everything.

    Returns
    -------
    Plan
        With the exact shape.

    Raises
    ------
    LoadError
        If it is no ``.npy`` file, is cut short, or holds Python objects.
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
        header = _read_header(file, path)
    return Plan(header.dtype, header.shape, header.fortran_order)


def read_into(path: str, plan: Plan, target: Target) -> None:
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
        header = _read_header(file, path)
        if (header.dtype, header.shape, header.fortran_order) != (
            plan.dtype,
            plan.shape,
            plan.fortran_order,
        ):
            raise LoadError(path, None, None, "the file was replaced while loading; load it again")
        array = target.reserve(plan.dtype, plan.shape, fortran_order=plan.fortran_order)
        rows = plan.shape[0] if plan.shape else 1
        start, nbytes, done = file.tell(), plan.nbytes, 0
        # The transpose of a Fortran array lies in memory as the file does; a view each.
        memory = (array.T if plan.fortran_order else array).reshape(-1)
        while done < nbytes:
            count = file.readinto(memory.view(np.uint8)[done : done + _PIECE_NBYTES].data)
            if not count:
                raise LoadError(path, None, None, "the file was cut short while loading")
            done += count
            # In Fortran order no row is whole before nearly all of them are.
            by_rows = not plan.fortran_order or done == nbytes
            target.advance(bytes_done=start + done, rows=rows * done // nbytes if by_rows else 0)
        if not nbytes:
            target.advance(bytes_done=start, rows=rows)


class _Header(NamedTuple):
    shape: tuple[int, ...]
    fortran_order: bool
    dtype: np.dtype[Any]


def _read_header(file: BinaryIO, path: str) -> _Header:
    """Read and check the header; `file` is then at the data."""
    nbytes = os.fstat(file.fileno()).st_size
    try:
        version = npy.read_magic(file)
    except ValueError:
        raise LoadError(
            path, None, None, "is not a .npy file, or its first bytes are missing"
        ) from None
    if version not in _VERSIONS:
        raise LoadError(
            path, None, None, f"has .npy version {version[0]}.{version[1]}; 1.0 to 3.0 can be read"
        )
    try:
        header = _Header(*_VERSIONS[version](file))
    except Exception as error:  # noqa: BLE001 - what the parsers of damaged text raise is not said
        raise LoadError(path, None, None, f"its .npy header is damaged: {error}") from None
    if header.dtype.hasobject:
        raise LoadError(
            path,
            None,
            None,
            f"holds Python objects ({header.dtype}), which cannot lie in shared memory; save it "
            "again with a numeric, string or structured dtype, for example after astype",
        )
    need = file.tell() + math.prod(header.shape) * header.dtype.itemsize
    if nbytes < need:
        raise LoadError(
            path,
            None,
            None,
            f"is cut short: an array of shape {header.shape} and dtype {header.dtype} takes "
            f"{need} bytes, the file has {nbytes}; copy or save it again",
        )
    return header


def _read_header_1(file: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    return npy.read_array_header_1_0(file, max_header_size=_LONGEST_HEADER)


def _read_header_2(file: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    return npy.read_array_header_2_0(file, max_header_size=_LONGEST_HEADER)


def _read_header_3(file: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Version 3 is version 2 in UTF-8; numpy.lib.format has no public function for it."""
    length = int.from_bytes(file.read(4), "little")
    if length > _LONGEST_HEADER:
        raise ValueError(f"it would have {length} bytes")
    fields = ast.literal_eval(file.read(length).decode().strip())
    if not isinstance(fields, dict) or fields.keys() != {"descr", "fortran_order", "shape"}:
        raise ValueError(f"it is {fields!r}")
    shape = tuple(int(length) for length in fields["shape"])
    return shape, bool(fields["fortran_order"]), npy.descr_to_dtype(fields["descr"])


_VERSIONS = {(1, 0): _read_header_1, (2, 0): _read_header_2, (3, 0): _read_header_3}
