"""Arrays to one HDF5 file, deflated on every CPU.

              ┌─────────── a thread for each CPU ───────────┐
    array ──▶ chunk ──shuffle──▶ planes ──deflate──▶ bytes ──write_direct_chunk──▶ .shmkit-….tmp
              └─────────────────────────────────────────────┘   (one thread)            │
                                                                                  replacing
                                                                                        ▼
                                                                                   results.h5

HDF5 runs its filters in one thread under one lock. The filters here are the stock ones, shuffle
and deflate, so every HDF5 reader undoes them; only who applies them differs.
"""

from __future__ import annotations

import importlib.metadata
import itertools
import json
import math
import os
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import h5py
import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray

from shmkit._array import SharedArray
from shmkit._atomic import Storage, check_path, replacing
from shmkit._encoding import check_array, encode, time_attrs
from shmkit._export import Dataset, Export
from shmkit._limits import cpus

__all__ = ["COMPRESSIONS", "named_arrays", "to_hdf5"]

COMPRESSIONS = ("gzip", "lzf", None)

# The chunk cache of most HDF5 releases holds 1 MiB a dataset. A chunk that does not fit is
# inflated again for every row somebody reads of it. Chunk and planes also fit a CPU's cache.
_CHUNK_NBYTES = 1 << 20
# A chunked dataset takes 2.6 kB for its index; below this size deflate hardly wins that back.
_SMALL_NBYTES = 8 << 10
_PIECE_NBYTES = 16 << 10  # at least so much is deflated with one Huffman table
_LEVEL = 1  # isal's 2 and 3 are slower, and no smaller on shuffled data

_Block = tuple[slice, ...]


def to_hdf5(
    path: str | os.PathLike[str],
    arrays: Mapping[Any, Any] | Sequence[NDArray[Any]] | NDArray[Any],
    *,
    compression: str | None = "gzip",
    attrs: Mapping[str, Any] | None = None,
) -> Export:
    """Save arrays as one HDF5 file, which any HDF5 reader opens.

    The file is written beside its place and takes its name when it is complete and on the disk;
    if anything fails, what was there before is there still. It is closed when this returns.

    Parameters
    ----------
    path : path-like
        The file. An existing one is replaced.
    arrays : mapping, sequence of ndarray, or ndarray
        A mapping from names to arrays, where a mapping as a value becomes a group; what
        `shared_load` returns; a sequence (datasets ``array0``, ``array1``, ...); or one array
        (dataset ``data``).
    compression : {"gzip", "lzf", None}, default "gzip"
        ``"gzip"`` is shuffle and deflate, on every CPU; ``"lzf"`` is for h5py only; None stores
        the data as they are. Arrays under 8 KiB are always stored as they are.
    attrs : mapping, optional
        Attributes of the file: strings, numbers or small arrays.

    Returns
    -------
    Export
        What was written, as a table.

    Raises
    ------
    TypeError
        If something is no array, or HDF5 cannot hold it: Python objects, masked arrays. Every
        array is checked before anything is written.
    ValueError
        If there are no arrays, a name cannot be a name in HDF5, or `compression` is unknown.
    OSError
        If the file cannot be written: no such directory, no permission, no space.

    Notes
    -----
    Numbers, bools, complex numbers, bytes (``S``) and structured arrays of these are stored as
    they are, in any byte order and with any padding, and compare equal when read back with h5py.

    HDF5 has no strings of numpy's ``U`` kind and no times, also not as fields:

    - ``U`` becomes fixed-length UTF-8; h5py gives bytes, or strings by ``dataset.asstr()``.
    - ``datetime64`` and ``timedelta64`` become int64. The attribute ``numpy_dtype`` (for a field,
      ``numpy_dtype.<field>``) says what they were:
      ``dataset[:].view(dataset.attrs["numpy_dtype"])``.

    The file has the attributes ``shmkit_version`` and ``created`` (ISO 8601, UTC), unless `attrs`
    has others by these names. A dataset that `shared_load` read has ``source_file`` and
    ``source_options``, the reader's options as JSON; an option JSON cannot express stands there
    as its ``repr``.

    Chunks hold whole rows and up to 1 MiB, the chunk cache of most HDF5 readers.

    Examples
    --------
    >>> import h5py
    >>> path = getfixture("tmp_path") / "results.h5"
    >>> export = to_hdf5(path, {"mean": np.arange(3.0), "night": {"mean": np.ones(2, "f4")}})
    >>> [dataset.name for dataset in export.datasets]
    ['mean', 'night/mean']
    >>> with h5py.File(path) as file:
    ...     print(file["night/mean"][:])
    [1. 1.]
    """
    started = time.perf_counter()
    if compression not in COMPRESSIONS:
        raise ValueError(f"compression={compression!r} is none of {COMPRESSIONS}")
    path = check_path(path)
    named = named_arrays(arrays)
    for name, array in named.items():
        check_array(name, array)
    # HDF5 runs in a thread of its own, as Ctrl-C is raised in the main thread alone: among h5py's
    # destructors it would get lost, and in the middle of a write it would do harm.
    with replacing(path) as storage, ThreadPoolExecutor(1) as thread:
        written = thread.submit(_write_file, storage, named, compression, attrs or {})
        try:
            datasets = written.result()
        except BaseException as error:
            storage.error = storage.error or error  # ends _write_file at its next check
            raise
        nbytes_file = os.fstat(storage.fileno()).st_size
    return Export(path, datasets, nbytes_file, time.perf_counter() - started)


def named_arrays(
    arrays: Mapping[Any, Any] | Sequence[NDArray[Any]] | NDArray[Any],
) -> dict[str, NDArray[Any]]:
    """Every array by its path in the file; see `to_hdf5` for what `arrays` may be.

    Examples
    --------
    >>> list(named_arrays({"a": np.arange(3), "group": {"b": np.arange(2)}}))
    ['a', 'group/b']
    """
    if isinstance(arrays, np.ndarray | np.generic):
        arrays = {"data": arrays}
    elif isinstance(arrays, list | tuple):
        arrays = {f"array{i}": array for i, array in enumerate(arrays)}
    named: dict[str, NDArray[Any]] = {}
    for name, array in _walk("", arrays):
        if name in named:
            raise ValueError(f"two arrays have the name {name!r}")
        named[name] = array
    for name in named:
        group = name.rpartition("/")[0]
        if group in named:
            raise ValueError(f"{group!r} is an array, and cannot be the group of {name!r} too")
    return named


def _walk(name: str, value: Any) -> Iterator[tuple[str, NDArray[Any]]]:
    if isinstance(value, np.ndarray | np.generic):
        yield name, np.asanyarray(value)
        return
    if not hasattr(value, "keys"):
        raise TypeError(
            f"{name or 'arrays='} is no numpy array but of type {type(value).__name__}; make it "
            "one first: numpy.asarray, numpy.stack for a list of arrays, to_records() for a pandas "
            "table"
        )
    keys = list(value.keys())
    if not keys:
        raise ValueError(f"{name or 'the mapping'} is empty: there are no arrays to save")
    for key in keys:
        parts = str(key).split("/")  # as in HDF5, what stands before a slash is a group
        if any(not part or part == "." or "\0" in part for part in parts):
            raise ValueError(f"{str(key)!r} cannot be a name in HDF5")
        yield from _walk("/".join([name, *parts] if name else parts), value[key])


def _write_file(
    storage: Storage,
    named: Mapping[str, NDArray[Any]],
    compression: str | None,
    attrs: Mapping[str, Any],
) -> tuple[Dataset, ...]:
    """Write the whole file; every call of HDF5 is here and below."""
    datasets = []
    threads = cpus()
    with h5py.File(storage, "w") as file, ThreadPoolExecutor(threads) as pool:
        file.attrs["shmkit_version"] = importlib.metadata.version("shmkit")
        file.attrs["created"] = datetime.now(UTC).isoformat(timespec="seconds")
        for key, value in attrs.items():
            try:
                file.attrs[key] = value
            except (TypeError, ValueError) as error:
                raise TypeError(f"attrs[{key!r}] cannot be stored in HDF5: {error}") from error
        for name, array in named.items():
            stored = encode(array)
            chunks = _chunks(stored.shape, stored.dtype.itemsize)
            dataset = _create(file, name, stored, chunks, compression)
            if dataset.compression == "gzip":
                for offset, data in _deflated(stored, chunks, pool, threads):
                    dataset.id.write_direct_chunk(offset, data)
                    storage.check()
            else:
                for block in _blocks(stored.shape, chunks):  # a copy of a chunk, not of the whole
                    dataset[block] = stored[block]
                    storage.check()
            _describe(dataset, array)
            nbytes_stored = dataset.id.get_storage_size()
            datasets.append(Dataset(name, array.shape, array.dtype, array.nbytes, nbytes_stored))
    return tuple(datasets)


def _create(
    file: h5py.File,
    name: str,
    stored: NDArray[Any],
    chunks: tuple[int, ...],
    compression: str | None,
) -> h5py.Dataset:
    layout: dict[str, Any] = {}
    if compression is not None and stored.nbytes >= _SMALL_NBYTES:
        layout = {"chunks": chunks, "compression": compression, "shuffle": True}
        layout["compression_opts"] = _LEVEL if compression == "gzip" else None
    try:
        return file.create_dataset(name, stored.shape, stored.dtype, **layout)
    except (TypeError, ValueError, RuntimeError) as error:  # about 1,000 fields are the most
        raise TypeError(f"{name}: HDF5 has no room for this dtype: {error}") from error


def _describe(dataset: h5py.Dataset, array: NDArray[Any]) -> None:
    """Say what the times were, and which file the array came from."""
    dataset.attrs.update(time_attrs(array.dtype))
    if isinstance(array, SharedArray) and array.segment is not None and array.segment.source:
        source = array.segment.source
        # A file's name may hold bytes that are no text, which HDF5 refuses.
        dataset.attrs["source_file"] = os.fsencode(source["file"]).decode("utf-8", "replace")
        dataset.attrs["source_options"] = json.dumps(dict(source["options"]), default=repr)


def _chunks(shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    """Whole rows, or whole rows of rows; in equal parts, so that little of the last is padding."""
    chunks = [max(length, 1) for length in shape]
    for axis in range(len(shape)):
        row = math.prod(chunks[axis + 1 :]) * itemsize
        parts = math.ceil(chunks[axis] / max(_CHUNK_NBYTES // row, 1))
        chunks[axis] = math.ceil(chunks[axis] / parts)
        if chunks[axis] > 1:
            break
    return tuple(chunks)


def _blocks(shape: tuple[int, ...], chunks: tuple[int, ...]) -> Iterator[_Block]:
    """The part of the array that is in each chunk, in the order of the chunks."""
    axes = (range(0, length, step) for length, step in zip(shape, chunks, strict=True))
    for offset in itertools.product(*axes):
        yield tuple(slice(start, start + step) for start, step in zip(offset, chunks, strict=True))


def _deflated(
    array: NDArray[Any], chunks: tuple[int, ...], pool: ThreadPoolExecutor, threads: int
) -> Iterator[tuple[tuple[int, ...], bytes]]:
    """Offset and bytes of each chunk, in order; a few are in flight, however large the array."""
    pending: deque[tuple[tuple[int, ...], Future[bytes]]] = deque()
    for block in _blocks(array.shape, chunks):
        pending.append((tuple(s.start for s in block), pool.submit(_deflate, array, block, chunks)))
        if len(pending) > 2 * threads:
            offset, future = pending.popleft()
            yield offset, future.result()
    for offset, future in pending:
        yield offset, future.result()


def _deflate(array: NDArray[Any], block: _Block, chunks: tuple[int, ...]) -> bytes:
    """One chunk as HDF5's shuffle and deflate filters would make it.

    Shuffle puts the first bytes of all items first, then the second bytes, and so on. The deflater
    is flushed after each such plane, which gives each its own Huffman table: less on the disk, and
    planes of noise are stored quickly.
    """
    part = array[block]
    if part.shape != chunks:  # at the edge: a chunk in the file is always whole
        whole = np.zeros(chunks, array.dtype)
        whole[tuple(slice(length) for length in part.shape)] = part
        part = whole
    items = np.ascontiguousarray(part).reshape(-1).view(np.uint8).reshape(-1, array.itemsize)
    planes = items.T.copy().reshape(-1)
    step = len(items) * math.ceil(_PIECE_NBYTES / len(items))
    deflater = isal_zlib.compressobj(_LEVEL)
    parts = []
    for start in range(0, len(planes), step):
        parts.append(deflater.compress(planes[start : start + step]))
        parts.append(deflater.flush(isal_zlib.Z_FULL_FLUSH))
    parts.append(deflater.flush())
    return b"".join(parts)
