"""The segments of this machine: what lies in directories and in memfds, and whose it is."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from shmkit._npy import Header, read_header
from shmkit._owner import Owner, owner_of
from shmkit._published import names_of

__all__ = ["Found", "find_segments"]


class Found(NamedTuple):
    """One segment, as seen from outside its owner.

    Attributes
    ----------
    path : str
        A file, or the ``/proc/<pid>/fd/<n>`` of its owner.
    names : list of str
        What it is published as.
    owner : Owner
        The process that unlinks it.
    orphan : bool
        The owner has ended, and was this user's.
    nbytes : int
        Bytes that it takes.
    written : float
        When it was last written through the file, as `time.time`: about when it was loaded.
    header : Header or None
        dtype and shape; None until it is reserved, if it is damaged, and for another user's.
    """

    path: str
    names: list[str]
    owner: Owner
    orphan: bool
    nbytes: int
    written: float
    header: Header | None


def find_segments(directories: Iterable[str]) -> list[Found]:
    """The segments in these directories, and this user's memfds; the oldest first."""
    names = names_of()
    found: dict[tuple[int, int], Found] = {}
    for path in (*_files(directories), *_memfds()):
        owner = owner_of(path)
        try:
            status = os.stat(path, follow_symlinks=path.startswith("/proc/"))
        except OSError:  # it was unlinked just now
            continue
        if owner is not None:
            segment = Found(
                path,
                names.get(path, []),
                owner,
                status.st_uid == os.geteuid() and not owner.may_live(),
                status.st_size,
                status.st_mtime,
                _header(path),
            )
            # Before Python 3.13 a mapping has a descriptor of the memfd too.
            found.setdefault((status.st_dev, status.st_ino), segment)
    return sorted(found.values(), key=lambda segment: segment.written)


def _files(directories: Iterable[str]) -> Iterator[str]:
    for directory in directories:
        for entry in os.scandir(directory):
            if entry.is_file(follow_symlinks=False) and owner_of(entry.path) is not None:
                yield entry.path


def _memfds() -> Iterator[str]:
    for process in glob.glob("/proc/[0-9]*"):
        try:
            descriptors = sorted(map(int, os.listdir(f"{process}/fd")))
        except OSError:  # another user's, or it has ended
            continue
        for descriptor in descriptors:
            path = f"{process}/fd/{descriptor}"
            owner = owner_of(path)
            if owner is not None and process == f"/proc/{owner.pid}":  # not one that inherited it
                yield path


def _header(path: str) -> Header | None:
    follow = 0 if path.startswith("/proc/") else os.O_NOFOLLOW
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | follow), "rb") as file:
            return read_header(file)
    except (OSError, ValueError):
        return None
