"""Where segments live, whether there is room for them, and what happens when there is none.

    kind    path                                    what for
    shm     /dev/shm/shmkit-<owner>-<random>.npy    named, attachable from anywhere on the host
    memfd   /proc/<pid>/fd/<n>                      not bound by the size of /dev/shm
    file    a directory of the user's               for arrays larger than memory

Room is checked before anything is loaded, and again when it is taken. A file system that turns out
to be full in between gives the load a second try, in a memfd:

    choose_backing ── room in /dev/shm ──▶ shm ──▶ each file is read ──▶ ready
          │                                             ✕ ENOSPC
          └─────── no room there ────────▶ memfd ◀── read again, only the files that had no room

1. `choose_backing` compares what the arrays need with the memory that is left, and with the room
   in /dev/shm. If memory is short, that is an error. If only /dev/shm is, a memfd is chosen.
2. What they need may be known only when they are read: a function of the user's returns what it
   likes, the rows of a text are an estimate, and other processes fill /dev/shm meanwhile.
3. Where there is no room left, the loader's pwrite or posix_fallocate fails, which becomes a
   `NotEnoughMemoryError`. The load unlinks the segment of that file, so that its memory is free for
   the others, notes the file, and goes on.
4. When all other files are read, the load reads the noted files again, each into a new memfd. An
   error there is final.
5. A /dev/shm in which no file can be made (read-only, another user's, without an inode left) is
   passed by as well: the segment that cannot be made there is a memfd.
6. All this is for ``backing="auto"``. With ``backing="shm"`` the first error ends the load, or
   skips the file, since another place is not what was asked for.

What does not work:

- To use memfds always: a memfd takes a descriptor of its owner as long as it lives, has no name of
  its own in any directory, and can be attached only while its owner lives and where /proc shows it.
- To store into the mapping and see whether there is room: where there is none, the store ends the
  process by SIGBUS, in the notebook as in a loader.
- To move what is written to a memfd and go on from there: both copies take memory at once, and the
  other loaders that read parts of the same file still write to the first one.
- To reserve all room before anything is read: what is not known (2) cannot be reserved.
"""

from __future__ import annotations

import os
import sys
from typing import NamedTuple

from shmkit import _limits
from shmkit.cleanup.owner import NAMES, SHM

__all__ = ["NAMES", "SHM", "Backing", "choose_backing", "kind_of"]


class Backing(NamedTuple):
    """Where segments live: ``kind`` is "shm", "memfd" or "file"."""

    kind: str
    directory: str
    or_memfd: bool = False  # for segments that cannot be made there


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
        directory = os.path.abspath(os.path.expanduser(backing))
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
    _limits.check_memory(need)
    if not os.path.isdir(SHM) and backing == "shm":  # which the first segment says
        return Backing("shm", SHM)
    if backing == "memfd" or not os.path.isdir(SHM):
        return Backing("memfd", "/proc")
    room = _limits.room_in(SHM)
    if backing == "auto" and room.free < need:  # a memfd is not bound by the size of /dev/shm
        return Backing("memfd", "/proc")
    room.check(need)
    return Backing("shm", SHM, or_memfd=backing == "auto")


def kind_of(path: str) -> str:
    """The kind of backing of the segment at this path."""
    if path.startswith("/proc/"):
        return "memfd"
    return "shm" if os.path.dirname(path) == SHM else "file"
