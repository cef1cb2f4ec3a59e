"""The compiled parser beside np.loadtxt and pandas, on one core, and beside the floor below it.

Run with ``python tests/benchmarks/parse.py [ROWS]``. Each ends with the same array. The text is in
memory, or for pandas and np.loadtxt in the page cache. The floor is what even a parser without
work would do: copy the text (read it), and touch every page of a new array. All run in turn,
several times; the table has the best time of each, and how many times as long as the parser into
a new array it takes.
"""

from __future__ import annotations

import mmap
import os
import sys
import tempfile
import time

import numpy as np
import pandas as pd

from shmkit import sample
from shmkit.readers.text.parser._parser import parse
from shmkit.readers.text.rows.codes import TABLE
from shmkit.readers.text.rows.errors import columns

ROUNDS = 5
COLUMNS = 8  # of the grid


def grid(path, rows):
    """A float64 matrix as np.savetxt writes it."""
    np.savetxt(path, np.random.default_rng(0).normal(size=(rows, COLUMNS)))
    return path


def new(rows, dtype):
    """An array whose pages are not there yet."""
    return np.frombuffer(mmap.mmap(-1, rows * dtype.itemsize), dtype)


def compare(title, path, dtype, skiprows, rounds):
    """Print the table for one file."""
    with open(path, "rb") as file:
        text = file.read() + bytes(16)  # which the parser may load
    stop = len(text) - 16
    start = text.index(b"\n") + 1 if skiprows else 0
    rows = text.count(b"\n") - skiprows
    found = list(columns(dtype))
    fields = np.array(
        [(ord(c.dtype.kind), c.dtype.itemsize, c.offset, i, 0) for i, c in enumerate(found)]
    )
    delimiter = "\t" if skiprows else " "

    def by_parser(array):
        options = {"delimiter": delimiter, "comments": "#", "columns": len(found)}
        room = array.view(np.uint8)
        taken = parse(text, start, stop, room, dtype.itemsize, fields, **options)
        assert taken[0] == rows
        return array

    def by_categories():
        coded = fields.copy()
        coded[fields[:, 0] == ord("S"), :2] = ord("C"), 2
        names = np.zeros(np.count_nonzero(coded != fields) // 2, TABLE)
        options = {"delimiter": delimiter, "comments": "#", "columns": len(found), "tables": names}
        room = new(rows, dtype).view(np.uint8)
        assert parse(text, start, stop, room, dtype.itemsize, coded, **options)[0] == rows

    def by_pandas():
        names = [f"c{i}" for i in range(len(found))]
        types = {
            name: str if c.dtype.kind == "S" else c.dtype
            for name, c in zip(names, found, strict=True)
        }
        table = pd.read_csv(path, sep=delimiter, names=names, skiprows=skiprows, dtype=types)
        records = np.empty(rows, [(n, c.dtype) for n, c in zip(names, found, strict=True)])
        for name in names:
            records[name] = table[name].to_numpy()
        return records.view(dtype)

    def floor():
        np.frombuffer(text, np.uint8).copy()
        new(rows, dtype).view(np.uint8)[:: mmap.PAGESIZE] = 0

    there = np.zeros(rows, dtype)
    peers = {
        "parser, new array": lambda: by_parser(new(rows, dtype)),
        "parser, pages there": lambda: by_parser(there),
        "parser, categories": by_categories,  # in place of text
        "np.loadtxt": lambda: np.loadtxt(path, dtype, skiprows=skiprows, delimiter=delimiter),
        "pandas": by_pandas,
        "floor": floor,
    }
    expected = np.loadtxt(path, dtype, skiprows=skiprows)
    best = dict.fromkeys(peers, float("inf"))
    for _ in range(rounds):
        for name, load in peers.items():
            begin = time.perf_counter()
            array = load()
            best[name] = min(best[name], time.perf_counter() - begin)
            # pandas' float parser may be off in the last digit
            assert array is None or name == "pandas" or array.tobytes() == expected.tobytes(), name
            del array
    print(f"{title}, {len(text) / 1e6:.0f} MB of text, {rows} rows")
    for name, seconds in best.items():
        rate, ratio = len(text) / seconds / 1e6, seconds / best["parser, new array"]
        print(f"{name:22}{seconds:7.3f} s{rate:7.0f} MB/s{ratio:7.2f}")


def main() -> None:
    """Print the tables."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    with tempfile.TemporaryDirectory() as folder:
        calls = sample.methylation(os.path.join(folder, "calls.txt"), rows)
        compare("methylation calls", calls, sample.METHYLATION, 1, ROUNDS)
        matrix = grid(os.path.join(folder, "grid.txt"), rows // 8)
        compare("float64 grid", matrix, np.dtype([("x", "f8", COLUMNS)]), 0, ROUNDS)


if __name__ == "__main__":
    main()
