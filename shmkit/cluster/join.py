"""A client joins: the cluster's processes and it have the same shmkit, and hand over arrays to it.

What is installed by plugins is in workers that come later, too, however they are started.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
from collections import defaultdict

from distributed import Client

from shmkit.cluster import handover
from shmkit.cluster.node import FIELD, this_node
from shmkit.cluster.plugins import OnNanny, OnWorker, Replicas
from shmkit.errors import ClusterError

__all__ = ["join"]


def join(client: Client) -> None:
    """Have this process and the cluster hand over arrays to each other.

    Raises
    ------
    ClusterError
        If shmkit is missing in the scheduler or a worker, or has another version there.
    ValueError
        For an asynchronous client.
    """
    if client.asynchronous:
        raise ValueError("client= is asynchronous; give one made with asynchronous=False")
    told = client.rpc.connection_args.setdefault("handshake_overrides", {})
    if FIELD in told:  # it has joined before
        return
    _check_versions(client)
    handover.install()
    told[FIELD] = this_node()
    client.rpc.collect()  # idle connections have not said it
    for plugin in (Replicas(), OnWorker(), OnNanny()):
        client.register_plugin(plugin)


def _check_versions(client: Client) -> None:
    """Raise ClusterError unless all processes of the cluster have this version of shmkit."""
    here = importlib.metadata.version("shmkit")
    answers = client.run(importlib.metadata.version, "shmkit", on_error="return")
    if not answers:
        raise ClusterError(
            "the cluster has no workers; start some, or wait: client.wait_for_workers(1)"
        )
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        answers["the scheduler"] = client.run_on_scheduler(importlib.metadata.version, "shmkit")
    answers.setdefault("the scheduler", importlib.metadata.PackageNotFoundError("shmkit"))
    others: dict[str, list[str]] = defaultdict(list)
    for where, there in answers.items():
        if isinstance(there, importlib.metadata.PackageNotFoundError):
            others["is not installed"].append(where)
        elif isinstance(there, Exception):
            raise there
        elif there != here:
            others[f"is {there}"].append(where)
    if others:
        where = "; ".join(f"{what} on {', '.join(there)}" for what, there in others.items())
        raise ClusterError(
            f"shmkit is {here} here, but {where}; install the same there: "
            f"pip install 'shmkit[dask]=={here}'"
        )
