"""Loading two text files beside what one could use instead.

Run with ``python tests/benchmarks/load.py [ROWS]``. Every peer ends with what a user wants: a
structured array for each file, in the notebook's process. All run in turn, several times; the table
gives the best time of each and how many times as long as shmkit it takes.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import tempfile
import time

import numpy as np
import pandas as pd
import polars as pl

from shmkit import sample, shared_load

ROUNDS = 5
DTYPE = sample.METHYLATION


def by_loadtxt(path):
    return np.loadtxt(path, DTYPE, skiprows=1)


def by_pandas(path):
    types = {name: DTYPE[name] if name != "chr" else str for name in DTYPE.names}
    table = pd.read_csv(path, sep="\t", dtype=types)
    return to_records({name: table[name].to_numpy() for name in DTYPE.names})


def by_polars(path):
    table = pl.read_csv(path, separator="\t")
    return to_records({name: table[name].to_numpy() for name in DTYPE.names})


def to_records(columns):
    records = np.empty(len(columns["pos"]), DTYPE)
    for name, column in columns.items():
        records[name] = column
    return records


def main() -> None:
    """Print the table."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    with (
        tempfile.TemporaryDirectory() as folder,
        multiprocessing.get_context("spawn").Pool(2) as pool,
    ):
        paths = [
            sample.methylation(os.path.join(folder, f"{seed}.txt"), rows, seed) for seed in (1, 2)
        ]
        nbytes = sum(os.path.getsize(path) for path in paths)
        expected = by_loadtxt(paths[0])

        def by_shmkit():
            with shared_load(paths, dtype=DTYPE, skiprows=1, progress=False) as arrays:
                return list(arrays)

        peers = {
            "shmkit": by_shmkit,
            "np.loadtxt": lambda: [by_loadtxt(path) for path in paths],
            "np.loadtxt, Pool.map": lambda: pool.map(by_loadtxt, paths, chunksize=1),
            "pandas": lambda: [by_pandas(path) for path in paths],
            "polars": lambda: [by_polars(path) for path in paths],
        }
        best = dict.fromkeys(peers, float("inf"))
        for _ in range(ROUNDS):
            for name, load in peers.items():
                start = time.perf_counter()
                arrays = load()
                best[name] = min(best[name], time.perf_counter() - start)
                assert np.array_equal(arrays[0], expected), name
                del arrays
    print(f"two files, {nbytes / 1e6:.0f} MB of text, {os.cpu_count()} CPUs")
    for name, seconds in best.items():
        rate, ratio = nbytes / seconds / 1e6, seconds / best["shmkit"]
        print(f"{name:22}{seconds:7.2f} s{rate:7.0f} MB/s{ratio:7.2f}")


if __name__ == "__main__":
    main()
