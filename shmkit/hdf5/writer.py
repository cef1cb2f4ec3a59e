"""Datasets into an HDF5 file, their chunks compressed on every CPU. All calls of HDF5 are here.

    this thread          create ──▶ dataset ◀── write_direct_chunk ── bytes, in order
                                                                        ▲
    a thread each CPU                 block ──▶ filters ────────────────┘   a few in flight
                                      block ──▶ write_at: where HDF5 has reserved the room,
                                                if nothing is to be compressed

What only HDF5 itself can compress goes through it, a chunk at a time.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import importlib.metadata
import itertools
import math
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any, TypeVar

import h5py
import numpy as np

from shmkit._limits import cpus
from shmkit.hdf5.chunks import Block, as_bytes, blocks, chunk_shape, whole_chunk
from shmkit.hdf5.compression.filters import Pipeline
from shmkit.hdf5.contents.datasets import Contents, DatasetSource
from shmkit.hdf5.export import Dataset
from shmkit.hdf5.grown import GrownSource, grown, grows_in
from shmkit.hdf5.settings import Settings
from shmkit.hdf5.storage.file import Storage

__all__ = ["Writer", "check_group"]

# A chunked dataset takes 2.6 kB for its index; below this size deflate hardly wins that back.
_SMALL_NBYTES = 8 << 10
_SYNC_NBYTES = 1 << 23  # that are written before the disk is told again to begin

_Result = TypeVar("_Result")


class Writer:
    """Writes datasets into one file, in the thread that calls it.

    Attributes
    ----------
    nbytes : int
        Of memory, that are written so far; other threads may look.
    written : list of Dataset
        What is.
    """

    def __init__(self, storage: Storage, mode: str, settings: Settings) -> None:
        self.nbytes = 0
        self.written: list[Dataset] = []
        self._storage = storage
        self._mode = mode
        self._settings = settings
        self._threads = cpus()
        self._group: h5py.Group = None
        self._opened = contextlib.ExitStack()
        self._aside: list[str] = []  # what replaced datasets are called until `close` deletes them
        self._synced = 0  # bytes of the file
        self._syncing: Future[None] | None = None

    def open(self) -> None:
        """Open the file, make the group, and give it its attributes."""
        file = self._opened.enter_context(self._hdf5_file())
        self._pool = self._opened.enter_context(ThreadPoolExecutor(self._threads))
        self._syncer = self._opened.enter_context(ThreadPoolExecutor(1))
        group = self._settings.group.strip("/")
        _check_groups(file, f"{group}/")
        self._group = file.require_group(group or "/")
        stamps = {"shmkit_version": importlib.metadata.version("shmkit")}
        stamps["created"] = datetime.now(UTC).isoformat(timespec="seconds")
        if self._mode == "r+" and self._settings.concat and "created" in self._group.attrs:
            stamps = {}  # rows may come to what has been created then
        self._say(self._group, {**stamps, **(self._settings.attrs or {})})

    def write(self, contents: Contents) -> None:
        """Write datasets below the group, and what is said about groups."""
        datasets = contents.datasets
        may_grow = self._settings.mode == "a" and self._settings.concat
        if may_grow and not self._settings.overwrite and grows_in(self._group, datasets):
            sources = {name: grown(self._group, name, new) for name, new in datasets.items()}
            # All before one is written: rooms that lie side by side become one, which has no gaps.
            for growing in sources.values():
                growing.cut()
            self.written += [self._grow(name, source) for name, source in sources.items()]
            return
        self._set_aside(datasets)
        self.written += [self._write(name, source) for name, source in datasets.items()]
        for name, source in sorted(datasets.items(), key=lambda item: item[1].dims != (item[0],)):
            self._attach_scales(name, source.dims)  # those that are scales first
        for name, attrs in contents.attrs.items():
            self._say(self._group[name] if name else self._group, attrs)

    def close(self) -> None:
        """Remove what was replaced, unless something went wrong, and close the file."""
        with self._opened:
            self._storage.check()
            for name in self._aside:
                del self._group.file[name]
        self._group = None  # in this thread, as its destructor calls HDF5

    def _hdf5_file(self) -> h5py.File:
        try:
            # No chunk cache: a chunk that its filter refuses is an error at once. In the cache,
            # it would be one whenever the file is closed.
            options: dict[str, Any] = {}
            if self._mode == "w" and self._settings.concat:
                # The room of a last chunk that was not full is used again by the next one.
                options = {"fs_strategy": "fsm", "fs_persist": True, "fs_threshold": 1}
            return h5py.File(self._storage, self._mode, rdcc_nbytes=0, **options)
        except OSError as error:
            reason = str(error)
        # Not in the block above: this error would keep h5py's, the frames of that a list of HDF5's,
        # and HDF5 frees that at the end of the process, by Python, which is gone by then: SIGSEGV.
        self._storage.check()
        raise OSError(errno.EINVAL, f"is no HDF5 file to add to: {reason}", self._storage.path)

    def _set_aside(self, names: Iterable[str]) -> None:
        """Rename what is in the way: new data must not go where it lies until the file is done."""
        file = self._group.file
        for name in (f"{self._group.name}/{name}".lstrip("/") for name in names):
            _check_groups(file, name)
            if (there := file.get(name)) is None:
                continue
            if type(there) is h5py.Group:
                raise ValueError(f"{name!r} is a group in the file; choose another name")
            if not self._settings.overwrite:
                raise ValueError(f"{name!r} is in the file already; overwrite=True replaces it")
            self._put_aside(name)

    def _put_aside(self, name: str) -> None:
        hidden = f".shmkit-{len(self._aside)}"
        self._group.file.move(name, hidden)
        self._aside.append(hidden)

    def _grow(self, name: str, source: GrownSource) -> Dataset:
        """Add rows to a dataset that is there."""
        if source.is_rewritten:
            self._put_aside(self._group[name].name)
            return self._write(name, source)
        dataset: h5py.Dataset = self._group[name]
        dataset.resize(source.shape)
        self._write_chunks(dataset, source, dataset.chunks, source.first)
        return self._described(dataset, source)

    def _write(self, name: str, source: DatasetSource) -> Dataset:
        dataset, chunks = self._create(name, source)
        if chunks:
            self._write_chunks(dataset, source, chunks, 0)
        else:
            self._write_plain(dataset, source)
        return self._described(dataset, source)

    def _write_chunks(
        self, dataset: h5py.Dataset, source: DatasetSource, chunks: tuple[int, ...], first: int
    ) -> None:
        """Write the chunks from this row on, with which one begins."""
        filters = Pipeline.of(dataset)
        if filters is not None:
            made = functools.partial(_encoded, filters, chunks)
            for block, (skipped, data) in self._in_order(
                lambda block: source.chunk(block, chunks, made), source.shape, chunks, first
            ):
                place = tuple(side.start for side in block)
                dataset.id.write_direct_chunk(place, data, filter_mask=skipped)
                self._advance(source, block)
            return
        for block in blocks(source.shape, chunks, first):
            try:
                dataset[block] = source.block(block)
            except (OSError, RuntimeError) as error:
                name = dataset.name.strip("/")
                raise ValueError(
                    f"compression={self._settings.compression!r} cannot take {name} "
                    f"({source.dtype}, {source.shape}): {error}"
                ) from error
            self._advance(source, block)

    def _described(self, dataset: h5py.Dataset, source: DatasetSource) -> Dataset:
        """A dataset that is written, with what is said about it."""
        self._say(dataset, source.attrs)
        nbytes = dataset.id.get_storage_size()
        return Dataset(dataset.name.strip("/"), source.shape, source.dtype, source.nbytes, nbytes)

    def _say(self, item: h5py.HLObject, attrs: Mapping[str, Any]) -> None:
        """Give a group or a dataset its attributes."""
        for key, value in attrs.items():
            texts = isinstance(value, np.ndarray) and value.dtype.kind == "U"
            try:
                # A text that is written once more takes another 4 kB of the file.
                if key not in item.attrs or not np.array_equal(item.attrs[key], value):
                    item.attrs[key] = value.astype(h5py.string_dtype()) if texts else value
            except (TypeError, ValueError, OSError, RuntimeError) as error:
                where = "" if item == self._group else f" of {item.name.strip('/')}"
                message = f"attrs[{key!r}]{where} cannot be stored in HDF5: {error}"
                raise TypeError(message) from error

    def _attach_scales(self, name: str, dims: Sequence[str]) -> None:
        """Attach the scales of its dimensions; of a scale, say that it is one."""
        dataset: h5py.Dataset = self._group[name]
        if list(dims) == [name]:
            # What stands there says that it is no variable.
            dataset.make_scale(dataset.attrs.get("NAME", name.rpartition("/")[2]))
            return
        for axis, scale in enumerate(dims):
            if scale:
                dataset.dims[axis].attach_scale(self._group[scale])

    def _create(self, name: str, source: DatasetSource) -> tuple[h5py.Dataset, tuple[int, ...]]:
        """The dataset, and the shape of its chunks: () if it has none."""
        plain = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        options: dict[str, Any] = {}
        settings = self._settings
        small = settings.compression is None or source.nbytes < _SMALL_NBYTES
        cut = source.shape and source.nbytes and not (small and settings.chunks is None)
        if source.grows or cut:
            options["chunks"] = settings.chunks_of(source)
            for code, values in settings.filters():
                # HDF5 need not have it: no chunk goes through it, but where it is none of ours.
                plain.set_filter(code, h5py.h5z.FLAG_OPTIONAL, values)
            options["maxshape"] = (None, *source.shape[1:]) if source.grows else None
        else:
            plain.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
            plain.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
        try:
            shape, dtype = source.shape, source.stored
            dataset = self._group.create_dataset(name, shape, dtype, dcpl=plain, **options)
        except (TypeError, ValueError, KeyError, RuntimeError) as error:  # such as too many fields
            reason = f"{name}: HDF5 cannot make a dataset of it: {error}"
            if source.stored.names is not None:
                reason += (
                    f'; it has {len(source.stored.names)} fields: layout="columns" makes a dataset '
                    "of each"
                )
            raise TypeError(reason) from error
        return dataset, options.get("chunks", ())

    def _write_plain(self, dataset: h5py.Dataset, source: DatasetSource) -> None:
        """Write to where the data lie in the file, past HDF5: nothing is to be done to them."""
        start = dataset.id.get_offset()
        if start is None:  # there are none, or it is a scalar: h5py reserves no room for one
            dataset[...] = source.block(())
            return
        steps = np.empty(source.shape, source.stored).strides
        chunks = chunk_shape(source.shape, source.stored.itemsize)  # each is one piece of the file

        def write(block: Block) -> None:
            offset = sum(side.start * step for side, step in zip(block, steps, strict=True))
            self._storage.write_at(as_bytes(source.block(block)).data, start + offset)

        for block, _ in self._in_order(write, source.shape, chunks):
            self._advance(source, block)

    def _advance(self, source: DatasetSource, block: Block) -> None:
        """Count what is written; have the disk begin with it meanwhile; raise what went wrong."""
        lengths = (min(b.stop, n) - b.start for b, n in zip(block, source.shape, strict=True))
        self.nbytes += math.prod(lengths) * source.dtype.itemsize
        self._storage.check()
        if self._storage.written - self._synced > _SYNC_NBYTES and (
            self._syncing is None or self._syncing.done()
        ):
            self._synced = self._storage.written
            self._syncing = self._syncer.submit(self._storage.sync)

    def _in_order(
        self,
        function: Callable[[Block], _Result],
        shape: tuple[int, ...],
        chunks: tuple[int, ...],
        first: int = 0,
    ) -> Iterator[tuple[Block, _Result]]:
        """Blocks and what the function makes of them; a few are in flight, however many."""
        pending: deque[tuple[Block, Future[_Result]]] = deque()
        for block in blocks(shape, chunks, first):
            pending.append((block, self._pool.submit(function, block)))
            if len(pending) > 2 * self._threads:
                done, future = pending.popleft()
                yield done, future.result()
        for done, future in pending:
            yield done, future.result()


def _encoded(filters: Pipeline, chunks: tuple[int, ...], block: Any) -> tuple[int, Any]:
    """The bytes of a chunk; in a function of its own, as a cluster's nodes call it."""
    return filters.encode(whole_chunk(block, chunks))


def check_group(path: str, group: str) -> None:
    """Raise what `Writer.open` would for the file, if there is one that is to be added to."""
    if not os.path.exists(path):
        return
    if not h5py.is_hdf5(path):
        raise OSError(errno.EINVAL, "is no HDF5 file to add to", path)
    with h5py.File(path, "r", locking=False) as file:
        _check_groups(file, f"{group.strip('/')}/")


def _check_groups(file: h5py.File, name: str) -> None:
    """Raise a `ValueError` if a dataset is in the way of a group above this name."""
    for group in itertools.accumulate(name.lstrip("/").split("/")[:-1], "{}/{}".format):
        if type(file.get(group)) is h5py.Dataset:
            raise ValueError(f"{group!r} is a dataset in the file, and can hold no others")
