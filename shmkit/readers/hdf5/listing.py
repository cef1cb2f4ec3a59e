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
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import h5py

from shmkit.errors import LoadError
from shmkit.readers.base import Version
from shmkit.readers.hdf5.attributes import columns_of
from shmkit.readers.hdf5.file import DAMAGED, is_netcdf, opened, version_of
from shmkit.readers.names import Listed, matched

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
    kind: tuple[bytes, tuple[int, ...] | None] | None = None
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
    count, netcdf = 0, is_netcdf(path, file)
    types: dict[bytes, bytes] = {}  # one object for all that are the same: so they travel once
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
                    if not _is_lone_dimension(item):
                        about = _address(item), *_sizes(item), _is_alone(item, file)
                        kind = None if netcdf else _kind(item, types)
                        yield _Found(name, *about, kind, of_table=of_table)
                elif isinstance(item, h5py.h5g.GroupID) and _address(item) not in above:
                    columns = {} if of_table else columns_of(h5py.Group(item))
                    if columns:
                        yield _table(name, item, list(columns.values()), file)
                    below = (*above, _address(item))
                    ways.append((f"{name}/", item, below, of_table or bool(columns)))
            except (*DAMAGED, OSError):
                yield _Found(name, name, leads_nowhere=not _is_hard(group, link))


def _table(name: str, group: Any, columns: list[h5py.Dataset], file: h5py.File) -> _Found:
    stored, loaded = map(sum, zip(*(_sizes(column.id) for column in columns), strict=True))
    alone = all(_is_alone(column.id, file) for column in columns)
    return _Found(name, _address(group), stored, loaded, alone)


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


def _sizes(dataset: Any) -> tuple[int, int]:
    """Bytes in the file, and of the array; 0 where the file does not tell any more."""
    sizes = [0, 0]
    with contextlib.suppress(*DAMAGED, OSError):
        sizes[0] = dataset.get_storage_size()
    with contextlib.suppress(*DAMAGED, OSError):
        items = dataset.get_space().get_simple_extent_npoints()
        sizes[1] = items * dataset.get_type().get_size()
    return sizes[0], sizes[1]


def _kind(dataset: Any, types: dict[bytes, bytes]) -> tuple[bytes, tuple[int, ...] | None] | None:
    """See `Listed.kind`."""
    with contextlib.suppress(*DAMAGED, OSError):
        if h5py.h5a.get_num_attrs(dataset):
            return None
        shape, of = dataset.shape, dataset.get_type()
        family = of.get_class()
        if shape is None or 0 in shape or family in (h5py.h5t.ARRAY, h5py.h5t.VLEN):
            return None
        if family == h5py.h5t.STRING and of.is_variable_str():
            return None
        described = of.encode()
        return types.setdefault(described, described), shape[1:] if shape else None
    return None


def _is_alone(dataset: Any, file: h5py.File) -> bool:
    """Whether all data of a dataset are in this file: no link leads out of it, nor its storage."""
    fileno = h5py.h5o.get_info(file.id).fileno
    with contextlib.suppress(*DAMAGED, OSError):
        how = dataset.get_create_plist()
        virtual = how.get_layout() == h5py.h5d.VIRTUAL
        other = h5py.h5o.get_info(dataset).fileno != fileno
        return not (virtual or other or how.get_external_count())
    return False


def _is_lone_dimension(dataset: Any) -> bool:
    if not h5py.h5a.exists(dataset, b"NAME"):
        return False
    with contextlib.suppress(*DAMAGED, OSError, TypeError):
        name = h5py.AttributeManager(h5py.Dataset(dataset))["NAME"]
        text = name if isinstance(name, bytes) else str(name).encode()
        return text.startswith(_LONE_DIMENSION)
    return False
