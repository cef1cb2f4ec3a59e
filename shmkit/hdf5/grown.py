"""Rows after those that a file has: what an earlier ``concat=True`` wrote, and more.

    dataset in the file   │ full chunks │ last chunk │
    new arrays                                 └ filled up │ more chunks │      their type fits
    or                    all of it, written again with the new rows            texts are longer,
                                                                                categories are more

All is looked at before a row is written: the same datasets, the same shape of a row, types that
the file has room for. A dataset whose texts have become longer is written again, with wider ones;
so is one to which categories come. Categories keep the codes that they have in the file: the new
rows, which have codes of their own, get those.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from shmkit._categories import enum_of, enums
from shmkit.hdf5.chunks import Block, fill
from shmkit.hdf5.compression.filters import Pipeline
from shmkit.hdf5.contents.datasets import DatasetSource
from shmkit.hdf5.encoding import MAX_ENUM_NBYTES, enum_nbytes

__all__ = ["GrownSource", "grown", "grows_in"]


class GrownSource(DatasetSource):
    """The rows of a dataset in a file, and those of a source after them.

    Attributes
    ----------
    first
        The row of the first chunk that changes; 0 if all of it is to be written again.
    """

    def __init__(
        self, dataset: h5py.Dataset, new: DatasetSource, stored: np.dtype[Any], shift: int
    ) -> None:
        self._dataset, self._new, self._shift = dataset, new, shift
        self._old: int = dataset.shape[0]
        self.shape = (self._old + new.shape[0], *new.shape[1:])
        self.dtype, self.stored = new.dtype, stored
        self.grows, self.is_index, self.dims = True, new.is_index, ()
        self.is_rewritten = not _same_type(stored, dataset.dtype)
        self._codes = list(_other_codes(new.stored, stored))
        chunk = dataset.chunks[0]
        self.first = 0 if self.is_rewritten else self._old // chunk * chunk
        self.attrs = {key: dataset.attrs[key] for key in dataset.attrs if key not in _OF_ONE}
        self.attrs |= {key: value for key, value in new.attrs.items() if key not in _OF_ONE}
        if "missing" in new.attrs:
            self.attrs["missing"] = dataset.attrs.get("missing", 0) + new.attrs["missing"]

    def cut(self) -> None:
        """Take the rows of the last chunk into memory, and give back its room in the file."""
        if not self.is_rewritten:
            self._tail = _read(self._dataset, self.first, self._old)
            self._dataset.resize(self.first, axis=0)

    def block(self, where: Block) -> NDArray[Any]:
        """A part of it as it stands in the file."""
        start, stop, _ = where[0].indices(self.shape[0])
        pieces = []
        if start < self._old:
            if self.is_rewritten:
                rows = _read(self._dataset, start, min(stop, self._old))
            else:
                rows = self._tail[start - self.first : stop - self.first]
            pieces.append(rows[(slice(None), *where[1:])].astype(self.stored))
        if stop > self._old:
            added = slice(max(start - self._old, 0), stop - self._old)
            some = self._recoded(self._new.block((added, *where[1:])))
            if self._shift:
                some["start"] += self._shift
                some["stop"] += self._shift
            pieces.append(some)
        return np.concatenate(pieces, dtype=self.stored)

    def _recoded(self, rows: NDArray[Any]) -> NDArray[Any]:
        """New rows as they stand in the file, a copy."""
        stored = rows.astype(self.stored)
        for fields, codes in self._codes:
            new, old = rows, stored
            for name in fields:
                new, old = new[name], old[name]
            old[...] = codes[np.asarray(new)]
        return stored


_OF_ONE = ("source_file", "source_options")  # true of an array, not of several


def grows_in(group: h5py.Group, datasets: Mapping[str, DatasetSource]) -> bool:
    """Whether a file has these datasets already; raises ValueError if it has others instead."""
    there: set[str] = set()
    for name in {name.partition("/")[0] for name in datasets}:
        item = group.get(name)
        if type(item) is h5py.Dataset:
            there.add(name)
        elif type(item) is h5py.Group:
            item.visititems(
                lambda path, child, name=name: (
                    there.add(f"{name}/{path}") if type(child) is h5py.Dataset else None
                )
            )
    if not there:
        return False
    if there != set(datasets):
        missing = ", ".join(sorted(there - set(datasets))) or "nothing"
        more = ", ".join(sorted(set(datasets) - there)) or "nothing"
        raise ValueError(
            "rows can be added only to the same fields: the file has besides "
            f"{missing}, and what is to be added has {more}; overwrite=True replaces it"
        )
    return True


def grown(group: h5py.Group, name: str, new: DatasetSource) -> GrownSource:
    """What a dataset becomes; raises ValueError if these rows cannot be added to it."""
    dataset: h5py.Dataset = group[name]
    if dataset.maxshape[:1] != (None,) or dataset.chunks is None:
        raise ValueError(
            f"{name!r} in the file was not written by concat=True, and cannot grow; "
            "overwrite=True replaces it"
        )
    if dataset.shape[1:] != new.shape[1:]:
        raise ValueError(
            f"{name!r} in the file has rows of the shape {dataset.shape[1:]}, and those to be "
            f"added {new.shape[1:]}"
        )
    before, after = dataset.dtype, new.stored
    stored = _room(before, after)
    if stored is None:
        raise ValueError(
            f"{name!r} in the file is of the type {before}, which has no room for {after}, or no "
            "codes for its categories (or no categories); give the new rows its type, or "
            "overwrite=True replaces it"
        )
    for key in (key for key in new.attrs if key.startswith(("_FillValue", "numpy_dtype"))):
        kind = new.attrs[key]
        if key.startswith("numpy_dtype") and str(kind)[1:2] in "US":
            continue  # only its width
        if key not in dataset.attrs or not _same(dataset.attrs[key], kind):
            raise ValueError(
                f"{name!r} in the file has {key}={dataset.attrs.get(key)!r}, and the rows to be "
                f"added {kind!r}; convert them first"
            )
    shift = int(_read(dataset, 0, len(dataset))["stop"].max(initial=0)) if new.is_index else 0
    return GrownSource(dataset, new, stored, shift)


def _same(one: Any, other: Any) -> bool:
    return bool(one == other or (one != one and other != other))  # noqa: PLR0124 - NaN


def _room(before: np.dtype[Any], after: np.dtype[Any]) -> np.dtype[Any] | None:
    """The type for both: that of the file, or one with wider texts; None if it has no room."""
    if before.names is not None and before.names == after.names:
        found = [_room(before[name], after[name]) for name in before.names]
        fields = [field for field in found if field is not None]
        if len(fields) < len(found):
            return None
        if all(_same_type(now, before[n]) for now, n in zip(fields, before.names, strict=True)):
            return before
        return np.dtype(list(zip(before.names, fields, strict=True)))
    if enum_of(before) is not None and enum_of(after) is not None:
        return _with_more_names(before, after)
    if enum_of(before) is not None or enum_of(after) is not None:
        return None
    if before.kind == after.kind == "S":
        return before if before.itemsize >= after.itemsize else after
    return before if np.can_cast(after, before, "safe") else None


def _with_more_names(before: np.dtype[Any], after: np.dtype[Any]) -> np.dtype[Any] | None:
    """The codes of the file, and the next ones for names that come; None if it has no room."""
    known, names = enum_of(before) or {}, enum_of(after) or {}
    if known == names:
        return before
    if any(dtype.kind != "u" or dtype.itemsize > 2 for dtype in (before, after)):
        return None  # not the codes of categories
    more = [name for name in names if name not in known]
    first = max(known.values(), default=-1) + 1
    if _gap(names) is not None and _gap(known) is None:
        if not more:
            return None
        first += 1
    enum = {**known, **{name: code for code, name in enumerate(more, first)}}
    found = np.dtype(before.str, metadata={"enum": enum})
    fits = max(enum.values(), default=0) <= np.iinfo(before).max
    return found if fits and enum_nbytes(found) <= MAX_ENUM_NBYTES else None


def _gap(enum: Mapping[str, int]) -> int | None:
    """The code without a name, which is that of the empty text; None if all have one."""
    codes = set(enum.values())
    return next((code for code in range(max(codes, default=0)) if code not in codes), None)


def _other_codes(
    after: np.dtype[Any], stored: np.dtype[Any], fields: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], NDArray[Any]]]:
    """The fields whose names have other codes in the file, and these by the new rows' codes."""
    for name in after.names or ():
        yield from _other_codes(after[name], stored[name], (*fields, name))
    names, known = enum_of(after), enum_of(stored)
    if names is not None and known is not None and names != known:
        codes = np.full(1 << 8 * after.itemsize, _gap(known) or 0, stored)
        for name, code in names.items():
            codes[code] = known[name]
        yield fields, codes


def _same_type(one: np.dtype[Any], other: np.dtype[Any]) -> bool:
    return one == other and enums(one) == enums(other)


def _read(dataset: h5py.Dataset, start: int, stop: int) -> NDArray[Any]:
    """Rows of a dataset, by its filters as they are here: HDF5 may not have them."""
    filters = Pipeline.of(dataset)
    if filters is None:
        found: NDArray[Any] = dataset[start:stop]
        return found
    chunks = dataset.chunks
    first = start // chunks[0] * chunks[0]
    rows = np.empty((stop - first, *dataset.shape[1:]), dataset.dtype)
    whole = tuple(slice(0, length, 1) for length in chunks)
    nbytes = math.prod(chunks) * dataset.dtype.itemsize
    ranges = [range(first, stop, chunks[0])]
    sides = zip(dataset.shape[1:], chunks[1:], strict=True)
    ranges += [range(0, length, step) for length, step in sides]
    for place in itertools.product(*ranges):
        skipped, data = dataset.id.read_direct_chunk(place)
        data, shuffled = filters.decode(data, skipped, nbytes)
        chunk = np.empty(chunks, dataset.dtype)
        fill(data, chunks, chunk, there=whole, shuffled=shuffled)
        part = rows[
            (
                slice(place[0] - first, place[0] - first + chunks[0]),
                *(slice(at, at + n) for at, n in zip(place[1:], chunks[1:], strict=True)),
            )
        ]
        part[...] = chunk[tuple(map(slice, part.shape))]
    return rows[start - first :]
