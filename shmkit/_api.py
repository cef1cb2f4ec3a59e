"""`shared_load`: the one place where files, readers, loaders, segments and monitors meet."""

from __future__ import annotations

import enum
import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

from numpy.typing import DTypeLike

from shmkit import _limits
from shmkit._arrays import SharedArrays
from shmkit._load import load
from shmkit._names import PathType, named_paths
from shmkit._progress import Monitor, NoMonitor

__all__ = ["shared_load"]


class _Default(enum.Enum):
    """What an option is that is not given; None is a value that may be given."""

    INFERRED = enum.auto()

    def __repr__(self) -> str:
        return "inferred"


def shared_load(
    files: PathType | Iterable[PathType] | Mapping[str, PathType],
    *,
    dtype: DTypeLike | None = None,
    delimiter: str | _Default | None = _Default.INFERRED,
    comments: str | Sequence[str] | _Default | None = _Default.INFERRED,
    skiprows: int = 0,
    usecols: int | Sequence[int] | None = None,
    max_rows: int | None = None,
    converters: Mapping[int, Callable[[str], Any]] | Callable[[str], Any] | None = None,
    encoding: str | None = None,
    quotechar: str | _Default | None = _Default.INFERRED,
    ndmin: Literal[0, 1, 2] = 0,
    reader: Callable[[str], Any] | None = None,
    processes: int | None = None,
    backing: PathType = "auto",
    on_error: Literal["raise", "skip"] = "raise",
    progress: bool | None = None,
) -> SharedArrays:
    """Load files into shared memory, by loader processes, and return numpy views of them.

    The load is done when the call returns. What it returns is also a context manager, so both
    ``with shared_load(files) as arrays:`` and a later ``arrays.close()`` unlink the segments.

    Parameters
    ----------
    files : path, glob, list of these, or mapping of name to path
        Text files, ``.npy`` files, or anything that `reader` reads. The arrays are named after
        the files (without their last suffix); where two would get the same name, more of their
        paths is kept.
    dtype, delimiter, comments, skiprows, usecols, max_rows, converters, encoding, quotechar, ndmin
        For text files, with the names and the meaning they have in `numpy.loadtxt`. Without
        `dtype`, what is not given is inferred from a sample of the file: the delimiter (tab,
        semicolon, comma, white space), a header line (its names become field names) and a type
        for each column (int64, float64, ``S`` for ASCII text, ``U`` for other text). Columns that
        are all numbers, without a header, give a 2-D float64 array; others a structured array. A
        later row that does not fit is an error, as is text too long for its field, or cut by a
        ``#`` (give ``comments=None``, or ``"#"`` if a comment it is). Where `dtype` is given, the
        others have the defaults of `numpy.loadtxt`.
    reader : callable, optional
        A function ``path -> array`` for files of any other kind. It runs in a loader process and
        may be defined in a notebook cell.
    processes : int, optional
        Loader processes; by default the CPUs that this process may use. They stay warm for the
        next load.
    backing : {"auto", "shm", "memfd"} or a directory
        Where the segments live: named in /dev/shm, in an anonymous memory file (not bound by the
        size of /dev/shm), or in files of a directory, for arrays larger than memory. ``"auto"``
        takes the first of shm and memfd that has room.
    on_error : {"raise", "skip"}
        Whether a file that cannot be loaded ends the load, or is left out and listed in
        ``arrays.failures``.
    progress : bool, optional
        By default a live panel in a notebook, a bar where stderr is a terminal, else nothing.
        True asks for it elsewhere too; False shows nothing.

    Returns
    -------
    SharedArrays
        The `SharedArray`-s in file order, and by name.

    Raises
    ------
    LoadError
        If a file cannot be read: names file, line and column, and what to do.
    LoaderDiedError
        If a loader process was killed, crashed or exited; names its file.
    NotEnoughMemoryError
        If the arrays have no room: raised before they are read, or where only reading tells how
        large they are, as soon as that is known.
    TooManySegmentsError
        If there are more files than this process may map or open at once.
    OSError
        If a file is missing or may not be read.

    By the time any of these, or a KeyboardInterrupt, is raised, no segment and no half-done loader
    process is left.

    Examples
    --------
    >>> from shmkit.sample import methylation
    >>> path = methylation("calls.txt", rows=1000)
    >>> with shared_load(path) as arrays:
    ...     (calls,) = arrays
    ...     print(calls.dtype.names, calls.shape)
    ('chr', 'pos', 'pct', 'c', 't') (1000,)
    """
    named = named_paths(files)
    given = {
        "dtype": dtype,
        "delimiter": delimiter,
        "comments": comments,
        "skiprows": skiprows,
        "usecols": usecols,
        "max_rows": max_rows,
        "converters": converters,
        "encoding": encoding,
        "quotechar": quotechar,
        "ndmin": ndmin,
    }
    parameters = inspect.signature(shared_load).parameters
    options = {n: value for n, value in given.items() if value is not parameters[n].default}
    if options and (reader is not None or all(p.lower().endswith(".npy") for p in named.values())):
        raise TypeError(f"{', '.join(options)}: for text files only, and no file is read as text")
    if on_error not in ("raise", "skip"):
        raise ValueError(f'on_error={on_error!r} is neither "raise" nor "skip"')
    if processes is not None and processes < 1:
        raise ValueError(f"processes={processes} must be at least 1")
    return load(
        named,
        reader=reader,
        options=options,
        processes=processes or _limits.cpus(),
        backing=backing,
        skip_failed=on_error == "skip",
        monitor=_monitor(progress),
    )


def _monitor(progress: bool | None) -> Monitor:
    if progress is False:
        return NoMonitor()
    if _in_notebook() and importlib.util.find_spec("ipywidgets") is not None:
        from shmkit.widgets import Panel  # noqa: PLC0415 - `import shmkit` loads no front end

        return Panel()
    if progress or _in_notebook() or (sys.stderr is not None and sys.stderr.isatty()):
        from shmkit._console import ConsoleBar  # noqa: PLC0415 - as above

        return ConsoleBar()
    return NoMonitor()


def _in_notebook() -> bool:
    """Whether this is the kernel of a notebook: who imported no IPython runs in none."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return hasattr(shell, "kernel")
