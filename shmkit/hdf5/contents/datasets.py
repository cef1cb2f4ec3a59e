"""What an export puts where: arrays, mappings and sequences of them, as named datasets.

    {"night": {"mean": a}, "calls": records or table}
        layout="table"     ──▶ night/mean    calls                      (compound)
        layout="columns"   ──▶ night/mean    calls/chr  calls/pos …     (a dataset a column)
        None: as it lies in memory, a table by columns, records as a table
    [first, second], concat=True
                           ──▶ data          all rows, one after another
                               source        name, file, first and last row of each

Everything is looked at here before anything is written.
"""

from __future__ import annotations

import bisect
import itertools
import json
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import h5py
import numpy as np
from numpy.typing import NDArray

from shmkit._categories import enums, with_enums
from shmkit._text_dtype import text_fields, with_text
from shmkit.hdf5.chunks import Block
from shmkit.hdf5.contents.columns import Rows, Utf8, column_of
from shmkit.hdf5.contents.frames import frame_value, is_frame
from shmkit.hdf5.contents.labelled import as_dataset, variables
from shmkit.hdf5.contents.masks import Fill, filled, unused
from shmkit.hdf5.contents.scales import DIMENSIONS, dimensions, lone_scale, scales
from shmkit.hdf5.contents.values import Value, array_value, is_listed, object_value
from shmkit.hdf5.encoding import TABLE_KEY, check_array, encode, kind_attrs, kinds, stored_dtype
from shmkit.views.array import SharedArray
from shmkit.views.arrays import SharedArrays
from shmkit.views.table import Table
from shmkit.views.text import SharedText

__all__ = [
    "Arrays",
    "Contents",
    "DatasetSource",
    "contents",
    "is_array",
    "named_values",
    "parts_of_name",
]

# What `to_hdf5` takes: also frames and the like, for which there are no types here.
Arrays = Mapping[Any, Any] | Sequence[Any] | NDArray[Any] | Table | Any
_Array = NDArray[Any] | Rows | Utf8
_Value = TypeVar("_Value")


class DatasetSource:
    """One dataset to be written: an array, or several whose rows come one after another.

    Attributes
    ----------
    shape, dtype
        Of the array, or of the long one that they make.
    stored
        The dtype in the file.
    attrs
        What the file says about it.
    grows
        Whether rows may be added to the dataset later.
    is_index
        Whether it only says which rows of others came from where.
    dims
        The path of the scale of each dimension, "" if it has none; its own, if it is one.
    dimensions
        The names of these in the file that the array was loaded from.
    """

    def __init__(
        self,
        name: str,
        arrays: Sequence[_Array],
        *,
        grows: bool,
        is_index: bool = False,
        dims: tuple[str, ...] = (),
    ) -> None:
        self._arrays: list[Any] = [
            array if isinstance(array, Rows | Utf8 | np.ma.MaskedArray) else np.asarray(array)
            for array in arrays
        ]
        self._stops = list(itertools.accumulate(map(len, arrays))) if len(arrays) > 1 else []
        self.dtype = self._arrays[0].dtype
        self.shape = self._arrays[0].shape
        self.grows = grows
        self.is_index = is_index
        self.dims = dims
        self.dimensions = dimensions(arrays[0])
        self.attrs = _attributes(arrays) | (_origin(arrays[0]) if len(arrays) == 1 else {})
        if len(arrays) > 1:
            if {array.dtype for array in self._arrays} != {self.dtype}:
                joined = np.result_type(*(array.dtype for array in self._arrays))
                _check_exact(name, self._arrays, joined)
                joined = with_text(joined, text_fields(self.dtype))
                self.dtype = with_enums(joined, enums(self.dtype))
            self.shape = self._stops[-1], *self.shape[1:]
        self.attrs |= kind_attrs(self.dtype)
        try:
            self._fill = unused(self.dtype, self._arrays)
        except ValueError as error:
            raise TypeError(f"{name}: {error}") from None
        try:
            self.stored = stored_dtype(self.dtype, self._arrays)
        except UnicodeEncodeError as error:
            raise TypeError(f"{name} holds text that UTF-8 does not have: {error}") from None
        self.attrs |= _fill_attrs("_FillValue", self._fill, self.stored)

    @property
    def nbytes(self) -> int:
        """Bytes of memory that the data take."""
        return int(math.prod(self.shape) * self.dtype.itemsize)

    def block(self, where: Block) -> NDArray[Any]:
        """A part of it as it stands in the file: a view of the array where that is possible."""
        if len(self._arrays) == 1:
            index: Any = (*where, ...)  # without ..., a scalar is no array
            return encode(filled(self._arrays[0][index], self._fill), self.stored)
        start, stop, _ = where[0].indices(self.shape[0])
        pieces = []
        for number in range(bisect.bisect(self._stops, start), len(self._arrays)):
            array = self._arrays[number]
            first = self._stops[number] - len(array)
            if first >= stop:
                break
            rows = slice(max(start - first, 0), stop - first)
            piece = array[(rows, *where[1:])]
            if isinstance(piece, np.ma.MaskedArray):  # which has room for what is to fill it
                piece = filled(piece.astype(self.dtype), self._fill)
            pieces.append(piece)
        # The dtype: without it, the result is packed and in the machine's byte order.
        joined = np.concatenate(pieces, dtype=self.dtype, casting="unsafe")
        return encode(joined, self.stored)

    def chunk(self, block: Block, chunks: tuple[int, ...], made: Callable[[Any], Any]) -> Any:
        """What `made` makes of a block; all blocks have this shape of the chunks."""
        del chunks
        return made(self.block(block))


class Contents(NamedTuple):
    """What an export puts into its group.

    Attributes
    ----------
    datasets
        By their path.
    attrs
        What is said about groups, by their path: "" is the export's own.
    """

    datasets: dict[str, DatasetSource]
    attrs: dict[str, Mapping[str, Any]]


def contents(arrays: Arrays, *, layout: str | None, concat: bool) -> Contents:
    """All that is to be written; raises TypeError and ValueError as `to_hdf5` does."""
    attrs: dict[str, Mapping[str, Any]] = {}
    named = named_values(arrays, attrs)
    for name, value in named.items():
        check_array(name, value.array)
    tables = {"data": next(iter(named.values()))} if concat else named
    for name, value in tables.items():
        if isinstance(value.array, Rows) and _by_columns(value.array, layout):
            attrs[name] = {TABLE_KEY: "columns"}
    if not concat:
        laid_out = (
            item
            for name, value in named.items()
            for item in _laid_out(name, [value], layout, grows=False)
        )
        return Contents(_with_scales(_by_name(laid_out)), attrs)
    _check_rows({name: value.array for name, value in named.items()})
    joined = _laid_out("data", list(named.values()), layout, grows=True)
    index = DatasetSource("source", [_index(named)], grows=True, is_index=True)
    return Contents(_by_name([*joined, ("source", index)]), attrs)


def _with_scales(datasets: dict[str, DatasetSource]) -> dict[str, DatasetSource]:
    """The same, with the scales that they had in the files that they were loaded from."""
    named = {path: source.dimensions for path, source in datasets.items() if source.dimensions}
    found, made = scales(named, {path: source.shape for path, source in datasets.items()})
    for path, length in made.items():
        array, attrs, dims = lone_scale(path, length)
        datasets[path] = DatasetSource(path, [array], grows=False, dims=dims)
        datasets[path].attrs |= attrs
    for path, dims in found.items():
        datasets[path].dims = dims
    return datasets


def _laid_out(
    name: str, values: Sequence[Value], layout: str | None, *, grows: bool
) -> Iterator[tuple[str, DatasetSource]]:
    arrays = [value.array for value in values]
    first = arrays[0]
    fields = first.dtype.names
    if fields is None or not _by_columns(first, layout):
        source = DatasetSource(name, arrays, grows=grows, dims=values[0].dims)
        if isinstance(first, Rows):
            source.attrs[TABLE_KEY] = "table"
        for value in values:
            source.attrs |= value.attrs
            if isinstance(value.array, Rows):
                source.attrs |= {
                    f"{key}.{field}": text
                    for field, said in value.array.attrs.items()
                    for key, text in said.items()
                }
        yield name, source
        return
    for number, field in enumerate(fields):
        columns = [Value(array[field]) for array in arrays]
        path = "/".join([name, *parts_of_name(field)])
        for dataset, source in _laid_out(path, columns, layout, grows=grows):
            if isinstance(first, Rows):
                source.attrs |= _column_attrs(number, field, arrays)
            yield dataset, source


def _by_columns(array: Any, layout: str | None) -> bool:
    """Whether the fields of an array become a dataset each."""
    return isinstance(array, Rows) if layout is None else layout == "columns"


def _column_attrs(number: int, field: str, tables: Sequence[Any]) -> dict[str, Any]:
    """What a dataset says of the column of a table: its place, and how many values are missing."""
    attrs: dict[str, Any] = {"column": number}
    for table in tables:
        attrs |= table.attrs.get(field, {})
        if field in table.missing:
            attrs["missing"] = attrs.get("missing", 0) + table.missing[field]
    return attrs


def _fill_attrs(key: str, fill: Fill, stored: np.dtype[Any]) -> dict[str, Any]:
    """The attributes that say what stands for masked values; times say it as their kind."""
    if stored.names is not None and fill is not None:
        found = (_fill_attrs(f"{key}.{n}", fill[n], stored[n]) for n in stored.names)
        return {name: value for attrs in found for name, value in attrs.items()}
    if fill is None or isinstance(fill, np.datetime64 | np.timedelta64):
        return {}
    value = np.asarray(fill).astype(stored.base.str)
    return {key: value[()]}


def _check_rows(named: Mapping[str, _Array]) -> None:
    """Raise a `ValueError` unless the arrays can be one."""
    first, array = next(iter(named.items()))
    for name, other in named.items():
        if not other.ndim or other.shape[1:] != array.shape[1:]:
            raise ValueError(
                f"concat=True needs arrays of rows, all of one shape, but {first} has the shape "
                f"{array.shape} and {name} {other.shape}"
            )
        try:
            np.result_type(array.dtype, other.dtype)
            alike = kinds(array.dtype) == kinds(other.dtype)
        except TypeError:
            alike = False
        if not alike:
            raise ValueError(
                "concat=True needs arrays with the same fields, with the categories of one load, "
                "all of numbers, of bytes, of text, or of times, but "
                f"{first} has {array.dtype} and {name} {other.dtype}"
            )


def _check_exact(name: str, arrays: Iterable[Any], dtype: np.dtype[Any]) -> None:
    """Raise a `ValueError` if the common type would change integers: for some it is a float."""
    if dtype.names is not None:
        for field in dtype.names:
            _check_exact(field, [array[field] for array in arrays], dtype[field].base)
        return
    if dtype.kind not in "fc":
        return
    exact = 2 ** (np.finfo(dtype).nmant + 1)
    for array in arrays:
        if array.dtype.kind in "iu" and array.size:
            for value in (int(array.max()), int(array.min())):
                if abs(value) > exact:
                    raise ValueError(
                        f"concat=True would change {name}: the common type of all its arrays is "
                        f"{dtype}, which has no {value}; give them one type with astype before"
                    )


def _index(named: Mapping[str, Value]) -> NDArray[Any]:
    """Which rows came from where: a row for each array, `stop` excluded."""
    arrays = [value.array for value in named.values()]
    stops = np.cumsum([len(array) for array in arrays])
    rows = [
        (name, _origin(array).get("source_file", ""), stop - len(array), stop)
        for name, array, stop in zip(named, arrays, stops, strict=True)
    ]
    names, files = (max(1, *(len(row[i]) for row in rows)) for i in (0, 1))
    dtype = [("name", f"U{names}"), ("file", f"U{files}"), ("start", "i8"), ("stop", "i8")]
    return np.array(rows, dtype)


def _attributes(arrays: Sequence[_Array]) -> dict[str, Any]:
    """The attributes that arrays have from the files that they were loaded from, if all agree."""
    if any(isinstance(array, Rows) for array in arrays):  # whose columns have some each
        return {}
    first, *others = (getattr(array, "attrs", {}) for array in arrays)
    if any(repr(other) != repr(first) for other in others):
        return {}
    return {
        name: np.asarray(value, h5py.string_dtype()) if _is_text_array(value) else value
        for name, value in first.items()
        if name != DIMENSIONS
    }


def _is_text_array(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind == "U"


def _origin(array: _Array) -> dict[str, str]:
    """Which file an array was loaded from, and how."""
    source = array.segment.source if isinstance(array, SharedArray | Rows) and array.segment else {}
    if not source:
        return {}
    # A file's name may hold bytes that are no text, which HDF5 refuses.
    file = os.fsencode(source["file"]).decode("utf-8", "replace")
    options = json.dumps(dict(source["options"]), default=repr)
    return {"source_file": file, "source_options": options}


def named_values(
    arrays: Arrays, attrs: dict[str, Mapping[str, Any]] | None = None
) -> dict[str, Value]:
    """Every array by its path in the file; see `shmkit.to_hdf5` for what `arrays` may be.

    What is said about groups is added to `attrs`.

    >>> list(named_values({"a": np.arange(3), "group": {"b": [1, 2]}}))
    ['a', 'group/b']
    """
    attrs = {} if attrs is None else attrs
    if isinstance(arrays, list | tuple) and not (arrays and is_listed(arrays)):
        arrays = {f"array{i}": array for i, array in enumerate(arrays)}
    elif not isinstance(arrays, Mapping | SharedArrays) and as_dataset("", arrays) is None:
        arrays = {"data": arrays}
    return _by_name(_walk("", arrays, attrs))


def is_array(value: Any) -> bool:
    """Whether a value is an array, a table or a frame, or a mapping of these.

    Numbers, texts and lists are saved too, but are often no results.
    """
    if isinstance(value, np.ndarray | Table | SharedText | SharedArrays):
        return True
    if is_frame(value) or as_dataset("", value) is not None:
        return True
    return isinstance(value, Mapping) and all(map(is_array, value.values()))


def _by_name(pairs: Iterable[tuple[str, _Value]]) -> dict[str, _Value]:
    """As a dictionary; raises ValueError if that would need one name for two things."""
    found: dict[str, _Value] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"two arrays have the name {name!r}")
        found[name] = value
    for name in found:
        for group in itertools.accumulate(name.split("/")[:-1], "{}/{}".format):
            if group in found:
                raise ValueError(f"{group!r} is an array, and cannot be the group of {name!r} too")
    return found


def _walk(
    name: str, value: Any, attrs: dict[str, Mapping[str, Any]]
) -> Iterator[tuple[str, Value]]:
    try:
        found = _value_of(name, value)
    except UnicodeEncodeError as error:
        raise TypeError(f"{name} holds text that UTF-8 does not have: {error}") from None
    if found is not None:
        yield name, found
        return
    if (dataset := as_dataset(name, value)) is not None:
        attrs[name] = dataset.attrs
        for key, variable in variables(name, dataset):
            dims = tuple("/".join(_below(name, dim)) for dim in variable.dims)
            yield "/".join(_below(name, key)), variable._replace(dims=dims)
        return
    if not isinstance(value, Mapping | SharedArrays):
        raise TypeError(
            f"{name or 'arrays='} is of type {type(value).__name__}, which HDF5 cannot hold; make "
            "an array of it first: numpy.asarray, numpy.stack for a list of arrays"
        )
    keys = list(value.keys())
    if not keys:
        raise ValueError(f"{name or 'the mapping'} is empty: there are no arrays to save")
    for key in keys:
        yield from _walk("/".join(_below(name, str(key))), value[key], attrs)


def _value_of(name: str, value: Any) -> Value | None:
    """What is one dataset, or one table; None for all else."""
    if isinstance(value, Table):
        return Value(Rows.of_table(value))
    if isinstance(value, SharedText):
        return Value(column_of(value))
    if isinstance(value, np.ndarray | np.generic):
        return array_value(name, np.asanyarray(value))
    if (found := frame_value(name, value)) is not None:
        return found
    return object_value(name, value) if is_listed(value) else None


def _below(group: str, name: str) -> list[str]:
    parts = parts_of_name(name)
    return [group, *parts] if group else parts


def parts_of_name(name: str) -> list[str]:
    """A path in the file in its parts: what stands before a slash is a group."""
    parts = name.split("/")
    is_text = name.encode(errors="ignore").decode() == name  # names of files need not be
    if not is_text or any(not part or part == "." or "\0" in part for part in parts):
        raise ValueError(f"{name!r} cannot be a name in HDF5")
    return parts
