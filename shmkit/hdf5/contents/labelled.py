"""Datasets and arrays of xarray, as a group of the file that xarray and netCDF4 read.

    Dataset ──▶ a dataset a variable: its attributes, its dimensions
                a coordinate that is named as its dimension is that dimension's scale
                a dimension without one gets a scale of its own, which says that it is none
                the Dataset's attributes are the group's
    DataArray ─▶ the Dataset of it and its coordinates

So they have dimension scales, as netCDF-4 files have. The attribute ``coordinates`` says which
other coordinates a variable has, as the CF conventions do.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from shmkit.hdf5.contents.frames import package_of
from shmkit.hdf5.contents.scales import lone_scale
from shmkit.hdf5.contents.values import Value, array_value, object_value

__all__ = ["as_dataset", "variables"]


def as_dataset(name: str, value: Any) -> Any | None:
    """The Dataset of xarray that a value is, or that its array makes; None if it is no such."""
    if package_of(value) != "xarray":
        return None
    kind = type(value).__name__
    if kind == "DataArray":
        found = value.name if value.name is not None else name.rpartition("/")[2] or "data"
        return value.to_dataset(name=found, promote_attrs=False)
    return value if kind == "Dataset" else None


def variables(group: str, dataset: Any) -> Iterator[tuple[str, Value]]:
    """The variables of a Dataset by their names, and scales for dimensions that have none.

    Raises
    ------
    TypeError
        If a variable holds what HDF5 cannot.
    """
    lone = {str(n) for n in dataset.coords if n not in dataset.dims}
    for key, variable in dataset.variables.items():
        value = _variable(f"{group}/{key}".lstrip("/"), variable)
        dims = tuple(map(str, variable.dims))
        attrs = {**value.attrs, **variable.attrs}
        if key not in dataset.coords:
            found = sorted(n for n in lone if set(dataset[n].dims) <= set(variable.dims))
            if found:
                attrs["coordinates"] = " ".join(found)
        yield str(key), Value(value.array, attrs, dims)
    for dim, length in dataset.sizes.items():
        if dim not in dataset.variables:
            yield str(dim), lone_scale(str(dim), length)


def _variable(name: str, variable: Any) -> Value:
    array = variable.to_numpy()
    if array.dtype.kind != "O":
        return array_value(name, array)
    try:
        return object_value(name, array)
    except TypeError:
        import xarray as xr  # noqa: PLC0415 - who has a Dataset has imported it

        encoded = xr.conventions.encode_cf_variable(variable, name=name)  # times of cftime
        if encoded.dtype.kind == "O":
            raise
        return Value(encoded.to_numpy(), encoded.attrs)
