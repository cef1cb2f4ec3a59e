"""Two nodes with a Dask cluster, made once for all tests; and two where no cluster is."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from machine import refuse
from nodes import Cluster, Nodes, Session, missing

from shmkit.sample import methylation


def two_nodes():
    if lacking := missing():
        refuse(lacking)
    two = Nodes()
    yield two
    two.close()


@pytest.fixture(scope="session")
def nodes():
    """Those of `cluster`."""
    yield from two_nodes()


@pytest.fixture(scope="module")
def apart():
    """Two more, whose shared memory no test of another module or process uses."""
    yield from two_nodes()


@pytest.fixture(scope="session")
def cluster(nodes, tmp_path_factory):
    """Two workers on each node, their log and files in a folder that both nodes see."""
    running = Cluster(nodes, folder=str(tmp_path_factory.mktemp("dask")))
    yield running
    running.close()


@pytest.fixture(scope="module")
def session(nodes, cluster):
    """A Python on node 1 with a client."""
    python = Session(nodes)
    python.connect(cluster.count)
    yield python
    python.close()


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Four text files of different sizes, whose names and contents differ."""
    folder = tmp_path_factory.mktemp("files")
    for number in range(4):
        methylation(folder / f"s{number}.txt", rows=60_000 + 10_000 * number, seed=number)
    return SimpleNamespace(folder=folder, glob=str(folder / "*.txt"))
