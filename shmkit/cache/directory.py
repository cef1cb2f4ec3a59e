"""The cache's directory: what is in it, who may have put it there, and what goes when it is full.

    <key>-<boot>.npy   an entry that may not be on the disk yet: good until the machine is restarted
    <key>.npy          an entry that is
    <key>.lock         a load that is reading these files now
    shmkit-<owner>-<random>.npy, .shmkit-<owner>.lock    segments, as in any backing directory

    keep   segment, finished and sealed ──▶ link <key>-<boot>.npy ──▶ thread: fsync ──▶ <key>.npy
    take   <key>.npy, or <key>-<boot>.npy ──▶ another name: a segment ──▶ mapped copy-on-write

1. A load reads into segments in this directory. A segment that is ready gets the entry's name as a
   second one. So no byte is copied, and a writer that is killed leaves no half entry.
2. A file that is not on the disk yet may be empty after a crash of the machine, though its name is
   there. So the name says of which boot it is, until a thread has waited for the disk.
3. A load that finds the entry gives it one more name, a segment's. Whoever removes the entry
   meanwhile takes nothing from those who have mapped it.
4. The files are sealed (segments/sealed.py): nobody writes to them, root neither.
5. When all entries take more than the budget, those go that were not used for longest.

Nothing in it is trusted that another user could have put there: the directory, and each entry, must
be this user's, and writable by nobody else. An entry holds the image of an array, and a note in
JSON: nothing that could be run.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
import threading
import time
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from shmkit import _limits
from shmkit.cleanup.owner import this_process
from shmkit.errors import ShmkitError
from shmkit.segments.image.header import Header, read_with_note
from shmkit.segments.segment import Segment

__all__ = ["CacheDirectory", "Entry"]

_SIZE = "SHMKIT_CACHE_SIZE"
_SHARE = 10  # the part of the disk that it may take, if nothing else is said
_ENTRY = re.compile(r"([0-9a-f]{40})(?:-([0-9a-f]{8}))?\.npy")
_LOCK = re.compile(r"[0-9a-f]{40}\.lock")
_USED = 60  # seconds in which an entry counts as used once
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}


class Entry(NamedTuple):
    """One entry, as it lies there."""

    path: str
    nbytes: int
    used: float  # time.time() when it was last used
    note: dict[str, Any]


class CacheDirectory:
    """A directory of entries; making one makes the directory.

    Raises
    ------
    OSError
        If it cannot be made, is another user's, or may be written to by others.
    ValueError
        If SHMKIT_CACHE_SIZE is no number of bytes.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        os.makedirs(path, mode=0o700, exist_ok=True)
        status = os.stat(path)
        if status.st_uid != os.geteuid() or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise PermissionError(
                f"{path} belongs to another user, or may be written to by others, so what is in it "
                "is not trusted; chmod go-w, or give another directory"
            )
        self.budget = _budget(path)

    def take(self, key: str) -> tuple[Segment, Header, dict[str, Any]] | None:
        """A segment of an entry, what is in it, and its note; None if there is none to trust."""
        for path in self._names(key):
            segment = note = None
            try:
                segment = Segment.link(path, self.path)
                with segment.open(writable=False) as file:
                    header, note = read_with_note(segment.path, file)
            except (OSError, ShmkitError, ValueError):  # gone, damaged, or not this user's
                note = None
            if segment is not None and isinstance(note, dict):
                _use(path)
                return segment, header, note
            if segment is not None:
                segment.unlink()
        return None

    def has(self, key: str) -> bool:
        """Whether there is an entry."""
        return any(True for _ in self._names(key))

    def keep(self, segments: Iterable[tuple[str, Segment]]) -> None:
        """Make entries (by key) of sealed segments in this directory; OSError if it cannot."""
        paths = []
        for key, segment in segments:
            if segment.nbytes > self.budget:
                continue
            _, path = self._paths(key)
            with contextlib.suppress(FileExistsError):  # another process was faster
                os.link(segment.path, path, follow_symlinks=False)
                paths.append(path)
        if paths:
            self.shrink()
            threading.Thread(target=_wait_for_disk, args=(paths,), daemon=True).start()

    def entries(self) -> list[Entry]:
        """All entries, the last used first."""
        found = []
        for file in self._files():
            with (
                contextlib.suppress(OSError, ShmkitError),
                open(file.path, "rb", opener=_unused) as opened,
            ):
                _, note = read_with_note(file.path, opened)
                status = os.fstat(opened.fileno())
                found.append(Entry(file.path, status.st_size, status.st_atime, note or {}))
        return sorted(found, key=lambda entry: -entry.used)

    def shrink(self, budget: int | None = None) -> list[str]:
        """Remove entries, the least used first, until the rest is within the budget; the paths."""
        files = []
        for file in self._files():
            with contextlib.suppress(OSError):
                status = file.stat(follow_symlinks=False)
                files.append((status.st_atime, status.st_size, file.path))
        taken, removed = sum(nbytes for _, nbytes, _ in files), []
        for _, nbytes, path in sorted(files):
            if taken <= (self.budget if budget is None else budget):
                break
            with contextlib.suppress(OSError):
                os.unlink(path)
                removed.append(path)
            taken -= nbytes
        return removed

    def _files(self) -> Iterator[os.DirEntry[str]]:
        with os.scandir(self.path) as files:
            yield from (file for file in files if _ENTRY.fullmatch(file.name))

    def _names(self, key: str) -> Iterator[str]:
        """The names of an entry that are there.

        While the second is looked for it may be given the first, which is looked for again.
        """
        on_disk, before = self._paths(key)
        return filter(os.path.lexists, (on_disk, before, on_disk))

    def _paths(self, key: str) -> tuple[str, str]:
        """Where an entry is, once it is on the disk, and before."""
        path = os.path.join(self.path, key)
        return f"{path}.npy", f"{path}-{this_process().boot}.npy"


def _unused(path: str, flags: int) -> int:
    """Open an entry to look at it, which is no use: the kernel would set its time (atime)."""
    return os.open(path, flags | getattr(os, "O_NOATIME", 0))


def _use(path: str) -> None:
    """Note that an entry was used now."""
    with contextlib.suppress(OSError):
        status, now = os.stat(path), time.time_ns()
        if now - status.st_atime_ns > _USED * 1e9:
            os.utime(path, ns=(now, status.st_mtime_ns))


def _wait_for_disk(paths: Iterable[str]) -> None:
    """Wait until entries are on the disk, and say so by their names."""
    for path in paths:
        with contextlib.suppress(OSError):  # it was removed
            with open(path, "rb") as file:
                os.fsync(file.fileno())
            os.rename(path, f"{path.rpartition('-')[0]}.npy")


def _budget(path: str) -> int:
    said = os.environ.get(_SIZE, "")
    if not said:
        return _limits.room_in(path).limit // _SHARE
    found = re.fullmatch(r"\s*([0-9.]+)\s*([kmgt]?)b?\s*", said.lower())
    if not found:
        raise ValueError(f"the environment variable {_SIZE}={said!r} is no size, such as 20 GB")
    return int(float(found[1]) * _UNITS[found[2]])
