"""Files one after another, the next ones loaded while one is used: more than memory holds.

    thread     load 1, 2 ──▶ load 3 ──▶ load 4, 5 …     groups that find room in the budget
                   │            │
                   ▼            ▼
    for name, array in stream:  1, 2, 3, …              each is let go of when the next is taken

1. A thread loads groups of files, in order: small ones together, a large one alone. It shows
   nothing, as only the thread of a cell may.
2. What the arrays of a group take is guessed by those before, and known from what is found in the
   files before they are read: what would be too much then is not read, and the group is halved. So
   is one of which a file fails: those before it come first.
3. What is loaded, and what has been handed out and is still mapped, counts. A group waits until
   there is room for it beside that. So the loop's own variable, which holds an array until it has
   the next, takes part of the budget: a file may have half of it.
4. A file that takes more than that comes in pieces of rows, by the option `select`: a short one,
   which tells what a row takes, then as many rows as have room, until a piece is not full.
5. When the loop waits for an array, nothing but its own variable should hold one. If others do, and
   there is no room because of them, nobody would ever let go: then that is the error.
6. When the loop ends, by whatever, the thread is told, and its load ends at the next tick.
"""

from __future__ import annotations

import gc
import queue
import threading
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from shmkit._format import nbytes_text
from shmkit._monitor import NoMonitor, Work
from shmkit.errors import NotEnoughMemoryError
from shmkit.loading.files.inputs import Input
from shmkit.loading.load import load
from shmkit.segments.segment import Segment
from shmkit.views.arrays import SharedArrays

__all__ = ["stream"]

_GROUP_NBYTES = 1 << 26  # of files: many small ones are loaded together
_GROUP_FILES = 500
_FIRST_ROWS = 1024  # of a file that comes in pieces: they tell what a row takes
_ROWS_GIVEN = {"select", "max_rows"}  # options that say which rows of a file are meant
_FULL = 0.9  # of what a piece may take: rows of text differ
_FIRST_GUESS = 1.5  # bytes of an array for each byte of its file, before one is loaded
_TICK = 0.05  # seconds between two looks


class _StoppedError(BaseException):
    """Ends the load of a stream that is not wanted any more."""


def stream(
    files: Mapping[str, Input],
    how: Mapping[str, Any],
    *,
    prefix: bool,
    budget: int,
    holders: Callable[[Sequence[Segment]], Sequence[str]],
) -> Iterator[tuple[str, Any]]:
    """The arrays of the files, by name, in order; else see `shmkit.shared_stream`.

    `how` are arguments of `load`; `holders` tells which variables hold segments.
    """
    ahead = _Ahead(files, how, budget, prefix=prefix)
    ahead.start()
    try:
        while (arrays := ahead.next(holders)) is not None:
            for failure in arrays.failures.values():
                warnings.warn(f"left out: {failure}", stacklevel=3)
            names = deque(arrays.keys())
            found = deque(arrays)
            del arrays
            while found:
                array = found.popleft()
                yield names.popleft(), array
                array.close()
                del array
    finally:
        ahead.stop()


class _Ahead(threading.Thread):
    """The thread that loads, and what it has loaded."""

    def __init__(
        self, files: Mapping[str, Input], how: Mapping[str, Any], budget: int, *, prefix: bool
    ) -> None:
        super().__init__(name="shmkit-stream", daemon=True)
        self._files = deque(files.items())
        self._how = how
        self._budget = budget
        self._prefix = prefix
        self._guess = _FIRST_GUESS
        self._segments: list[Segment] = []  # of all that was loaded, and is not freed
        self._loaded: queue.Queue[SharedArrays | BaseException | None] = queue.Queue()
        self._stopped = threading.Event()
        self._waits = 0  # bytes for which there is no room

    def next(self, holders: Callable[[Sequence[Segment]], Sequence[str]]) -> SharedArrays | None:
        """The next group; None at the end."""
        while True:
            try:
                found = self._loaded.get(timeout=_TICK)
            except queue.Empty:
                if self._waits:
                    self._check_held(holders)
                continue
            if isinstance(found, BaseException):
                raise found
            return found

    def _check_held(self, holders: Callable[[Sequence[Segment]], Sequence[str]]) -> None:
        """Raise an error if the thread waits for memory that nobody will let go of."""
        gc.collect()
        held, need = self._held(), self._waits
        nbytes = sum(segment.nbytes for segment in held)
        if not need or not self._loaded.empty() or nbytes + need <= self._budget:
            return
        variables = ", ".join(holders(held)) or "variables of the program"
        where = f"memory= of this stream, of which {variables} keep {nbytes_text(nbytes)},"
        raise NotEnoughMemoryError(need, max(self._budget - nbytes, 0), self._budget, where)

    def _held(self) -> list[Segment]:
        """The segments that are loaded, or still mapped."""
        self._segments = [s for s in self._segments if s.mapped or s.linked]
        return self._segments

    def stop(self) -> None:
        """End the load that is under way, and let go of what was loaded."""
        self._stopped.set()
        self.join()
        while not self._loaded.empty():
            found = self._loaded.get()
            if isinstance(found, SharedArrays):
                found.close()

    def run(self) -> None:
        """Load group after group, each when there is room for it."""
        try:
            while self._files:
                self._load(self._group())
            self._loaded.put(None)
        except _StoppedError:
            pass
        except BaseException as error:  # noqa: BLE001 - it is raised where the arrays are waited for
            self._loaded.put(error)

    def _group(self) -> dict[str, Input]:
        """The next files: as many as are worth a load, and find room by the guess."""
        group: dict[str, Input] = {}
        nbytes = 0
        while self._files and len(group) < _GROUP_FILES:
            name, file = self._files[0]
            nbytes += file.nbytes
            if group and (nbytes > _GROUP_NBYTES or nbytes * self._guess > self._budget / 2):
                break
            group[name] = file
            self._files.popleft()
        return group

    def _load(self, group: Mapping[str, Input]) -> None:
        nbytes = sum(file.nbytes for file in group.values())
        try:
            arrays = self._load_into_room(group, self._how, int(nbytes * self._guess))
        except Exception as error:
            if len(group) > 1:  # those before the one that failed come first
                self._files.extendleft(reversed(list(group.items())))
                half = [self._files.popleft() for _ in range(len(group) // 2)]
                self._load(dict(half))
            elif isinstance(error, NotEnoughMemoryError) and error.need > self._budget // 2:
                self._load_pieces(group, error)
            else:
                raise
            return
        self._guess = max(self._guess if self._segments else 0, arrays.nbytes / max(nbytes, 1))
        self._give(arrays)

    def _load_pieces(self, file: Mapping[str, Input], shortage: NotEnoughMemoryError) -> None:
        """Load one file in pieces of rows; raises `shortage` where it has none.

        The end is where a piece is shorter than it may be. So there are none with a `transform`.
        """
        if self._how["transform"] is not None or _ROWS_GIVEN & self._how["options"].keys():
            raise shortage
        start, rows, need = 0, _FIRST_ROWS, 0
        while True:
            options = {**self._how["options"], "select": slice(start, start + rows)}
            try:
                arrays = self._load_into_room(file, {**self._how, "options": options}, need)
            except NotEnoughMemoryError as error:
                if error.need <= self._budget // 2 or rows == 1:
                    raise
                rows = max(rows // 2, 1)
                continue
            except TypeError:  # select= is of no use to its reader
                raise shortage from None
            if len(arrays) != 1:
                arrays.close()
                raise shortage
            (length,) = map(len, arrays)
            nbytes = arrays.nbytes
            start += length
            if length:
                self._give(arrays)
            else:
                arrays.close()
            del arrays  # its memory is to come back when it has been used
            if length < rows:
                return
            rows = max(int(_FULL * (self._budget // 2) * rows / max(nbytes, 1)), 1)
            need = rows * nbytes // length

    def _load_into_room(
        self, group: Mapping[str, Input], how: Mapping[str, Any], need: int
    ) -> SharedArrays:
        """Load, when there is room for what is needed, which is known better after a try."""
        while True:
            self._wait(min(need, self._budget // 2))
            room = self._budget - sum(segment.nbytes for segment in self._held())
            monitor = _Until(self._stopped)
            try:
                return load(group, most=room, monitor=monitor, prefix=self._prefix, **how)
            except NotEnoughMemoryError as error:
                # What has room in the budget and fails has none in the machine.
                if len(group) > 1 or error.need > self._budget // 2 or error.need <= room:
                    raise
                need = error.need

    def _give(self, arrays: SharedArrays) -> None:
        self._segments += [array.segment for array in arrays if array.segment is not None]
        self._loaded.put(arrays)

    def _wait(self, need: int) -> None:
        """Wait until there is room for so many bytes."""
        while sum(segment.nbytes for segment in self._held()) + need > self._budget:
            self._waits = need
            if self._stopped.wait(_TICK):
                raise _StoppedError
        self._waits = 0


class _Until(NoMonitor):
    """Shows nothing, and ends the load when it is told."""

    def __init__(self, stopped: threading.Event) -> None:
        self._stopped = stopped

    def update(self, _work: Work, /) -> None:
        """Look whether the load is wanted."""
        if self._stopped.is_set():
            raise _StoppedError
