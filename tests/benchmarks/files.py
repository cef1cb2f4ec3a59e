"""Loading many small files beside what one could use instead, and what the guard costs.

Run with ``python tests/benchmarks/files.py [FILES]``. Every peer ends with an array for each file
in the notebook's process; only those of shmkit are in shared memory. All run in turn, several
times; the table gives the best time of each and how many times as long as shmkit it takes.
"""

from __future__ import annotations

import glob
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time

import numpy as np

from shmkit import shared_load

ROUNDS = 3
GUARD = (
    "import time; from shmkit.cleanup import guard; begin = time.perf_counter()\n"
    "guard.watch('/dev/shm'); print(time.perf_counter() - begin)"
)


def main() -> None:
    """Print the table."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 5000
    with tempfile.TemporaryDirectory() as folder, multiprocessing.Pool() as pool:
        for number in range(count):
            np.save(os.path.join(folder, f"{number:05}.npy"), np.full(100, number))
        paths = sorted(glob.glob(os.path.join(folder, "*.npy")))
        peers = {
            "shmkit": lambda: shared_load(paths, progress=False),
            "np.load": lambda: [np.load(path) for path in paths],
            "np.load, Pool.map": lambda: pool.map(np.load, paths),
        }
        best = dict.fromkeys(peers, float("inf"))
        for _ in range(ROUNDS):
            for name, load in peers.items():
                begin = time.perf_counter()
                arrays = load()
                best[name] = min(best[name], time.perf_counter() - begin)
                assert [int(array[0]) for array in arrays] == list(range(count)), name
                del arrays
    print(f"{count} files of {100 * 8} bytes, {os.cpu_count()} CPUs")
    for name, seconds in best.items():
        print(
            f"{name:22}{seconds:7.2f} s{seconds / count * 1e3:7.2f} ms a file"
            f"{seconds / best['shmkit']:7.2f}"
        )
    starts = [
        float(subprocess.check_output([sys.executable, "-c", GUARD])) * 1e3 for _ in range(20)
    ]
    print(f"starting the guard: median {np.median(starts):.2f} ms, at most {max(starts):.2f} ms")


if __name__ == "__main__":
    main()
