"""Exporting to HDF5 beside h5py's own filters.

Run with ``python tests/benchmarks/export.py``. In turn, several times: methylation calls and a
climate grid, gzip with shuffle by shmkit and by h5py, and the bytes alone by ``ndarray.tofile``.
"""

from __future__ import annotations

import os
import tempfile
import time

import h5py
import numpy as np

from shmkit import sample, share, to_hdf5

ROUNDS = 3


def by_h5py(path, array):
    with h5py.File(path, "w") as file:
        file.create_dataset("data", data=array, compression="gzip", shuffle=True)


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as folder:
        text = sample.methylation(os.path.join(folder, "calls.txt"), 3_000_000)
        arrays = {
            "calls": np.loadtxt(text, sample.METHYLATION, skiprows=1),
            "climate": sample.climate(),
        }
        path = os.path.join(folder, "out")
        writers = {
            "shmkit gzip": to_hdf5,
            "h5py gzip": by_h5py,
            "shmkit none": lambda path, array: to_hdf5(path, array, compression=None),
            "tofile": lambda path, array: array.tofile(path),
        }
        print(f"{'':22}{'seconds':>9}{'MB/s':>8}{'file':>10}")
        for label, array in arrays.items():
            with share(array) as shared:
                best = dict.fromkeys(writers, float("inf"))
                nbytes = {}
                for _ in range(ROUNDS):
                    for name, write in writers.items():
                        start = time.perf_counter()
                        write(path, shared)
                        best[name] = min(best[name], time.perf_counter() - start)
                        nbytes[name] = os.path.getsize(path)
                for name, seconds in best.items():
                    rate, size = array.nbytes / seconds / 1e6, nbytes[name] / 1e6
                    print(f"{label + ', ' + name:22}{seconds:9.2f}{rate:8.0f}{size:7.1f} MB")


if __name__ == "__main__":
    main()
