"""shmkit: load many or huge data files into shared memory, as zero-copy numpy views.

>>> from shmkit import sample, shared_load
>>> paths = [sample.methylation(name, rows=1000) for name in ("a.txt", "b.txt")]
>>> with shared_load(paths) as arrays:          # loader processes
...     a, b = arrays                           # views over shared memory
...     print(a.columns, len(b))
['chr', 'pos', 'pct', 'c', 't'] 1000
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

if sys.platform == "win32":
    raise ImportError("shmkit works on Linux only; in the Windows Subsystem for Linux it does")

if TYPE_CHECKING:
    __version__: str

    from IPython.core.interactiveshell import InteractiveShell

    from shmkit._api.attach import attach
    from shmkit._api.share import share, shared_empty
    from shmkit._api.shared_load import shared_load
    from shmkit._api.shared_map import shared_map
    from shmkit._api.shared_stream import shared_stream
    from shmkit._api.to_hdf5 import to_hdf5
    from shmkit.display.memory_panel import panel
    from shmkit.errors import (
        ClusterError,
        LoaderDiedError,
        LoadError,
        NotEnoughMemoryError,
        SegmentError,
        SegmentExistsError,
        SegmentGoneError,
        ShmkitError,
        TooManySegmentsError,
    )
    from shmkit.plotting.preview import preview
    from shmkit.views.array import SharedArray
    from shmkit.views.arrays import SharedArrays
    from shmkit.views.table import SharedTable, Table
    from shmkit.views.text import SharedText

__all__ = [
    "ClusterError",
    "LoadError",
    "LoaderDiedError",
    "NotEnoughMemoryError",
    "SegmentError",
    "SegmentExistsError",
    "SegmentGoneError",
    "SharedArray",
    "SharedArrays",
    "SharedTable",
    "SharedText",
    "ShmkitError",
    "Table",
    "TooManySegmentsError",
    "attach",
    "panel",
    "preview",
    "share",
    "shared_empty",
    "shared_load",
    "shared_map",
    "shared_stream",
    "to_hdf5",
]


# Each is imported when it is first asked for, as SPEC 1 (scientific-python.org) says: who only
# imports shmkit waits for none, and few need ipywidgets, matplotlib and h5py.
_MODULES = {
    "SharedArray": "views.array",
    "SharedArrays": "views.arrays",
    "SharedTable": "views.table",
    "SharedText": "views.text",
    "Table": "views.table",
    "attach": "_api.attach",
    "panel": "display.memory_panel",
    "preview": "plotting.preview",
    "share": "_api.share",
    "shared_empty": "_api.share",
    "shared_load": "_api.shared_load",
    "shared_map": "_api.shared_map",
    "shared_stream": "_api.shared_stream",
    "to_hdf5": "_api.to_hdf5",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version  # noqa: PLC0415 - few ask for it

        return version("shmkit")
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        module = importlib.import_module(f"shmkit.{_MODULES.get(name, 'errors')}")
    except ModuleNotFoundError as error:
        if name not in ("panel", "preview"):
            raise
        raise ImportError(
            f"shmkit.{name} needs {error.name}: pip install 'shmkit[jupyter]'"
        ) from error
    return getattr(module, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "__version__"})


def load_ipython_extension(shell: InteractiveShell) -> None:
    """What ``%load_ext shmkit`` calls: register the magics ``%%to_hdf5`` and ``%shm``."""
    from shmkit.commands.magics import shm, to_hdf5  # noqa: PLC0415 - IPython only where it runs

    to_hdf5.register(shell)
    shm.register(shell)


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """What ``%unload_ext shmkit`` calls."""
    from shmkit.commands.magics import shm, to_hdf5  # noqa: PLC0415 - as above

    to_hdf5.unregister(shell)
    shm.unregister(shell)
