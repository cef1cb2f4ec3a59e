"""Whose turn it is to read the files of a load: of many processes that come at once, the first's.

    first       <key>.lock ──▶ flock ──▶ reads, keeps ──▶ unlinks the lock, and closes it
    the others  <key>.lock ──▶ is held ──▶ look again soon: all is kept now, or the lock is free

The kernel drops the lock of a process that ends, however it ends: then the next one reads.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterator

from shmkit._descriptors import opened

__all__ = ["turn"]

_WAIT = 0.02  # seconds between two looks


@contextlib.contextmanager
def turn(
    directory: str, key: str, kept: Callable[[], bool], tick: Callable[[], None]
) -> Iterator[None]:
    """In this block no other process reads the files of this key, unless all are kept.

    Where a file system has no locks, each process reads for itself.
    """
    path = os.path.join(directory, f"{key}.lock")
    with contextlib.ExitStack() as stack:
        while not _locked(path, stack):
            tick()
            time.sleep(_WAIT)
            if kept():
                break
        yield


def _locked(path: str, stack: contextlib.ExitStack) -> bool:
    """Whether this process has the lock now, until the stack ends; or nobody can have it."""
    with contextlib.ExitStack() as here:
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            file = here.enter_context(opened(os.open, path, flags, 0o600))
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:  # no locks there
            return True
        if not os.fstat(file.fileno()).st_nlink:  # who had it has just removed it
            return False
        stack.push(here.pop_all())
        stack.callback(_removed, path)
        return True


def _removed(path: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(path)
