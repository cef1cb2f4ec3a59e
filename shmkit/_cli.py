"""The command ``shmkit``, also ``python -m shmkit``."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Sequence

import h5py
import numpy as np

from shmkit import sample, shared_load, to_hdf5
from shmkit._format import count_text, nbytes_text

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; ends with exit code 0, or with 1 when the demo finds a difference."""
    parser = argparse.ArgumentParser(
        "shmkit", description="Data files in shared memory, as numpy arrays."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    demo = commands.add_parser(
        "demo", help="load two genomics files, export them to HDF5, and time it beside np.loadtxt"
    )
    demo.add_argument(
        "--rows", type=_positive, default=3_000_000, help="rows of each file (default: 3 million)"
    )
    demo.set_defaults(run=lambda given: _demo(given.rows))
    given = parser.parse_args(arguments)
    given.run(given)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a number above 0")
    return number


def _demo(rows: int) -> None:
    with tempfile.TemporaryDirectory(prefix="shmkit-demo-") as folder:
        paths = [
            sample.methylation(os.path.join(folder, f"sample{seed}.txt"), rows, seed)
            for seed in (1, 2)
        ]
        nbytes = sum(os.path.getsize(path) for path in paths)
        print(f"2 files of {count_text(rows)} methylation calls, {nbytes_text(nbytes)} of text")

        start = time.perf_counter()
        plain = [np.loadtxt(path, sample.METHYLATION, skiprows=1, ndmin=1) for path in paths]
        plain_load = time.perf_counter() - start
        with h5py.File(os.path.join(folder, "plain.h5"), "w") as file:
            for seed, array in enumerate(plain, 1):
                file.create_dataset(f"sample{seed}", data=array, compression="gzip", shuffle=True)
        plain_total = time.perf_counter() - start

        start = time.perf_counter()
        with shared_load(paths, dtype=sample.METHYLATION, skiprows=1, ndmin=1) as arrays:
            load = time.perf_counter() - start
            segments = [array.segment for array in arrays]
            to_hdf5(os.path.join(folder, "shmkit.h5"), arrays)
            total = time.perf_counter() - start
            with h5py.File(os.path.join(folder, "shmkit.h5")) as file:
                equal = all(
                    np.array_equal(file[name][()], array) and np.array_equal(array, expected)
                    for (name, array), expected in zip(arrays.items(), plain, strict=True)
                )
            del array
        left = sum(
            segment is not None and (segment.linked or segment.mapped) for segment in segments
        )
        _table(
            [
                ("", "np.loadtxt + h5py", "shmkit", ""),
                ("load", *_row(plain_load, load)),
                ("export to HDF5", *_row(plain_total - plain_load, total - load)),
                ("both", *_row(plain_total, total)),
            ]
        )
        print("read back with h5py:", "equal" if equal else "DIFFERENT")
        print(f"segments left: {left}")
    if not equal or left:
        sys.exit(1)


def _row(plain: float, ours: float) -> tuple[str, str, str]:
    return f"{plain:.2f} s", f"{ours:.2f} s", f"{plain / ours:.1f} times as fast"


def _table(rows: Sequence[tuple[str, str, str, str]]) -> None:
    print()
    for label, plain, ours, ratio in rows:
        print(f"{label:<16}{plain:>18}{ours:>10}   {ratio}".rstrip())
    print()
