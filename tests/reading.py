"""Readers as a test uses them: in its own process, writing to its own memory."""

import math
import pickle

import numpy as np
import pytest

from shmkit.errors import LoadError
from shmkit.readers.base import WHOLE
from shmkit.readers.choose import opener
from shmkit.readers.formats import format_of

CALL = np.dtype([("chr", "S5"), ("pos", "i4"), ("pct", "f4")])
MANY = 90_000  # rows: several blocks, the last one not full; too many to be sampled whole


class MemoryWriter:
    """Takes what a reader writes, and notes what it said on the way."""

    def __init__(self):
        self.declared = None
        self.advances = []
        self._written = bytearray()

    def allocate(self, dtype, shape, *, fortran_order=False, attrs=None):
        self._dtype, self._order = dtype, "F" if fortran_order else "C"
        self.declared = self._shape = shape
        self.attrs = attrs

    declare = allocate

    def write(self, array):
        assert array.flags.c_contiguous
        self._written += array.tobytes()

    def advance(self, *, bytes_done, rows):
        self.advances.append((bytes_done, rows))

    def resize(self, shape):
        self._shape = shape

    @property
    def array(self):
        """What was written, all of it and nothing else."""
        assert len(self._written) == math.prod(self._shape) * self._dtype.itemsize
        return np.ndarray(self._shape, self._dtype, self._written, order=self._order)


def open_reader(path, **options):
    """The reader of a file, as a loader process opens it."""
    path = str(path)
    return opener(format_of(path, None), None, options).open(path)


def probe(path, **options):
    """The plan of a file."""
    with open_reader(path, **options) as reader:
        return reader.probe()


def read_planned(path, plan, **options):
    """The array of a file that was looked into before."""
    writer = MemoryWriter()
    with open_reader(path, **options) as reader:
        piece = reader.read(plan, WHOLE, writer)
    writer.resize(plan.final_shape(piece.rows))
    return writer.array


def read(path, **options):
    """Probe and read; gives the array, the plan and the writer."""
    writer = MemoryWriter()
    with open_reader(path, **options) as reader:
        plan = reader.probe()
        piece = reader.read(plan, WHOLE, writer)
    writer.resize(plan.final_shape(piece.rows))
    return writer.array, plan, writer


def refused(path, **options):
    """The error of a file that cannot be read, which survives pickling."""
    with pytest.raises(LoadError) as caught:
        read(path, **options)
    error = caught.value
    assert error.path == path
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy)) == (LoadError, str(error))
    return error


def many(change=None, end="\n"):
    """MANY calls, of which `change` maps line numbers from 1 to other lines."""
    lines = [f"chr{i % 22}\t{i}\t{i % 1000 / 10}" for i in range(MANY)]
    for number, line in (change or {}).items():
        lines[number - 1] = line
    return end.join(lines) + end
