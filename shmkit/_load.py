"""One load, from files to views.

    notebook's process                              loader processes
    probe   ── path, options ─────────────────────▶ look into each file
            ◀──── plan: dtype, shape ──────────────
    reserve    is there room for all of it? name every segment
    read    ── path, plan, segment ───────────────▶ reserve, read into it, trim; write the board
            ◀──── done, an error, or dead ─────────
    views      one SharedArray a file

The notebook's process names and owns every segment before a loader touches it. So whatever
becomes of a loader, unlinking all of them, in one place, leaves nothing behind.
"""

from __future__ import annotations

import os
import pickle
import sys
import sysconfig
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any

import cloudpickle
import numpy as np
from numpy.typing import NDArray

from shmkit import _segment
from shmkit._array import SharedArray, shared_empty, view
from shmkit._arrays import SharedArrays
from shmkit._progress import RECORD, Board, Monitor, State
from shmkit._workers import Died, Loaders, Task
from shmkit.errors import LoaderDiedError, LoadError, NotEnoughMemoryError, ShmkitError
from shmkit.readers import Plan, Reader, custom, npy, text

__all__ = ["load"]


def load(
    files: Mapping[str, str],
    *,
    reader: Callable[[str], Any] | None,
    options: Mapping[str, Any],
    processes: int,
    backing: str | os.PathLike[str],
    skip_failed: bool,
    monitor: Monitor,
) -> SharedArrays:
    """Load `files` (name -> absolute path); see `shmkit.shared_load` for everything else."""
    nbytes = [os.stat(path).st_size for path in files.values()]
    _segment.remove_orphans()
    if os.path.isdir(backing):
        _segment.remove_orphans(os.path.abspath(backing))
    with (
        Loaders(min(processes, len(files))) as loaders,
        shared_empty(len(files), RECORD) as records,
    ):
        board = Board(list(files), list(files.values()), records, min(processes, len(files)))
        records["bytes_total"] = nbytes
        monitor.begin(board)
        try:
            pickled = _pickled(reader, options)
            arrays = _Load(board, loaders, monitor, pickled, skip_failed).run(backing)
            _end(board, monitor)
        except BaseException as error:
            for segment in board.segments:
                if segment is not None:
                    segment.unlink()
            board.failed, board.cancelled = True, isinstance(error, KeyboardInterrupt)
            if not board.ended:
                _end(board, monitor)
            raise
    failures = {board.names[number]: error for number, error in sorted(board.errors.items())}

    def close() -> None:
        board.closed = True
        monitor.close(board)

    return SharedArrays(arrays, failures, close)


def _end(board: Board, monitor: Monitor) -> None:
    board.ended = time.time()
    board.records = np.array(board.records)
    monitor.end(board)


def _pickled(reader: Callable[[str], Any] | None, options: Mapping[str, Any]) -> bytes:
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


class _Load:
    """The steps of one load, in the notebook's process."""

    def __init__(
        self,
        board: Board,
        loaders: Loaders,
        monitor: Monitor,
        pickled: bytes,
        skip_failed: bool,
    ) -> None:
        self.board = board
        self.loaders = loaders
        self.monitor = monitor
        self.pickled = pickled
        self.skip_failed = skip_failed

    def run(self, backing: str | os.PathLike[str]) -> dict[str, SharedArray]:
        self.probe()
        need = sum(plan.nbytes for plan in self.board.plans if plan is not None)
        where = _segment.choose_backing(backing, need)
        good = [n for n in range(len(self.board.names)) if n not in self.board.errors]
        full = self.read(good, where, movable=backing == "auto" and where.kind == "shm")
        # /dev/shm was too small after all: for what a reader= returned, or others filled it.
        self.read(full, _segment.choose_backing("memfd", 0), movable=False)
        return {
            name: view(segment)
            for name, segment, record in zip(
                self.board.names, self.board.segments, self.board.records, strict=True
            )
            if segment is not None and record["state"] == State.READY
        }

    def probe(self) -> None:
        tasks = [Task(_probe, (path, self.pickled)) for path in self.board.paths]
        for number, outcome in self.loaders.run(tasks, self.tick):
            if not self.failed(number, outcome):
                self.board.plans[number] = outcome

    def read(self, numbers: Sequence[int], where: _segment.Backing, *, movable: bool) -> list[int]:
        """Read these files into new segments; if movable, say which of them had no room there."""
        # The largest first, so that no loader begins with it when the others have finished.
        order = sorted(numbers, key=lambda number: -self.board.records["bytes_total"][number])
        segments = {number: _segment.create(where) for number in numbers}
        for number, segment in segments.items():
            self.board.segments[number] = segment
        tasks = [
            Task(
                _read,
                (
                    self.board.paths[number],
                    self.pickled,
                    self.board.plans[number],
                    segments[number].path,
                    segments[number].identity,
                    self.board.records,
                    number,
                ),
            )
            for number in order
        ]
        full = []
        for index, outcome in self.loaders.run(tasks, self.tick):
            number = order[index]
            if movable and isinstance(outcome, NotEnoughMemoryError):
                segments[number].unlink()
                full.append(number)
            elif self.failed(number, outcome):
                segments[number].unlink()
            else:
                self.board.records[number]["state"] = State.READY
                plan = self.board.plans[number]
                segments[number].source = {
                    "file": self.board.paths[number],
                    "options": dict(plan.options) if plan is not None else {},
                }
        return full

    def failed(self, number: int, outcome: Any) -> bool:
        """Note a failed file; raise its error unless failed files are to be skipped."""
        if isinstance(outcome, Died):
            outcome = LoaderDiedError(self.board.paths[number], outcome.exitcode)
        if not isinstance(outcome, Exception):
            return False
        outcome = _naming(self.board.paths[number], outcome)
        record = self.board.records[number]
        record["state"], record["ended"] = State.FAILED, time.time()
        self.board.errors[number] = outcome
        if not self.skip_failed:
            raise outcome
        return True

    def tick(self) -> None:
        self.monitor.update(self.board)


# What follows runs in the loader processes.


class _Target:
    """A segment and a record of the board, as a reader sees them."""

    def __init__(self, segment: _segment.Segment, record: NDArray[Any]) -> None:
        self._segment = segment
        self._record = record

    def reserve(
        self, dtype: np.dtype[Any], shape: tuple[int, ...], *, fortran_order: bool = False
    ) -> NDArray[Any]:
        self._segment.reserve(dtype, shape, fortran=fortran_order)
        return np.asarray(view(self._segment))

    def advance(self, *, bytes_done: int, rows: int) -> None:
        self._record["bytes_done"], self._record["rows"] = bytes_done, rows

    def trim(self, shape: tuple[int, ...]) -> None:
        self._segment.trim(shape)


def _reader(path: str, function: Callable[[str], Any] | None) -> Reader:
    """The reader for a file: the user's function, or that of its format."""
    if function is not None:
        return custom.reader(function)
    return npy if path.lower().endswith(".npy") else text


def _probe(path: str, pickled: bytes) -> Plan | None:
    function, options = pickle.loads(pickled)  # noqa: S301 - our owner wrote it
    try:
        return _reader(path, function).probe(path, options)
    except Exception as error:  # noqa: BLE001 - it is raised again, with the file's name
        raise _naming(path, error) from None


def _read(
    path: str,
    pickled: bytes,
    plan: Plan | None,
    segment: str,
    identity: _segment.Identity,
    records: NDArray[Any],
    number: int,
) -> None:
    record = records[number : number + 1]
    record["pid"], record["started"] = os.getpid(), time.time()
    record["state"] = State.LOADING
    function, _ = pickle.loads(pickled)  # noqa: S301 - our owner wrote it
    target = _Target(_segment.attach(segment, identity), record)
    try:
        _reader(path, function).read_into(path, plan, target)
    except Exception as error:  # noqa: BLE001 - it is raised again, with the file's name
        raise _naming(path, error) from None
    record["bytes_done"] = record["bytes_total"]
    record["ended"] = time.time()


def _naming(path: str, error: Exception) -> Exception:
    """An error that names the file: the error itself if it does, or a `LoadError`."""
    if isinstance(error, ShmkitError | OSError):
        return error
    named = LoadError(path, None, None, f"{type(error).__name__}: {error}")
    # The traceback does not travel between processes, and the reader may be the user's own.
    named.add_note("".join(traceback.format_exception(error)))
    return named
