"""Tables as people have them, with nothing said, beside pandas, polars, pyarrow and duckdb.

Run with ``python tests/benchmarks/tables.py [ROWS]``, after ``pip install -e '.[test,benchmark]'``.
Files are in the page cache. Each reader is at its own defaults, but for the delimiter, and ends in
its own frame, which is freed inside of the timing, as shmkit's is closed. All run in turn, several
times; the table has the best time of each, and how many times as fast shmkit is as the fastest.
"""

from __future__ import annotations

import glob
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import NamedTuple

import columns_parse
import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.csv

from shmkit import _limits, shared_load

ROUNDS = 7
FILES, ROWS_OF_A_FILE = 300, 3000
MATRIX_COLUMNS = 8


class Case(NamedTuple):
    """Files, and what a peer must be told that it does not infer."""

    title: str
    paths: list[str]
    delimiter: str
    header: bool
    decimal: str


def cases(folder: str, rows: int) -> Iterator[Case]:
    """Each kind of table, written once."""
    delimiters = {"methylation": "\t", "decimal comma": ";", "np.savetxt": " "}
    for title, text, skip, decimal in columns_parse.tables(rows):
        path = os.path.join(folder, f"{len(os.listdir(folder))}.csv")
        with open(path, "wb") as file:
            file.write(text)
        yield Case(title, [path], delimiters.get(title, ","), bool(skip), decimal)
    many = os.path.join(folder, "many")
    os.mkdir(many)
    for number in range(FILES):
        columns_parse.stations(ROWS_OF_A_FILE).write_csv(os.path.join(many, f"{number:03}.csv"))
    paths = sorted(glob.glob(f"{many}/*.csv"))
    yield Case(f"{FILES} files of {ROWS_OF_A_FILE} rows", paths, ",", header=True, decimal=".")
    matrix = os.path.join(folder, "matrix.txt")
    np.savetxt(matrix, np.random.default_rng(0).normal(size=(rows, MATRIX_COLUMNS)))
    yield Case("matrix of np.savetxt", [matrix], " ", header=False, decimal=".")


def by_shmkit(case: Case) -> None:
    shared_load(case.paths, progress=False).close()


def by_pandas(case: Case) -> None:
    header = 0 if case.header else None
    for path in case.paths:
        pd.read_csv(path, sep=case.delimiter, header=header, decimal=case.decimal)


def by_polars(case: Case) -> None:
    comma = case.decimal == ","
    pl.read_csv(
        case.paths if len(case.paths) > 1 else case.paths[0],
        separator=case.delimiter,
        has_header=case.header,
        decimal_comma=comma,
    )


def by_pyarrow(case: Case) -> None:
    for path in case.paths:
        pyarrow.csv.read_csv(
            path,
            read_options=pyarrow.csv.ReadOptions(autogenerate_column_names=not case.header),
            parse_options=pyarrow.csv.ParseOptions(delimiter=case.delimiter),
            convert_options=pyarrow.csv.ConvertOptions(decimal_point=case.decimal),
        )


def by_duckdb(case: Case) -> None:
    with duckdb.connect() as connection:
        options = {"sep": case.delimiter, "header": case.header, "decimal": case.decimal}
        connection.read_csv(case.paths, **options).to_arrow_table()


READERS = {
    "shmkit": by_shmkit,
    "pandas": by_pandas,
    "polars": by_polars,
    "pyarrow": by_pyarrow,
    "duckdb": by_duckdb,
}


def seconds(case: Case) -> dict[str, float]:
    """The best time of each reader, all in turn."""
    best = dict.fromkeys(READERS, float("inf"))
    for _ in range(ROUNDS):
        for name, read in READERS.items():
            begin = time.perf_counter()
            try:
                read(case)
            except (ValueError, pl.exceptions.PolarsError, pa.ArrowInvalid, duckdb.Error) as error:
                print(f"{name} does not read it: {str(error).splitlines()[0]}", file=sys.stderr)
                continue
            best[name] = min(best[name], time.perf_counter() - begin)
    return best


def main() -> None:
    """Print the table."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    versions = [f"{m.__name__} {m.__version__}" for m in (pd, pl, pa, duckdb, np)]
    print(f"{rows} rows; {', '.join(versions)}; {_limits.cpus()} CPUs")
    print(f"\n| ms | MB | {' | '.join(READERS)} | ratio |\n|---|{'---|' * (len(READERS) + 2)}")
    with tempfile.TemporaryDirectory() as folder:
        for case in cases(folder, rows):
            found = seconds(case)
            ratio = min(found[name] for name in READERS if name != "shmkit") / found["shmkit"]
            nbytes = sum(map(os.path.getsize, case.paths))
            times = " | ".join(f"{found[name] * 1e3:.0f}" for name in READERS)
            print(f"| {case.title} | {nbytes / 1e6:.0f} | {times} | {ratio:.2f} |", flush=True)


if __name__ == "__main__":
    main()
