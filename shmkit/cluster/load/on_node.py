"""What a node does of a load: it runs on one of the node's Dask workers, its loaders do the work.

    client                                          a worker of the node
    survey_here ──▶ which files are here, how large, how many CPUs
    load_part ────▶ a task: `loading.load`, with the node's own loader processes
    look_here ────▶ records of the files, and what the load asks           a few times a second
    answer_here ──▶ there is room on all nodes; the codes of categories
    take ─────────▶ a task a file: its array, a key of Dask's from now on
                                   └ lost, and no replica is left: the file is loaded again

The whole part of a node is one task, so that one set of loader processes works on all its files.
Each of its arrays is a result of its own, as Dask keeps and counts results: `take` finds it in the
same process. Where it does not, as when that process was killed, it loads the file, with the
options that were inferred and the codes that were agreed.

A task that Dask does not want any more (the client was interrupted, or is gone) goes on in its
thread; so the worker's plugin notes it, and the load ends at its next tick.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import queue
import time
import warnings
import weakref
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from distributed import get_worker

from shmkit import _limits
from shmkit._monitor import NoMonitor
from shmkit.cluster.load.messages import (
    Description,
    File,
    Loaded,
    Look,
    Part,
    Room,
    Shared,
    Survey,
)
from shmkit.cluster.node import host_name, this_node
from shmkit.errors import LoadError
from shmkit.loading.board.board import Board
from shmkit.loading.files.inputs import Input, inputs
from shmkit.loading.files.paths import expanded
from shmkit.loading.files.peers import Agreed, Codes, Found
from shmkit.loading.load import load
from shmkit.readers.base import Plan
from shmkit.readers.formats import Format, format_of
from shmkit.segments.backing import SHM
from shmkit.views.table import SharedTable

__all__ = [
    "answer_here",
    "end_here",
    "load_part",
    "look_here",
    "not_wanted",
    "survey_here",
    "take",
]

_WAIT = 0.1  # seconds between two looks whether a load is still wanted
_PATIENCE = 10.0  # seconds in which a load that is not wanted ends

_running: dict[str, _Running] = {}  # by key of its task
_loaded: weakref.WeakValueDictionary[str, Loaded] = weakref.WeakValueDictionary()


class _Running:
    """A load that runs here: its monitor, and what stands for its peers on other nodes."""

    def __init__(self, part: Part) -> None:
        self.load = part.load
        self.backing = part.backing
        self.board: Board | None = None
        self.question: tuple[str, Any] | None = None
        self.answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.wanted = True
        self.agreed: Codes = {}
        self.rounds = 0  # in which plans were agreed

    def begin(self, board: Board) -> None:
        self.board = board

    def update(self, board: Board) -> None:
        del board
        if not self.wanted:
            raise NotWantedError

    def end(self, board: Board) -> None:
        del board

    close = end

    def plans(self, own: Sequence[Plan]) -> Sequence[Plan]:
        self.rounds += 1
        plans: Sequence[Plan] = self._ask(f"plans {self.rounds}", list(own))
        return plans

    def room(self, need: int) -> None:
        self._ask("room", _room(need, self.backing))

    def codes(self, found: Found) -> Agreed:
        agreed: Agreed = self._ask("codes", found)
        self.agreed = agreed.codes
        return agreed

    def _ask(self, what: str, value: object) -> Any:
        self.question = what, value
        while True:
            if not self.wanted:
                raise NotWantedError
            with contextlib.suppress(queue.Empty):
                answer = self.answers.get(timeout=_WAIT)
                self.question = None
                return answer


class NotWantedError(BaseException):
    """Ends a load that nobody waits for; no error of a file, so that none is skipped for it."""


def _room(need: int, backing: str | os.PathLike[str]) -> Room:
    """The smallest room that there is for these bytes, where the backing is."""
    rooms = [_limits.memory()]
    if backing not in ("auto", "shm", "memfd"):
        rooms = [_limits.room_in(os.path.abspath(backing))]
    elif backing == "shm" and os.path.isdir(SHM):
        rooms.append(_limits.room_in(SHM))
    where, free, limit = min(rooms, key=lambda room: room.free)
    return Room(need, free, limit, where)


async def survey_here(items: Sequence[str], reader: bool) -> Survey:
    """Which files are here; paths and globs are absolute."""
    return await asyncio.to_thread(_survey, items, reader)  # a network's file system takes its time


def _survey(items: Sequence[str], reader: bool) -> Survey:
    found: list[dict[str, int]] = []
    for item in items:
        of_item = {}
        with contextlib.suppress(OSError):
            for path in expanded(item):
                of_item[path] = os.stat(path).st_size
        found.append(of_item)
    paths = [path for of_item in found for path in of_item]
    formats = {Format.CUSTOM} if reader else {format_of(path, None) for path in paths}
    return Survey(this_node(), host_name(), _limits.cpus(), found, formats)


def load_part(part: Part) -> Loaded:
    """Load what a node is to load; a task of Dask's."""
    running = _running[part.key] = _Running(part)
    notes: list[warnings.WarningMessage] = []
    try:
        with (
            warnings.catch_warnings(record=True) as notes,
            inputs(part.files, part.reader, part.backing, skip_failed=part.skip_failed) as found,
        ):
            arrays = load(
                found,
                reader=part.reader,
                transform=part.transform,
                options=part.options,
                processes=part.processes or _limits.cpus(),
                backing=part.backing,
                skip_failed=part.skip_failed,
                monitor=running,
                prefix=part.prefix,
                peers=running,
            )
    except NotWantedError:
        raise RuntimeError("this load is not wanted any more") from None
    finally:
        del _running[part.key]
    board = running.board
    assert board is not None
    loaded = Loaded(
        [_described(name, array, found, board) for name, array in arrays.items()],
        arrays.failures,
        [str(note.message) for note in notes],
        board.timeline(),
        get_worker().address,
        running.agreed,
        board.records,
    )
    loaded.arrays = {name: _of_load(array, part.load) for name, array in arrays.items()}
    _loaded[part.key] = loaded
    return loaded


def _described(name: str, array: Any, files: Mapping[str, Input], board: Board) -> Description:
    segment = array.segment
    path = segment.source["file"]
    return Description(
        name,
        path,
        next(file.nbytes for file in files.values() if file.path == path),
        isinstance(array, SharedTable),
        segment.header,
        segment.nbytes,
        segment.path,
        segment.backing,
        segment.source["options"].get("dataset"),
        next(file.plan for file in board.files if file.segment is segment),
    )


def _of_load(array: Any, load: str) -> Any:
    """The array, which knows of which load it is, and so do all that it is handed to."""
    array.segment.source = {**array.segment.source, "load": load}
    return array


def take(file: File) -> Shared:
    """The array of a file: as it was loaded here, or loaded again; a task of Dask's."""
    described = file.described
    loaded = _loaded.get(file.part)
    if loaded is not None:
        return loaded.arrays[described.name]
    size = os.stat(described.path).st_size
    if size != described.nbytes_file:
        raise LoadError(
            described.path,
            None,
            None,
            f"had {described.nbytes_file} bytes when it was loaded, and has {size} now that it is "
            "to be loaded again, as all processes that had its array are gone; load it anew",
        )
    options = dict(file.options)
    if described.dataset is not None:
        options["dataset"] = [described.dataset]
        if isinstance(select := options.get("select"), Mapping):
            options["select"] = {k: v for k, v in select.items() if k == described.dataset}
    with inputs(
        {described.name: described.path}, file.reader, file.backing, skip_failed=False
    ) as it:
        (array,) = load(
            it,
            reader=file.reader,
            transform=file.transform,
            options=options,
            processes=_limits.cpus(),
            backing=file.backing,
            skip_failed=False,
            monitor=NoMonitor(),
            peers=_Settled(file.codes, described.plan),
        )
    return _of_load(array, file.load)  # type: ignore[no-any-return]


class _Settled:
    """What was settled when the array was loaded first."""

    def __init__(self, codes: Codes, plan: Plan | None) -> None:
        self._codes = codes
        self._plan = plan

    def plans(self, own: Sequence[Plan]) -> Sequence[Plan]:
        """The plan of this file, as it was agreed."""
        del own
        return () if self._plan is None or self._plan.key is None else [self._plan]

    def room(self, need: int) -> None:
        """Go on: where there is no room, the load says so."""

    def codes(self, found: Found) -> Agreed:
        del found
        return Agreed(self._codes, {})


def look_here(keys: Sequence[str]) -> dict[str, Look]:
    """How far those loads are that run here."""
    looks = {}
    for key in keys:
        running = _running.get(key)
        if running is not None and running.board is not None:
            board = running.board
            names = [file.name for file in board.files]
            paths = [file.path for file in board.files]
            looks[key] = Look(names, paths, np.array(board.records), running.question)
    return looks


def answer_here(key: str, question: str, answer: object) -> None:
    """Answer what a load here asks."""
    running = _running.get(key)
    if running is not None and running.question is not None and running.question[0] == question:
        running.answers.put(answer)


def not_wanted(key: str) -> None:
    """End a load whose task nobody waits for."""
    if key in _running:
        _running[key].wanted = False


async def end_here(load: str) -> None:
    """End what runs here of a load, and wait for that."""
    ends = time.monotonic() + _PATIENCE
    while time.monotonic() < ends:
        mine = [running for running in list(_running.values()) if running.load == load]
        if not mine:
            return
        for running in mine:
            running.wanted = False
        await asyncio.sleep(_WAIT)
