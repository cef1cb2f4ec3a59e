"""What shmkit adds to the processes of a Dask cluster, by Dask's plugins; installed by the client.

    client ── register_plugin ──▶ scheduler   Replicas: every process of a node holds its arrays
                              ├─▶ workers     OnWorker: hand-over, node, memory, bandwidth
                              └─▶ nannies     OnNanny: memory

Dask installs them in workers that come later as well: a nanny that restarts one, a larger cluster.

**Replicas.** When a shared array is computed, the other processes of its node are told to get it,
which maps it there. So Dask's scheduler, which runs a task where its arguments are, may choose any
process of the node, and a process that is killed takes no array with it. Its active memory manager
would drop such replicas every two seconds: `KeepNear` stands in the place of its policy. It also
gives replicas to workers that came later, and takes those of other nodes away when no task waits
for them.

**Memory.** Dask's limits are of one process; shared pages belong to the node. So a worker counts
its own memory (RssAnon) alone, for itself and for its nanny; a shared array weighs nothing among
the data that are spilled to disk, and is not spilled: nothing would be won. The scheduler refuses a
task whose arguments are larger than its worker's limit, so there the limit is that of the node.

**Names.** A segment's name goes with its last view. A view in a cycle, as pandas makes them, would
wait for Python's garbage collector; so that runs a second after a result was let go, if a segment
is mapped that no result is. And Dask keeps what it logs, so also the traceback of a transfer that
failed, with the array in it: this is kept as text.

**Bandwidth.** A reference to 120 MB takes some milliseconds. Counted as a transfer, it raises
Dask's estimate of the bandwidth to 29 GB/s, and then whole arrays are moved to other nodes. So what
comes from the same node is no transfer.

One hook is private to Dask: `Worker._update_metrics_received_data`. A version of Dask without it
is used as it is; then its estimate is wrong, and nothing else.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import traceback
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import psutil
from distributed import NannyPlugin, SchedulerPlugin, WorkerPlugin
from distributed.active_memory_manager import ReduceReplicas, Suggestion
from tornado.ioloop import PeriodicCallback

from shmkit import _limits
from shmkit.cluster import handover
from shmkit.cluster.load.messages import Loaded
from shmkit.cluster.load.on_node import not_wanted
from shmkit.cluster.node import FIELD, this_node
from shmkit.segments.segment import mapped_here
from shmkit.views.array import SharedArray
from shmkit.views.table import SharedTable
from shmkit.views.text import SharedText

if TYPE_CHECKING:
    from distributed import Nanny, Scheduler, Worker

__all__ = ["OnNanny", "OnWorker", "Replicas", "close_here", "nodes_of", "workers_of"]

_NAME = "shmkit"
_TOPIC = "shmkit-nodes"
_TIDY = 1.0  # seconds from the end of an array to a look whether garbage holds it
_KINDS = SharedArray, SharedText, SharedTable
_SHARED = frozenset(f"{kind.__module__}.{kind.__qualname__}" for kind in _KINDS)


class OnWorker(WorkerPlugin):
    """What a worker process needs."""

    name = _NAME
    idempotent = True

    def setup(self, worker: Worker) -> None:
        """Hand over arrays, say which node this is, count its own memory only."""
        self._worker = worker
        self._tidying: asyncio.TimerHandle | None = None
        handover.install()
        handover.addresses.add(worker.contact_address or worker.address)
        worker.rpc.connection_args["handshake_overrides"] = {
            **(worker.rpc.connection_args.get("handshake_overrides") or {}),
            FIELD: this_node(),
        }
        worker.rpc.collect()  # idle connections have not said it
        limit = _limits.memory().limit
        worker.log_event(_TOPIC, [worker.contact_address or worker.address, this_node(), limit])
        worker.monitor.get_process_memory = partial(own_memory, worker.monitor.proc)
        for name in ("distributed.core", "distributed.worker"):
            logging.getLogger(name).addFilter(_as_text)
        _keep_shared_in_memory(worker)
        _count_far_transfers_only(worker)

    def transition(self, key: Any, start: str, finish: str, **_options: Any) -> None:
        """End a load whose task is not wanted any more: Dask cannot. See that names go."""
        del start
        if finish in ("cancelled", "released", "forgotten"):
            not_wanted(key)
            if self._tidying is None:
                self._tidying = asyncio.get_running_loop().call_later(_TIDY, self._tidy)

    def _tidy(self) -> None:
        """Collect garbage if it may hold a segment: one in a cycle would keep its name for long."""
        self._tidying = None
        values = list(getattr(self._worker.data, "fast", self._worker.data).values())
        known = {value.segment for value in values if isinstance(value, _KINDS)}
        if any(segment.owned and segment not in known for segment in mapped_here()):
            gc.collect()


class OnNanny(NannyPlugin):
    """What a nanny needs: it must not take shared memory for its worker's own."""

    name = f"{_NAME}-nanny"
    idempotent = True
    restart = False

    def setup(self, nanny: Nanny) -> None:
        """Look at the worker's own memory, before its manager looks at all of it."""
        manager = nanny.memory_manager
        known = nanny.periodic_callbacks.get("memory_monitor")
        if known is None:  # no limit
            return

        def monitor() -> None:
            process = nanny.process and nanny.process.process
            if process is None or process.pid is None:
                return
            try:
                memory = own_memory(psutil.Process(process.pid))
            except (psutil.Error, OSError):
                return
            if memory > manager.memory_limit * manager.memory_terminate_fraction:
                manager.memory_monitor(nanny)

        known.stop()
        callback = PeriodicCallback(monitor, known.callback_time)
        nanny.periodic_callbacks["memory_monitor"] = callback
        callback.start()


class Replicas(SchedulerPlugin):
    """Keeps every shared array in all worker processes of each node that has it."""

    name = f"{_NAME}-replicas"
    idempotent = True

    def __init__(self) -> None:
        self.nodes: dict[str, str] = {}  # of each worker, by address
        self._workers: dict[str, set[str]] = {}  # addresses on each node
        self._shared: set[Any] = set()  # keys of shared arrays in memory
        self._scheduler: Any = None

    async def start(self, scheduler: Scheduler) -> None:
        """Take the place of the policy that drops replicas."""
        handover.install()
        self._scheduler = scheduler
        manager = scheduler.extensions.get("amm")
        if manager is not None:
            for policy in [p for p in manager.policies if type(p) is ReduceReplicas]:
                manager.policies.discard(policy)
                manager.add_policy(KeepNear(self))

    def log_event(self, topic: str, msg: Any) -> None:
        """Note on which node a worker is, and that it may map as much as the node has."""
        if topic == _TOPIC:
            worker, node, limit = msg
            self.nodes[worker] = node
            self._workers.setdefault(node, set()).add(worker)
            state = self._scheduler.workers.get(worker)
            if state is not None and state.memory_limit:
                state.memory_limit = max(state.memory_limit, limit)

    def add_worker(self, scheduler: Scheduler, worker: str) -> None:
        """Let tasks run here that would rather have run on workers that are gone.

        Dask runs such a task anywhere; but if all workers were gone at once, it waits for those.
        """
        del worker
        for task in scheduler.unrunnable:
            if task.loose_restrictions and not scheduler.valid_workers(task):
                task.worker_restrictions = None

    def remove_worker(self, scheduler: Scheduler, worker: str, **_options: Any) -> None:
        """Forget a worker."""
        del scheduler
        if node := self.nodes.pop(worker, None):
            self._workers[node].discard(worker)

    def transition(self, key: Any, start: str, finish: str, *_: Any, **_options: Any) -> None:
        """Have a new array mapped by all processes of its node."""
        if start == "memory" and finish != "memory":
            self._shared.discard(key)
        if finish != "memory":
            return
        task = self._scheduler.tasks.get(key)
        # What only other tasks want, as a chunk of a collection, is made anew in no time.
        if task is not None and task.type in _SHARED and task.who_wants:
            self._shared.add(key)
            for worker in self._without(task):
                self._scheduler.request_acquire_replicas(worker, [key], stimulus_id=_NAME)

    def _without(self, task: Any) -> set[str]:
        """The workers that do not hold it, of the nodes that do."""
        holders = {worker.address for worker in task.who_has or ()}
        nodes = {self.nodes.get(worker) for worker in holders} - {None}
        near = set().union(*(self._workers[node] for node in nodes if node))
        return near - holders

    def _far(self, task: Any) -> set[Any]:
        """The holders on all nodes but one."""
        by_node: dict[str, set[Any]] = {}
        for worker in task.who_has or ():
            by_node.setdefault(self.nodes.get(worker.address, worker.address), set()).add(worker)
        _, *others = sorted(by_node.values(), key=len, reverse=True)
        return set().union(*others)

    def suggestions(self) -> Iterator[Suggestion]:
        """What the active memory manager is to do: to drop or to make replicas of arrays."""
        workers = self._scheduler.workers
        for key in list(self._shared):
            task = self._scheduler.tasks[key]
            if not task.waiters and (far := self._far(task)):
                for worker in far:
                    yield Suggestion("drop", task, {worker})
            else:
                for address in self._without(task) & workers.keys():
                    yield Suggestion("replicate", task, {workers[address]})


class KeepNear(ReduceReplicas):
    """Drops superfluous replicas as `ReduceReplicas` does, but none of arrays within a node."""

    def __init__(self, replicas: Replicas) -> None:
        self._replicas = replicas

    def run(self) -> Any:
        """What the manager is to do now."""
        for suggestion in super().run():
            if suggestion.ts.type not in _SHARED:
                yield suggestion
        yield from self._replicas.suggestions()


def nodes_of(dask_scheduler: Any = None) -> dict[str, str]:
    """The node of each worker that has its plugin; runs on the scheduler."""
    return dict(dask_scheduler.plugins[Replicas.name].nodes)


def workers_of(dask_scheduler: Any = None) -> set[str]:
    """The addresses of all workers; runs on the scheduler."""
    return set(dask_scheduler.workers)


def close_here(load: str) -> None:
    """Unlink what this process owns of a load's arrays; runs on workers."""
    gc.collect()
    for segment in mapped_here():
        if segment.source.get("load") == load:
            segment.unlink()


def own_memory(process: psutil.Process) -> int:
    """Bytes of memory that are a process's own, neither shared nor a file's."""
    with open(f"/proc/{process.pid}/status", encoding="utf-8") as status:
        for line in status:
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1024
    return int(process.memory_info().rss)


def _as_text(record: logging.LogRecord) -> bool:
    """Have a log record hold the text of its traceback, and none of its frames' variables."""
    if record.exc_info and record.exc_info[0] is not None:
        record.exc_text = "".join(traceback.format_exception(*record.exc_info)).rstrip()
        record.exc_info = None
    return True


def _is_shared(value: object) -> bool:
    return isinstance(value, (*_KINDS, Loaded))


def _keep_shared_in_memory(worker: Worker) -> None:
    """Have the worker's data spilled to disk, but for shared arrays."""
    data: Any = worker.data
    if not hasattr(data, "fast"):  # it spills nothing
        return
    fast = data.fast
    weight, evict, evict_one = fast.weight, fast.evict, data.evict

    def own_weight(key: Any, value: object) -> float:
        return 0 if _is_shared(value) else weight(key, value)

    def evict_own(*key: Any) -> Any:
        if not key:
            key = tuple(k for k in (*fast.heavy, *fast.order) if not _is_shared(fast.d.get(k)))[:1]
            if not key:
                raise KeyError("evict(): nothing but shared arrays")
        return evict(*key)

    def evict_one_own() -> int:
        try:
            return int(evict_one())
        except KeyError:
            return -1  # as where the disk is full

    fast.weight, fast.evict, data.evict = own_weight, evict_own, evict_one_own


def _count_far_transfers_only(worker: Worker) -> None:
    """Leave what comes from this node out of Dask's estimate of the bandwidth."""
    update = getattr(worker, "_update_metrics_received_data", None)
    if update is None:
        return

    def far_only(start: float, stop: float, data: Any, cause: Any, worker: str) -> None:
        update(start, stop, {} if worker in handover.near else data, cause, worker)

    worker._update_metrics_received_data = far_only  # noqa: SLF001
