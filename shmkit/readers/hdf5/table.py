"""Reads a table that `to_hdf5` saved: a group with a dataset for each column, or one compound.

    group t, "columns"      when ─▶ ┐                        dataset t, "table"
                            temp ─▶ ├─ a place each ◀─ fields of some rows
                            st   ─▶ ┘

`to_hdf5` says so in an attribute; without it, a group is the datasets in it, and a compound is
records. The names of the columns, in the group or below it, are in the order that they say.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from shmkit._text_dtype import encoded, text_dtype
from shmkit.readers.base import ArrayPlan, Part, Piece, Plan, Reader, Version
from shmkit.readers.hdf5.reader import HDF5Reader
from shmkit.segments.image.layout import Layout
from shmkit.segments.writer import SegmentWriter

__all__ = ["HDF5Table"]

_LARGE_NBYTES = 1 << 24  # from here on a table may be read in parts


@dataclass(frozen=True)
class _TablePlan(ArrayPlan):
    """The plan of a table, whose columns lie one behind another."""

    names: tuple[str, ...] = ()

    @property
    def layout(self) -> Layout:
        """Where they lie."""
        columns = [(name, self.dtype[n]) for n, name in enumerate(self.names)]
        return Layout.new(columns, self.shape[0])

    def finish(self, writer: SegmentWriter, pieces: Sequence[tuple[int, int]]) -> None:
        """Each piece has its place already, and was described with it."""


class HDF5Table(Reader):
    """Reads one table, each column by the reader of a dataset."""

    def __init__(
        self,
        path: str,
        options: Mapping[str, Any],
        file: h5py.File,
        datasets: Mapping[str, h5py.Dataset],
    ) -> None:
        self._options = options
        self._stored = next(iter(datasets.values())).dtype
        self._readers = {
            name: HDF5Reader(path, options, file, dataset) for name, dataset in datasets.items()
        }

    def version(self) -> Version:
        """The version of the open file."""
        return next(iter(self._readers.values())).version()

    def probe(self, like: Plan | None = None) -> Plan:  # noqa: ARG002 - nothing is guessed
        """Say what the table becomes; raises as the reader of a dataset."""
        plans = {name: reader.probe() for name, reader in self._readers.items()}
        first, columns = next(iter(plans.values())), {name: p.dtype for name, p in plans.items()}
        if "" in plans:
            fields = first.dtype
            columns = {name: self._of_field(name, fields[name]) for name in fields.names or ()}
        rows = first.shape[0]
        dtype = Layout.new(list(columns.items()), 0).row_dtype()
        nbytes = rows * dtype.itemsize
        return _TablePlan(
            dtype,
            (rows,),
            options=dict(self._options),
            span=(0, nbytes) if nbytes >= _LARGE_NBYTES else None,
            rows=range(rows),
            names=tuple(columns),
        )

    def _of_field(self, name: str, dtype: np.dtype[Any]) -> np.dtype[Any]:
        """The dtype that a field of a compound has as a column: there, text is UTF-8."""
        return text_dtype(self._stored[name].itemsize) if dtype.kind == "U" else dtype

    def read(self, plan: Plan, part: Part, writer: SegmentWriter) -> Piece:
        """Write rows of each column to its place.

        Raises
        ------
        LoadError
            If a filter of a dataset is not installed.
        NotEnoughMemoryError
            If there is no room.
        """
        assert isinstance(plan, _TablePlan)
        layout = plan.layout
        writer.declare(*layout.image())
        places = {c.name: (c.offset, c.dtype) for c in layout.columns}
        count = nbytes = 0
        for name, array, at in self._blocks(part):
            offset, dtype = places[name]
            writer.seek(offset + (part.row + at) * dtype.itemsize)
            utf8 = encoded(array).astype(dtype.str) if array.dtype.kind == "U" else array
            writer.write(utf8)
            count, nbytes = max(count, at + len(array)), nbytes + array.nbytes
            writer.advance(bytes_done=nbytes, rows=count)
        return Piece(count)

    def _blocks(self, part: Part) -> Iterator[tuple[str, NDArray[Any], int]]:
        """Some rows of a column, and how many are before them in the part."""
        for name, reader in self._readers.items():
            at, dtype = 0, reader.probe().dtype
            for array, _ in reader.arrays(dtype, part.start, part.stop):
                for field in (name,) if name else dtype.names or ():
                    yield field, array if name else np.ascontiguousarray(array[field]), at
                at += len(array)
