"""The key of an entry: all that the array of a file depends on, as one digest.

    the file       path, device, inode, bytes, times of change in ns
    how it is read format, options, digests of the functions          ──▶ sha256 ──▶ key
    shmkit         its version, and the number of the cache's format

A file that looks the same may have been written to again within a tick of the kernel's clock. So
one that has changed a moment ago has no key yet; nor has one whose options or functions cannot be
told, or that is no plain file. What has no key is read.
"""

from __future__ import annotations

import hashlib
import os
import stat
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Any

import numpy as np

__all__ = ["file_key", "options_key", "together"]

_FORMAT = 1  # of what is kept
_TICK_NS = 100_000_000  # and more than the longest tick of a kernel's clock
_COARSE_TICK_NS = 2_000_000_000  # of file systems that know whole seconds only


def options_key(
    form: str, options: Mapping[str, Any], functions: Mapping[str, Callable[..., Any] | None]
) -> str | None:
    """The part of a key that files read in the same way have in common; None if it is not told."""
    told = {name: _told(value) for name, value in sorted(options.items())}
    digests = {name: f and _code(f) for name, f in functions.items()}
    if None in told.values() or any(functions[name] and not digests[name] for name in functions):
        return None
    about = _FORMAT, version("shmkit"), np.__version__, form, told, digests
    return hashlib.sha256(repr(about).encode()).hexdigest()


def file_key(path: str, how: str) -> str | None:
    """The key of a file that is read so (`options_key`); None for one that has none now."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    changed = max(status.st_mtime_ns, status.st_ctime_ns)
    coarse = status.st_mtime_ns % 1_000_000_000 == 0 == status.st_ctime_ns % 1_000_000_000
    recent = time.time_ns() - changed < (_COARSE_TICK_NS if coarse else _TICK_NS)
    if not stat.S_ISREG(status.st_mode) or recent:
        return None
    about = (
        *(how, path, status.st_dev, status.st_ino, status.st_size),
        *(status.st_mtime_ns, status.st_ctime_ns),
    )
    return hashlib.sha256(repr(about).encode("utf-8", "surrogateescape")).hexdigest()[:40]


def together(keys: list[str]) -> str:
    """One key for several: of arrays that depend on one another, or of a whole load."""
    return hashlib.sha256(" ".join(keys).encode()).hexdigest()[:40]


def _told(value: Any) -> str | None:
    """An option as text that is the same in every process; None if it cannot be told."""
    if isinstance(value, bool | int | float | str | type(None) | type(...)):
        return repr(value)
    if isinstance(value, np.dtype):
        return repr(value.descr)
    if isinstance(value, Mapping):
        items = [(_told(key), _told(item)) for key, item in value.items()]
        return None if any(None in item for item in items) else repr(items)
    if isinstance(value, slice):
        return _told(("slice", value.start, value.stop, value.step))
    if isinstance(value, list | tuple | range):
        texts = [_told(item) for item in value]
        return None if None in texts else repr(texts)
    if isinstance(value, set | frozenset):
        texts = [_told(item) for item in value]
        return None if None in texts else f"set {sorted(map(str, texts))!r}"
    if isinstance(value, np.ndarray):
        return _told(value.tolist())
    if isinstance(value, np.generic):
        return _told(value.item())
    return f"code {digest}" if callable(value) and (digest := _code(value)) else None


def _code(function: Callable[..., Any]) -> str | None:
    from shmkit.cache.code import code_digest  # noqa: PLC0415 - few loads have functions

    return code_digest(function)
