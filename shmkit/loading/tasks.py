"""What a loader process does with one file: look into it, or read it into a segment.

probe   file ──▶ plan
read    file ──▶ reader ──▶ target ──▶ segment      declare or allocate, write, resize
                               └─────▶ board        state, bytes and rows so far

A large file is read in parts, by several loader processes at once (_parts):

count       bytes a..b of the file ──▶ lines that begin there, rows at most
read_part   part of the file ──▶ its rows of the array
join        rows that no line gave, where comments or blank lines were many ──▶ closed up
"""

from __future__ import annotations

import functools
import math
import os
import pickle
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from shmkit.errors import LoadError, ShmkitError
from shmkit.loading.board import State
from shmkit.loading.pool import dumps
from shmkit.memory.array import view
from shmkit.memory.files import Identity
from shmkit.memory.segment import Segment
from shmkit.memory.writer import SegmentWriter
from shmkit.readers import custom, npy
from shmkit.readers.base import InParts, Part, Plan, Planned, Reader
from shmkit.readers.text import reader as text

__all__ = [
    "Pickled",
    "Piece",
    "Place",
    "count",
    "datasets",
    "is_hdf5",
    "is_npy",
    "join",
    "named_error",
    "pickled_reader",
    "probe",
    "read",
    "read_part",
    "recode",
]

_MOVE_ROWS = 1 << 16
_HDF5 = frozenset([".h5", ".hdf5", ".hdf", ".he5", ".nc4"])
_SIGNATURE = b"\x89HDF\r\n\x1a\n"


class Pickled(NamedTuple):
    """A reader and its options, as they travel to the loaders."""

    data: bytes
    plain: bool  # no function of the user's is in it


def pickled_reader(reader: Callable[[str], Any] | None, options: Mapping[str, Any]) -> Pickled:
    """The reader and its options, for the loaders.

    Functions of the user's own modules go by value: a loader that is warm has the module as it was
    when it was first needed, and the user may have edited it since.
    """
    converters = options.get("converters")
    if reader is None and converters is None:
        return Pickled(dumps((reader, options)), plain=True)
    import cloudpickle  # noqa: PLC0415 - it takes as long to import as a tenth of numpy

    from shmkit.loading import by_value  # noqa: PLC0415 - it imports cloudpickle

    functions = converters.values() if isinstance(converters, Mapping) else [converters]
    modules = {sys.modules.get(getattr(f, "__module__", None) or "") for f in (reader, *functions)}
    known = cloudpickle.list_registry_pickle_by_value()
    own = [m for m in modules if m is not None and _is_users(m) and m.__name__ not in known]
    for module in own:
        cloudpickle.register_pickle_by_value(module)
    try:
        return Pickled(by_value.dumps((reader, options)), plain=False)
    finally:
        for module in own:
            cloudpickle.unregister_pickle_by_value(module)


def _is_users(module: ModuleType) -> bool:
    import sysconfig  # noqa: PLC0415 - only for functions of the user's

    file = getattr(module, "__file__", None)
    installed = tuple(sysconfig.get_paths().values())
    return file is not None and not file.startswith(installed)


_kept = functools.lru_cache(maxsize=1)(pickle.loads)


def _unpickled(pickled: Pickled) -> tuple[Callable[[str], Any] | None, Mapping[str, Any]]:
    """The reader and the options: the same objects for all files of a load.

    No reader changes them. But functions of the user's, which may change what they hold, are new
    for each file.
    """
    found: tuple[Callable[[str], Any] | None, Mapping[str, Any]]
    found = _kept(pickled.data) if pickled.plain else pickle.loads(pickled.data)  # noqa: S301 - our owner's
    return found


def _reader(path: str, function: Callable[[str], Any] | None, options: Mapping[str, Any]) -> Reader:
    """The reader for a file: the user's function, or that of its format."""
    if function is not None:
        return custom.Custom(function)
    if "dataset" in options:
        return cast("Reader", _hdf5())
    return npy if is_npy(path) else text


def _hdf5() -> Any:
    from shmkit.readers import hdf5  # noqa: PLC0415 - h5py takes longer to import than the rest

    return hdf5


def is_npy(path: str) -> bool:
    """Whether it is read as a .npy file, which has no options."""
    return path.lower().endswith(".npy")


def is_hdf5(path: str) -> bool:
    """Whether it is an HDF5 file, by its name and, where that is another format's too, content."""
    ending = os.path.splitext(path)[1].lower()
    if ending != ".nc":
        return ending in _HDF5
    with open(path, "rb") as file:
        return file.read(len(_SIGNATURE)) == _SIGNATURE


def datasets(path: str, patterns: Sequence[str]) -> list[tuple[str, int]]:
    """The datasets of an HDF5 file whose names match, and the bytes that each takes there."""
    with _naming(path):
        found: list[tuple[str, int]] = _hdf5().datasets(path, patterns)
        return found


class Piece(NamedTuple):
    """What was read by one task."""

    rows: int | None  # None for those of the whole file
    names: Mapping[str, list[str]]  # of the codes of a category field
    options: Mapping[str, Any] = {}  # that were inferred on the way, if there was no plan before


class Place(NamedTuple):
    """Where a loader process puts what it reads, and where it says how far it is."""

    segment: str
    identity: Identity
    records: NDArray[Any]
    number: int


def probe(path: str, pickled: Pickled) -> Plan | None:
    """What is in the file; raises errors that name it."""
    function, options = _unpickled(pickled)
    with _naming(path):
        return _reader(path, function, options).probe(path, options)


def read(path: str, pickled: Pickled, plan: Plan | None, place: Place) -> Piece:
    """Read the file into the segment; without a plan, look into it first."""
    record = _begun(place)
    record["state"] = State.LOADING
    function, options = _unpickled(pickled)
    found: dict[str, Any] = {}
    segment = Segment.attach(place.segment, place.identity)
    with _naming(path), SegmentWriter(segment, record) as target:
        reader = _reader(path, function, options)
        if plan is not None:
            cast("Planned", reader).read_into(path, plan, target)
        elif (plan := reader.read(path, options, target)) is not None:
            # Not what is as it was given: a dtype takes as long to pickle as all the rest.
            resolved = plan.options.items()
            found = {n: v for n, v in resolved if n not in options or v is not options[n]}
    record["ended"] = time.time()
    return Piece(None, target.categories, found)


def _begun(place: Place) -> NDArray[Any]:
    # A plain array: writing to a SharedArray's fields takes as long as parsing a small file.
    record = np.asarray(place.records)[place.number : place.number + 1]
    record["pid"], record["started"] = os.getpid(), time.time()
    return record


def count(path: str, pickled: Pickled, plan: Plan, start: int, stop: int) -> Part:
    """What lines begin in these bytes of a file that is read in parts."""
    with _naming(path):
        return _in_parts(path, pickled).count(path, plan, start, stop)


def read_part(
    path: str, pickled: Pickled, plan: Plan, part: Part, line: int, row: int, place: Place
) -> Piece:
    """Read a part, before which there are `line` lines and `row` rows."""
    record = _begun(place)
    row_nbytes = plan.dtype.itemsize * math.prod(plan.shape[1:])
    segment = Segment.attach(place.segment, place.identity)
    with _naming(path), SegmentWriter(segment, record) as target:
        target.check_memory(part.rows * row_nbytes)
        target.seek(row * row_nbytes)
        rows = _in_parts(path, pickled).read_part(path, plan, part, line, target)
    record["ended"] = time.time()
    return Piece(rows, target.categories)


def join(
    path: str, pickled: Pickled, plan: Plan, parts: Sequence[tuple[int, int]], place: Place
) -> None:
    """Make one array of parts that were read: (first row, rows that there are) of each."""
    segment, stop = Segment.attach(place.segment, place.identity), 0
    row_nbytes = plan.dtype.itemsize * math.prod(plan.shape[1:])
    with _naming(path), SegmentWriter(segment) as target:
        for row, count in parts:
            if row != stop:
                target.move(row * row_nbytes, count * row_nbytes, stop * row_nbytes)
            stop += count
        target.resize(_in_parts(path, pickled).whole_shape(plan, stop))


def recode(
    path: str,
    start: int,
    stop: int | None,
    codes: Mapping[str, NDArray[Any]],
    segment: str,
    identity: Identity,
) -> None:
    """Give these rows other codes, in each field that has some: at the code's place."""
    rows = np.asarray(view(Segment.attach(segment, identity))).reshape(-1)[start:stop]
    with _naming(path):
        for field, others in codes.items():
            for i in range(0, len(rows), _MOVE_ROWS):
                column = rows[field][i : i + _MOVE_ROWS]
                column[:] = others[column]


def _in_parts(path: str, pickled: Pickled) -> InParts:
    function, options = _unpickled(pickled)
    return cast("InParts", _reader(path, function, options))


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
    import traceback  # noqa: PLC0415 - only for errors

    # It does not travel between processes, and the reader may be the user's own.
    named.add_note("".join(traceback.format_exception(error)))
    return named
