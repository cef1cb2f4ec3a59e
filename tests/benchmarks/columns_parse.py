"""The parser of columns on one core, beside pandas, polars and pyarrow on the same bytes.

Run with ``python tests/benchmarks/columns_parse.py [ROWS]``. The text is in memory. The parser is
told the types that it infers itself (timed apart), and reads blocks of 512 KB into arrays that stay
in the cache, as a loader process does before it writes them: so its figure is parsing alone. The
peers make their own frames, with all the threads they take. Each build of the parser that this CPU
can run is measured. All run in turn, several times; the table has the best time of each.
"""

from __future__ import annotations

import importlib
import io
import os
import sys
import tempfile
import time

import numpy as np
import pandas as pd
import polars as pl
import pyarrow.csv

from shmkit import sample
from shmkit.readers.text import columns as columns_module
from shmkit.readers.text.columns import MISSING, Columns, Dialect, best_delimiter, facts, type_of

ROUNDS = 5
BLOCK_NBYTES = 1 << 19
SAMPLE_NBYTES = 600_000  # of which
PIECES = 30
BUILDS = ("_parser", "_parser_avx2", "_parser_avx512")
AROUND = columns_module.AROUND


def stations(rows, gaps=0.0):
    """Time, station and four numbers."""
    rng = np.random.default_rng(0)
    seconds = np.datetime64("2024-01-01", "s") + np.cumsum(rng.integers(1, 60, rows))
    table = pl.DataFrame(
        {
            "time": np.datetime_as_string(seconds).astype("U19"),
            "station": np.char.add(
                "STA", np.arange(100, 160)[rng.integers(0, 60, rows)].astype("U3")
            ),
            "temp": np.round(rng.normal(12, 8, rows), 2),
            "count": rng.integers(0, 1000, rows),
            "rh": np.round(rng.uniform(0, 100, rows), 1),
            "code": rng.integers(0, 100_000, rows),
        }
    ).with_columns(pl.col("time").str.replace("T", " "))
    for name in ("temp", "rh"):
        gone = pl.Series(rng.random(rows) < gaps)
        table = table.with_columns(pl.when(~gone).then(pl.col(name)).alias(name))
    return table


def numbers(rows):
    """Six columns of floats."""
    rng = np.random.default_rng(1)
    return pl.DataFrame({f"x{i}": np.round(rng.normal(0, 50, rows), 4 - i % 2) for i in range(6)})


def tables(rows):
    """Title, text, rows of header, decimal point; of each kind of table."""
    yield "six floats", numbers(rows).write_csv().encode(), 1, "."
    plain = stations(rows)
    yield "time, station, numbers", plain.write_csv().encode(), 1, "."
    yield "all quoted", plain.write_csv(quote_style="always").encode(), 1, "."
    yield "2 % empty", stations(rows, 0.02).write_csv().encode(), 1, "."
    comma = plain.drop("time", "code").write_csv(separator=";").replace(".", ",")
    yield "decimal comma", comma.encode(), 1, ","
    with tempfile.TemporaryDirectory() as folder:
        calls = sample.methylation(os.path.join(folder, "calls.txt"), rows)
        with open(calls, "rb") as file:
            text = file.read()
        yield "methylation", text[text.index(b"\n") + 1 :], 0, "."
    matrix = io.BytesIO()
    np.savetxt(matrix, np.random.default_rng(2).normal(size=(rows // 8, 8)))
    yield "np.savetxt", matrix.getvalue(), 0, "."
    repr_text = pl.DataFrame(np.random.default_rng(3).random((rows // 4, 6))).write_csv()
    yield "floats of 17 digits", repr_text.encode(), 1, "."


def with_parser(build, work):
    """Do it with one of the builds."""
    before = columns_module.parser
    columns_module.parser = build
    try:
        return work()
    finally:
        columns_module.parser = before


def prepare(text, skip, decimal):
    """The dialect and the types, as inferred from the begin of the text."""
    start = text.index(b"\n") + 1 if skip else 0
    step = (len(text) - start) // PIECES
    head = b""
    for at in range(start, len(text) - step + 1, step):  # from all over it
        first = start if at == start else text.index(b"\n", at - 1) + 1
        head += text[first : text.rindex(b"\n", first, at + SAMPLE_NBYTES // PIECES) + 1]
    dialect = Dialect(best_delimiter(head[:20_000], Dialect()), decimal=decimal)
    fields = columns_module.parser.widths(head, max_rows=1, **dialect.splitting)[0]
    types = {i: type_of(column) for i, column in enumerate(facts(head, fields, dialect).facts)}
    return start, head, dialect, fields, types


def parse(data, stop, start, dialect, fields, types):
    """Read all of it block by block; gives how many rows."""
    found = Columns(types, fields, dialect, dict.fromkeys(types, MISSING), BLOCK_NBYTES // 4)
    at, rows = start + AROUND, 0
    while at < stop:
        end = min(at + BLOCK_NBYTES, stop)
        taken, nbytes, misfit = found.parse(data, at, end)
        assert misfit is None, (misfit, data[at + nbytes : at + nbytes + 100])
        assert nbytes
        at, rows = at + nbytes, rows + taken
    return rows


def by_pandas(text, dialect, skip):
    sep = r"\s+" if dialect.delimiter is None else dialect.delimiter
    header = 0 if skip else None
    pd.read_csv(io.BytesIO(text), sep=sep, header=header, decimal=dialect.decimal)


def by_polars(text, dialect, skip):
    comma = dialect.decimal == ","
    pl.read_csv(
        text, separator=dialect.delimiter or " ", has_header=bool(skip), decimal_comma=comma
    )


def by_pyarrow(text, dialect, skip):
    pyarrow.csv.read_csv(
        pyarrow.BufferReader(text),
        read_options=pyarrow.csv.ReadOptions(autogenerate_column_names=not skip),
        parse_options=pyarrow.csv.ParseOptions(delimiter=dialect.delimiter or " "),
        convert_options=pyarrow.csv.ConvertOptions(decimal_point=dialect.decimal),
    )


def builds():
    """Those that this CPU can run."""
    for name in BUILDS:
        try:
            yield name, importlib.import_module(f"shmkit.readers.text.parser.{name}")
        except ImportError:
            continue


def compare(title, text, skip, decimal):
    """Print the table for one text."""
    start, head, dialect, fields, types = prepare(text, skip, decimal)
    data = bytes(AROUND) + text + bytes(AROUND)
    stop = AROUND + len(text)
    rows = text.count(b"\n", start)

    def parsed():
        assert parse(data, stop, start, dialect, fields, types) == rows

    def counted(build):
        build.count(data, AROUND, stop, delimiter=dialect.delimiter)

    work = {}
    for name, build in builds():
        work[name] = lambda build=build: with_parser(build, parsed)
        work[f"  infer, {len(head) / 1e6:.1f} MB, {name}"] = lambda build=build: with_parser(
            build, lambda: facts(head, fields, dialect)
        )
        work[f"  count, {name}"] = lambda build=build: counted(build)
    work["pandas"] = lambda: by_pandas(text, dialect, skip)
    work["polars"] = lambda: by_polars(text, dialect, skip)
    work["pyarrow"] = lambda: by_pyarrow(text, dialect, skip)
    wall, cpu = dict.fromkeys(work, float("inf")), dict.fromkeys(work, float("inf"))
    for _ in range(ROUNDS):
        for name, do in work.items():
            begin, begin_cpu = time.perf_counter(), time.process_time()
            do()
            wall[name] = min(wall[name], time.perf_counter() - begin)
            cpu[name] = min(cpu[name], time.process_time() - begin_cpu)
    kinds = ", ".join(t.dtype.str for t in types.values())
    print(f"\n{title}: {len(text) / 1e6:.0f} MB, {rows} rows: {kinds}")
    print(f"{'':32}{'wall ms':>9}{'CPU ms':>9}{'MB/s':>8}{'ns a field':>12}")
    for name in work:
        nbytes = len(head) if "infer" in name else len(text)
        each = cpu[name] * 1e9 / (rows * fields * nbytes / len(text))
        print(
            f"{name:32}{wall[name] * 1e3:9.2f}{cpu[name] * 1e3:9.2f}"
            f"{nbytes / wall[name] / 1e6:8.0f}{each:12.2f}"
        )


def main() -> None:
    """Print the tables."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    for table in tables(rows):
        compare(*table)


if __name__ == "__main__":
    main()
