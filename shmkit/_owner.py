"""Who owns a segment, and whether that process still lives.

The name of a segment holds its owner: the pid, when that process started (a pid is used again,
the pair is not), and the pid namespace (containers may share /dev/shm and not their pids).
"""

from __future__ import annotations

import os
from typing import NamedTuple

__all__ = ["Owner", "this_process"]

_FIRST_NAMESPACE = 0xEFFFFFFC  # the host's, PROC_PID_INIT_INO in Linux's proc_ns.h; others follow


class Owner(NamedTuple):
    """One process, told from every other that had or will have its pid."""

    pid: int
    started: int  # clock ticks since boot; 0 where there is no /proc
    namespace: int  # number of the pid namespace: 0 for the host's

    def __str__(self) -> str:
        return f"{self.pid}-{self.started:x}-{self.namespace:x}"

    def may_live(self) -> bool:
        """Whether the process may be there: True also where it cannot be told."""
        if self.namespace != _namespace():
            return True
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return self.started == _started(self.pid) or not self.started


def this_process() -> Owner:
    """The identity of the calling process (a forked child's differs from its parent's)."""
    pid = os.getpid()
    return Owner(pid, _started(pid), _namespace())


def _started(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:
            # Field 22, counted after the command, which may hold spaces and parentheses (proc(5)).
            return int(stat.read().rpartition(b")")[2].split()[19])
    except OSError:
        return 0


def _namespace() -> int:
    try:
        return max(os.stat("/proc/self/ns/pid").st_ino - _FIRST_NAMESPACE, 0)
    except OSError:
        return 0
