"""shmkit: load many or huge data files into shared memory, as zero-copy numpy views.

>>> from shmkit import sample, shared_load
>>> paths = [sample.methylation(name, rows=1000) for name in ("a.txt", "b.txt")]
>>> with shared_load(paths) as arrays:          # loader processes
...     a, b = arrays                           # views over shared memory
...     print(a.dtype.names, len(b))
('chr', 'pos', 'pct', 'c', 't') 1000
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

if sys.platform == "win32":
    raise ImportError("shmkit works on Linux only; in the Windows Subsystem for Linux it does")

from shmkit._api import shared_load
from shmkit._array import SharedArray, attach, share, shared_empty
from shmkit._arrays import SharedArrays
from shmkit.errors import (
    LoaderDiedError,
    LoadError,
    NotEnoughMemoryError,
    SegmentError,
    SegmentExistsError,
    SegmentGoneError,
    ShmkitError,
    TooManySegmentsError,
)

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from shmkit._memory_panel import panel
    from shmkit.hdf5 import to_hdf5
    from shmkit.plotting import preview

__all__ = [
    "LoadError",
    "LoaderDiedError",
    "NotEnoughMemoryError",
    "SegmentError",
    "SegmentExistsError",
    "SegmentGoneError",
    "SharedArray",
    "SharedArrays",
    "ShmkitError",
    "TooManySegmentsError",
    "attach",
    "panel",
    "preview",
    "share",
    "shared_empty",
    "shared_load",
    "to_hdf5",
]


_LATE = {  # what these import takes longer than all of shmkit
    "panel": "shmkit._memory_panel",  # ipywidgets
    "preview": "shmkit.plotting",  # matplotlib
    "to_hdf5": "shmkit.hdf5",  # h5py
}


def __getattr__(name: str) -> Any:
    if name in _LATE:
        try:
            return getattr(importlib.import_module(_LATE[name]), name)
        except ModuleNotFoundError as error:
            raise ImportError(
                f"shmkit.{name} needs {error.name}: pip install 'shmkit[jupyter]'"
            ) from error
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def load_ipython_extension(shell: InteractiveShell) -> None:
    """What ``%load_ext shmkit`` calls: register the magics ``%%to_hdf5`` and ``%shm``."""
    from shmkit import _magics, _shm_magic  # noqa: PLC0415 - IPython only where it runs

    _magics.register(shell)
    _shm_magic.register(shell)


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """What ``%unload_ext shmkit`` calls."""
    from shmkit import _magics, _shm_magic  # noqa: PLC0415 - as above

    _magics.unregister(shell)
    _shm_magic.unregister(shell)
