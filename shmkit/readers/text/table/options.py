"""The options of a table, checked before any file is looked at."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, NamedTuple

import numpy as np

__all__ = ["MissingWords", "checked", "is_table", "text_kind"]

_OF_TABLES = ("header", "missing", "decimal", "units", "widths", "select")
_UNITS = ("D", "s", "ms", "us", "ns")
_COLUMN = "a column's name, or its number from 0"


class MissingWords(NamedTuple):
    """What `missing=` says: these words mean missing, too; or only these, if it was a set."""

    words: tuple[str, ...] = ()
    only: bool = False


def is_table(options: Mapping[str, Any]) -> bool:
    """Whether these options ask for what is inferred, and not for one dtype of np.loadtxt's.

    Raises
    ------
    TypeError, ValueError
        For options that contradict one another.
    """
    layout, dtype = options.get("layout"), options.get("dtype")
    if layout not in (None, "columns", "rows"):
        raise ValueError(f'layout={layout!r} is none of "columns", "rows" and None')
    if dtype is None or isinstance(dtype, Mapping):
        return True
    if layout == "columns":
        raise TypeError(
            'dtype= of whole rows gives rows, as np.loadtxt does; with layout="columns" give a '
            'mapping of names to dtypes, for example dtype={"temp": "f4"}'
        )
    if wrong := [name for name in _OF_TABLES if name in options]:
        raise TypeError(
            f"{', '.join(wrong)}: not with dtype= of whole rows, which is read as np.loadtxt does; "
            'leave dtype= out, or give a mapping of names to dtypes, for example {"temp": "f4"}'
        )
    return False


def checked(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a table, each in one form.

    Raises
    ------
    TypeError, ValueError
        For what no file satisfies.
    """
    given = {name: value for name, value in options.items() if value is not None}
    for name in ("delimiter", "quotechar", "comments"):  # whose None means none
        if name in options:
            given[name] = options[name]
    if given.get("encoding") == "bytes":
        raise ValueError('encoding="bytes" names no encoding; give that of the file ("latin-1")')
    for name in ("delimiter", "quotechar"):
        sign = given.get(name)
        if sign is not None and not (isinstance(sign, str) and len(sign) == 1 and sign.isascii()):
            raise TypeError(f"{name}={sign!r} must be a single ASCII character, or None")
    if given.get("decimal", ".") not in (".", ","):
        raise ValueError(f'decimal={given["decimal"]!r} is neither "." nor ","')
    for name in ("skiprows", "max_rows"):
        if name in given and (not isinstance(given[name], int) or given[name] < 0):
            raise ValueError(f"{name}={given[name]!r}: must be a nonnegative whole number")
    if given.get("ndmin", 0) not in (0, 1, 2):
        raise ValueError(f"ndmin={given['ndmin']!r} is none of 0, 1 and 2")
    if "comments" in given:
        marks = given["comments"]
        marks = [marks] if isinstance(marks, str | bytes) else list(marks or ())
        marks = [mark.decode("latin-1") if isinstance(mark, bytes) else mark for mark in marks]
        if not all(isinstance(mark, str) and mark for mark in marks):
            raise TypeError(f"comments={given['comments']!r} must be text, texts, or None")
        given["comments"] = marks
    if "header" in given and not isinstance(given["header"], bool):
        given["header"] = _names(given["header"])
    if "select" in given:
        given["select"] = _rows(given["select"])
        stop = given["select"][1]
        given["max_rows"] = min(stop, given.get("max_rows", stop))
        if given["max_rows"] == sys.maxsize:
            del given["max_rows"]
    if "usecols" in given:
        usecols = given["usecols"]
        several = isinstance(usecols, Iterable) and not isinstance(usecols, str)
        given["usecols"] = [_key("usecols", key) for key in (usecols if several else [usecols])]
    if "missing" in given:
        given["missing"] = _missing(given["missing"])
    if "widths" in given:
        given["widths"] = _slices(given["widths"])
    if "dtype" in given:
        given["dtype"] = {
            _key("dtype", key): _dtype(key, value) for key, value in given["dtype"].items()
        }
    converters = given.get("converters")
    if isinstance(converters, Mapping):
        given["converters"] = {_key("converters", key): f for key, f in converters.items()}
    if converters is not None and not all(
        map(callable, converters.values() if isinstance(converters, Mapping) else [converters])
    ):
        raise TypeError("converters= must be a function, or a mapping of columns to functions")
    return given


def _names(header: object) -> list[str]:
    if isinstance(header, str) or not isinstance(header, Sequence):
        raise TypeError(f"header={header!r} is neither True, False, nor a list of names")
    names = list(header)
    if not names or not all(isinstance(name, str) and name.strip() for name in names):
        raise TypeError(f"header={header!r}: a name for each column, none of them empty")
    if len(set(names)) < len(names):
        raise ValueError(f"header={header!r} has a name twice")
    return names


def _rows(select: object) -> tuple[int, int]:
    """The first row that is wanted, and the one behind the last."""
    if not isinstance(select, slice):
        raise TypeError(
            f"select={select!r}: of a table in a text file, select= is one slice of its rows; "
            "usecols= says which columns"
        )
    first, stop = select.start or 0, sys.maxsize if select.stop is None else select.stop
    if first < 0 or stop < 0 or select.step not in (None, 1):
        raise ValueError(
            f"select={select!r}: of a table in a text file, select= is slice(start, stop), both "
            "counted from the first row; take steps, and rows from the end, of what is loaded"
        )
    return first, max(first, stop)


def _key(option: str, key: object) -> str | int:
    if isinstance(key, str):
        return key
    try:
        return int(key.__index__())  # type: ignore[attr-defined] # that is the test
    except AttributeError:
        raise TypeError(f"{option}= has {key!r}, which is no column: give {_COLUMN}") from None


def _missing(missing: object) -> MissingWords | dict[str | int, MissingWords]:
    if isinstance(missing, Mapping):
        return {_key("missing", key): _words(words) for key, words in missing.items()}
    return _words(missing)


def _words(words: object) -> MissingWords:
    several = isinstance(words, Iterable) and not isinstance(words, str)
    listed: Iterable[object] = words if several else [words]  # type: ignore[assignment] # it is one
    found = tuple(str(word).strip() for word in listed)
    only = isinstance(words, AbstractSet)
    if any("\n" in word for word in found):
        raise ValueError(f"missing= has a word with a line end: {words!r}")
    return MissingWords(tuple(sorted(found)) if only else found, only)


def _slices(widths: object) -> list[slice]:
    if not isinstance(widths, Iterable) or isinstance(widths, str):
        raise TypeError(f"widths={widths!r} is no list of widths, nor of slices")
    found, at = [], 0
    for width in widths:
        if isinstance(width, slice):
            found.append(width)
        elif isinstance(width, int) and width > 0:
            found.append(slice(at, at + width))
            at += width
        else:
            raise TypeError(f"widths= has {width!r}: give whole numbers above 0, or slices")
    if len(found) < 2:
        raise ValueError("widths= has fewer than two columns; delimiter= may be what is meant")
    return found


def text_kind(dtype: np.dtype[Any]) -> bool:
    """Whether it asks for text, of whatever length."""
    return dtype.kind in "UST" and (dtype.kind != "S" or not dtype.itemsize)


def _dtype(key: object, given: Any) -> np.dtype[Any]:
    """The dtype of one column, if the parser knows how to read it."""
    dtype: np.dtype[Any] = np.dtype(given)
    if text_kind(dtype):
        return np.dtype(np.str_)
    dtype = dtype.newbyteorder("=")
    good = dtype.kind in "iub" or (dtype.kind == "f" and dtype.itemsize in (4, 8))
    good = good or (dtype.kind == "S" and dtype.itemsize > 0)
    if dtype.kind == "M":
        unit, step = np.datetime_data(dtype)
        good = unit in _UNITS and step == 1
    if not good:
        raise TypeError(
            f"dtype= has {given!r} for {key!r}: a column is of whole numbers, float32 or float64, "
            'bool, str, or datetime64 in D, s, ms, us or ns, for example "datetime64[s]"; '
            "converters= may give another"
        )
    return dtype
