"""The steps of a load on a cluster, as the client sees them.

    client                                             each node
    a task a node ───────────────────────────────────▶ load_part: its own loader processes
    a few times a second: records, questions ◀───────▶ look_here, answer_here
        plans  when all have looked into their files: one type for each column
        room   when all have said what they need: go on, or nobody does
        codes  when all have read: the same code for a text on every node
    a task an array ─────────────────────────────────▶ take
    RemoteArrays

There is no scheduler, no transport and no retry here: if a node is lost, Dask runs its task on
another one. What the client asks and answers goes by `Client.run`, to one worker of each node.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from distributed import Client, Future, wait

from shmkit._format import nbytes_text
from shmkit._monitor import Monitor
from shmkit.cluster.arrays import RemoteArray, RemoteArrays
from shmkit.cluster.load.messages import (
    File,
    Loaded,
    Look,
    Part,
    Room,
)
from shmkit.cluster.load.on_node import (
    answer_here,
    end_here,
    load_part,
    look_here,
    take,
)
from shmkit.cluster.load.placing import Node
from shmkit.cluster.plugins import close_here, workers_of
from shmkit.errors import NotEnoughMemoryError
from shmkit.loading.board.board import Board
from shmkit.loading.board.record import RECORD, State
from shmkit.loading.file import LoadingFile
from shmkit.loading.files.peers import agreed_codes
from shmkit.segments.image.header import Header

__all__ = ["Steps"]

_PERIOD = 0.1  # seconds between two looks at the nodes


class _FarSegment:
    """What a board says of a segment that is on a node."""

    def __init__(self, array: RemoteArray) -> None:
        self.backing = f"{array.node} {array.described.backing}"
        self.path = array.described.segment
        self.header: Header = array.described.header
        self.nbytes = array.nbytes
        self.linked = True
        self.mapped = False


class Steps:
    """The steps of one load, in the client's process."""

    def __init__(
        self,
        client: Client,
        load: str,
        parts: Sequence[tuple[Node, Part]],
        paths: Sequence[str],
        nodes: Sequence[Node],
        monitor: Monitor[Board],
    ) -> None:
        self.client = client
        self.load = load
        self.parts = {part.key: (node, part) for node, part in parts}
        self.paths = paths
        self.nodes = nodes
        self.monitor = monitor
        self.where = {part.key: node.leader for node, part in parts}  # the task of a part runs
        self.looks: dict[str, Look] = {}
        self.places: dict[str, list[int]] = {}  # on the board, of a part's files
        self.board: Board | None = None
        self.asked: dict[str, dict[str, Any]] = {}  # by question, and part
        self.answers: dict[str, dict[str, Any]] = {}

    def run(self) -> RemoteArrays:
        """Load, or leave nothing."""
        futures: list[Future] = []
        arrays: dict[str, RemoteArray] = {}
        try:
            futures += self.submitted()
            while not all(future.done() for future in futures):
                self.look(futures)
                time.sleep(_PERIOD)
            loaded = self.results(futures)
            arrays = self.taken(loaded)
            self.end(loaded, arrays)
        except BaseException as error:
            for future in [*futures, *arrays.values()]:
                future.release()
            arrays.clear()
            self.clean()
            if self.board is not None and not self.board.ended:
                self.board.failed = True
                self.board.cancelled = isinstance(error, KeyboardInterrupt)
                self.board.end()
                self.monitor.end(self.board)
            raise
        failures = {name: error for part in loaded for name, error in part.failures.items()}
        for note in [note for part in loaded for note in part.notes]:
            warnings.warn(note, stacklevel=4)  # of who calls shared_load
        timelines = {part.host: part.timeline for part in loaded}
        return RemoteArrays(arrays, failures, self.load, self.client, self.close, timelines)

    def submitted(self) -> list[Future]:
        """The task of each node."""
        futures = []
        for key, (node, part) in self.parts.items():
            everywhere = all(
                path in found
                for other in self.nodes
                for path in part.files.values()
                for found in [{p for of_item in other.survey.found for p in of_item}]
            )
            # One worker of the node, so that its loader processes are warm for the next load. If
            # that one is lost, another; of the same node, if others do not have the files.
            workers = [node.leader] if everywhere else node.workers
            futures.append(
                self.client.submit(
                    load_part, part, key=key, workers=workers, allow_other_workers=True, pure=False
                )
            )
        return futures

    def look(self, futures: Sequence[Future]) -> None:
        """See how far the nodes are, show it, and answer what they ask."""
        pending = [str(future.key) for future in futures if not future.done()]
        for future in futures:
            if future.status == "error":
                self.results(futures)
        answers = self.ask({self.where[key] for key in pending}, look_here, pending)
        seen = {}
        for worker, looks in answers.items():
            for key, found in looks.items():
                seen[key] = found
                self.where[key] = worker
        self.looks |= seen
        if seen.keys() < set(pending):
            for worker, keys in self.client.processing().items():
                for key in keys:
                    if key in self.where:
                        self.where[str(key)] = worker
        self.show()
        self.answer(seen)

    def ask(self, workers: set[str], function: Callable[..., Any], *arguments: Any) -> Any:
        """Have workers run a function; those that are lost are not waited for."""
        living = sorted(workers & self.client.run_on_scheduler(workers_of))
        if not living:
            return {}
        return self.client.run(function, *arguments, workers=living, on_error="ignore")

    def show(self) -> None:
        """Bring the board up to date, and have it shown."""
        if self.looks.keys() < self.parts.keys():
            return
        if self.board is None:
            self.begin()
        assert self.board is not None
        for key, places in self.places.items():
            self.board.records[places] = self.looks[key].records
        self.monitor.update(self.board)

    def begin(self) -> None:
        """Make the board, of all files in their order: an HDF5 file is one for each dataset."""
        order = {path: number for number, path in enumerate(self.paths)}
        listed = []
        for key, look in self.looks.items():
            for place, (name, path) in enumerate(zip(look.names, look.paths, strict=True)):
                listed.append((order[path], place, key, name, path))
        listed.sort()
        self.places = {key: [0] * len(look.names) for key, look in self.looks.items()}
        files = []
        for number, (_, place, key, name, path) in enumerate(listed):
            nbytes = int(self.looks[key].records["bytes_total"][place])
            self.places[key][place] = number
            files.append(LoadingFile(name, path, nbytes))
        records = np.zeros(len(files), RECORD)
        for key, places in self.places.items():
            records[places] = self.looks[key].records
        self.board = Board(files, records, sum(node.survey.cpus for node, _ in self.parts.values()))
        self.monitor.begin(self.board)

    def answer(self, seen: Mapping[str, Look]) -> None:
        """Answer each question that all loads have asked: they ask the same ones in turn.

        What is settled stays so: a load that begins anew, as its process was killed, asks again.
        """
        questions = {key: look.question for key, look in seen.items() if look.question}
        for key, (what, value) in questions.items():
            self.asked.setdefault(what, {}).setdefault(key, value)
        for key, (what, _) in questions.items():
            if self.asked[what].keys() == self.parts.keys():
                if what not in self.answers:
                    self.answers[what] = self.settled(what, self.asked[what])
                self.ask({self.where[key]}, answer_here, key, what, self.answers[what][key])

    def settled(self, what: str, asked: Mapping[str, Any]) -> dict[str, Any]:
        """What to answer each load, by its key."""
        if what == "room":
            self.check_room(asked)
            return dict.fromkeys(asked)
        if what == "codes":
            by_name = {name: texts for of_node in asked.values() for name, texts in of_node.items()}
            assert self.board is not None
            ordered = [file.name for file in self.board.files if file.name in by_name]
            return dict.fromkeys(asked, agreed_codes({name: by_name[name] for name in ordered}))
        return {
            key: [plan for other in asked if other != key for plan in asked[other]] for key in asked
        }

    def check_room(self, rooms: Mapping[str, Room]) -> None:
        """Raise NotEnoughMemoryError, with the figures of each node, if one has too little room."""
        if all(room.need <= room.free for room in rooms.values()):
            return
        hosts = {key: self.parts[key][0].survey.host for key in rooms}
        figures = "; ".join(
            f"{hosts[key]}: {nbytes_text(room.need)} needed, {nbytes_text(room.free)} free of "
            f"{nbytes_text(room.limit)}"
            for key, room in rooms.items()
        )
        key, short = max(rooms.items(), key=lambda item: item[1].need - item[1].free)
        where = f"{short.where} of {hosts[key]} (of all nodes, {figures})"
        raise NotEnoughMemoryError(short.need, short.free, short.limit, where)

    def results(self, futures: Sequence[Future]) -> list[Loaded]:
        """What the nodes have loaded; raises the first error of one."""
        for future in futures:
            if future.status == "error":
                error = future.exception()
                assert error is not None
                raise error
        found: list[Loaded] = self.client.gather(list(futures))
        return found

    def taken(self, loaded: Sequence[Loaded]) -> dict[str, RemoteArray]:
        """The arrays, each a key of Dask's, when they are in memory on their nodes."""
        futures: dict[str, tuple[Future, Any, Loaded]] = {}
        for (_, part), there in zip(self.parts.values(), loaded, strict=True):
            files = [
                File(
                    part.key,
                    self.load,
                    one,
                    part.reader,
                    part.transform,
                    part.options,
                    there.codes,
                    part.backing,
                )
                for one in there.described
            ]
            if not files:
                continue
            keys = [f"{file.described.name}-{self.load}" for file in files]
            mapped = self.client.map(
                take, files, key=keys, workers=[there.worker], allow_other_workers=True, pure=False
            )
            for future, file in zip(mapped, files, strict=True):
                futures[file.described.name] = future, file.described, there
        wait([future for future, *_ in futures.values()])
        for future, *_ in futures.values():
            future.result() if future.status == "error" else None
        order = {path: number for number, path in enumerate(self.paths)}
        # In the order of the files, and of the datasets in each: this sort keeps what is equal.
        ordered = sorted(futures.items(), key=lambda item: order[item[1][1].path])
        return {
            name: RemoteArray(future, described, there.host)
            for name, (future, described, there) in ordered
        }

    def end(self, loaded: Sequence[Loaded], arrays: Mapping[str, RemoteArray]) -> None:
        """Show how it ended."""
        if self.board is None:
            return
        failures = {name: error for part in loaded for name, error in part.failures.items()}
        for key, part in zip(self.parts, loaded, strict=True):
            self.board.records[self.places[key]] = part.records
        for file in self.board.files:
            file.error = failures.get(file.name)
            if file.name in arrays:
                file.segment = _FarSegment(arrays[file.name])  # type: ignore[assignment]
                file.record["state"] = State.READY
        self.board.end()
        self.monitor.end(self.board)

    def close(self) -> None:
        """Show that the arrays are closed."""
        if self.board is not None:
            self.board.closed = True
            for file in self.board.files:
                if file.segment is not None:
                    file.segment.linked = False  # type: ignore[misc]
            self.monitor.close(self.board)

    def clean(self) -> None:
        """End what still runs of the load on the nodes, and unlink what it made."""
        if self.client.status == "running":
            self.client.run(end_here, self.load, on_error="ignore")
            self.client.run(close_here, self.load, on_error="ignore")
