"""Loading many small files beside what one could use instead, and what the guard costs.

Run with ``python tests/benchmarks/files.py [FILES]``. Every peer ends with an array for each file
in the notebook's process; only those of shmkit are in shared memory. All run in turn, several
times, and let go of the arrays within the time; the table gives the best time of each and how many
times as long as shmkit it takes.
"""

from __future__ import annotations

import functools
import glob
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from shmkit import shared_load
from shmkit.sample import METHYLATION, methylation

ROUNDS = 7
TEXTS, ROWS = 1000, 1000
GUARD = (
    "import time; from shmkit.cleanup import guard; begin = time.perf_counter()\n"
    "guard.watch('/dev/shm'); print(time.perf_counter() - begin)"
)
loadtxt = functools.partial(np.loadtxt, dtype=METHYLATION, skiprows=1)


def images(folder: str, count: int) -> list[str]:
    """Paths of .npy files of 100 numbers."""
    for number in range(count):
        np.save(os.path.join(folder, f"{number:05}.npy"), np.full(100, number))
    return sorted(glob.glob(os.path.join(folder, "*.npy")))


def texts(folder: str) -> list[str]:
    """Paths of texts of 1,000 rows."""
    for number in range(TEXTS):
        methylation(os.path.join(folder, f"{number:05}.txt"), rows=ROWS, seed=number)
    return sorted(glob.glob(os.path.join(folder, "*.txt")))


def compare(title: str, peers: dict[str, Callable[[], Any]], count: int) -> None:
    """Print the table of these, which load so many files."""
    best = dict.fromkeys(peers, float("inf"))
    for _ in range(ROUNDS):
        for name, load in peers.items():
            begin = time.perf_counter()
            arrays = load()
            assert len(arrays) == count, name
            if name == "shmkit":
                arrays.close()
            del arrays
            best[name] = min(best[name], time.perf_counter() - begin)
    print(f"{title}, {os.cpu_count()} CPUs")
    for name, seconds in best.items():
        print(
            f"{name:22}{seconds * 1e3:7.0f} ms{seconds / count * 1e6:7.0f} us a file"
            f"{seconds / best['shmkit']:7.2f}"
        )


def main() -> None:
    """Print the tables."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 5000
    with tempfile.TemporaryDirectory() as folder, multiprocessing.Pool() as pool:
        paths = texts(folder)
        peers = {
            "shmkit": lambda: shared_load(paths, dtype=METHYLATION, skiprows=1, progress=False),
            "np.loadtxt, Pool.map": lambda: pool.map(loadtxt, paths),
        }
        compare(f"{TEXTS} texts of {ROWS} rows, dtype given", peers, TEXTS)
        npy = images(folder, count)
        peers = {
            "shmkit": lambda: shared_load(npy, progress=False),
            "np.load": lambda: [np.load(path) for path in npy],
            "np.load, Pool.map": lambda: pool.map(np.load, npy),
        }
        compare(f"{count} .npy files of {100 * 8} bytes", peers, count)
    starts = [
        float(subprocess.check_output([sys.executable, "-c", GUARD])) * 1e3 for _ in range(20)
    ]
    print(f"starting the guard: median {np.median(starts):.2f} ms, at most {max(starts):.2f} ms")


if __name__ == "__main__":
    main()
