"""What an export wrote, as a table: in the notebook and as text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from shmkit._format import counted, dtype_text, more_text, nbytes_text, seconds_text, shape_text
from shmkit._html import Shown, Table
from shmkit.hdf5.contents.datasets import DatasetSource

__all__ = ["COLUMNS", "Dataset", "Export", "row"]

_MAX_ROWS = 30
COLUMNS = "<Dataset", ">Shape", "<Array", ">Memory"  # what `row` is made of


class Dataset(NamedTuple):
    """One dataset of an `Export`.

    Attributes
    ----------
    name : str
        Its path in the file, as in ``file[name]``.
    shape : tuple of int
    dtype : dtype
        Of the array that was given; what the file holds instead of strings and times is said at
        `shmkit.to_hdf5`.
    nbytes : int
        Bytes of the array in memory.
    nbytes_stored : int
        Bytes of its data in the file.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    nbytes: int
    nbytes_stored: int


@dataclass(frozen=True)
class Export(Shown):
    """What `shmkit.to_hdf5` wrote; shown as a table.

    Attributes
    ----------
    path : str
        The file.
    datasets : tuple of Dataset
        In the order in which they were written.
    nbytes_file : int
        Bytes of the file.
    seconds : float
        How long it took.
    """

    path: str
    datasets: tuple[Dataset, ...]
    nbytes_file: int
    seconds: float

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays in memory."""
        return sum(dataset.nbytes for dataset in self.datasets)

    def __repr__(self) -> str:
        datasets = counted(len(self.datasets), "dataset", "datasets")
        return f"<Export: {datasets} in {self.path} ({nbytes_text(self.nbytes)})>"

    _repr_pretty_ = Shown._repr_pretty_  # IPython prefers a class's own repr to what it inherits

    def table(self) -> Table:
        """What is shown of it."""
        datasets = counted(len(self.datasets), "dataset", "datasets")
        summary = (
            f"{datasets} · {nbytes_text(self.nbytes)} in memory, "
            f"{nbytes_text(self.nbytes_file)} in the file · {seconds_text(self.seconds)} · "
            f"{nbytes_text(self.nbytes / max(self.seconds, 1e-9))}/s"
        )
        rows = [
            (
                *row(dataset.name, dataset),
                nbytes_text(dataset.nbytes_stored),
                f"{100 * dataset.nbytes_stored / dataset.nbytes:.1f} %" if dataset.nbytes else "",
            )
            for dataset in self.datasets[:_MAX_ROWS]
        ]
        more = more_text([dataset.nbytes for dataset in self.datasets[_MAX_ROWS:]])
        return Table(self.path, summary, [*COLUMNS, ">File", ">Ratio"], rows, more)


def row(name: str, array: Dataset | DatasetSource) -> tuple[str, str, str, str]:
    """What a table says of a dataset before it is written."""
    return name, shape_text(array.shape), dtype_text(array.dtype), nbytes_text(array.nbytes)
