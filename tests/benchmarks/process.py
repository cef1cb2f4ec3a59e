"""`shared_map` beside joblib and `ProcessPoolExecutor`: short tasks, and long ones over one array.

Run with ``python tests/benchmarks/process.py``, or with the bytes of the array. Each peer is warm,
and gets what is best for it: joblib's batches, chunks for the executor, and the array in shared
memory for both. The rounds are taken in turn; each figure is the best of them.
"""

from __future__ import annotations

import concurrent.futures
import itertools
import multiprocessing
import sys
import time

import joblib
import numpy as np

from shmkit import share, shared_map

ROUNDS = 5
SHORT, LONG = 1_000, 8


def short(n):
    return n + 1


def long(part):
    return float(np.sqrt(part).sum())


def doubled(part):
    return part * 2


def best(calls, rounds=ROUNDS):
    """The best time of each call, in seconds, taken in turn."""
    times = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            start = time.perf_counter()
            result = call()
            times[name].append(time.perf_counter() - start)
            del result
    return {name: min(found) for name, found in times.items()}


def show(title, times):
    ours = times["shared_map"]
    row = "".join(f"{name}: {t * 1e3:.1f} ms ({t / ours:.2f})   " for name, t in times.items())
    print(f"{title:44}{row}")


def main(nbytes: int) -> None:
    """Print a line for each kind of task."""
    processes = 2
    context = multiprocessing.get_context("spawn")
    with (
        share(np.arange(nbytes // 8, dtype="f8")) as array,
        concurrent.futures.ProcessPoolExecutor(processes, context) as executor,
        joblib.Parallel(processes) as parallel,
    ):
        parts = np.array_split(np.asarray(array), LONG)
        edges = np.cumsum([0, *map(len, parts)])
        shared = [array[a:b] for a, b in itertools.pairwise(edges)]

        def peers(function, items, chunksize=1):
            return {
                "shared_map": lambda: shared_map(
                    function, items, processes=processes, progress=False
                ),
                "joblib": lambda: parallel(joblib.delayed(function)(item) for item in items),
                "executor": lambda: list(executor.map(function, items, chunksize=chunksize)),
            }

        best(peers(short, range(SHORT)), 1)
        show(f"{SHORT:,} short tasks", best(peers(short, range(SHORT))))
        show(f"{SHORT:,} short tasks, chunks of 50", best(peers(short, range(SHORT), 50)))
        show(f"{LONG} tasks over {nbytes / 1e6:.0f} MB", best(peers(long, shared)))
        show(f"{LONG} arrays of {nbytes / 1e6 / LONG:.0f} MB back", best(peers(doubled, shared), 2))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 800_000_000)
