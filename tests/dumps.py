"""HDF5 files as others read them: h5py, and h5dump with its own HDF5 library."""

import subprocess

import h5py
import numpy as np
from machine import tool


def read(path, name="data"):
    with h5py.File(path) as file:
        return file[name][()]


def h5dump(path, *options):
    done = subprocess.run(
        [tool("h5dump"), *options, path], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stderr == ""
    return done.stdout.partition("\n")[2]  # the first line is the path


def h5dump_values(path, name, dtype, folder):
    """The values of a numeric dataset, in the machine's byte order."""
    h5dump(path, "-d", name, "-b", "LE", "-o", str(folder / "values.bin"))
    return np.fromfile(folder / "values.bin", dtype)
