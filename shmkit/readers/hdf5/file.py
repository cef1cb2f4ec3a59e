"""An HDF5 file, open for reading; what h5py raises becomes an error that names it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import h5py

from shmkit.errors import LoadError
from shmkit.readers.base import Version

__all__ = ["DAMAGED", "named", "opened", "version_of"]

DAMAGED = (KeyError, RuntimeError, ValueError)  # what h5py raises where data are wrong


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
