"""A target in the test's own memory, for readers."""

import numpy as np


class MemoryTarget:
    """Takes what a reader gives, and notes what it said on the way."""

    def __init__(self):
        self.array = None
        self.reserved = None
        self.advances = []

    def reserve(self, dtype, shape, *, fortran_order=False):
        # Garbage, so that what a reader leaves out shows.
        order = "F" if fortran_order else "C"
        self.array = np.empty(shape, dtype, order=order)
        flat = self.array.T if fortran_order else self.array
        flat.reshape(-1).view(np.uint8)[...] = 0xA5
        self.reserved = shape
        return self.array

    def advance(self, *, bytes_done, rows):
        self.advances.append((bytes_done, rows))

    def resize(self, shape):
        old = self.array.reshape(-1)
        new = np.empty(int(np.prod(shape)), old.dtype)
        new[: old.size] = old[: new.size]
        self.array = new.reshape(shape)
        return self.array


def read(reader, path, **options):
    """Probe and read; gives the array, the plan and the target."""
    path = str(path)
    plan = reader.probe(path, options)
    target = MemoryTarget()
    reader.read_into(path, plan, target)
    return target.array, plan, target
