"""A target in the test's own memory, for readers."""

import math

import numpy as np


class MemoryTarget:
    """Takes what a reader gives, and notes what it said on the way."""

    def __init__(self):
        self.reserved = None
        self.advances = []
        self._written = bytearray()

    def allocate(self, dtype, shape, *, fortran_order=False):
        self._dtype, self._order = dtype, "F" if fortran_order else "C"
        self.reserved = self._shape = shape

    declare = allocate

    def check_memory(self, nbytes):
        self.checked = nbytes

    def write(self, array):
        assert array.flags.c_contiguous
        self._written += array.tobytes()

    def advance(self, *, bytes_done, rows):
        self.advances.append((bytes_done, rows))

    def set_categories(self, names):
        self.categories = names

    def resize(self, shape):
        self._shape = shape

    @property
    def array(self):
        """What was written, all of it and nothing else."""
        assert len(self._written) == math.prod(self._shape) * self._dtype.itemsize
        return np.ndarray(self._shape, self._dtype, self._written, order=self._order)


def read(reader, path, **options):
    """Probe and read; gives the array, the plan and the target."""
    path = str(path)
    plan = reader.probe(path, options)
    target = MemoryTarget()
    reader.read_into(path, plan, target)
    return target.array, plan, target
