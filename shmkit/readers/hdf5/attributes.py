"""The attributes of a dataset, as its array has them; and what they say is a table."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

import h5py
import numpy as np

from shmkit.hdf5.contents.scales import DIMENSIONS
from shmkit.hdf5.encoding import TABLE_KEY
from shmkit.readers.hdf5.file import DAMAGED

__all__ = ["OF_TIMES", "attributes", "bounded", "columns_of", "dimensions", "stored_attrs"]

# What HDF5, NetCDF-4 and `to_hdf5` say to themselves.
_INTERNAL = (
    *("CLASS", "NAME", "DIMENSION_LIST", "REFERENCE_LIST", "DIMENSION_LABELS"),
    *("_Netcdf4Dimid", "_Netcdf4Coordinates", "_nc3_strict"),
    *("source_file", "source_options", "column", "missing", TABLE_KEY),
)
OF_TIMES = ("units", "calendar", "_FillValue")  # which to_hdf5 says anew
_STORED_KIND = "numpy_dtype"
_KINDS = "biufcmM"


def stored_attrs(dataset: h5py.Dataset) -> Mapping[str, Any]:
    """All of them, as h5py has them; where there are none, each look would ask HDF5 again."""
    attrs: Mapping[str, Any] = dataset.attrs if h5py.h5a.get_num_attrs(dataset.id) else {}
    return attrs


def attributes(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the stored ones that are text, numbers or times, or arrays of these."""
    found: dict[str, Any] = {}
    internal = (*_INTERNAL, *(OF_TIMES if _STORED_KIND in stored else ()))
    for name in stored:
        if name in internal or name.startswith(_STORED_KIND):
            continue
        with contextlib.suppress(*DAMAGED, OSError, TypeError):
            value = _plain(stored[name])
            if value is not None:
                found[name] = value
    return found


def dimensions(dataset: h5py.Dataset, stored: Mapping[str, Any]) -> dict[str, Any]:
    """The names of its dimensions, "" for one without a name; empty if none has any.

    They are the last parts of the names of its dimension scales, as for netCDF: a dimension that is
    not in the same group is in one above. (HDF5 has references to them in the file.)
    """
    if not dataset.shape or not {"CLASS", DIMENSIONS} & set(stored):
        return {}
    with contextlib.suppress(*DAMAGED, OSError, TypeError):
        if h5py.h5ds.is_scale(dataset.id):
            names = [dataset.name] if dataset.ndim == 1 else []
        else:
            names = [axis[0].name if len(axis) else "" for axis in dataset.dims]
        if any(names):
            return {DIMENSIONS: np.array([name.rpartition("/")[2] for name in names])}
    return {}


def bounded(dataset: h5py.Dataset) -> dict[str, Any]:
    """The attributes of the times whose bounds a dataset says that it has; empty if there are none.

    The CF conventions let bounds do without units: they are those of the times.
    """
    with contextlib.suppress(*DAMAGED, OSError):
        name = dataset.name.rpartition("/")[2]
        for other in dataset.parent.values():
            if isinstance(other, h5py.Dataset) and "bounds" in other.attrs:
                attrs = attributes(other.attrs)
                if attrs.get("bounds") == name and " since " in str(attrs.get("units")):
                    return {key: attrs[key] for key in ("units", "calendar") if key in attrs}
    return {}


def columns_of(item: h5py.Group | h5py.Dataset) -> dict[str, h5py.Dataset]:
    """The datasets of a table by the names of its columns, in their order; of a compound, one.

    Empty for what is no table; also for a group in which others have put something else since.
    """
    if not h5py.h5a.exists(item.id, TABLE_KEY.encode()):
        return {}
    if isinstance(item, h5py.Dataset):
        return {"": item} if item.dtype.names and item.ndim == 1 else {}
    found: dict[str, h5py.Dataset] = {}
    item.visititems(lambda name, one: found.update({name: one} if _is_dataset(one) else {}))
    places = {name: one.attrs.get("column", -1) for name, one in found.items()}
    if (
        sorted(places.values()) != [*range(len(found))]
        or len({d.shape for d in found.values()}) > 1
    ):
        return {}
    return {name: found[name] for name in sorted(found, key=places.__getitem__)}


def _is_dataset(item: object) -> bool:
    return isinstance(item, h5py.Dataset)


def _plain(value: Any) -> Any:
    """A value as numpy and Python have it; None for references, compounds and the like."""
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return np.bytes_(value)
    if isinstance(value, str) or value is None or isinstance(value, h5py.Empty):
        return value if isinstance(value, str) else None
    array = np.asarray(value)
    if array.dtype.kind in "OSU":
        texts = [one.decode() if isinstance(one, bytes) else one for one in array.flat]
        if not texts or not all(isinstance(one, str) for one in texts):
            return None
        return np.array(texts).reshape(array.shape)
    return value if array.dtype.kind in _KINDS else None
