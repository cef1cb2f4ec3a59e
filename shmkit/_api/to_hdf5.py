"""`to_hdf5`: arrays to one HDF5 file, which any HDF5 reader opens.

    arrays ──contents──▶ names, and what goes there ──writing──▶ results.h5
    options ──Settings──▶ checked ────────────────────────┘ │
                                                            └──▶ monitor: how far it is

1. The options are checked, then the path, then every array: nothing is written before all fit.
2. `hdf5.write` writes them in a thread of its own, and gives the file its name at the end.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any, Literal

from shmkit.display.progress import export_monitor
from shmkit.errors import BriefErrors
from shmkit.hdf5.contents.datasets import Arrays, contents
from shmkit.hdf5.export import Export
from shmkit.hdf5.settings import Settings
from shmkit.hdf5.storage.place import check_path
from shmkit.hdf5.write import writing

__all__ = ["to_hdf5"]


def to_hdf5(
    path: str | os.PathLike[str],
    arrays: Arrays,
    *,
    group: str = Settings.group,
    mode: Literal["w", "x", "a"] = Settings.mode,
    overwrite: bool = Settings.overwrite,
    compression: str | None = Settings.compression,
    level: int | None = Settings.level,
    shuffle: bool = Settings.shuffle,
    chunks: int | tuple[int, ...] | None = Settings.chunks,
    layout: Literal["table", "columns"] | None = Settings.layout,
    concat: bool = Settings.concat,
    timeout: float = Settings.timeout,
    attrs: Mapping[str, Any] | None = Settings.attrs,
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
    arrays : mapping, sequence of arrays, or an array
        A mapping from names to arrays, where a mapping as a value becomes a group; what
        `shared_load` returns; a sequence (datasets ``array0``, ``array1``, ...); or one array
        (dataset ``data``). An array is one of numpy's, a table, a number, a text or a time, a list
        of these, a series or data frame of pandas or polars (see Notes). A Dataset or DataArray
        of xarray becomes a group; alone, the export's own.
        Of what `shared_load` loads on a cluster, the nodes deflate the chunks, and this process
        writes them.
    group : str
        Where in the file they are put, for example ``"2024/night"``.
    mode : {"w", "x", "a"}
        Whether an existing file is replaced, is an error, or is added to.
    overwrite : bool
        With ``mode="a"``, whether datasets of the same name are replaced; else they are an error.
        (HDF5 does not give back the room of the old ones; ``h5repack`` does.)
    compression : str, optional
        ``"gzip"`` is deflate, which every reader has; ``"zstd"`` is as small in half the time, and
        h5py has it with the package hdf5plugin; ``"lzf"`` is for h5py only; None stores the
        data as they are. With hdf5plugin (``pip install 'shmkit[filters]'``) any of its filters by
        name, such as ``"lz4"`` or ``"blosc2"``, which readers need too. All of these run on every
        CPU, but for those of hdf5plugin that HDF5 alone can call (sz, zfp and the like). Arrays
        under 8 KiB are always stored as they are, unless `chunks` is given.
    level : int, optional
        Of gzip from 0 to 9: up to 3 are several times as fast as h5py's; 4 to 9 are slower, and a
        few percent smaller. Of zstd from 1 to 22. By default 1 for both. For filters of hdf5plugin,
        their ``clevel``.
    shuffle : bool
        Whether gzip, lzf and zstd get the bytes of the items sorted by their place: smaller, for
        numbers.
    chunks : int or tuple of int, optional
        Rows of a chunk, or its shape; cut to the array's. By default chunks hold whole rows and
        up to 1 MiB: the chunk cache of most HDF5 readers holds no larger one, and would inflate it
        anew for every row that is read.
    layout : {"table", "columns"}, optional
        Whether a table, or a structured array, becomes one dataset, or a group with a dataset for
        each column, which can be read by column. Fields of fields become groups. By default
        tables by columns become groups, and structured arrays one dataset.
    concat : bool
        Whether all arrays become one dataset ``data``, whose first dimension can grow, and
        ``source``, a table that says which rows came from where: ``name``, ``file``, ``start``,
        ``stop`` (excluded). They must have the same fields and row shape, and all be numbers,
        bytes, text or times, which get numpy's common type: an error if that has not all of the
        integers, as float64 has not.
        With ``mode="a"``, rows are added to those that an earlier ``concat=True`` wrote: the same
        fields, of types that the file has room for; longer texts and more categories are fine. Who
        reads the file meanwhile, even by h5py, sees the old rows, or all the new ones once it opens
        it again. The file is copied for that, which takes no time on btrfs and xfs. It keeps its
        own compression and chunks. ``overwrite=True`` replaces the rows instead.
    timeout : float
        With ``mode="a"``, seconds to wait for other processes that add to the file.
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
        If something is no array, or HDF5 cannot hold it: Python objects of no kind or of several.
        Every array is checked before anything is written.
    ValueError
        If there are no arrays, a name cannot be a name in HDF5 or is taken, `compression` is
        unknown or cannot take an array, or another option does not fit.
    SegmentGoneError
        If the arrays are those of a load that were closed.
    FileExistsError
        With ``mode="x"``, if the file is there; with ``mode="a"``, if there was none, and another
        process has made one meanwhile.
    BlockingIOError
        If the file is open: anywhere for ``mode="a"`` without `concat`, else for writing; or if
        another process adds to it for longer than `timeout`: names that, where the system does.
    OSError
        If the file cannot be written: no such directory, no permission (a file that is read-only
        is not replaced either), no space, a pipe or device, no HDF5 file to add to.

    By the time any of these, or a KeyboardInterrupt, is raised, the file is what it was before. If
    the process is killed, too, or it is the new one; and what it wrote of a new file is removed at
    once, or by the next export to that directory.

    Notes
    -----
    Numbers, bools, complex numbers, bytes (``S``) and structured arrays of these are stored as
    they are, in any byte order and with any padding, and compare equal when read back with h5py.

    HDF5 has no strings of numpy's ``U`` kind and no times, also not as fields:

    - ``U`` becomes fixed-length UTF-8; h5py gives bytes, or strings by ``dataset.asstr()``.
    - ``datetime64`` and ``timedelta64`` become int64, of which ``units`` and ``calendar`` say what
      they count, as the CF conventions do: xarray decodes them.
    - Text columns of a `SharedTable`, StringDType, and objects that are all `str` are such UTF-8
      too, however they lie in memory.

    What is masked, or missing among integers, bools or texts, is stored as a value that no other
    item has, and the attribute ``_FillValue`` says which: NaN for floats, unless another item is
    NaN, the least integer, an empty text. Bools with a mask become int8.

    A data frame becomes a group with a dataset for each column, as a table does, with its index
    before them unless that only counts the rows; so does a series with such an index. Categories of
    text are HDF5 enums; what is missing has the code 0. Times of a time zone are in UTC, and the
    attribute ``timezone`` names it. The group of a Dataset of xarray has its dimension scales,
    so that xarray and netCDF4 read it back; so have arrays, as a whole, that were loaded from HDF5
    and NetCDF files, with the scales of their names that are saved beside them.

    The attribute ``numpy_dtype`` (for a field, ``numpy_dtype.<field>``) says what they were:
    ``dataset[:].view(dataset.attrs["numpy_dtype"])`` gives times. `shared_load` does so itself.

    The group has the attributes ``shmkit_version`` and ``created`` (ISO 8601, UTC), unless `attrs`
    has others by these names. A dataset that `shared_load` read has ``source_file`` and
    ``source_options``, the reader's options as JSON; an option JSON cannot express stands there
    as its ``repr``. Of the column of a table, ``column`` is its place, and ``missing`` how many of
    its values are NaN or NaT.

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
    settings = Settings(
        group, mode, overwrite, compression, level, shuffle, chunks, layout, concat, timeout, attrs
    )
    with BriefErrors():
        path = check_path(path, mode, beside_readers=concat)
        cluster = sys.modules.get("shmkit.cluster.arrays")  # who has arrays of it has imported it
        if cluster is not None and isinstance(arrays, cluster.RemoteArrays):
            if concat:
                raise ValueError(
                    "concat=True joins arrays of this machine; on a cluster, save one each"
                )
            from shmkit.cluster.export import far_contents  # noqa: PLC0415 - dask where it is

            found = far_contents(arrays, layout=layout)
        else:
            found = contents(arrays, layout=layout, concat=concat)
        settings.check(found.datasets)
        with writing(path, settings, export_monitor(progress)) as export:
            export.write(found)
        return export.export
