"""What work on a table costs, by columns and by rows.

Run with ``python tests/benchmarks/columns.py [ROWS]`` (``pip install -e '.[test,benchmark]'``). The
same file of methylation calls is loaded both ways; what is done to it includes the making of
the data frame, as a cell would. All run in turn, several times; the table has the best time of
each, and how many times as fast columns are as rows.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import pandas as pd
import polars as pl

from shmkit import SharedArray, SharedTable, sample, shared_load

ROUNDS = 5
DTYPE = [("chr", "S5"), ("pos", "<i4"), ("pct", "<f4"), ("c", "<i4"), ("t", "<i4")]
Table = SharedTable | SharedArray


def to_pandas(table: Table) -> pd.DataFrame:
    return table.to_pandas() if isinstance(table, SharedTable) else pd.DataFrame(np.asarray(table))


def to_polars(table: Table) -> pl.DataFrame:
    if isinstance(table, SharedTable):
        return pl.DataFrame(table)
    return pl.DataFrame({name: np.ascontiguousarray(table[name]) for name, _ in DTYPE})


def mean_of(table: Table) -> float:
    """In the worker: it maps the same memory."""
    return float(table["pct"].mean())


WORK: dict[str, Callable[[Table], object]] = {
    "mean": lambda table: table["pct"].mean(),
    "min": lambda table: table["pct"].min(),
    "filter": lambda table: table[table["pct"] > 50],
    "pandas: filter": lambda table: to_pandas(table).query("pct > 50"),
    "pandas: sort": lambda table: to_pandas(table).sort_values("pct"),
    "pandas: groupby": lambda table: to_pandas(table).groupby("chr")["pct"].mean(),
    "polars: filter": lambda table: to_polars(table).filter(pl.col("pct") > 50),
    "polars: sort": lambda table: to_polars(table).sort("pct"),
    "polars: groupby": lambda table: to_polars(table).group_by("chr").agg(pl.col("pct").mean()),
}


def main() -> None:
    """Print the table."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 3_000_000
    with tempfile.TemporaryDirectory() as folder:
        path = sample.methylation(os.path.join(folder, "calls.txt"), rows)
        with open(path, "rb") as file:
            header = int(not file.readline().split()[1].isdigit())
        (by_rows,) = shared_load(path, dtype=DTYPE, skiprows=header, progress=False)
        types = {name: dtype for name, dtype in DTYPE if name != "chr"}
        names = [name for name, _ in DTYPE]
        (by_columns,) = shared_load(
            path, header=names, skiprows=header, dtype=types, progress=False
        )
    tables = {"rows": by_rows, "columns": by_columns}
    assert all(len(table) == rows for table in tables.values())
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        handed = {"to a worker": lambda table: pool.submit(mean_of, table).result()}
        print(f"{rows} rows; pandas {pd.__version__}, polars {pl.__version__}")
        print(f"{'ms':20}" + "".join(f"{name:>10}" for name in tables) + f"{'ratio':>8}")
        for title, work in (WORK | handed).items():
            best = dict.fromkeys(tables, float("inf"))
            for _ in range(ROUNDS):
                for name, table in tables.items():
                    begin = time.perf_counter()
                    work(table)
                    best[name] = min(best[name], time.perf_counter() - begin)
            times = "".join(f"{seconds * 1e3:10.2f}" for seconds in best.values())
            print(f"{title:20}{times}{best['rows'] / best['columns']:8.1f}", flush=True)


if __name__ == "__main__":
    main()
