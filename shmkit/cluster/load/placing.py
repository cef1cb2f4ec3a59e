"""Which node loads which files: one that has them, and whose CPUs have least to do.

paths, globs ──▶ survey_here on one worker of each node ──▶ the files that each node has
largest file first ──▶ the node where it would be done first
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from distributed import Client

from shmkit.cluster.load.messages import (
    Survey,
)
from shmkit.cluster.load.on_node import (
    survey_here,
)
from shmkit.cluster.plugins import nodes_of, workers_of

__all__ = ["Node", "nodes_with", "placed", "sought"]

_PERIOD = 0.1  # seconds between two looks whether all workers have said it
_PATIENCE = 10.0  # seconds in which a worker says on which node it is


class Node(NamedTuple):
    """A node with its workers; one of them does the node's part of each load."""

    survey: Survey
    workers: list[str]

    @property
    def leader(self) -> str:
        """The worker that does the node's part of a load: always the same, if it lives."""
        return self.workers[0]


def nodes_with(client: Client, items: Sequence[str], *, reader: bool) -> list[Node]:
    """The nodes of the cluster, and which of the files each has."""
    ends = time.monotonic() + _PATIENCE
    while True:
        known = client.run_on_scheduler(nodes_of)
        if client.run_on_scheduler(workers_of) <= known.keys() or time.monotonic() > ends:
            break
        time.sleep(_PERIOD)
    workers: dict[str, list[str]] = defaultdict(list)
    for address, node in known.items():
        workers[node].append(address)
    leaders = {node: min(there) for node, there in workers.items()}
    surveys = client.run(survey_here, items, reader, workers=[*leaders.values()])
    return [
        Node(surveys[leader], sorted(workers[node]))
        for node, leader in sorted(leaders.items(), key=lambda item: surveys[item[1]].host)
    ]


def sought(
    items: Sequence[str], nodes: Sequence[Node]
) -> tuple[dict[str, tuple[int, list[Node]]], list[str]]:
    """Bytes of each file and which nodes have it; and the files in the order they are asked for."""
    found: dict[str, tuple[int, list[Node]]] = {}
    paths: list[str] = []
    for number, item in enumerate(items):
        having: dict[str, list[Node]] = defaultdict(list)
        for node in nodes:
            for path in node.survey.found[number]:
                having[path].append(node)
        if not having:
            hosts = ", ".join(node.survey.host for node in nodes)
            raise FileNotFoundError(f"no file matches {item!r} on any node: {hosts}")
        for path in sorted(having):
            sizes = {node.survey.host: node.survey.found[number][path] for node in having[path]}
            if len(set(sizes.values())) > 1:
                figures = ", ".join(f"{nbytes} bytes on {host}" for host, nbytes in sizes.items())
                raise ValueError(f"{path} is not the same file on all nodes: {figures}")
            found[path] = next(iter(sizes.values())), having[path]
        paths += sorted(having)
    return found, paths


def placed(
    named: Mapping[str, str],
    found: Mapping[str, tuple[int, list[Node]]],
    nodes: Sequence[Node],
) -> list[tuple[Node, list[str]]]:
    """Which node loads which files, by name and in order: each where its CPUs have least to do."""
    work = {node.leader: 0.0 for node in nodes}
    chosen: dict[str, str] = {}
    for name, path in sorted(named.items(), key=lambda item: -found[item[1]][0]):
        nbytes, having = found[path]
        node = min(having, key=lambda n: work[n.leader] + (nbytes + 1) / n.survey.cpus)
        work[node.leader] += (nbytes + 1) / node.survey.cpus
        chosen[name] = node.leader
    placed = [(node, [name for name in named if chosen[name] == node.leader]) for node in nodes]
    return [(node, names) for node, names in placed if names]
