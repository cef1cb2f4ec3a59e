"""``shmkit demo``: two genomics files to shared arrays to HDF5, beside np.loadtxt and h5py."""

from __future__ import annotations

import os
import sys
import tempfile
import time

import h5py
import numpy as np

from shmkit import sample
from shmkit._api.shared_load import shared_load
from shmkit._api.to_hdf5 import to_hdf5
from shmkit._format import count_text, nbytes_text, table_text

__all__ = ["demo"]


def demo(rows: int) -> None:
    """Run it with two files of so many rows; exits with 1 if an array differs or one is left."""
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
        shared_load(paths, dtype=sample.METHYLATION, skiprows=1, max_rows=1).close()
        started = time.perf_counter() - start  # the loader processes; they stay for the next load

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
        columns = ["<", ">np.loadtxt + h5py", ">shmkit", "<"]
        table = [
            ("load", *_row(plain_load, load)),
            ("export to HDF5", *_row(plain_total - plain_load, total - load)),
            ("both", *_row(plain_total, total)),
        ]
        print(f"\n{table_text(columns, table)}\n")
        print(f"started before, once in a session: the loader processes, in {started:.2f} s")
        print("read back with h5py:", "equal" if equal else "DIFFERENT")
        print(f"segments left: {left}")
    if not equal or left:
        sys.exit(1)


def _row(plain: float, ours: float) -> tuple[str, str, str]:
    faster, slower = plain / ours, ours / plain
    if faster >= slower:
        return f"{plain:.2f} s", f"{ours:.2f} s", f"{faster:.1f} times as fast"
    return f"{plain:.2f} s", f"{ours:.2f} s", f"{slower:.1f} times as slow"
