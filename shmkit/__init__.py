"""shmkit: load many or huge data files into shared memory, as zero-copy numpy views.

>>> from shmkit import sample, shared_load
>>> paths = [sample.methylation(name, rows=1000) for name in ("a.txt", "b.txt")]
>>> with shared_load(paths) as arrays:          # loader processes
...     a, b = arrays                           # views over shared memory
...     print(a.dtype.names, len(b))
('chr', 'pos', 'pct', 'c', 't') 1000
"""

from __future__ import annotations

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

    from shmkit.hdf5 import to_hdf5

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
    "share",
    "shared_empty",
    "shared_load",
    "to_hdf5",
]


def __getattr__(name: str) -> Any:
    if name == "to_hdf5":  # late: h5py takes longer to import than all of shmkit
        from shmkit.hdf5 import to_hdf5  # noqa: PLC0415

        return to_hdf5
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def load_ipython_extension(shell: InteractiveShell) -> None:
    """What ``%load_ext shmkit`` calls: register the ``%%to_hdf5`` magic."""
    from shmkit._magics import register  # noqa: PLC0415 - IPython only where it runs

    register(shell)
