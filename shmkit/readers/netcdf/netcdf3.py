"""NetCDF-3 files, of which scipy knows the layout: each variable is a dataset.

file │ header │ variables, one after another │ records: a row of each unlimited variable │ …
                         └──── mapped by scipy, big-endian ────┘ ──▶ rows ──▶ writer
"""

from __future__ import annotations

import contextlib
import functools
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from shmkit.errors import LoadError
from shmkit.hdf5.contents.scales import DIMENSIONS
from shmkit.readers.base import ArrayPlan, Part, Piece, Plan, Reader, Version
from shmkit.readers.names import Listed, matched
from shmkit.readers.netcdf.cf import Decoding, decoding, time_unit
from shmkit.readers.select import picked
from shmkit.segments.writer import SegmentWriter

if TYPE_CHECKING:
    from scipy.io import netcdf_file

__all__ = ["NetCDF3Reader", "listed"]

_LARGE_NBYTES = 1 << 24  # from here on a variable may be read in parts
_PIECE_NBYTES = 1 << 18
# What scipy raises where data are wrong.
_DAMAGED = (AssertionError, EOFError, IndexError, KeyError, OverflowError, TypeError, ValueError)


def listed(path: str, patterns: Sequence[str]) -> tuple[list[Listed], Version]:
    """The variables that these names and globs mean, and the version of the file.

    Raises
    ------
    LoadError
        If the file is damaged, scipy is not there, or a pattern matches none.
    OSError
        If it cannot be read.
    """
    with _opened(path) as file:
        version = _version(file)
        nbytes = {name: int(one.data.nbytes) for name, one in file.variables.items()}
    meant = matched(path, patterns, sorted(nbytes))
    return [Listed((name,), nbytes[name], nbytes[name]) for name in meant], version


class NetCDF3Reader(Reader):
    """Reads one variable."""

    def __init__(self, path: str, options: Mapping[str, Any], file: netcdf_file) -> None:
        self._path = path
        self._options = options
        self._file = file
        variable = file.variables[options["dataset"]].data
        self._attrs = _attributes(file.variables[options["dataset"]])
        self._dimensions = file.variables[options["dataset"]].dimensions
        try:
            picked(options.get("select", ()), variable.shape)
        except ValueError as error:
            raise LoadError(path, None, None, f"{options['dataset']}: {error}") from None
        self._data = variable[options.get("select", ())]

    @classmethod
    @contextlib.contextmanager
    def open(cls, path: str, options: Mapping[str, Any]) -> Iterator[Self]:
        """The reader of the variable ``options["dataset"]``.

        Raises
        ------
        LoadError
            If the file is damaged, or scipy is not there.
        OSError
            If it cannot be read.
        """
        with _opened(path) as file:
            reader = cls(path, options, file)
            yield reader
            del reader._data  # scipy warns of what still stands on its mapping

    def version(self) -> Version:
        """The version of the open file."""
        return _version(self._file)

    def probe(self, like: Plan | None = None) -> Plan:  # noqa: ARG002 - nothing is guessed
        """Say what the variable becomes."""
        dtype, shape = self._data.dtype, self._data.shape
        if self._decoding is not None:
            dtype = self._decoding.dtype
        nbytes = math.prod(shape) * dtype.itemsize
        span = (0, nbytes) if shape and nbytes >= _LARGE_NBYTES else None
        rows = range(len(self._data)) if span else range(0)
        return ArrayPlan(dtype, shape, options=dict(self._options), span=span, rows=rows)

    @functools.cached_property
    def _decoding(self) -> Decoding | None:
        """How its numbers are decoded, unless they are not to be."""
        if self._options.get("decode") is False:
            return None
        in_range = self._options.get("decode") != "xarray"
        found = decoding(self._data.dtype, self._attrs, in_range=in_range)
        if found is not None and found.since is not None and self._data.size:
            unit = time_unit(found, self._data.min(), self._data.max())
            found = decoding(self._data.dtype, self._attrs, unit, in_range=in_range)
        return found

    def _values(self, rows: NDArray[Any]) -> NDArray[Any]:
        return rows if self._decoding is None else self._decoding(rows)

    def read(self, plan: Plan, part: Part, writer: SegmentWriter) -> Piece:
        """Write rows of the variable.

        Raises
        ------
        NotEnoughMemoryError
            If there is no room.
        """
        attrs = dict(self._attrs if self._decoding is None else self._decoding.attrs)
        if self._dimensions:
            attrs[DIMENSIONS] = np.array(self._dimensions)
        writer.declare(plan.dtype, plan.shape, attrs=attrs)
        if not plan.shape:
            writer.write(self._values(np.array(self._data)))
            return Piece(1)
        stop = plan.shape[0] if part.stop is None else part.stop
        step = max(_PIECE_NBYTES // max(plan.row_nbytes, 1), 1)
        for first in range(part.start, stop, step):
            last = min(first + step, stop)
            writer.write(self._values(np.array(self._data[first:last])))
            rows = last - part.start
            writer.advance(bytes_done=rows * plan.row_nbytes, rows=rows)
        return Piece(stop - part.start)


@contextlib.contextmanager
def _opened(path: str) -> Iterator[netcdf_file]:
    try:
        from scipy.io import netcdf_file  # noqa: PLC0415 - optional, and long to import
    except ImportError:
        reason = (
            "it is a NetCDF-3 file, which scipy reads; install it (pip install shmkit[netcdf3]), "
            "or make NetCDF-4 of the file: nccopy -k nc4"
        )
        raise LoadError(path, None, None, reason) from None
    try:
        with netcdf_file(path, "r", mmap=True, maskandscale=False) as file:
            yield file
    except _DAMAGED as error:
        reason = f"its NetCDF-3 data are damaged ({error}); copy it again"
        raise LoadError(path, None, None, reason) from None


def _attributes(variable: Any) -> dict[str, Any]:
    """What the file says of a variable: text, and numbers in this machine's byte order."""
    found: dict[str, Any] = {}
    for name, value in variable._attributes.items():  # noqa: SLF001 - scipy has no other way
        if isinstance(value, bytes):
            found[name] = value.decode("utf-8", "replace")
        else:
            array = np.asarray(value)
            found[name] = array.astype(array.dtype.newbyteorder("="))[()]
    return found


def _version(file: netcdf_file) -> Version:
    return Version.of(os.fstat(file.fp.fileno()))
