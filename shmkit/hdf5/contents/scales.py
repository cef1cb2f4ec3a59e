"""Dimension scales: which datasets say where along an axis the items of others are.

    loaded   time  DIMENSION_LIST ["time"]          saved   run1/time   a scale
             t2m   DIMENSION_LIST ["time", "lat"]          run1/t2m    its scales: time, lat
             lat   is not saved                            run1/lat    a scale without a variable

What `shared_load` reads of HDF5 and NetCDF files has the names of its dimensions as an attribute.
A dimension is looked for by its name, as netCDF does: in the group of the array, and in those above
it. A dataset of that name is its scale if it is as long as the axis is now; so what was cut by
``select=`` keeps its scales, and the part of an array gets none of the whole's.

An array of which one axis has no such scale gets none at all: h5netcdf, and so xarray, refuses a
file in which some axes of an array have scales, and others none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from shmkit.hdf5.contents.values import Value
from shmkit.views.array import SharedArray

__all__ = ["DIMENSIONS", "dimensions", "lone_scale", "scales"]

DIMENSIONS = "DIMENSION_LIST"  # the attribute; in a file, HDF5 has references there
# What netCDF writes in its place; the number, padded to ten digits, is the length.
_NO_VARIABLE = "This is a netCDF dimension but not a netCDF variable.{:10d}"


def dimensions(array: Any) -> tuple[str, ...]:
    """The names of an array's dimensions in the file it is from; none if it is a view of a part."""
    names = getattr(array, "attrs", {}).get(DIMENSIONS, ())
    if not isinstance(array, SharedArray) or len(names) != array.ndim or array.segment is None:
        return ()
    whole = array.segment.shape == array.shape and array.flags.c_contiguous
    return tuple(map(str, names)) if whole else ()


def lone_scale(name: str, length: int) -> Value:
    """The scale of a dimension that no variable belongs to."""
    attrs = {"NAME": _NO_VARIABLE.format(length)}
    return Value(np.zeros(length, ">f4"), attrs, (name,))


def scales(
    named: Mapping[str, Sequence[str]], shapes: Mapping[str, tuple[int, ...]]
) -> tuple[dict[str, tuple[str, ...]], dict[str, int]]:
    """The paths of each dataset's scales, "" for an axis that has none, and those to be made.

    Parameters
    ----------
    named
        The names of the dimensions, by the path of a dataset.
    shapes
        Of all datasets, by their path.

    Returns
    -------
    found
        The paths of the scales of each dataset, its own if it is one.
    made
        How long those are that are no variables, by their path.
    """
    found: dict[str, tuple[str, ...]] = {}
    made: dict[str, int] = {}
    groups = {path[:end] for path in shapes for end, mark in enumerate(path) if mark == "/"}
    for path, names in named.items():
        dims = tuple(_scale(path, name, shapes) for name in names)
        axes = {(at, length) for at, length in zip(dims, shapes[path], strict=True) if at}
        lengths = dict(axes)
        if len(lengths) < len(axes) or any(
            at in groups or (length,) != shapes.get(at, (made.get(at, length),))
            for at, length in axes
        ):
            continue
        made |= {at: length for at, length in lengths.items() if at not in shapes}
        found[path] = dims
    for path in {at for dims in found.values() for at in dims} - made.keys() - {""}:
        found[path] = (path,)
    return found, made


def _scale(path: str, name: str, shapes: Mapping[str, tuple[int, ...]]) -> str:
    """The path of a dimension of a dataset: in its group, if there is none of the name above."""
    if not name:
        return ""
    groups = path.split("/")[:-1]
    places = ["/".join((*groups[:depth], name)) for depth in range(len(groups), -1, -1)]
    return next((place for place in places if place in shapes), places[0])
