"""Reads one dataset of an HDF5 file, its chunks inflated by all loaders.

dataset ──probe──▶ dtype and shape of the array
        ──Rows───▶ some rows ──decode──▶ as they stand in the array ──▶ writer

Text of varying length is read twice: first to know how wide it is.
"""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from shmkit._text_dtype import text_fields
from shmkit.errors import LoadError
from shmkit.hdf5.encoding import decode, loaded_dtype, text_labels
from shmkit.readers.base import ArrayPlan, Part, Piece, Plan, Reader, Version
from shmkit.readers.hdf5.alike import read_alike
from shmkit.readers.hdf5.attributes import (
    OF_TIMES,
    attributes,
    bounded,
    columns_of,
    dimensions,
    stored_attrs,
)
from shmkit.readers.hdf5.file import DAMAGED, is_netcdf, kept, named, opened, version_of
from shmkit.readers.hdf5.rows import Rows
from shmkit.readers.hdf5.text import mislabelled, widths
from shmkit.readers.netcdf.cf import Decoding, decoding, time_unit
from shmkit.readers.select import picked
from shmkit.segments.writer import SegmentWriter

__all__ = ["HDF5Reader"]

_LARGE_NBYTES = 1 << 24  # from here on a dataset may be read in parts


class HDF5Reader(Reader):
    """Reads one dataset."""

    def __init__(
        self, path: str, options: Mapping[str, Any], file: h5py.File, dataset: h5py.Dataset
    ) -> None:
        self._path = path
        self._file = file
        self._options = options
        self._dataset = dataset
        self._stored: np.dtype[Any] = dataset.dtype
        self._stored_attrs = stored_attrs(dataset)
        # What has no shape holds nothing, but says what it would hold.
        self._is_null = dataset.shape is None
        if not self._is_null:
            try:
                wanted = picked(options.get("select", ()), dataset.shape)
            except ValueError as error:
                raise LoadError(path, None, None, f"{dataset.name}: {error}") from None
            self._rows = Rows(dataset, wanted)

    @classmethod
    @contextlib.contextmanager
    def open(cls, path: str, options: Mapping[str, Any], *, keep: bool = False) -> Iterator[Reader]:
        """The reader of the dataset ``options["dataset"]``, or of the table.

        Where it is told to `keep` the file open, `let_go` closes it (file.py).

        Raises
        ------
        LoadError
            If the file or the dataset is damaged, within the block too; if the name is a link
            that leads nowhere.
        OSError
            If the file cannot be read.
        """
        name = options["dataset"]
        with kept(path) if keep else opened(path) as file:
            try:
                dataset = file[name]
            except KeyError as error:
                raise _unreachable(path, file, name, error) from None
            try:
                if columns := columns_of(dataset):
                    from shmkit.readers.hdf5.table import HDF5Table  # noqa: PLC0415 - it has these

                    yield HDF5Table(path, options, file, columns)
                else:
                    yield cls(path, options, file, dataset)
            except (*DAMAGED, OSError) as error:
                if isinstance(error, OSError) and error.errno is not None:  # of the segment
                    raise
                raise named(path, error, name) from None

    def version(self) -> Version:
        """The version of the open file."""
        return version_of(self._path, self._file)

    def probe(self, like: Plan | None = None) -> Plan:  # noqa: ARG002 - nothing is guessed
        """Say what the dataset becomes.

        Raises
        ------
        LoadError
            If the dataset holds what no array in shared memory can: references, sequences of
            varying length.
        """
        stored = self._stored
        varying = [field for field, (_, varies) in text_labels(stored).items() if varies]
        blocks = self._rows.blocks(0, None) if varying and not self._is_null else ()
        try:
            loaded = loaded_dtype(stored, self._stored_attrs, widths(blocks, varying))
        except TypeError as error:
            reason = f"{self._dataset.name}: {error}; dataset= says which others to load"
            raise LoadError(self._path, None, None, reason) from None
        shape = (0,) if self._is_null else self._rows.shape
        dtype = loaded.base
        if self._decoding is not None:
            dtype = self._decoding.dtype
        nbytes = math.prod(shape) * dtype.itemsize
        if self._is_null or not self._rows.wanted:  # axes of an array datatype are not read apart
            return ArrayPlan(dtype, shape, options=dict(self._options))
        rows, chunk = self._rows.wanted[0], self._rows.chunk
        span = (0, nbytes) if nbytes >= _LARGE_NBYTES else None
        return ArrayPlan(
            dtype, shape, options=dict(self._options), span=span, rows=rows, chunk=chunk
        )

    @functools.cached_property
    def _decoding(self) -> Decoding | None:
        """How its numbers are decoded, if they are.

        What `to_hdf5` wrote says itself what it was.
        """
        stored, wanted = self._stored, self._options.get("decode")
        if wanted is None:
            wanted = "_Netcdf4Dimid" in self._stored_attrs or is_netcdf(self._path, self._file)
        if not wanted or stored.metadata or "numpy_dtype" in self._stored_attrs:
            return None
        attrs = self._attrs_with_those_of_times()
        in_range = wanted != "xarray"
        found = decoding(stored.base, attrs, in_range=in_range)
        if found is not None and found.since is not None:
            ends = [(block.min(), block.max()) for block in self._raw_blocks() if block.size]
            if ends:
                least, most = min(end[0] for end in ends), max(end[1] for end in ends)
                unit = time_unit(found, least, most)
                found = decoding(stored.base, attrs, unit, in_range=in_range)
        return found

    def _raw_blocks(self) -> Iterator[NDArray[Any]]:
        return iter(()) if self._is_null else self._rows.blocks(0, None)

    @functools.cached_property
    def _attrs(self) -> dict[str, Any]:
        return attributes(self._stored_attrs)

    def _attrs_with_those_of_times(self) -> dict[str, Any]:
        """With the units and the calendar of the times whose bounds these are."""
        if "units" in self._attrs:
            return self._attrs
        times = bounded(self._dataset)
        return {**{name: times[name] for name in times if name in OF_TIMES}, **self._attrs}

    def read(self, plan: Plan, part: Part, writer: SegmentWriter) -> Piece:
        """Write rows of the dataset.

        Raises
        ------
        LoadError
            If a filter of its chunks is not installed.
        NotEnoughMemoryError
            If there is no room.
        """
        attrs = dict(self._attrs if self._decoding is None else self._decoding.attrs)
        attrs |= dimensions(self._dataset, self._stored_attrs)
        writer.declare(plan.dtype, plan.shape, attrs=attrs)
        if self._is_null:
            return Piece(0)
        texts, no_text = text_fields(plan.dtype), set[str]()
        labels = {
            field: label for field, label in text_labels(self._stored).items() if field[1:] in texts
        }
        rows = nbytes = 0
        for array, stored_nbytes in self.arrays(plan.dtype, part.start, part.stop):
            no_text.update(mislabelled(array, labels))
            writer.write(array)
            rows, nbytes = rows + (len(array) if array.ndim else 1), nbytes + stored_nbytes
            writer.advance(bytes_done=nbytes, rows=rows)
        return Piece(rows, no_text={field[1:]: labels[field][0] for field in no_text})

    def read_alike(self, names: Sequence[str], writer: SegmentWriter) -> list[int | None]:
        """Write other datasets of the file that are as this one, too; see alike.py.

        The rows of each are given back, or None for what is to be read alone.
        """
        if self._stored.hasobject or self._decoding is not None:  # each has a type of its own
            return [None] * len(names)
        plan = self.probe()
        inner = plan.shape[1:]
        writer.declare(plan.dtype, (len(names), *inner))  # a guess: `write` goes beyond it
        rows = list(read_alike(self._file, names, self._stored, plan.dtype, writer))
        writer.resize((sum(filter(None, rows)), *inner))
        return rows

    def arrays(
        self, dtype: np.dtype[Any], start: int, stop: int | None
    ) -> Iterator[tuple[NDArray[Any], int]]:
        """These rows as the array of this dtype has them, some at a time; and their bytes before.

        The array may be used again for the next ones.
        """
        decoded = self._decoding
        raw = dtype if decoded is None else self._stored.base
        for block in self._rows.blocks(start, stop):
            array = np.ascontiguousarray(decode(block, raw))
            yield array if decoded is None else decoded(array), block.nbytes


def _unreachable(path: str, file: h5py.File, name: str, error: Exception) -> LoadError:
    """What to say of a name that leads to no dataset."""
    link = None
    with contextlib.suppress(*DAMAGED):
        link = file.get(name, getlink=True)
    if isinstance(link, h5py.ExternalLink):
        reason = f"{name} is a link to {link.path} in the file {link.filename}, which is not there"
    elif isinstance(link, h5py.SoftLink):
        reason = f"{name} is a link to {link.path}, which is not there"
    else:
        return named(path, error, name)
    return LoadError(path, None, None, reason)
