"""Many small files as one table beside polars' and duckdb's readers of globs.

Run with ``python tests/benchmarks/concat.py [FILES]``. Each file has 1,000 rows of three columns of
numbers. Every peer ends with all columns in memory; only that of shmkit is shared. All run in turn,
several times; the table gives the best time of each, and how many times as long as shmkit it takes.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable

import duckdb
import numpy as np
import polars as pl

from shmkit import shared_load

ROUNDS = 3
ROWS = 1000


def main() -> None:
    """Print the table."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    with tempfile.TemporaryDirectory() as folder:
        write(folder, count)
        pattern = os.path.join(folder, "*.csv")
        peers: dict[str, Callable[[], int]] = {
            "shmkit": lambda: load(pattern),
            "polars.scan_csv": lambda: len(pl.scan_csv(pattern).collect()),
            "duckdb read_csv": lambda: len(
                duckdb.sql(f"select * from read_csv('{pattern}')").fetchnumpy()["pos"]
            ),
        }
        best = dict.fromkeys(peers, float("inf"))
        for _ in range(ROUNDS):
            for name, peer in peers.items():
                begin = time.perf_counter()
                rows = peer()
                best[name] = min(best[name], time.perf_counter() - begin)
                assert rows == count * ROWS, name
    print(f"{count} files of {ROWS} rows, {os.cpu_count()} CPUs")
    for name, seconds in best.items():
        print(f"{name:22}{seconds:7.2f} s{seconds / best['shmkit']:7.2f}")


def load(pattern: str) -> int:
    """The rows of all files, loaded and closed."""
    with shared_load(pattern, concat=True, progress=False) as table:
        return len(table)


def write(folder: str, count: int) -> None:
    """Write the files."""
    random = np.random.default_rng(1)
    for number in range(count):
        temp, reads = random.normal(10, 5, ROWS), random.integers(0, 100, ROWS)
        rows = zip((np.arange(ROWS) * 7 + number).tolist(), temp.tolist(), reads, strict=True)
        with open(os.path.join(folder, f"f{number:05}.csv"), "w") as file:
            file.write("pos,temp,count\n")
            file.writelines(f"{pos},{value:.3f},{n}\n" for pos, value, n in rows)


if __name__ == "__main__":
    main()
