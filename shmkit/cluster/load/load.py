"""A load on the nodes of a cluster, from paths to arrays.

client                                             each node
versions equal? plugins there? ──────────────────▶                             join.py
which node has which files ──────────────────────▶ survey_here                 placing.py
place: the largest file first, where least waits
a task a node ───────────────────────────────────▶ load_part                   steps.py
RemoteArrays
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from distributed import Client

from shmkit._monitor import Monitor
from shmkit.cluster.arrays import RemoteArrays
from shmkit.cluster.join import join
from shmkit.cluster.load.messages import (
    Part,
)
from shmkit.cluster.load.placing import nodes_with, placed, sought
from shmkit.cluster.load.steps import Steps
from shmkit.loading.board.board import Board
from shmkit.loading.files.paths import PathType, with_names
from shmkit.readers.choose import check_options

__all__ = ["load_on_nodes"]


def load_on_nodes(
    files: PathType | Iterable[PathType] | Mapping[str, PathType],
    client: Client,
    *,
    reader: Callable[[str], Any] | None,
    transform: Callable[[Any], Any] | None,
    options: Mapping[str, Any],
    processes: int | None,
    backing: PathType,
    skip_failed: bool,
    cache: object,
    monitor: Monitor[Board],
) -> RemoteArrays:
    """Load files into the shared memory of a cluster's nodes; else see `shmkit.shared_load`."""
    if cache is not None:
        raise ValueError("a cache is of this machine; leave out cache= with client=")
    join(client)
    items, names = _items(files)
    nodes = nodes_with(client, items, reader=reader is not None)
    if options:
        check_options({form for node in nodes for form in node.survey.formats}, options)
    found, paths = sought(items, nodes)
    named = dict(zip(names, items, strict=True)) if names else with_names(paths)
    load = uuid.uuid4().hex[:12]
    parts = []
    for number, (node, of_node) in enumerate(placed(named, found, nodes)):
        part = Part(
            load,
            f"shmkit-load-{load}-{number}",
            {name: named[name] for name in of_node},
            reader,
            transform,
            options,
            processes,
            backing,
            skip_failed,
            len(named) > 1 or names is not None,
        )
        parts.append((node, part))
    return Steps(client, load, parts, list(named.values()), nodes, monitor).run()


def _items(
    files: PathType | Iterable[PathType] | Mapping[str, PathType],
) -> tuple[list[str], list[str] | None]:
    """The paths and globs that are asked for, absolute; and their names, if they are given."""
    if isinstance(files, Mapping):
        given, names = list(files.values()), [str(name) for name in files]
        if len(set(names)) < len(names):
            raise ValueError("two of the names are the same text")
    else:
        given, names = [files] if isinstance(files, str | os.PathLike) else list(files), None
    if not given:
        raise ValueError("no files given")
    return [os.path.abspath(os.path.expanduser(path)) for path in given], names
