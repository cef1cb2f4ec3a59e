"""Where segments live, and whether there is room for them.

kind    path                               what for
shm     /dev/shm/shmkit-<owner>-<n>.npy    named, attachable from anywhere on the host
memfd   /proc/<pid>/fd/<n>                 not bound by the size of /dev/shm
file    a directory of the user's          for arrays larger than memory
"""

from __future__ import annotations

import os
import sys
from typing import NamedTuple

from shmkit import _limits

__all__ = ["NAMES", "SHM", "Backing", "choose_backing", "kind_of"]

SHM = "/dev/shm"  # noqa: S108 - segments are made there with O_EXCL and O_NOFOLLOW
# Where names lie: elsewhere than on Linux, the page cache of a file serves as shared memory.
NAMES = SHM
if not os.path.isdir(SHM):
    import tempfile

    NAMES = tempfile.gettempdir()


class Backing(NamedTuple):
    """Where segments live: ``kind`` is "shm", "memfd" or "file"."""

    kind: str
    directory: str


def choose_backing(backing: str | os.PathLike[str], need: int) -> Backing:
    """The backing for arrays of `need` bytes in all.

    Parameters
    ----------
    backing
        ``"auto"`` (the first that has room of shm and memfd), ``"shm"``, ``"memfd"``, or a
        directory for arrays larger than memory.
    need
        Bytes.

    Raises
    ------
    NotEnoughMemoryError
        If there is no room. Nothing has been created.
    """
    if isinstance(backing, os.PathLike) or backing not in ("auto", "shm", "memfd"):
        directory = os.path.abspath(os.fspath(backing))
        if not os.path.isdir(directory):
            raise ValueError(
                f'backing={os.fspath(backing)!r} is neither "auto", "shm", "memfd" nor a directory'
            )
        _limits.room_in(directory).check(need)
        return Backing("file", directory)
    if sys.platform != "linux":  # no /dev/shm, no memfd
        if backing != "auto":
            raise ValueError(f"backing={backing!r} is for Linux; give a directory, or leave it out")
        _limits.room_in(NAMES).check(need)
        return Backing("file", NAMES)
    _limits.memory().check(need)
    if backing == "memfd" or not os.path.isdir(SHM):
        return Backing("memfd", "/proc")
    room = _limits.room_in(SHM)
    if backing == "auto" and room.free < need:  # a memfd is not bound by the size of /dev/shm
        return Backing("memfd", "/proc")
    room.check(need)
    return Backing("shm", SHM)


def kind_of(path: str) -> str:
    """The kind of backing that a segment's path speaks of."""
    if path.startswith("/proc/"):
        return "memfd"
    return "shm" if os.path.dirname(path) == SHM else "file"
