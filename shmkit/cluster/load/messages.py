"""What the client and the nodes tell each other of a load.

client ── Part ──▶ node ── Survey, Look (with Room) ──▶ client ── File ──▶ node
└─ Loaded, with a Description of each array ──▶
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from numpy.typing import NDArray

from shmkit._timeline import Timeline
from shmkit.cluster.node import host_name, this_node
from shmkit.loading.files.peers import Codes
from shmkit.readers.base import Plan
from shmkit.readers.formats import Format
from shmkit.segments.image.header import Header
from shmkit.views.array import SharedArray
from shmkit.views.table import SharedTable
from shmkit.views.text import SharedText

__all__ = ["Description", "File", "Loaded", "Look", "Part", "Room", "Shared", "Survey"]

Shared = SharedArray | SharedText | SharedTable


class Survey(NamedTuple):
    """What a node has: of each item that was asked for, the bytes of each file by its path."""

    node: str
    host: str
    cpus: int
    found: list[dict[str, int]]
    formats: set[Format]


class Room(NamedTuple):
    """What a node's part of a load needs, and what there is, in bytes."""

    need: int
    free: int
    limit: int
    where: str


class Part(NamedTuple):
    """What one node is to load.

    Attributes
    ----------
    load, key
        Of which load it is, and the key of its task.
    files
        Absolute paths by name.
    reader, transform, options, processes, backing, skip_failed, prefix
        As `loading.load.load` takes them; without `processes`, the node's CPUs.
    """

    load: str
    key: str
    files: dict[str, str]
    reader: Callable[[str], Any] | None
    transform: Callable[[Any], Any] | None
    options: Mapping[str, Any]
    processes: int | None
    backing: str | os.PathLike[str]
    skip_failed: bool
    prefix: bool


class Description(NamedTuple):
    """What a client knows of an array."""

    name: str
    path: str  # of the file
    nbytes_file: int
    is_table: bool
    header: Header  # of its segment
    nbytes: int  # of the segment
    segment: str  # its path on the node
    backing: str
    dataset: str | None  # of an HDF5 file
    plan: Plan | None


class Look(NamedTuple):
    """How far a node's load is, and what it asks its peers: a method of `Peers`, and with what."""

    names: list[str]
    paths: list[str]
    records: NDArray[Any]
    question: tuple[str, Any] | None


class File(NamedTuple):
    """What is needed to load the array of one file, or dataset, again."""

    part: str
    load: str
    described: Description
    reader: Callable[[str], Any] | None
    transform: Callable[[Any], Any] | None
    options: Mapping[str, Any]
    codes: Codes
    backing: str | os.PathLike[str]


class Loaded:
    """What a node has loaded: the arrays as long as `take` has not taken them; they do not travel.

    Attributes
    ----------
    node, host, worker
        Where it was.
    described
        The arrays.
    failures
        The files that could not be loaded, with their names.
    notes
        What the load warned of.
    timeline
        Which loader process read what when.
    """

    def __init__(
        self,
        described: list[Description],
        failures: Mapping[str, Exception],
        notes: list[str],
        timeline: Timeline,
        worker: str,
        codes: Codes,
        records: NDArray[Any],
    ) -> None:
        self.node, self.host, self.worker = this_node(), host_name(), worker
        self.described = described
        self.failures = dict(failures)
        self.notes = notes
        self.timeline = timeline
        self.codes = codes
        self.records = records
        self.arrays: dict[str, Shared] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "arrays": {}}
