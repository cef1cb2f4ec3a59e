"""Datasets of HDF5 files (NetCDF-4 files are such), their chunks inflated by all loaders.

    chunk in the file ──read_direct_chunk──▶ bytes ──inflated──▶ its place in some rows ──▶ writer

HDF5 inflates chunks in one thread under one lock, with zlib. Chunks with the stock filters,
shuffle and deflate, from whatever writer, are read here past its filters; all others through
them, but in several processes too.
"""

from __future__ import annotations

import contextlib
import fnmatch
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Self

import h5py
import numpy as np
from numpy.typing import NDArray

from shmkit.errors import LoadError
from shmkit.hdf5.chunks import blocks, inflate
from shmkit.hdf5.encoding import decode, loaded_dtype
from shmkit.readers.base import Part, Piece, Plan, Reader, Version
from shmkit.segments.writer import SegmentWriter

__all__ = ["HDF5Reader", "datasets"]

_LARGE_NBYTES = 1 << 24  # from here on a dataset may be read in parts
_PIECE_NBYTES = 1 << 18  # stays in the cache of a core until it is written
_DEFLATE, _SHUFFLE = h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE
_STOCK = ((), (_DEFLATE,), (_SHUFFLE,), (_SHUFFLE, _DEFLATE))


def datasets(path: str, patterns: Sequence[str]) -> tuple[list[tuple[str, int]], Version]:
    """The datasets whose names match one of the patterns, in the order of their names.

    Each with the bytes that it takes in the file; and the version of the file.

    Raises
    ------
    LoadError
        If the file is damaged, or none matches.
    """
    found: list[tuple[str, int]] = []
    names: list[str] = []

    def note(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and item.shape is not None:  # else it holds nothing
            names.append(name)
            if any(fnmatch.fnmatchcase(name, pattern.strip("/")) for pattern in patterns):
                found.append((name, item.id.get_storage_size()))

    with _opened(path) as file:
        version = _version(file)
        file.visititems(note)
    if not found:
        there = f"it has {', '.join(names[:20])}" if names else "it has none"
        raise LoadError(path, None, None, f"no dataset matches {', '.join(patterns)}; {there}")
    return found, version


class HDF5Reader(Reader):
    """Reads one dataset."""

    def __init__(self, path: str, options: Mapping[str, Any], dataset: h5py.Dataset) -> None:
        self._path = path
        self._options = options
        self._dataset = dataset

    @classmethod
    @contextlib.contextmanager
    def open(cls, path: str, options: Mapping[str, Any]) -> Iterator[Self]:
        """The reader of the dataset ``options["dataset"]``.

        Raises
        ------
        LoadError
            If the file is damaged, within the block too.
        OSError
            If it cannot be read.
        """
        with _opened(path) as file:
            yield cls(path, options, file[options["dataset"]])

    def version(self) -> Version:
        """The version of the open file."""
        return _version(self._dataset.file)

    def probe(self) -> Plan:
        """Say what the dataset becomes.

        Raises
        ------
        LoadError
            If the dataset holds what no array in shared memory can: references, sequences of
            varying length.
        """
        dataset = self._dataset
        stored, shape = dataset.dtype, dataset.shape
        if h5py.check_string_dtype(stored) is not None and stored.hasobject:
            widest = (len(text) for rows in _rows(dataset, 0, None) for text in rows.flat)
            dtype = np.dtype(f"U{max(widest, default=1) or 1}")
        elif stored.hasobject:
            reason = (
                f"{dataset.name} holds Python objects ({stored}), which cannot lie in shared "
                "memory; dataset= says which others to load"
            )
            raise LoadError(self._path, None, None, reason)
        else:
            dtype = loaded_dtype(stored, dataset.attrs)
        nbytes = math.prod(shape) * dtype.itemsize
        span = (0, nbytes) if shape and nbytes >= _LARGE_NBYTES else None
        return Plan(dtype, shape, options=dict(self._options), span=span)

    def count(self, plan: Plan, start: int, stop: int) -> Part:
        """The rows that begin in these bytes of the array, whole chunks of them."""
        step = self._dataset.chunks[0] if self._dataset.chunks else 1
        step_nbytes = step * max(plan.row_nbytes, 1)
        first, last = (
            min(-(-nbytes // step_nbytes) * step, plan.shape[0]) for nbytes in (start, stop)
        )
        return Part(first, last, rows=last - first)

    def read(self, plan: Plan, part: Part, writer: SegmentWriter) -> Piece:
        """Write rows of the dataset.

        Raises
        ------
        LoadError
            If a filter of its chunks is not installed.
        NotEnoughMemoryError
            If there is no room.
        """
        writer.declare(plan.dtype, plan.shape)
        rows = nbytes = 0
        for block in _rows(self._dataset, part.start, part.stop):
            writer.write(np.ascontiguousarray(decode(block, plan.dtype)))
            rows, nbytes = rows + (len(block) if block.ndim else 1), nbytes + block.nbytes
            writer.advance(bytes_done=nbytes, rows=rows)
        return Piece(rows)


def _rows(dataset: h5py.Dataset, start: int, stop: int | None) -> Iterator[NDArray[Any]]:
    """The rows of a dataset, a few at a time, in one array that is used again and again."""
    shape, dtype, chunks = dataset.shape, dataset.dtype, dataset.chunks
    if not shape:
        yield np.asarray(dataset.asstr()[()] if dtype.hasobject else dataset[()])
        return
    stop = shape[0] if stop is None else stop
    row = max(math.prod(shape[1:]) * dtype.itemsize, 1)
    unit = chunks[0] if chunks else 1
    step = unit * max(_PIECE_NBYTES // (unit * row), 1)
    stock = _stock(dataset) if chunks else None
    rows = np.empty((min(step, shape[0]), *shape[1:]), dtype)
    for first in range(start, stop, step):
        some = rows[: min(step, stop - first)]
        if stock is not None:
            _inflate(stock, first, some)
        elif dtype.hasobject:
            some = dataset.asstr()[first : first + len(some)]
        else:
            dataset.read_direct(some, np.s_[first : first + len(some)])
        yield some


def _filters(dataset: h5py.Dataset) -> tuple[int, ...]:
    """The filters of its chunks, all of which HDF5 has here."""
    properties = dataset.id.get_create_plist()
    filters = tuple(properties.get_filter(i)[0] for i in range(properties.get_nfilters()))
    if not all(map(h5py.h5z.filter_avail, filters)):
        with contextlib.suppress(ImportError):
            import hdf5plugin  # noqa: F401, PLC0415 - optional; its import makes them known
    for code in filters:
        if not h5py.h5z.filter_avail(code):
            reason = (
                f"{dataset.name} is stored by filter {code}, which HDF5 does not have here; "
                "perhaps the package hdf5plugin has it"
            )
            raise LoadError(dataset.file.filename, None, None, reason)
    return filters


class _Stock(NamedTuple):
    """A dataset that is read past its filters. (h5py asks HDF5 for these again every time.)"""

    dataset: h5py.h5d.DatasetID
    chunks: tuple[int, ...]
    shuffle: bool
    deflate: bool


def _stock(dataset: h5py.Dataset) -> _Stock | None:
    """What is known of it if its chunks are all there, have stock filters and numpy's types."""
    filters = _filters(dataset)
    grid = (-(-n // m) for n, m in zip(dataset.shape, dataset.chunks, strict=True))
    if (
        filters not in _STOCK
        or h5py.h5t.py_create(dataset.dtype, logical=True) != dataset.id.get_type()
        or dataset.id.get_num_chunks() != math.prod(grid)
    ):
        return None
    return _Stock(dataset.id, dataset.chunks, _SHUFFLE in filters, _DEFLATE in filters)


def _inflate(stock: _Stock, first: int, rows: NDArray[Any]) -> None:
    """Fill rows from the chunks that they are in; `first` is where a chunk begins."""
    for block in blocks(rows.shape, stock.chunks):
        place = first + block[0].start, *(side.start for side in block[1:])
        skipped, data = stock.dataset.read_direct_chunk(place)  # a bit for each filter
        inflate(
            data,
            stock.chunks,
            rows[block],
            deflated=stock.deflate and not skipped >> stock.shuffle & 1,
            shuffled=stock.shuffle and not skipped & 1,
        )


def _version(file: h5py.File) -> Version:
    return Version.of(os.fstat(file.id.get_vfd_handle()))


@contextlib.contextmanager
def _opened(path: str) -> Iterator[h5py.File]:
    """The file; errors name it."""
    try:
        with h5py.File(path, "r") as file:
            yield file
    except (KeyError, RuntimeError, ValueError) as error:  # what h5py raises where data are wrong
        reason = f"its HDF5 data are damaged ({error}); copy it again"
        raise LoadError(path, None, None, reason) from None
    except OSError as error:
        if error.errno is not None:  # no such file, no permission
            raise
        raise LoadError(path, None, None, f"it cannot be read as HDF5: {error}") from None
