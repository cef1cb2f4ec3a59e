"""Which datasets a file has, under which names, and which of them are meant.

    walk     group ──▶ links: hard, soft, external ──▶ datasets, each with all of its names
    match    name or glob of the user's ──▶ names, as `names.matched` says

1. Every group is walked under each of its names, but not within itself: links may lead in circles.
2. Two names lead to one dataset if its address in the file is the same. It is loaded once.
3. What cannot be opened keeps its name, and fails when it is loaded. A link that leads nowhere is
   no dataset, unless it is asked for by its name.
4. A table that `to_hdf5` saved as a group is one; its columns are datasets only by their names.
5. Dimensions of a NetCDF file that no variable belongs to are stored as datasets without a
   meaning. They are left out.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import h5py

from shmkit.errors import LoadError
from shmkit.readers.base import Version
from shmkit.readers.hdf5.attributes import columns_of
from shmkit.readers.hdf5.file import DAMAGED, is_netcdf, opened, version_of
from shmkit.readers.names import Kind, Listed, matched

__all__ = ["listed"]

_MAX_NAMES = 1_000_000  # in one file: links can make more names of a small file than anyone reads
_LONE_DIMENSION = b"This is a netCDF dimension but not a netCDF variable"


class _Found(NamedTuple):
    """What a name leads to; `key` is the same for all names of one dataset."""

    name: str
    key: object
    nbytes: int = 0
    loaded_nbytes: int = 0
    alone: bool = False
    kind: Kind | None = None
    leads_nowhere: bool = False
    of_table: bool = False  # a column of it


def listed(path: str, patterns: Sequence[str]) -> tuple[list[Listed], Version]:
    """The datasets that these names and globs mean, in the order of their names.

    And the version of the file.

    Raises
    ------
    LoadError
        If the file is damaged, or has no dataset, or one of the patterns matches nothing.
    OSError
        If it cannot be read.
    """
    with opened(path) as file:
        version = version_of(path, file)
        found = {item.name: item for item in sorted(_walk(path, file), key=_order)}
    names = [n for n, item in found.items() if not (item.leads_nowhere or item.of_table)]
    nowhere = [n for n, item in found.items() if item.leads_nowhere and n in patterns]
    columns = [n for n, item in found.items() if item.of_table and not item.leads_nowhere]
    meant = matched(path, patterns, names, [*nowhere, *columns])
    by_key: dict[object, list[_Found]] = {}
    for name in meant:
        by_key.setdefault(found[name].key, []).append(found[name])
    return [
        Listed(tuple(item.name for item in items), *items[0][2:6]) for items in by_key.values()
    ], version


def _order(item: _Found) -> list[str]:
    return item.name.split("/")


def _walk(path: str, file: h5py.File) -> Iterator[_Found]:
    """Every dataset under each of its names."""
    top = _address(file.id)
    ways: list[tuple[str, Any, tuple[object, ...], bool]] = [("", file.id, (top,), False)]
    count, fileno = 0, h5py.h5o.get_info(file.id).fileno
    # One object for all that are the same travels once. What is decoded is not as it is stored.
    types: dict[bytes, bytes] | None = None if is_netcdf(path, file) else {}
    while ways:
        prefix, group, above, of_table = ways.pop()
        for link in _links(group):
            count += 1
            if count > _MAX_NAMES:
                reason = f"its links give more than {_MAX_NAMES:,} names; load it with h5py"
                raise LoadError(path, None, None, reason)
            name = prefix + link.decode("utf-8", "surrogateescape")
            try:
                item = h5py.h5o.open(group, link)
                if isinstance(item, h5py.h5d.DatasetID):
                    info = h5py.h5o.get_info(item)
                    if not _is_lone_dimension(item, info):
                        key = info.fileno, info.addr
                        nbytes, loaded, alone, kind = _about(item, info, fileno, types)
                        yield _Found(name, key, nbytes, loaded, alone, kind, of_table=of_table)
                elif isinstance(item, h5py.h5g.GroupID) and _address(item) not in above:
                    columns = {} if of_table else columns_of(h5py.Group(item))
                    if columns:
                        yield _table(name, item, list(columns.values()), fileno)
                    below = (*above, _address(item))
                    ways.append((f"{name}/", item, below, of_table or bool(columns)))
            except (*DAMAGED, OSError):
                yield _Found(name, name, leads_nowhere=not _is_hard(group, link))


def _table(name: str, group: Any, columns: list[h5py.Dataset], fileno: int) -> _Found:
    about = [_about(one.id, h5py.h5o.get_info(one.id), fileno, None) for one in columns]
    nbytes, loaded = sum(one.nbytes for one in about), sum(one.loaded_nbytes for one in about)
    return _Found(name, _address(group), nbytes, loaded, all(one.alone for one in about))


def _links(group: Any) -> Iterable[bytes]:
    names: list[bytes] = []
    group.links.iterate(names.append)
    return names


def _is_hard(group: Any, link: bytes) -> bool:
    try:
        return bool(group.links.get_info(link).type == h5py.h5l.TYPE_HARD)
    except (*DAMAGED, OSError):
        return True


def _address(item: Any) -> object:
    """What tells a group or dataset from every other one of the files that are open."""
    info = h5py.h5o.get_info(item)
    return info.fileno, info.addr


class _About(NamedTuple):
    """What is known of a dataset, as `_Found` and `Listed` have it."""

    nbytes: int
    loaded_nbytes: int
    alone: bool
    kind: Kind | None


def _about(dataset: Any, info: Any, fileno: int, types: dict[bytes, bytes] | None) -> _About:
    """What a dataset of the file with this number is; of a damaged one, as far as HDF5 tells.

    To ask HDF5 takes longer than all the rest. `types` are those of the file so far, if datasets
    may share a segment.
    """
    nbytes = loaded_nbytes = 0
    alone, kind = False, None
    with contextlib.suppress(*DAMAGED, OSError):
        nbytes = dataset.get_storage_size()
    with contextlib.suppress(*DAMAGED, OSError):
        shape, of = dataset.shape, dataset.get_type()
        loaded_nbytes = 0 if shape is None else math.prod(shape) * of.get_size()
        if types is not None and not info.num_attrs and loaded_nbytes and _is_plain(of):
            described = of.encode()
            kind = types.setdefault(described, described), shape[1:] if shape else None
    with contextlib.suppress(*DAMAGED, OSError):
        alone = info.fileno == fileno and _is_stored_here(dataset)
    return _About(nbytes, loaded_nbytes, alone, kind)


def _is_plain(of: Any) -> bool:
    """Whether a type says how long an item is, and that it is one item of the array."""
    family = of.get_class()
    if family == h5py.h5t.STRING:
        return not of.is_variable_str()
    return family not in (h5py.h5t.ARRAY, h5py.h5t.VLEN, h5py.h5t.REFERENCE)


def _is_stored_here(dataset: Any) -> bool:
    """Whether all data of a dataset are in its own file."""
    if dataset.get_offset() is not None:  # one stretch of the file
        return True
    how = dataset.get_create_plist()
    return not (how.get_layout() == h5py.h5d.VIRTUAL or how.get_external_count())


def _is_lone_dimension(dataset: Any, info: Any) -> bool:
    if not info.num_attrs or not h5py.h5a.exists(dataset, b"NAME"):
        return False
    with contextlib.suppress(*DAMAGED, OSError, TypeError):
        name = h5py.AttributeManager(h5py.Dataset(dataset))["NAME"]
        text = name if isinstance(name, bytes) else str(name).encode()
        return text.startswith(_LONE_DIMENSION)
    return False
