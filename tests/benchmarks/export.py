"""Writing HDF5 files, and reading them back, beside what one could use instead.

Run with ``python tests/benchmarks/export.py [ROUNDS]``. Methylation calls (records) and a climate
grid (float32) are written by each in turn, several times; the table has the best time of each, how
many times as long as shmkit it takes, and the size of its file. Files are deleted before each
turn, and all lie on the disk of the temporary directory; shmkit and the last line wait until they
have arrived there (fsync), the others do not. Then the gzip files are read back.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
import warnings

import h5py
import hdf5plugin
import numpy as np
import pandas as pd
import zarr

from shmkit import sample, share, shared_load, to_hdf5


def by_h5py(path, array, **options):
    with h5py.File(path, "w") as file:
        file.create_dataset("data", data=array, **options)


def by_pandas(path, array):
    """By PyTables, with its fastest filter; a grid as a table of a column a longitude."""
    table = pd.DataFrame(array if array.dtype.names else array.reshape(-1, array.shape[-1]))
    for name in table.select_dtypes("object").columns:  # bytes
        table[name] = table[name].str.decode("ascii")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on text, which it pickles
        table.to_hdf(path, key="data", complevel=1, complib="zlib")


def by_zarr(path, array):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # records are not in its specification yet
        zarr.create_array(path, data=np.asarray(array))


def by_tofile(path, array):
    with open(path, "wb") as file:
        array.tofile(file)
        os.fsync(file.fileno())


WRITERS = {
    "shmkit": to_hdf5,
    "h5py gzip": lambda path, array: by_h5py(path, array, compression="gzip", shuffle=True),
    "h5py gzip 1": lambda path, array: by_h5py(
        path, array, compression="gzip", compression_opts=1, shuffle=True
    ),
    "h5py lzf": lambda path, array: by_h5py(path, array, compression="lzf", shuffle=True),
    "h5py zstd": lambda path, array: by_h5py(path, array, shuffle=True, **hdf5plugin.Zstd(1)),
    "h5py blosc2": lambda path, array: by_h5py(path, array, **hdf5plugin.Blosc2("zstd", 1)),
    "pandas.to_hdf": by_pandas,
    "zarr": by_zarr,
    "np.savez_compressed": lambda path, array: np.savez_compressed(path, data=array),
}
PLAIN = {
    "shmkit, compression=None": lambda path, array: to_hdf5(path, array, compression=None),
    "h5py": by_h5py,
    "tofile and fsync": by_tofile,
}


def nbytes_in(path):
    if os.path.isdir(path):
        return sum(e.stat().st_size for f in os.walk(path) for e in os.scandir(f[0]) if e.is_file())
    return os.path.getsize(path)


def remove(path):
    shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)


def timed(function, *arguments):
    start = time.perf_counter()
    value = function(*arguments)
    return time.perf_counter() - start, value


def write_all(folder, title, array, writers, rounds):
    """Print the table of one array."""
    best, nbytes = dict.fromkeys(writers, float("inf")), {}
    for _ in range(rounds):
        for name, write in writers.items():
            path = os.path.join(folder, "out.npz")
            best[name] = min(best[name], timed(write, path, array)[0])
            nbytes[name] = nbytes_in(path)
            remove(path)
    first = next(iter(writers))
    print(f"\n{title}, {array.nbytes / 1e6:.0f} MB")
    for name, seconds in best.items():
        print(
            f"{name:26}{seconds:7.2f} s{array.nbytes / seconds / 1e6:7.0f} MB/s"
            f"{seconds / best[first]:7.2f}{nbytes[name] / 1e6:8.1f} MB"
        )


def read_all(folder, arrays, rounds):
    """Print the table of reading the gzip files of shmkit and of h5py."""
    print("\nreading gzip + shuffle back")
    for writer in ("shmkit", "h5py gzip"):
        for title, array in arrays.items():
            path = os.path.join(folder, "back.h5")
            WRITERS[writer](path, array)

            def by_shmkit(path=path):
                with shared_load(path, progress=False) as loaded:
                    return loaded["data"]

            def by_h5py(path=path):
                with h5py.File(path) as file:
                    return file["data"][:]

            best = {by_shmkit: float("inf"), by_h5py: float("inf")}
            for _ in range(rounds):
                for read in tuple(best):
                    seconds, loaded = timed(read)
                    best[read] = min(best[read], seconds)
                    assert np.array_equal(loaded, array)
                    del loaded
            ours, theirs = best.values()
            print(
                f"{f'{title}, written by {writer}':40}shmkit {array.nbytes / ours / 1e6:5.0f} MB/s"
                f"   h5py {array.nbytes / theirs / 1e6:5.0f} MB/s   {theirs / ours:.2f}"
            )
            remove(path)


def main() -> None:
    """Print the tables."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    with tempfile.TemporaryDirectory() as folder:
        text = sample.methylation(os.path.join(folder, "calls.txt"), 3_000_000)
        with (
            shared_load(text, dtype=sample.METHYLATION, skiprows=1, progress=False) as loaded,
            share(sample.climate()) as grid,
        ):
            arrays = {"methylation calls": loaded[0], "climate grid": grid}
            for title, array in arrays.items():
                write_all(folder, title, array, WRITERS, rounds)
                write_all(folder, f"{title}, as they are", array, PLAIN, rounds)
            read_all(folder, arrays, rounds)


if __name__ == "__main__":
    main()
