"""Loader processes beside the process pools that one could use instead.

Run with ``python tests/benchmarks/loaders.py``. For each pool: the time to the first result, the
time of a call once it is warm, the time until a killed worker is noticed, and what still runs two
seconds after the owner was killed.
"""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys
import time

import loky

from shmkit.loaders.loader import Task
from shmkit.loaders.pool import LoaderPool
from shmkit.loaders.process import Died

WARM_CALLS = 200


class Shmkit:
    def map(self, function, arguments):
        with LoaderPool(2) as loaders:
            tasks = [Task(function, (argument,)) for argument in arguments]
            return [outcome for _, outcome in loaders.run(tasks, lambda: None)]

    def died(self, results):
        return any(isinstance(result, Died) for result in results)


class Loky:
    def map(self, function, arguments):
        executor = loky.get_reusable_executor(2)
        return list(executor.map(function, arguments))

    def died(self, _results):
        return False  # it raises instead


def die(_):
    os.kill(os.getpid(), signal.SIGKILL)


def processes_of(session: int) -> int:
    """How many processes of a session live."""
    count = 0
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat") as stat:
                fields = stat.read().rpartition(")")[2].split()
        except OSError:
            continue
        count += int(fields[3]) == session and fields[0] != "Z"
    return count


def measure(pool) -> None:
    """Print the figures of one pool; runs in a process of its own."""
    start = time.perf_counter()
    pool.map(abs, range(2))
    first = time.perf_counter() - start
    times = []
    for _ in range(WARM_CALLS):
        start = time.perf_counter()
        pool.map(abs, range(2))
        times.append(time.perf_counter() - start)
    start = time.perf_counter()
    try:
        died = pool.died(pool.map(die, range(1)))
    except loky.process_executor.TerminatedWorkerError:
        died = True
    noticed = time.perf_counter() - start
    assert died
    pool.map(abs, range(2))
    warm = statistics.median(times)
    print(f"{first * 1e3:.0f} {warm * 1e3:.2f} {noticed * 1e3:.0f}", flush=True)
    signal.pause()


def main() -> None:
    """Print the table."""
    print(
        f"{'':10}{'first result':>14}{'warm call':>12}{'death seen':>13}{'left after SIGKILL':>21}"
    )
    for name in ("shmkit", "loky"):
        owner = subprocess.Popen(
            [sys.executable, __file__, name],
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        first, warm, noticed = owner.stdout.readline().split()
        owner.kill()
        owner.wait()
        time.sleep(2)
        left = processes_of(owner.pid)
        print(f"{name:10}{first:>11} ms{warm:>9} ms{noticed:>10} ms{left:>21}")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        measure({"shmkit": Shmkit, "loky": Loky}[sys.argv[1]]())
    else:
        main()
