"""What a loader process does with one file: look into it, or read it into a segment.

probe   file ──▶ plan
read    file ──▶ reader ──▶ target ──▶ segment      reserve, fill, resize
                               └─────▶ board        state, bytes and rows so far

A large file is read in parts, by several loader processes at once (_parts):

count       bytes a..b of the file ──▶ lines that begin there, rows at most
read_part   part of the file ──▶ its rows of the array
join        rows that no line gave, where comments or blank lines were many ──▶ closed up
"""

from __future__ import annotations

import os
import pickle
import sys
import sysconfig
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Any, NamedTuple, cast

import cloudpickle
import numpy as np
from numpy.typing import NDArray

from shmkit._array import view
from shmkit._progress import State
from shmkit._segment import Identity, Segment, attach
from shmkit.errors import LoadError, ShmkitError
from shmkit.readers import InParts, Part, Plan, Reader, custom, npy, text

__all__ = [
    "Place",
    "count",
    "join",
    "named_error",
    "pickled_reader",
    "probe",
    "read",
    "read_part",
]

_MOVE_ROWS = 1 << 16


def pickled_reader(reader: Callable[[str], Any] | None, options: Mapping[str, Any]) -> bytes:
    """The reader and the options, for the loaders.

    Functions of the user's own modules go by value: a loader that is warm has the module as it was
    when it was first needed, and the user may have edited it since.
    """
    converters = options.get("converters")
    functions = converters.values() if isinstance(converters, Mapping) else [converters]
    modules = {sys.modules.get(getattr(f, "__module__", None) or "") for f in (reader, *functions)}
    own = [module for module in modules if module is not None and _is_users(module)]
    for module in own:
        cloudpickle.register_pickle_by_value(module)
    try:
        pickled: bytes = cloudpickle.dumps((reader, options))
        return pickled
    finally:
        for module in own:
            cloudpickle.unregister_pickle_by_value(module)


def _is_users(module: ModuleType) -> bool:
    file = getattr(module, "__file__", None)
    installed = tuple(sysconfig.get_paths().values())
    known = cloudpickle.list_registry_pickle_by_value()
    return file is not None and not file.startswith(installed) and module.__name__ not in known


class _Target:
    """A segment and a record of the board, as a reader sees them."""

    def __init__(self, segment: Segment, record: NDArray[Any]) -> None:
        self._segment = segment
        self._record = record

    def reserve(
        self, dtype: np.dtype[Any], shape: tuple[int, ...], *, fortran_order: bool = False
    ) -> NDArray[Any]:
        self._segment.reserve(dtype, shape, fortran_order=fortran_order)
        return np.asarray(view(self._segment))

    def advance(self, *, bytes_done: int, rows: int) -> None:
        self._record["bytes_done"], self._record["rows"] = bytes_done, rows

    def resize(self, shape: tuple[int, ...]) -> NDArray[Any]:
        self._segment.resize(shape)
        return np.asarray(view(self._segment))


def _reader(path: str, function: Callable[[str], Any] | None) -> Reader:
    """The reader for a file: the user's function, or that of its format."""
    if function is not None:
        return custom.reader(function)
    return npy if path.lower().endswith(".npy") else text


class Place(NamedTuple):
    """Where a loader process puts what it reads, and where it says how far it is."""

    segment: str
    identity: Identity
    records: NDArray[Any]
    number: int


def probe(path: str, pickled: bytes) -> Plan | None:
    """What is in the file; raises errors that name it."""
    function, options = pickle.loads(pickled)  # noqa: S301 - our owner wrote it
    with _naming(path):
        return _reader(path, function).probe(path, options)


def read(path: str, pickled: bytes, plan: Plan | None, place: Place) -> None:
    """Read the file into the segment."""
    record = place.records[place.number : place.number + 1]
    record["pid"], record["started"] = os.getpid(), time.time()
    record["state"] = State.LOADING
    function, _ = pickle.loads(pickled)  # noqa: S301 - our owner wrote it
    target = _Target(attach(place.segment, place.identity), record)
    with _naming(path):
        _reader(path, function).read_into(path, plan, target)


def count(path: str, pickled: bytes, plan: Plan, start: int, stop: int) -> Part:
    """What lines begin in these bytes of a file that is read in parts."""
    with _naming(path):
        return _in_parts(path, pickled).count(path, plan, start, stop)


def read_part(
    path: str, pickled: bytes, plan: Plan, part: Part, line: int, row: int, place: Place
) -> int:
    """Read a part, before which there are `line` lines and `row` rows; gives its rows."""
    record = place.records[place.number : place.number + 1]
    record["pid"], record["started"] = os.getpid(), time.time()
    segment = attach(place.segment, place.identity)
    rows = 0
    with _naming(path):
        segment.reserve_rows(row, row + part.rows)
        array = np.asarray(view(segment))[row : row + part.rows]
        for nbytes, rows in _in_parts(path, pickled).read_part(path, plan, part, line, array):
            record["bytes_done"], record["rows"] = nbytes, rows
    return rows


def join(
    path: str, pickled: bytes, plan: Plan, parts: Sequence[tuple[int, int]], place: Place
) -> None:
    """Make one array of parts that were read: (first row, rows that there are) of each."""
    segment = attach(place.segment, place.identity)
    array, stop = np.asarray(view(segment)), 0
    with _naming(path):
        for row, count in parts:
            if row != stop:
                for i in range(0, count, _MOVE_ROWS):  # numpy copies what overlaps first
                    rows = min(_MOVE_ROWS, count - i)
                    array[stop + i : stop + i + rows] = array[row + i : row + i + rows]
            stop += count
        segment.resize(_in_parts(path, pickled).whole_shape(plan, stop))


def _in_parts(path: str, pickled: bytes) -> InParts:
    function, _ = pickle.loads(pickled)  # noqa: S301 - our owner wrote it
    return cast("InParts", _reader(path, function))


@contextmanager
def _naming(path: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # noqa: BLE001 - it is raised again, with the file's name
        raise named_error(path, error) from None


def named_error(path: str, error: Exception) -> Exception:
    """An error that names the file: the error itself if it does, or a `LoadError`."""
    if isinstance(error, ShmkitError) or (isinstance(error, OSError) and error.filename):
        return error
    named = LoadError(path, None, None, f"{type(error).__name__}: {error}")
    # The traceback does not travel between processes, and the reader may be the user's own.
    named.add_note("".join(traceback.format_exception(error)))
    return named
