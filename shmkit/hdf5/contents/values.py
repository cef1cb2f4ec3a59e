"""What people have, as arrays for the file: numbers, texts and times, alone, in lists, in objects.

    3.5    "text"    [1, 2]    ["a", None]    datetime(…)      np.array([…], object)
      └────────┴────────┴───────────┴─────────────┴────────────────────┘
                                    │ by the types of the items
                                    ▼
    array of numbers, of UTF-8, or of times; masked where an item is missing (see `masks`)

Items of one kind make an array; a mixture is an error that names the types. Nothing is guessed from
what a text says. What is missing is None, NaN, NaT, pandas' NA. Among numbers with a fraction it is
NaN, among times NaT.
"""

from __future__ import annotations

import datetime as dt
import numbers
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shmkit._text_dtype import encoded, text_dtype

__all__ = ["Value", "array_value", "is_listed", "object_value", "text_array"]

_TIMES = {  # what numpy counts them in
    dt.datetime: "M8[us]",
    dt.date: "M8[D]",
    dt.timedelta: "m8[us]",
}
_MISSING = ("NAType", "NaTType")  # of pandas, which need not be there
_SCALARS = (str, bytes, numbers.Number, np.generic, *_TIMES)


class Value(NamedTuple):
    """What is to be one dataset, or one table of columns.

    Attributes
    ----------
    array
        An array, or what has the dtype and the items of one.
    attrs
        What the file says about it besides.
    dims
        The names of its dimensions, where they have any.
    """

    array: Any
    attrs: Mapping[str, Any] = {}
    dims: tuple[str, ...] = ()


def array_value(name: str, array: NDArray[Any]) -> Value:
    """An array as HDF5 can hold it: StringDType and objects are looked into.

    Raises
    ------
    TypeError
        If the objects are no numbers, texts or times, or of several kinds.
    """
    mask = np.ma.getmaskarray(array) if isinstance(array, np.ma.MaskedArray) else None
    if array.dtype.kind == "O":
        return object_value(name, np.asarray(array), mask)
    if array.dtype.kind == "T":
        missing = np.array([not isinstance(text, str) for text in array.reshape(-1)], bool)
        missing = missing.reshape(array.shape)
        return Value(text_array(np.where(missing, "", array.astype("O")), missing))
    if mask is not None and array.dtype.kind == "U":
        return Value(text_array(np.asarray(array), mask, always=True))
    if mask is not None and array.dtype.kind == "b":
        return Value(array.astype("i1"))  # a bool has no third value that could stand for it
    return Value(_with_cf_unit(array))


def object_value(name: str, value: Any, mask: Any = None) -> Value:
    """Python objects, of any shape, as an array of numbers, texts or times.

    Raises
    ------
    TypeError
        If they are none, or of several kinds.
    """
    objects = value if isinstance(value, np.ndarray) else np.array(value, dtype=object)
    shape, items = objects.shape, objects.reshape(-1)
    missing = np.fromiter(map(_is_missing, items), bool, len(items))
    if mask is not None:
        missing |= np.broadcast_to(mask, shape).reshape(-1)
    there = [_without_pandas(item) for item in items[~missing]]
    types = {type(item) for item in there}
    if not types and shape and (len(items) or not isinstance(value, np.ndarray)):
        return _masked(np.array([], float), missing, shape, mask)
    if all(issubclass(kind, str) for kind in types) and (types or shape):
        texts = np.where(missing, "", items).reshape(shape)
        return Value(text_array(texts, missing.reshape(shape), always=mask is not None))
    if types and all(issubclass(kind, bytes) for kind in types):
        if any(item.endswith(b"\0") for item in there):
            raise TypeError(f"{name} holds bytes that end in a zero, which HDF5 would cut off")
        return _masked(np.array(there, "S"), missing, shape, mask)
    zone = {item.tzinfo for item in there if isinstance(item, dt.datetime)}
    for kind, dtype in _TIMES.items():
        if types and all(_kind_of_time(found) is kind for found in types):
            if zone - {None}:
                return _in_utc(name, items, missing, shape, zone)
            times = np.full(len(items), "NaT", dtype)
            times[~missing] = np.array(there, dtype)
            return Value(times.reshape(shape))
    if types and all(issubclass(kind, (bool, np.bool_)) for kind in types):
        return _masked(np.array(there, bool), missing, shape, mask)
    if types and all(issubclass(kind, (numbers.Number, np.generic)) for kind in types):
        array = np.array(there)
        exact = array.dtype.kind != "f" or not all(issubclass(k, numbers.Integral) for k in types)
        if array.dtype.kind in "biufcmM" and exact:
            return _masked(array, missing, shape, mask)
    told = ", ".join(sorted(kind.__name__ for kind in types)) or "None"
    raise TypeError(
        f"{name} holds Python objects ({objects.dtype}) of the type {told}, which HDF5 cannot "
        "hold; convert it first, for example with astype(float), or astype(str) for strings; rows "
        "of different lengths are an array each"
    )


def text_array(texts: NDArray[Any], missing: NDArray[np.bool_], *, always: bool = False) -> Any:
    """Texts as UTF-8 of a fixed width; masked where they are missing, or always."""
    utf8 = encoded(texts)
    array = utf8.astype(text_dtype(utf8.itemsize))
    return np.ma.MaskedArray(array, missing) if always or missing.any() else array


def _masked(values: NDArray[Any], missing: NDArray[np.bool_], shape: Any, mask: Any) -> Value:
    """Values where they are not missing; NaN, NaT or masked where they are."""
    if mask is None and not missing.any():
        return Value(_with_cf_unit(values.reshape(shape)))
    array = np.zeros(len(missing), values.dtype)
    array[~missing] = values
    if mask is None and values.dtype.kind in "fcmM":
        array[missing] = "NaT" if values.dtype.kind in "mM" else np.nan
        return Value(_with_cf_unit(array.reshape(shape)))
    return array_value("", np.ma.MaskedArray(array, missing).reshape(shape))


def _in_utc(
    name: str, items: NDArray[Any], missing: NDArray[np.bool_], shape: Any, zones: set[Any]
) -> Value:
    """Times that know their zone: in UTC, with the zone as an attribute."""
    if None in zones:
        raise TypeError(f"{name} holds times with and without a time zone; give all of them one")
    times = np.full(len(items), "NaT", "M8[us]")
    utc = [item.astimezone(dt.UTC).replace(tzinfo=None) for item in items[~missing]]
    times[~missing] = np.array(utc, "M8[us]")
    return Value(times.reshape(shape), {"timezone": ", ".join(sorted(map(str, zones)))})


def _is_missing(item: Any) -> bool:
    if item is None or type(item).__name__ in _MISSING:
        return True
    return isinstance(item, float | np.floating | np.datetime64 | np.timedelta64) and item != item  # noqa: PLR0124


def _kind_of_time(found: type) -> type | None:
    """The first that it is one of: a datetime is a date too."""
    return next((kind for kind in _TIMES if issubclass(found, kind)), None)


def _without_pandas(item: Any) -> Any:
    """Times of pandas as numpy's: as Python's, they would lose their nanoseconds."""
    if getattr(item, "tzinfo", None) is None:
        for method in ("to_datetime64", "to_timedelta64"):
            if hasattr(item, method):
                return getattr(item, method)()
    return item


def _with_cf_unit(array: NDArray[Any]) -> NDArray[Any]:
    """Times in a unit that the CF conventions have, where one is as exact.

    >>> _with_cf_unit(np.array(["2024-01"], "M8[M]"))
    array(['2024-01-01'], dtype='datetime64[D]')
    """
    if array.dtype.kind not in "mM":
        return array
    unit, count = np.datetime_data(array.dtype)
    if unit == "W" or (unit in "YM" and array.dtype.kind == "M"):
        unit = "D"
    elif count == 1 or unit == "generic":
        return array
    return array.astype(f"{array.dtype.byteorder}{array.dtype.kind}8[{unit}]")


def is_listed(value: Any) -> bool:
    """Whether it is a number, text or time, or a list of these, of lists of these, and so on."""
    if isinstance(value, list | tuple | range):
        return all(item is None or is_listed(item) for item in value)
    return isinstance(value, _SCALARS)
