"""An HDF5 file, open for reading; what h5py raises becomes an error that names it.

    tasks of a loader process     dataset 1      dataset 2      dataset 3      none left
                                     │              │              │              │
    the file                       opened ─────── kept ───────── kept ───────── let go of

To open a file takes HDF5 longer than to read a small dataset. So it stays open for the next task,
which mostly reads another dataset of the same file, and is closed as soon as the loader process has
no task: an open file is locked for those who want to write to it.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator

import h5py

from shmkit.errors import LoadError
from shmkit.readers.base import Version

__all__ = ["DAMAGED", "is_netcdf", "kept", "let_go", "named", "opened", "version_of"]

DAMAGED = (KeyError, RuntimeError, ValueError)  # what h5py raises where data are wrong
_kept: dict[str, tuple[h5py.File, contextlib.ExitStack]] = {}  # one at most


@contextlib.contextmanager
def opened(path: str) -> Iterator[h5py.File]:
    """The file; errors in the block name it.

    Raises
    ------
    LoadError
        If it is damaged, or no HDF5 file.
    OSError
        If it is not there, or may not be read.
    """
    try:
        with contextlib.ExitStack() as stack:
            opened = stack.enter_context(open(path, "rb")) if _is_unnamed(path) else path
            yield stack.enter_context(h5py.File(opened, "r"))
    except DAMAGED as error:
        raise named(path, error) from None
    except OSError as error:
        if error.errno is not None:  # no such file, no permission
            raise OSError(error.errno, os.strerror(error.errno), path) from None
        raise LoadError(path, None, None, f"it cannot be read as HDF5: {error}") from None


@contextlib.contextmanager
def kept(path: str) -> Iterator[h5py.File]:
    """As `opened`, but the file stays open for the next block, until `let_go`, or an error."""
    if path not in _kept:
        let_go()
        stack = contextlib.ExitStack()
        _kept[path] = stack.enter_context(opened(path)), stack
    file, stack = _kept[path]
    try:
        yield file
    except BaseException:
        _kept.clear()
        if not stack.__exit__(*sys.exc_info()):
            raise


def let_go() -> None:
    """Close the file that was kept open."""
    while _kept:
        _, (_, stack) = _kept.popitem()
        stack.close()


def is_netcdf(path: str, file: h5py.File) -> bool:
    """Whether it is a NetCDF-4 file, as its name or its attributes say."""
    return path.lower().endswith((".nc", ".nc4", ".cdf")) or h5py.h5a.exists(
        file.id, b"_NCProperties"
    )


def version_of(path: str, file: h5py.File) -> Version:
    """The version of the open file; of others, to which links lead, it says nothing."""
    return Version.of(os.stat(path) if _is_unnamed(path) else os.fstat(file.id.get_vfd_handle()))


def _is_unnamed(path: str) -> bool:
    """Whether it is a descriptor of the notebook's process, for which HDF5 wants a real path."""
    return path.startswith("/proc/")


def named(path: str, error: Exception, dataset: str = "") -> LoadError:
    """An error of h5py's about data that are wrong, with the names of the file and the dataset."""
    whose = f"the data of {dataset}" if dataset else "its HDF5 data"
    return LoadError(path, None, None, f"{whose} are damaged ({error}); copy it again")
