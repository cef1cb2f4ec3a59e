"""Loading text beside what one could use instead, on three tasks.

Run with ``python tests/benchmarks/text.py [ROWS]``; 1,000,000 rows unless given. The tasks are two
files of so many methylation calls, one file of the same size, and a float64 matrix that np.savetxt
wrote, somewhat larger. Every peer ends with the same arrays in its process. It runs in a process of
its own, once for the time of a fresh interpreter until its exit (cold), and in turn with the others
for the best of its calls in some time, at least four (warm). In another run the memory of all
its processes is watched, with every page of the arrays touched. The scripts are what one would
write with the standard library.

Then the same for many small files, and what `import shmkit` takes. Peers that are not installed
are left out.
"""

from __future__ import annotations

import compileall
import contextlib
import functools
import importlib.util
import itertools
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from multiprocessing import resource_tracker, shared_memory
from typing import NamedTuple

import numpy as np

ROUNDS = 2
SECONDS = 1.5  # for the calls of a peer, all rounds together
COLUMNS = 8  # of the matrix
FILES = 1000
CALL = np.dtype([("chr", "S10"), ("pos", "i4"), ("pct", "f4"), ("c", "i4"), ("t", "i4")])


class Task(NamedTuple):
    """Files that are alike: tab-separated calls with a header, or a matrix."""

    paths: list[str]
    matrix: bool

    @property
    def options(self):
        """For np.loadtxt."""
        return {"dtype": float} if self.matrix else {"dtype": CALL, "skiprows": 1}

    @property
    def delimiter(self):
        return " " if self.matrix else "\t"


# ---- the peers ----------------------------------------------------------------------------------


def by_shmkit(task):
    from shmkit import shared_load

    with shared_load(task.paths, progress=False, **task.options) as arrays:
        return list(arrays)


def by_loadtxt(task):
    return [np.loadtxt(path, **task.options) for path in task.paths]


def by_loadtxt_in_a_pool(task):
    with multiprocessing.Pool() as pool:
        return pool.map(functools.partial(np.loadtxt, **task.options), task.paths)


def share(path, options):
    """What each process of a script does: load, copy to shared memory, and say where it is."""
    array = np.loadtxt(path, **options)
    memory = shared_memory.SharedMemory(create=True, size=array.nbytes)
    np.ndarray(array.shape, array.dtype, buffer=memory.buf)[...] = array
    resource_tracker.unregister(memory._name, "shared_memory")  # noqa: SLF001 - its name, with "/"
    memory.close()
    return path, memory.name, array.shape


def share_and_put(path, options, queue):
    queue.put(share(path, options))


def attached(task, shared):
    """The arrays that the processes of a script left, in file order."""
    arrays = []
    for _, name, shape in sorted(shared):
        memory = shared_memory.SharedMemory(name)
        memory.unlink()
        arrays.append(np.ndarray(shape, task.options["dtype"], buffer=memory.buf))
        KEPT.append(memory)  # the array does not hold it
    return arrays


KEPT = []


def by_script_with_a_queue(task):
    queue = multiprocessing.Queue()
    processes = [
        multiprocessing.Process(target=share_and_put, args=(path, task.options, queue))
        for path in task.paths
    ]
    for process in processes:
        process.start()
    shared = [queue.get() for _ in processes]
    for process in processes:
        process.join()
    return attached(task, shared)


def by_script_with_a_pool(task):
    with multiprocessing.Pool() as pool:
        shared = pool.map(functools.partial(share, options=task.options), task.paths)
    return attached(task, shared)


def array_of(task, columns):
    """One array of the columns that a table has."""
    columns = list(columns)
    if task.matrix:
        return np.column_stack(columns)
    records = np.empty(len(columns[0]), CALL)
    for name, column in zip(CALL.names, columns, strict=True):
        records[name] = column
    return records


def by_pandas(task):
    import pandas as pd

    types = float if task.matrix else {n: CALL[n] if n != "chr" else str for n in CALL.names}
    header = None if task.matrix else 0
    tables = (
        pd.read_csv(path, sep=task.delimiter, dtype=types, header=header) for path in task.paths
    )
    return [array_of(task, (table[name].to_numpy() for name in table)) for table in tables]


def by_polars(task):
    import polars as pl

    tables = (
        pl.read_csv(path, separator=task.delimiter, has_header=not task.matrix)
        for path in task.paths
    )
    return [array_of(task, (column.to_numpy() for column in table)) for table in tables]


def by_pyarrow(task):
    from pyarrow import csv

    read = csv.ReadOptions(autogenerate_column_names=task.matrix)
    parse = csv.ParseOptions(delimiter=task.delimiter)
    tables = (csv.read_csv(path, read_options=read, parse_options=parse) for path in task.paths)
    return [array_of(task, (column.to_numpy() for column in table.columns)) for table in tables]


def by_duckdb(task):
    import duckdb

    options = f"delim='{task.delimiter}', header={not task.matrix}"
    tables = (duckdb.sql(f"SELECT * FROM read_csv('{p}', {options})") for p in task.paths)
    return [array_of(task, table.fetchnumpy().values()) for table in tables]


PEERS = {
    "shmkit": by_shmkit,
    "script, Process and Queue": by_script_with_a_queue,
    "script, Pool.map": by_script_with_a_pool,
    "np.loadtxt": by_loadtxt,
    "np.loadtxt, Pool.map": by_loadtxt_in_a_pool,
    "pandas": by_pandas,
    "polars": by_polars,
    "pyarrow": by_pyarrow,
    "duckdb": by_duckdb,
}


OTHERS = (by_pandas, by_polars, by_pyarrow, by_duckdb)  # that may not be installed


# ---- one peer, in a process of its own ----------------------------------------------------------


def run(peer, calls, matrix, *paths):
    """Load once or, if `calls` is "warm", as often as time allows; print the best time.

    If it is "touch", all memory is touched.
    """
    task, best, warm = Task(list(paths), matrix == "True"), float("inf"), calls == "warm"
    end = time.perf_counter() + warm * SECONDS / ROUNDS
    for number in itertools.count():
        if number > warm and time.perf_counter() >= end:
            break
        KEPT.clear()
        begin = time.perf_counter()
        arrays = PEERS[peer](task)
        best = min(best, time.perf_counter() - begin)
        if calls == "touch":
            for array in arrays:
                np.ascontiguousarray(array).view(np.uint8).max()
        if warm and peer != "pandas":  # whose last digit may be off
            expected = np.load(f"{paths[0]}.npy", mmap_mode="r")
            assert np.array_equal(arrays[0], expected)
        del arrays
    print(best)


def command(peer, task, calls):
    return [sys.executable, __file__, "run", peer, calls, str(task.matrix), *task.paths]


def cold(peer, task):
    """Seconds from the start of an interpreter to its end."""
    begin = time.perf_counter()
    subprocess.run(command(peer, task, "cold"), check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begin


def peak(peer, task):
    """Bytes that all its processes have together at most."""
    most = 0
    with subprocess.Popen(
        command(peer, task, "touch"), stdout=subprocess.DEVNULL, start_new_session=True
    ) as process:
        while process.poll() is None:
            most = max(most, sum(pss_of_session(process.pid)))
            time.sleep(0.005)
    return most


def pss_of_session(session):
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):  # it has ended
            with open(f"/proc/{name}/stat") as stat:
                if int(stat.read().rpartition(")")[2].split()[3]) != session:
                    continue
            with open(f"/proc/{name}/smaps_rollup") as rollup:
                yield (
                    next(int(line.split()[1]) for line in rollup if line.startswith("Pss:")) * 1024
                )


def compare(title, task):
    """Print the table for one task."""
    nbytes = sum(os.path.getsize(path) for path in task.paths)
    expected = by_loadtxt(task._replace(paths=task.paths[:1]))[0]
    np.save(f"{task.paths[0]}.npy", expected)
    array_nbytes = expected.nbytes * len(task.paths)
    peers = [
        peer for peer, load in PEERS.items() if load not in OTHERS or importlib.util.find_spec(peer)
    ]
    warm_best, cold_best = dict.fromkeys(peers, float("inf")), dict.fromkeys(peers, float("inf"))
    for _ in range(ROUNDS):
        for peer in peers:
            seconds = float(subprocess.check_output(command(peer, task, "warm")))
            warm_best[peer] = min(warm_best[peer], seconds)
            cold_best[peer] = min(cold_best[peer], cold(peer, task))
    print(
        f"\n{title}: {nbytes / 1e6:.0f} MB of text, {array_nbytes / 1e6:.0f} MB of arrays\n"
        f"{'':27}{'warm':>8}{'':>12}{'':>7}{'cold':>10}{'':>7}{'memory':>12}"
    )
    for peer in peers:
        warm, start = warm_best[peer], cold_best[peer]
        print(
            f"{peer:27}{warm:6.2f} s{nbytes / warm / 1e6:7.0f} MB/s"
            f"{warm / warm_best['shmkit']:7.1f}{start:8.2f} s"
            f"{start / cold_best['shmkit']:7.1f}{peak(peer, task) / 1e6:9.0f} MB",
            flush=True,
        )


# ---- what else ----------------------------------------------------------------------------------


def many_files(folder):
    """Print the times of many small files."""
    from shmkit import sample

    rows = 1000
    path = sample.methylation(os.path.join(folder, "small.txt"), rows)
    with open(path, "rb") as file:
        text = file.read()
    paths = [os.path.join(folder, f"small-{number:04}.txt") for number in range(FILES)]
    for path in paths:
        with open(path, "wb") as file:
            file.write(text)
    task = Task(paths, matrix=False)
    print(f"\n{FILES} files of {rows} rows")
    with multiprocessing.Pool() as pool:
        peers = {
            "shmkit": lambda: by_shmkit(task),
            "np.loadtxt, Pool.map": lambda: pool.map(
                functools.partial(np.loadtxt, **task.options), paths
            ),
        }
        best = dict.fromkeys(peers, float("inf"))
        for _ in range(ROUNDS):  # in turn, as machines are noisy
            for name, load in peers.items():
                best[name] = min(best[name], best_of(load))
    for name, seconds in best.items():
        print(f"{name:27}{seconds:6.3f} s{seconds / best['shmkit']:7.2f}", flush=True)


def imports():
    """Print the times of a fresh interpreter that imports."""
    for code in ("import numpy", "import shmkit", "from shmkit import shared_load"):
        seconds = best_of(lambda c=code: subprocess.run([sys.executable, "-c", c]), 20)
        print(f"{code:32}{seconds:6.3f} s", flush=True)


def best_of(function, calls=4):
    best = float("inf")
    for _ in range(calls):
        begin = time.perf_counter()
        function()
        best = min(best, time.perf_counter() - begin)
    return best


def matrix(path, rows):
    """A matrix as np.savetxt writes it: an eighth of it, and that again."""
    np.savetxt(path, np.random.default_rng(0).normal(size=(rows // 8, COLUMNS)))
    with open(path, "rb") as file:
        text = file.read()
    with open(path, "ab") as file:
        file.writelines([text] * 7)
    return path


def main():
    """Print the tables."""
    import shmkit
    from shmkit import sample

    compileall.compile_dir(shmkit.__path__[0], quiet=1)  # as an installation does
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    with tempfile.TemporaryDirectory() as folder:
        calls = [
            sample.methylation(os.path.join(folder, f"{seed}.txt"), count, seed)
            for seed, count in ((1, rows), (2, rows), (3, 2 * rows))
        ]
        print(f"{os.cpu_count()} CPUs, Python {sys.version.split()[0]}, numpy {np.__version__}")
        compare("two files", Task(calls[:2], matrix=False))
        compare("one file", Task(calls[2:], matrix=False))
        grid = matrix(os.path.join(folder, "matrix.txt"), rows // 3)
        compare("a matrix", Task([grid], matrix=True))
        many_files(folder)
    imports()


if __name__ == "__main__":
    if sys.argv[1:2] == ["run"]:
        run(*sys.argv[2:])
    else:
        main()
