"""The rows of a dataset, or of a part of it, a few at a time.

    chunk in the file ──read_direct_chunk──▶ bytes ──filters──▶ its place in some rows
    anything else     ──────────── HDF5 ──────────────────────▶ some rows

HDF5 undoes the filters of chunks in one thread under one lock. Chunks whose filters `hdf5.filters`
knows are read here past HDF5, from whatever writer. All else goes through it: other filters, types
that HDF5 converts, and chunks that were never written.

A part of a dataset takes the chunks that it is in, and no others.
"""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray

from shmkit.errors import LoadError
from shmkit.hdf5.chunks import fill
from shmkit.hdf5.compression.filters import Pipeline, filter_name
from shmkit.readers.hdf5.file import DAMAGED
from shmkit.readers.select import Cut, as_slice, cuts, stop_of_chunk

__all__ = ["Rows"]

_PIECE_NBYTES = 1 << 18  # stays in the cache of a core until it is written


class Rows:
    """What is wanted of a dataset, as h5py gives it.

    Attributes
    ----------
    wanted
        Which items of each axis.
    shape
        Of all that is wanted. Axes of an array datatype come last.
    chunk
        How many rows a chunk has.
    """

    def __init__(self, dataset: h5py.Dataset, wanted: tuple[range, ...]) -> None:
        self._dataset = dataset
        self.wanted = wanted
        self._dtype = dataset.dtype.base
        self._inner = dataset.dtype.shape  # of an array datatype
        self.shape = (*map(len, wanted), *self._inner)
        # HDF5 has a row as wide as from the first to the last item that is wanted of it.
        spans = (abs(one.step) * len(one) for one in wanted[1:])
        row_nbytes = math.prod(spans) * dataset.dtype.itemsize
        self.chunk: int = dataset.chunks[0] if dataset.chunks and wanted else 1
        step = abs(wanted[0].step) if wanted else 1
        chunks = _PIECE_NBYTES * step // max(self.chunk * row_nbytes, 1)
        self._block = self.chunk * max(chunks, 1)
        self._stock = _stock(dataset) if dataset.chunks else None

    def blocks(self, start: int, stop: int | None) -> Iterator[NDArray[Any]]:
        """These rows, in one array that is used again and again."""
        if not self.wanted:
            yield np.array(self._dataset[()], self._dtype)  # of a text h5py gives the bytes alone
            return
        room: NDArray[Any] = np.empty(0, self._dtype)
        last = self.shape[0] if stop is None else stop
        while start < last:
            end = min(stop_of_chunk(self.wanted[0], start, self._block), last)
            if self._stock is None or 0 in self.shape:
                yield self._through_hdf5((self.wanted[0][start:end], *self.wanted[1:]))
            else:
                if len(room) < end - start:
                    room = np.empty((end - start, *self.shape[1:]), self._dtype)
                some = room[: end - start]
                self._inflate(self._stock, self.wanted[0][start:end], some)
                yield some
            start = end

    def _inflate(self, stock: _Stock, rows: range, out: NDArray[Any]) -> None:
        """Fill some rows from the chunks that they are in."""
        axes = zip((rows, *self.wanted[1:]), stock.chunks, strict=True)
        for cut in itertools.product(*(tuple(cuts(*axis)) for axis in axes)):
            here = out[tuple(axis.here for axis in cut)]
            try:
                skipped, data = stock.dataset.read_direct_chunk(tuple(axis.chunk for axis in cut))
            except (*DAMAGED, OSError):  # it was never written, or is damaged: HDF5 knows
                here[...] = self._through_hdf5(tuple(_range_of(axis) for axis in cut))
                continue
            chunks = *stock.chunks, *self._inner
            nbytes = math.prod(chunks) * here.itemsize
            data, shuffled = stock.filters.decode(data, skipped, nbytes)
            fill(data, chunks, here, there=tuple(axis.there for axis in cut), shuffled=shuffled)

    def _through_hdf5(self, wanted: tuple[range, ...]) -> NDArray[Any]:
        """A part, as HDF5 reads it.

        It takes a step of rows well. Of each row it reads the items between as well, since it is
        slow where it has to pick them one by one.
        """
        if not all(wanted):
            return np.empty((*map(len, wanted), *self._inner), self._dtype)
        rows, *axes = (one if one.step > 0 else one[::-1] for one in wanted)
        spans = [slice(one[0], one[-1] + 1) for one in axes]
        found: NDArray[Any] = self._dataset[(as_slice(rows), *spans)]
        turned = slice(None, None, 1 if wanted[0].step > 0 else -1)
        steps = (slice(None, None, one.step) for one in wanted[1:])
        return found[(turned, *steps)]


def _range_of(cut: Cut) -> range:
    there = cut.there
    stop = -1 if there.stop is None else there.stop
    return range(cut.chunk + there.start, cut.chunk + stop, there.step)


class _Stock(NamedTuple):
    """A dataset that is read past HDF5. (h5py asks HDF5 for these again every time.)"""

    dataset: h5py.h5d.DatasetID
    chunks: tuple[int, ...]
    filters: Pipeline


def _stock(dataset: h5py.Dataset) -> _Stock | None:
    """What is known of it if its filters can be undone here, and it holds numpy's types."""
    # HDF5 gives nonsense where no chunk was ever written.
    if (filters := Pipeline.of(dataset)) is None or not dataset.id.get_storage_size():
        _check_filters(dataset)
        return None
    stored = dataset.dtype
    if stored.hasobject or h5py.h5t.py_create(stored, logical=True) != dataset.id.get_type():
        _check_filters(dataset)
        return None
    return _Stock(dataset.id, dataset.chunks, filters)


def _check_filters(dataset: h5py.Dataset) -> None:
    """Raise a `LoadError` for a filter that HDF5 does not have here."""
    properties = dataset.id.get_create_plist()
    filters = [properties.get_filter(i)[0] for i in range(properties.get_nfilters())]
    if not all(map(h5py.h5z.filter_avail, filters)):
        with contextlib.suppress(ImportError):
            import hdf5plugin  # noqa: F401, PLC0415 - optional; its import makes them known
    for code in filters:
        if not h5py.h5z.filter_avail(code):
            reason = (
                f"{dataset.name} is stored by the filter {filter_name(code)}, which HDF5 does not "
                "have here; the package hdf5plugin has the usual ones: pip install "
                "'shmkit[filters]'"
            )
            raise LoadError(dataset.file.filename, None, None, reason)
