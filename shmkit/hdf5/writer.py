"""Datasets into an HDF5 file, their chunks deflated on every CPU. All calls of HDF5 are here.

    this thread          create ──▶ dataset ◀── write_direct_chunk ── bytes, in order
                                                                        ▲
    a thread each CPU                 block ──▶ Deflater ───────────────┘   a few in flight
                                      block ──▶ write_at: where HDF5 has reserved the room,
                                                if nothing is to be compressed

What only HDF5's own filters can compress goes through them, a chunk at a time.
"""

from __future__ import annotations

import errno
import importlib.metadata
import itertools
import math
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

import h5py
import numpy as np

from shmkit._format import nbytes_text
from shmkit._limits import cpus
from shmkit.hdf5.chunks import FASTEST, Block, Deflater, as_bytes, blocks, chunk_shape
from shmkit.hdf5.datasets import Rows
from shmkit.hdf5.export import Dataset
from shmkit.hdf5.storage import Storage

__all__ = ["Settings", "Writer"]

# A chunked dataset takes 2.6 kB for its index; below this size deflate hardly wins that back.
_SMALL_NBYTES = 8 << 10
_GROWING_ROWS = 1024  # at least, of a chunk of what may grow: it need not stay so short
_TOO_LARGE_NBYTES = 1 << 32  # for a chunk, in HDF5 before 2.0
_SYNC_NBYTES = 1 << 23  # between two times that the disk is told to begin
_HDF5_SHUFFLES = frozenset(["gzip", "lzf", "zstd"])  # others have a shuffle of their own, or harm

_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Settings:
    """How datasets are stored; see `shmkit.to_hdf5`."""

    compression: str | None
    level: int | None
    shuffle: bool
    chunks: int | tuple[int, ...] | None
    overwrite: bool

    def check(self, datasets: Mapping[str, Rows]) -> None:
        """Raise a ValueError for what does not fit, before anything is written."""
        if self.compression == "gzip" and self.level is not None and not 0 <= self.level <= 9:
            raise ValueError(f"level={self.level}: gzip has 0 to 9")
        self.filters()
        for name, rows in datasets.items():
            try:
                self.chunks_of(rows)
            except ValueError as error:
                raise ValueError(f"chunks={self.chunks} does not fit {name}: {error}") from None

    def chunks_of(self, rows: Rows) -> tuple[int, ...]:
        """The shape of a chunk; raises ValueError if the given one does not fit."""
        shape, chunks = rows.shape, self.chunks
        if chunks is None or rows.is_index:
            if rows.grows:
                shape = max(shape[0], _GROWING_ROWS), *shape[1:]
            return chunk_shape(shape, rows.stored.itemsize)
        if not isinstance(chunks, Sequence):
            chunks = (chunks, *shape[1:])[: len(shape)]
        if len(chunks) != len(shape):
            raise ValueError(f"its shape is {shape}")
        if min(chunks, default=1) < 1:
            raise ValueError("a chunk has at least one row")
        if rows.grows:
            shape = sys.maxsize, *shape[1:]
        chunks = tuple(max(min(n, m), 1) for n, m in zip(chunks, shape, strict=True))
        if (nbytes := math.prod(chunks) * rows.stored.itemsize) >= _TOO_LARGE_NBYTES:
            raise ValueError(f"a chunk of {nbytes_text(nbytes)} is more than HDF5 can hold")
        return chunks

    def filters(self) -> dict[str, Any]:
        """What h5py is told; raises ValueError for a filter that is not installed."""
        shuffle = self.shuffle and self.compression in _HDF5_SHUFFLES
        if self.compression == "gzip":
            level = FASTEST if self.level is None else self.level
            return {"compression": "gzip", "compression_opts": level, "shuffle": shuffle}
        if self.compression in (None, "lzf"):
            if self.level is not None:
                raise ValueError(f"compression={self.compression!r} has no levels")
            return {"compression": self.compression, "shuffle": shuffle}
        return {**self._plugin(), "shuffle": shuffle}

    def _plugin(self) -> dict[str, Any]:
        try:
            import hdf5plugin  # noqa: PLC0415 - optional, and its import loads its filters
        except ImportError:
            known = '"gzip", "lzf" and None; more are in the package hdf5plugin'
        else:
            if self.compression in hdf5plugin.FILTERS:
                (found,) = hdf5plugin.get_filters((self.compression,))
                try:
                    return dict(found() if self.level is None else found(clevel=self.level))
                except TypeError:
                    raise ValueError(f"compression={self.compression!r} has no levels") from None
            known = ", ".join(['"gzip", "lzf", None', *map(repr, hdf5plugin.FILTERS)])
        raise ValueError(f"compression={self.compression!r} is none of {known}")


class Writer:
    """Writes datasets into one open file, in the thread that calls it.

    Attributes
    ----------
    nbytes : int
        Of memory, that are written so far; other threads may look.
    """

    def __init__(self, storage: Storage, mode: str, settings: Settings) -> None:
        self.nbytes = 0
        self._storage = storage
        self._mode = mode
        self._settings = settings
        self._threads = cpus()
        self._synced = 0  # bytes of the file
        self._syncing: Future[None] | None = None

    def write(
        self, batches: Iterable[Mapping[str, Rows]], group: str, attrs: Mapping[str, Any]
    ) -> tuple[Dataset, ...]:
        """Write all datasets below a group, batch by batch, and the attributes of that."""
        with (
            self._open() as file,
            ThreadPoolExecutor(self._threads) as self._pool,
            ThreadPoolExecutor(1) as self._syncer,
        ):
            stamps = {"shmkit_version": importlib.metadata.version("shmkit")}
            stamps["created"] = datetime.now(UTC).isoformat(timespec="seconds")
            _check_groups(file, f"{group}/")
            root = file.require_group(group or "/")
            for key, value in {**stamps, **attrs}.items():
                try:
                    root.attrs[key] = value
                except (TypeError, ValueError, OSError, RuntimeError) as error:
                    raise TypeError(f"attrs[{key!r}] cannot be stored in HDF5: {error}") from error
            written: list[Dataset] = []
            old: list[str] = []
            for datasets in batches:
                self._set_aside(file, [f"{group}/{name}" for name in datasets], old)
                written += [self._write(root, name, rows) for name, rows in datasets.items()]
                del datasets  # its memory, before the next batch is asked for
            for name in old:
                del file[name]
            return tuple(written)

    def _open(self) -> h5py.File:
        try:
            # No chunk cache: a chunk that its filter refuses is an error at once. In the cache,
            # it would be one whenever the file is closed.
            return h5py.File(self._storage, self._mode, rdcc_nbytes=0)
        except OSError as error:
            reason = str(error)
        # Not in the block above: this error would keep h5py's, the frames of that a list of HDF5's,
        # and HDF5 frees that at the end of the process, by Python, which is gone by then: SIGSEGV.
        self._storage.check()
        raise OSError(errno.EINVAL, f"is no HDF5 file to add to: {reason}", self._storage.path)

    def _set_aside(self, file: h5py.File, names: Iterable[str], aside: list[str]) -> None:
        """Rename what is in the way: new data must not go where it lies until the file is done."""
        for name in names:
            _check_groups(file, name)
            if (there := file.get(name)) is None:
                continue
            if type(there) is h5py.Group:
                raise ValueError(f"{name.strip('/')!r} is a group in the file; choose another name")
            if not self._settings.overwrite:
                raise ValueError(
                    f"{name.strip('/')!r} is in the file already; overwrite=True replaces it"
                )
            hidden = f".shmkit-{len(aside)}"
            file.move(name, hidden)
            aside.append(hidden)

    def _write(self, root: h5py.Group, name: str, rows: Rows) -> Dataset:
        dataset, chunks = self._create(root, name, rows)
        compression = self._settings.compression
        if not chunks:
            self._write_plain(dataset, rows)
        elif compression in ("gzip", None):
            deflater = Deflater(chunks, dataset.compression_opts or 0, shuffle=dataset.shuffle)
            made = deflater if compression else deflater.raw
            for block, data in self._in_order(lambda b: made(rows.block(b)), rows.shape, chunks):
                dataset.id.write_direct_chunk(tuple(side.start for side in block), data)
                self._advance(rows, block)
        else:
            for block in blocks(rows.shape, chunks):
                try:
                    dataset[block] = rows.block(block)
                except (OSError, RuntimeError) as error:
                    raise ValueError(
                        f"compression={compression!r} cannot take {name} ({rows.dtype}, "
                        f"{rows.shape}): {error}"
                    ) from error
                self._advance(rows, block)
        dataset.attrs.update(rows.attrs)
        nbytes = dataset.id.get_storage_size()
        return Dataset(dataset.name.strip("/"), rows.shape, rows.dtype, rows.nbytes, nbytes)

    def _create(
        self, root: h5py.Group, name: str, rows: Rows
    ) -> tuple[h5py.Dataset, tuple[int, ...]]:
        """The dataset, and the shape of its chunks: () if it has none."""
        plain = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        options: dict[str, Any] = {}
        settings = self._settings
        small = settings.compression is None or rows.nbytes < _SMALL_NBYTES
        cut = rows.shape and rows.nbytes and not (small and settings.chunks is None)
        if rows.grows or cut:
            options = {"chunks": settings.chunks_of(rows), **settings.filters()}
            options["maxshape"] = (None, *rows.shape[1:]) if rows.grows else None
        else:
            plain.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
            plain.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
        try:
            dataset = root.create_dataset(name, rows.shape, rows.stored, dcpl=plain, **options)
        except (TypeError, ValueError, KeyError, RuntimeError) as error:  # such as too many fields
            raise TypeError(f"{name}: HDF5 cannot make a dataset of it: {error}") from error
        return dataset, options.get("chunks", ())

    def _write_plain(self, dataset: h5py.Dataset, rows: Rows) -> None:
        """Write to where the data lie in the file, past HDF5: nothing is to be done to them."""
        start = dataset.id.get_offset()
        if start is None:  # there are none, or it is a scalar: h5py reserves no room for one
            dataset[...] = rows.block(())
            return
        steps = np.empty(rows.shape, rows.stored).strides
        chunks = chunk_shape(rows.shape, rows.stored.itemsize)  # each is one piece of the file

        def write(block: Block) -> None:
            offset = sum(side.start * step for side, step in zip(block, steps, strict=True))
            self._storage.write_at(as_bytes(rows.block(block)).data, start + offset)

        for block, _ in self._in_order(write, rows.shape, chunks):
            self._advance(rows, block)

    def _advance(self, rows: Rows, block: Block) -> None:
        """Count what is written; have the disk begin with it meanwhile; raise what went wrong."""
        lengths = (min(b.stop, n) - b.start for b, n in zip(block, rows.shape, strict=True))
        self.nbytes += math.prod(lengths) * rows.dtype.itemsize
        self._storage.check()
        if self._storage.written - self._synced > _SYNC_NBYTES and (
            self._syncing is None or self._syncing.done()
        ):
            self._synced = self._storage.written
            self._syncing = self._syncer.submit(self._storage.sync)

    def _in_order(
        self, function: Callable[[Block], _Result], shape: tuple[int, ...], chunks: tuple[int, ...]
    ) -> Iterator[tuple[Block, _Result]]:
        """Blocks and what the function makes of them; a few are in flight, however many."""
        pending: deque[tuple[Block, Future[_Result]]] = deque()
        for block in blocks(shape, chunks):
            pending.append((block, self._pool.submit(function, block)))
            if len(pending) > 2 * self._threads:
                first, future = pending.popleft()
                yield first, future.result()
        for first, future in pending:
            yield first, future.result()


def _check_groups(file: h5py.File, name: str) -> None:
    """Raise a `ValueError` if a dataset is in the way of a group above this name."""
    for group in itertools.accumulate(name.lstrip("/").split("/")[:-1], "{}/{}".format):
        if type(file.get(group)) is h5py.Dataset:
            raise ValueError(f"{group!r} is a dataset in the file, and can hold no others")
