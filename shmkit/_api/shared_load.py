"""`shared_load`: its options, checked; the load itself is in `loading`."""

from __future__ import annotations

import contextlib
import enum
import inspect
import operator
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, Any, Literal, overload

from shmkit import _limits
from shmkit.cache.where import cache_path
from shmkit.errors import BriefErrors
from shmkit.loaders.pool import LoaderPool, useful_processes
from shmkit.loading.files.inputs import inputs
from shmkit.loading.files.paths import PathType, named_paths
from shmkit.readers.choose import check_options
from shmkit.readers.select import Select, check_select

if TYPE_CHECKING:
    from distributed import Client
    from numpy.typing import DTypeLike

    from shmkit.cache.directory import CacheDirectory
    from shmkit.cluster.arrays import RemoteArrays
    from shmkit.views.array import SharedArray
    from shmkit.views.arrays import SharedArrays
    from shmkit.views.table import SharedTable
    from shmkit.views.text import SharedText

__all__ = ["how_to_load", "shared_load"]


Missing = str | float | Sequence[str | float] | AbstractSet[str | float]


# The options that say how files are read; the readers of each format take those of use to them.
_READING = (
    *(
        "dtype",
        "delimiter",
        "comments",
        "skiprows",
        "usecols",
        "max_rows",
        "converters",
        "encoding",
    ),
    *("quotechar", "ndmin", "categories", "layout", "header", "missing", "decimal", "units"),
    *("widths", "select", "decode", "dataset"),
)


class _Default(enum.Enum):
    """What an option is that is not given; None is a value that may be given."""

    INFERRED = enum.auto()

    def __repr__(self) -> str:
        return "inferred"


@overload
def shared_load(
    files: PathType | Iterable[PathType] | Mapping[str, PathType],
    *,
    concat: Literal[False] = False,
    client: None = None,
    **options: Any,
) -> SharedArrays: ...
@overload
def shared_load(
    files: PathType | Iterable[PathType] | Mapping[str, PathType],
    *,
    concat: Literal[True, "column"],
    client: None = None,
    **options: Any,
) -> Any: ...
@overload
def shared_load(
    files: PathType | Iterable[PathType] | Mapping[str, PathType],
    *,
    client: Client,
    **options: Any,
) -> RemoteArrays: ...
def shared_load(  # type: ignore[misc] # the options, which all have, stand here only
    files: PathType | Iterable[PathType] | Mapping[str, PathType],
    *,
    dtype: DTypeLike | Mapping[str | int, DTypeLike] | None = None,
    delimiter: str | _Default | None = _Default.INFERRED,
    comments: str | Sequence[str] | _Default | None = _Default.INFERRED,
    skiprows: int = 0,
    usecols: int | str | Sequence[int | str] | None = None,
    max_rows: int | None = None,
    converters: Mapping[int | str, Callable[[str], Any]] | Callable[[str], Any] | None = None,
    encoding: str | None = None,
    quotechar: str | _Default | None = _Default.INFERRED,
    ndmin: Literal[0, 1, 2] = 0,
    categories: str | Sequence[str] | None = None,
    layout: Literal["columns", "rows"] | None = None,
    header: bool | Sequence[str] | None = None,
    missing: Missing | Mapping[str | int, Missing] | None = None,
    decimal: Literal[".", ","] | None = None,
    units: bool = False,
    widths: Sequence[int | slice] | None = None,
    dataset: str | Sequence[str] = "*",
    select: Select | Mapping[str, Select] | None = None,
    decode: bool | Literal["xarray"] | None = None,
    reader: Callable[[str], Any] | None = None,
    transform: Callable[[Any], Any] | None = None,
    processes: int | None = None,
    backing: PathType = "auto",
    cache: bool | PathType | None = None,
    concat: bool | Literal["column"] = False,
    on_error: Literal["raise", "skip"] = "raise",
    progress: bool | None = None,
    client: Client | None = None,
) -> SharedArrays | SharedArray | SharedText | SharedTable | RemoteArrays:
    """Load files into shared memory, by loader processes, and return numpy views of them.

    The load is done when the call returns. What it returns is also a context manager, so both
    ``with shared_load(files) as arrays:`` and a later ``arrays.close()`` unlink the segments.

    Each array has a segment of its own. But where there are more than 16 small text files, the
    arrays of some of them share one, and its memory is back when the last view of any of these is
    gone. Each is closed, published and attached for itself; its ``segment.path`` ends in its rows,
    ``….npy[1000:2000]``, and without them it leads `numpy.load`, too, to the rows of all.

    Parameters
    ----------
    files : path, glob, list of these, or mapping of name to path
        Text files, ``.npy`` and ``.npz`` files, HDF5 and NetCDF files, or anything that `reader`
        reads: what a file is, its first bytes say, and its name where they do not. The arrays are
        named after the files, without their last suffix, and without ``.gz`` and the
        like before that; where two would get the same name, more of their paths is kept. Text may
        be compressed by gzip, bgzip, bzip2, xz or zstd, whatever the name. Pipes, such as
        ``/dev/stdin``, a FIFO or what a shell writes for ``<(...)``, are read to their end first,
        and copied into memory or the directory that `backing` names; their format is told by the
        content, and a `reader` gets the path of the copy.
    layout : {"columns", "rows"}, optional
        What text becomes where no `dtype` of whole rows is given: a `SharedTable`, or records. By
        default a table; but numbers alone, without a header, become the 2-D float64 array that
        `numpy.loadtxt` gives.
    dtype : dtype, or mapping of column to dtype, optional
        A dtype of whole rows gives an array, with `numpy.loadtxt`'s exact meaning. A mapping says
        the types of some columns of a table, by name or number: whole numbers, float32, float64,
        bool, ``str``, or datetime64 in D, s, ms, us or ns. All others are inferred.
    header : bool or sequence of str, optional
        Whether the first line of a table names the columns, or the names, where no line does.
    missing : str, number, sequence or set of these, or mapping of column to these, optional
        Words that mean missing in columns of numbers and times, such as -9999: beside the usual
        ones (Notes), or as a set instead of them. ``["ND"]`` has an empty field and ``NA`` missing,
        too; ``{"ND", ""}`` has ``ND`` and an empty field missing, and nothing else. A mapping says
        it of some columns, by name or number.
    decimal : {".", ","}, optional
        The decimal point; by default a comma in files split by semicolons that have numbers so.
    units : bool, default False
        Whether the line below the header has units, and is no row.
    widths : sequence of int or slice, optional
        The columns of a file of fixed widths, in characters.
    delimiter, comments, skiprows, usecols, max_rows, converters, encoding, quotechar, ndmin
        As in `numpy.loadtxt`. With a `dtype` of whole rows that is their meaning to the letter;
        in a table

        - the delimiter is tab, semicolon, comma, ``|`` or white space, whichever splits the lines
          alike, if it is not given;
        - lines that begin with ``#`` are comments, unless the sample has some with as many fields,
          three or more, as the rows; and what is behind `comments`, if given;
        - `skiprows` lines are passed over before the header, blank ones and comments included;
        - `usecols` and the keys of `converters` may be names of columns;
        - `quotechar` is ``'"'`` by default; a field in quotes may hold delimiters and line ends;
        - `ndmin` is for arrays.

        `converters` get the text of a field, are called in several processes, and more than once
        for rows of the sample.
    categories : str or sequence of str, optional
        Columns (with `dtype`, fields) of text with few different values, such as names of
        chromosomes, whatever their type. They become codes of two bytes, and the column's
        `SharedArray.categories` the texts by code: in the order of first appearance, the same in
        all files of the load. `to_hdf5` stores them as HDF5 enums, which are loaded as categories
        again.
    dataset : str or sequence of str
        Which datasets of HDF5, NetCDF and ``.npz`` files: names, or globs such as ``"night/*"``. A
        name that is there wins over a glob, and links are datasets under each of their names. Each
        is an array of its own. Those of a single path are named as in the file. Where there are
        several paths, or names are given for them, the name of the file comes before, as in
        ``"run1/night/mean"``; or stands alone, if one dataset of it is loaded.
    select : slice, tuple of slices, or mapping of dataset names to these, optional
        Which part of the arrays of HDF5, NetCDF-3 and ``.npy`` files: a slice for each axis, as
        numpy's. Of a dataset in chunks only those are read and inflated that the part is in. Of a
        table in a text file, ``slice(start, stop)`` are its rows: those before are parsed, but take
        no memory.
    decode : bool or "xarray", optional
        Whether numbers of HDF5 and NetCDF files are what their attributes say by the CF
        conventions: packed ones (``scale_factor``, ``add_offset``, ``_Unsigned``) unpacked, missing
        ones (``_FillValue``, ``missing_value``, ``valid_min``, ``valid_max``, ``valid_range``) NaN,
        times (``days since 1850-01-01``) datetime64. By default those of NetCDF files are, as
        netCDF4 does it, and xarray but for what is outside of the valid range: ``"xarray"`` leaves
        that. The attributes that did so are no more in ``array.attrs``; ``DIMENSION_LIST`` in it
        has the names of the dimensions, and `to_hdf5` attaches their scales again.
    reader : callable, optional
        A function ``path -> array`` for files of any other kind. It runs in a loader process and
        may be defined in a notebook cell. OpenBLAS, of numpy's linear algebra, has one thread
        there, or as many as the environment variable ``OPENBLAS_NUM_THREADS`` says.
    transform : callable, optional
        A function ``array -> array`` that a loader process calls on what it has read of each file,
        before you get it: to filter rows, pick columns, or scale. It gets the array, or the table,
        as a load without it gives it, and what it returns takes its place, an array or a table of
        any other shape: ``transform=lambda t: t[t["c"] + t["t"] >= 10]``. It may be defined in a
        notebook cell. What was read is given back when the function has returned.
    processes : int, optional
        Loader processes; by default the CPUs that this process may use. They stay warm for the
        next load.
    backing : {"auto", "shm", "memfd"} or a directory
        Where the segments live: named in /dev/shm, in an anonymous memory file (not bound by the
        size of /dev/shm), or in files of a directory, for arrays larger than memory. ``"auto"``
        takes the first of shm and memfd that has room.
    cache : bool or a directory, optional
        Whether to keep what was read on disk, and to take it from there when an unchanged file is
        loaded again in the same way, in any notebook: without reading it, and without a copy. True
        means ``~/.cache/shmkit``; by default the environment variable ``SHMKIT_CACHE`` says a
        directory, ``1`` for that one, or ``0``. The arrays lie in files there, not in /dev/shm. You
        may write to them: others see nothing of it, nor the next load; workers of a pool get them
        read-only, or a copy of those that you have written to. A file counts as unchanged by its
        path, length, inode and times of change; a `reader` and a `transform` by their code and what
        that uses. Whatever is not certain is read. The entries take a tenth of the disk, or what
        ``SHMKIT_CACHE_SIZE`` says (``"20 GB"``); the least used go first. See ``shmkit cache``.
    concat : bool or "column", default False
        Whether the files become one array, or one table: the rows of each behind those of the file
        before, in one segment. ``a.sources["data1"]`` is a view of the rows of a file, and
        ``a.sources.files`` says the rows of each. The columns are those of the first file, by name;
        each has the widest of its types, which a note tells if they differ. ``"column"`` adds a
        column of categories, ``source``: the name of the row's file.
    on_error : {"raise", "skip"}
        Whether a file that cannot be loaded ends the load, or is left out and listed in
        ``arrays.failures``, or ``a.sources.failures``.
    progress : bool, optional
        By default a live panel in a notebook, a bar where stderr is a terminal, else nothing;
        or what the environment variable ``SHMKIT_PROGRESS`` says: ``auto``, ``widget``, ``tqdm``,
        ``plain`` (one line at the end) or ``off``. True asks for a bar elsewhere too; False shows
        nothing. Both win over the variable.
    client : distributed.Client, optional
        Of a Dask cluster, on whose nodes the files are loaded, by loader processes there; needs
        ``pip install 'shmkit[dask]'`` here and there. Paths and globs are those of the nodes: a
        file is loaded by one that has it. `processes` is for each node then.

    Returns
    -------
    SharedArrays, or RemoteArrays with `client`
        The `SharedTable`-s and `SharedArray`-s in file order, and by name.
    SharedTable, SharedArray or SharedText
        With `concat`: that of all files; a context manager too.

    Raises
    ------
    LoadError
        If a file cannot be read: names file, line and column, and what to do. If it changes while
        it is read, replaced or written to, at its end too: no array is of two versions. With
        `concat`, if its columns, or the kinds of their types, are not those of the first file: it
        names both.
    LoaderDiedError
        If a loader process was killed, crashed or exited; names its file.
    NotEnoughMemoryError
        If the arrays have no room: raised before they are read, or where only reading tells how
        large they are, as soon as that is known.
    TooManySegmentsError
        If there are more files than this process may map or open at once.
    TypeError, ValueError
        If `numpy.loadtxt` refuses the options with any file, no array in shared memory can have the
        `dtype`, an option is of no use to any of the files, no files are given, or `on_error`,
        `processes`, `backing`, `decode` or ``SHMKIT_PROGRESS`` are none of what they may be; before
        a file is read.
    OSError
        If a file is missing or may not be read.
    ClusterError
        With `client`, if the cluster has no workers, or another version of shmkit, or none.

    By the time any of these, or a KeyboardInterrupt, is raised, no segment and no half-done loader
    process is left.

    Notes
    -----
    Types of a table are inferred from a sample of the file. Where a later line belies one, the file
    is read again with the wider type: so a table has the types that all of its values need,
    wherever they stand, and a column has the same type in all files of a load.

    ============================================  =================================================
    all values of a column are                    it becomes
    ============================================  =================================================
    whole numbers                                 int64, or uint64
    the same, some of them missing                float64, with NaN; text, if it would change one
    numbers                                       float64
    ``true``, ``false``, in any case              bool
    dates, times of ISO 8601                      datetime64 of the least unit that holds all; UTC,
                                                  where all have an offset
    missing                                       float64, all NaN
    whole numbers that begin with a zero          text, as it stands: ``01001``
    anything else                                 text, which loses no word: ``NA`` is ``"NA"``
    ============================================  =================================================

    Missing are an empty field, ``NA``, ``N/A``, ``NaN``, ``nan``, ``null``, ``NULL``, ``None``, as
    in pandas, and in columns of numbers also ``.``, ``-``, ``?``, ``*``, ``***``. The table's
    `missing` counts them. Its repr and the panel say which word on which line made text of what
    else is numbers or times, and what to give.

    The names of a table, and where it begins:

    - A first line is the header if it has words above columns of numbers, times or truth; if, in a
      table of text alone, its words are distinct and their columns have something in common that
      they have not: how they are capitalized, or that there are digits, blanks or other signs; if
      none of its words is below, in columns whose texts nearly all repeat, two or more; or if the
      other options choose columns by its names. Numbers are names beside words if they are
      increasing above fractions, in steps of up to 10, or years above others. What cannot be told
      is an error that offers ``header=True`` and ``header=False``.
    - Where it has one name less than columns, the first column is named ``row``: R's
      ``write.table`` has no name for row names. Where that column has whole numbers without quotes,
      it may as well be a name that is missing at the end, and is an error.
    - Empty names become ``f0``, ``f1``, … by their place, as in numpy; a name that is there twice
      gets ``_1``. A file with a header alone is a table of no rows.
    - Comments are no names, but for one right above the rows with a word for each column, such as
      ``#chr start end``. Numbers alone below it are an array without names.
    - A line of formats of USGS's RDB below the header is no row. One of units is, unless
      `units` says so.
    - ``sep=;`` in the first line, as Excel takes it, says the delimiter. Lines of the genome
      browser (``track``, ``browser``) above the table are passed over.
    - Lines above the table are passed over if they are of another width than all behind them. Where
      those are not all alike, or lines above are as wide, the error names the line where the table
      seems to begin, and the `skiprows` that reads it.

    With a `dtype` of whole rows, text means what `numpy.loadtxt` says, bit for bit. Where it may
    surprise:

    ============================================  =================================================
    in the file                                   in the array
    ============================================  =================================================
    a number too large for its integer type       an error; `numpy.loadtxt` refuses it too
    ``2.5``, ``1e5`` as an integer                an error, as from numpy 2.5 on
    ``-1`` as an unsigned integer                 an error
    ``1e400``, ``1e-400`` as a float              inf, 0.0
    ``nan``, ``inf``, ``-Infinity``, any case     themselves
    ``NA``, an empty field, as a number           an error; ``converters=`` may read it
    ``0x10``, ``1_000``                           an error
    digits past those that a float holds          the nearest float
    ``300`` as a bool                             True; ``True`` is an error
    text longer than its ``S`` or ``U`` field     an error, where `numpy.loadtxt` cuts it
    ``é`` in an ``S`` field                       its Latin-1 byte; an error if it has none
    a line with fewer or more columns             an error
    a blank line, a line that is a comment        no row
    an empty file                                 an empty array, without a warning
    a NUL byte in the first 4 kB                  an error: no text; later ones are characters
    ============================================  =================================================

    Examples
    --------
    >>> from shmkit.sample import methylation
    >>> path = methylation("calls.txt", rows=1000)
    >>> with shared_load(path) as arrays:
    ...     (calls,) = arrays
    ...     print(calls.columns, len(calls), calls["chr"][0])
    ['chr', 'pos', 'pct', 'c', 't'] 1000 chr1
    """
    given = locals()
    with BriefErrors():
        how = how_to_load(given)
        if client is not None:
            if concat:
                raise ValueError("concat= is of this machine; with client=, use arrays.to_dask()")
            from shmkit.cluster.load.load import load_on_nodes  # noqa: PLC0415 - dask if asked for
            from shmkit.display.progress import load_monitor  # noqa: PLC0415

            how |= {"processes": None if processes is None else how["processes"]}
            return load_on_nodes(files, client, **how, monitor=load_monitor(progress))
        named = named_paths(files)
        with inputs(named, reader, backing, skip_failed=how["skip_failed"]) as found:
            if how["options"]:
                check_options([file.form for file in found.values()], how["options"])
            # The loaders start while this process imports what only a load needs; where all is in
            # the cache, none is needed.
            count = useful_processes([file.nbytes for file in found.values()], how["processes"])
            with LoaderPool(count) if how["cache"] is None else contextlib.nullcontext():
                from shmkit.display.progress import load_monitor  # noqa: PLC0415
                from shmkit.loading.load import load  # noqa: PLC0415

            prefix, monitor = len(named) > 1 or isinstance(files, Mapping), load_monitor(progress)
            arrays = load(found, prefix=prefix, monitor=monitor, concat=concat, **how)
            return arrays[0] if concat else arrays


def how_to_load(given: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of `load` that say how, from those of `shared_load`; raises as that does."""
    parameters = inspect.signature(shared_load).parameters
    options = {
        name: given[name] for name in _READING if given[name] is not parameters[name].default
    }
    for name in ("categories", "dataset"):
        if isinstance(options.get(name), str):
            options[name] = [options[name]]
    if options.get("dataset") == ["*"]:
        del options["dataset"]
    if given["select"] is not None:
        check_select(given["select"])
    if given["decode"] not in (None, True, False, "xarray"):
        raise ValueError(f'decode={given["decode"]!r} is none of True, False, None and "xarray"')
    if given["concat"] not in (False, True, "column"):
        raise ValueError(f'concat={given["concat"]!r} is neither True, False nor "column"')
    if given["on_error"] not in ("raise", "skip"):
        raise ValueError(f'on_error={given["on_error"]!r} is neither "raise" nor "skip"')
    processes = given["processes"]
    processes = _limits.cpus() if processes is None else operator.index(processes)
    if processes < 1:
        raise ValueError(f"processes={processes} must be at least 1")
    return {
        **{name: given[name] for name in ("reader", "transform", "backing")},
        "options": options,
        "processes": processes,
        "cache": _cache_directory(given["cache"]),
        "skip_failed": given["on_error"] == "skip",
    }


def _cache_directory(cache: bool | PathType | None) -> CacheDirectory | None:
    """The cache that is wanted; a warning, and none, where it cannot be used."""
    path = cache_path(cache)
    if path is None:
        return None
    from shmkit.cache.directory import CacheDirectory  # noqa: PLC0415 - for those who have one

    try:
        return CacheDirectory(path)
    except OSError as error:
        warnings.warn(f"without the cache: {error}", stacklevel=4)
        return None
