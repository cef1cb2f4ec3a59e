"""`to_hdf5`: arrays to one HDF5 file, which any HDF5 reader opens.

    arrays ──_datasets──▶ names and rows ──_writing──▶ storage ──_atomic──▶ results.h5
                                                │
                                             progress: looked at by the calling thread

The whole of it: which options there are, what they mean, and what is left when something fails.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any, Literal

from shmkit.display.progress import export_progress
from shmkit.hdf5.datasets import Arrays, Rows, datasets, parts_of_name
from shmkit.hdf5.export import Export
from shmkit.hdf5.storage import appending, check_path, replacing
from shmkit.hdf5.writer import Settings, Writer

__all__ = ["to_hdf5", "write_batches"]

_TICK = 0.2  # seconds between two changes of what is shown


def to_hdf5(
    path: str | os.PathLike[str],
    arrays: Arrays,
    *,
    group: str = "/",
    mode: Literal["w", "x", "a"] = "w",
    overwrite: bool = False,
    compression: str | None = "gzip",
    level: int | None = None,
    shuffle: bool = True,
    chunks: int | tuple[int, ...] | None = None,
    layout: Literal["table", "columns"] = "table",
    concat: bool = False,
    attrs: Mapping[str, Any] | None = None,
    progress: bool | None = None,
) -> Export:
    """Save arrays as one HDF5 file, which any HDF5 reader opens.

    The file is changed whole or not at all: a new one is written beside its place and takes its
    name when it is complete and on the disk; what is added to one lies behind its end until it is
    complete. It is closed when this returns.

    Parameters
    ----------
    path : path-like
        The file.
    arrays : mapping, sequence of ndarray, or ndarray
        A mapping from names to arrays, where a mapping as a value becomes a group; what
        `shared_load` returns; a sequence (datasets ``array0``, ``array1``, ...); or one array
        (dataset ``data``).
    group : str
        Where in the file they are put, for example ``"2024/night"``.
    mode : {"w", "x", "a"}
        Whether an existing file is replaced, is an error, or is added to.
    overwrite : bool
        With ``mode="a"``, whether datasets of the same name are replaced; else they are an error.
        (HDF5 does not give back the room of the old ones; ``h5repack`` does.)
    compression : str, optional
        ``"gzip"`` is deflate, on every CPU; ``"lzf"`` is for h5py only; None stores the data as
        they are. With the package hdf5plugin, any of its filters by name, such as ``"zstd"``; HDF5
        runs those in one thread, and readers need that package too. Arrays under 8 KiB are
        always stored as they are, unless `chunks` is given.
    level : int, optional
        Of gzip from 0 to 9: 1 by default. Up to 3 are several times as fast as h5py's; 4 to 9 are
        slower, and a few percent smaller. For filters of hdf5plugin, their ``clevel``.
    shuffle : bool
        Whether gzip, lzf and zstd get the bytes of the items sorted by their place: smaller, for
        numbers.
    chunks : int or tuple of int, optional
        Rows of a chunk, or its shape; cut to the array's. By default chunks hold whole rows and
        up to 1 MiB: the chunk cache of most HDF5 readers holds no larger one, and would inflate it
        anew for every row that is read.
    layout : {"table", "columns"}
        Whether a structured array becomes one dataset, or a group with a dataset for each field,
        which can be read by column. Fields of fields become groups.
    concat : bool
        Whether all arrays become one dataset ``data``, whose first dimension can grow, and
        ``source``, a table that says which rows came from where: ``name``, ``file``, ``start``,
        ``stop`` (excluded). They must have the same fields and row shape, and all be numbers, text
        or times, which get numpy's common type.
    attrs : mapping, optional
        Attributes of the group, by default of the file: strings, numbers or small arrays.
    progress : bool, optional
        As for `shared_load`.

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
        If there are no arrays, a name cannot be a name in HDF5 or is taken, `compression` is
        unknown or cannot take an array, or another option does not fit.
    FileExistsError
        With ``mode="x"``, if the file is there; with ``mode="a"``, if there was none, and another
        process has made one meanwhile.
    BlockingIOError
        If the file is open: anywhere for ``mode="a"``, else for writing.
    OSError
        If the file cannot be written: no such directory, no permission (a file that is read-only
        is not replaced either), no space, a pipe or device, no HDF5 file to add to.

    By the time any of these, or a KeyboardInterrupt, is raised, the file is what it was before. If
    the process is killed, too, and what it wrote of a new file is removed at once, or by the next
    export to that directory. (Only with ``mode="a"``, and in the moment at the end when the few
    pages of the old content that change are written, is it neither.)

    Notes
    -----
    Numbers, bools, complex numbers, bytes (``S``) and structured arrays of these are stored as
    they are, in any byte order and with any padding, and compare equal when read back with h5py.

    HDF5 has no strings of numpy's ``U`` kind and no times, also not as fields:

    - ``U`` becomes fixed-length UTF-8; h5py gives bytes, or strings by ``dataset.asstr()``.
    - ``datetime64`` and ``timedelta64`` become int64.

    The attribute ``numpy_dtype`` (for a field, ``numpy_dtype.<field>``) says what they were:
    ``dataset[:].view(dataset.attrs["numpy_dtype"])`` gives times. `shared_load` does so itself.

    The group has the attributes ``shmkit_version`` and ``created`` (ISO 8601, UTC), unless `attrs`
    has others by these names. A dataset that `shared_load` read has ``source_file`` and
    ``source_options``, the reader's options as JSON; an option JSON cannot express stands there
    as its ``repr``.

    At most a few chunks for each CPU are in memory at a time.

    Examples
    --------
    >>> import h5py, numpy as np
    >>> path = getfixture("tmp_path") / "results.h5"
    >>> export = to_hdf5(path, {"mean": np.arange(3.0), "night": {"mean": np.ones(2, "f4")}})
    >>> [dataset.name for dataset in export.datasets]
    ['mean', 'night/mean']
    >>> with h5py.File(path) as file:
    ...     print(file["night/mean"][:])
    [1. 1.]
    """
    for name, value, known in (("mode", mode, "wxa"), ("layout", layout, ("table", "columns"))):
        if value not in known:
            raise ValueError(f"{name}={value!r} is none of {', '.join(map(repr, known))}")
    path = check_path(path, mode)
    found = datasets(arrays, layout=layout, concat=concat)
    settings = Settings(compression, level, shuffle, chunks, overwrite)
    settings.check(found)
    total = sum(rows.nbytes for rows in found.values())
    with export_progress(progress) as show:
        return write_batches(
            path, mode, group, settings, attrs or {}, [found], lambda nbytes: show(nbytes, total)
        )


def write_batches(
    path: str,
    mode: str,
    group: str,
    settings: Settings,
    attrs: Mapping[str, Any],
    batches: Iterable[Mapping[str, Rows]],
    meanwhile: Callable[[int], None],
    stop: Callable[[], None] = lambda: None,
) -> Export:
    """Write datasets batch by batch; `batches` is iterated in another thread.

    Until all is written, `meanwhile` is called a few times a second, in this one, with the bytes
    of memory that are. After an error, `stop` is: no more batches are to be waited for.
    """
    started = time.perf_counter()
    group = "/".join(parts_of_name(group.strip("/"))) if group.strip("/") else ""
    if mode == "a" and os.path.exists(path):
        target, mode_of_file = appending(path), "r+"
    else:
        target, mode_of_file = replacing(path, exclusive=mode != "w"), "w"
    # HDF5 runs in a thread of its own, as Ctrl-C is raised in the main thread alone: among h5py's
    # destructors it would get lost, and in the middle of a write it would do harm.
    with target as storage, ThreadPoolExecutor(1) as thread:
        writer = Writer(storage, mode_of_file, settings)
        written = thread.submit(writer.write, batches, group, attrs)
        try:
            while not wait([written], _TICK).done:
                meanwhile(writer.nbytes)
            found = written.result()
        except BaseException as error:
            storage.error = storage.error or error  # ends the writer at its next check
            stop()
            while not written.done():  # its file stays open until then, whoever is in a hurry
                with contextlib.suppress(KeyboardInterrupt):
                    wait([written])
            raise
        storage.flush()
        nbytes_file = os.fstat(storage.fileno()).st_size
    return Export(path, found, nbytes_file, time.perf_counter() - started)
