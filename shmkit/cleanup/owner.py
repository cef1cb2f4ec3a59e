"""Who owns a segment, and whether that process still lives.

The name of a segment holds its owner: the pid, when that process started (a pid is used again,
the pair is not), and the place where that pid counts: the host, as computers share directories,
and the pid namespace, as containers share /dev/shm.

    shmkit-<pid>-<started>-<place>-<n>          of a memfd
    shmkit-<pid>-<started>-<place>-<n>.npy      of a file
    .shmkit-<pid>-<started>-<place>-<n>.tmp     of a file that is being exported

The guard imports this module too: the standard library is all it needs.
"""

from __future__ import annotations

import functools
import os
import re
import zlib
from typing import NamedTuple

__all__ = ["Owner", "exporter_of", "owner_of", "this_process"]

_FILE = re.compile(r"shmkit-(\d+-[0-9a-f]+-[0-9a-f]+)-\d+\.npy")
_UNFINISHED = re.compile(r"\.shmkit-(\d+-[0-9a-f]+-[0-9a-f]+)-\d+\.tmp")
_MEMFD = re.compile(r"/memfd:shmkit-(\d+-[0-9a-f]+-[0-9a-f]+)-\d+ \(deleted\)")


class Owner(NamedTuple):
    """One process, told from every other that had or will have its pid."""

    pid: int
    started: int  # clock ticks since boot; 0 where there is no /proc
    place: int  # of a host and a pid namespace; what is elsewhere, cannot be told from here

    def __str__(self) -> str:
        return f"{self.pid}-{self.started:x}-{self.place:x}"

    @classmethod
    def parse(cls, text: str) -> Owner:
        """The owner that `str` gave as `text`; raises ValueError for any other."""
        pid, started, place = text.split("-")
        return cls(int(pid), int(started, 16), int(place, 16))

    def may_live(self) -> bool:
        """Whether the process may be there: True also where it cannot be told."""
        if self.place != _place():
            return True
        try:
            os.kill(self.pid, 0)
            if not self.started:
                return True
            state, started = _state(self.pid)
        except (ProcessLookupError, FileNotFoundError):
            return False
        except OSError:  # another user's, or there is no descriptor left to look
            return True
        # Z and X: it has ended, and its parent has not asked how.
        return state not in ("Z", "X") and self.started == started


@functools.cache
def this_process() -> Owner:
    """The identity of the calling process (a forked child's differs from its parent's)."""
    pid = os.getpid()
    try:
        _, started = _state(pid)
    except FileNotFoundError:
        started = 0
    return Owner(pid, started, _place())


os.register_at_fork(after_in_child=this_process.cache_clear)


def owner_of(path: str) -> Owner | None:
    """The owner that the name of a segment tells; None if that is no segment's name.

    >>> owner_of("/dev/shm/shmkit-71-1f-0-3.npy")
    Owner(pid=71, started=31, place=0)
    """
    if path.startswith("/proc/"):
        try:
            found = _MEMFD.fullmatch(os.readlink(path))
        except OSError:
            return None
    else:
        found = _FILE.fullmatch(os.path.basename(path))
    return Owner.parse(found[1]) if found else None


def exporter_of(path: str) -> Owner | None:
    """The process that the name of an unfinished export tells; None if that is none."""
    found = _UNFINISHED.fullmatch(os.path.basename(path))
    return Owner.parse(found[1]) if found else None


def _state(pid: int) -> tuple[str, int]:
    """A process's state, and when it started, both as /proc has them."""
    with open(f"/proc/{pid}/stat", "rb") as stat:
        # Fields 3 and 22, counted after the command, which may hold spaces and parentheses
        # (proc(5)).
        fields = stat.read().rpartition(b")")[2].split()
    return fields[0].decode(), int(fields[19])


def _place() -> int:
    try:
        namespace = os.readlink("/proc/self/ns/pid")
    except OSError:
        namespace = ""
    # Not the machine's or the boot's id: containers share the one, and what was left before a
    # reboot is to be found after it.
    return zlib.crc32(os.fsencode(os.uname().nodename + namespace))
