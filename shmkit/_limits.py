"""What this process may use of memory, CPUs and descriptors: the machine's and the container's.

A container (Docker, Binder, most hubs) limits memory by a control group, which the machine's own
figures do not show; passing it ends in SIGKILL, so the smaller of the two counts. Sources:
cgroups(7), the kernel's cgroup-v2.rst and cgroup-v1/memory.rst.
"""

from __future__ import annotations

import math
import os
import resource
import sys
from collections.abc import Iterator
from typing import NamedTuple

from shmkit.errors import NotEnoughMemoryError, TooManySegmentsError

__all__ = [
    "Room",
    "allow_descriptors",
    "allow_mappings",
    "check_memory",
    "cpus",
    "file_size",
    "memories",
    "memory",
    "oom_kills",
    "room_in",
]

_SPARE_DESCRIPTORS = 256  # for the notebook's own files and sockets
_SMALL_NBYTES = 1 << 22  # of arrays that pass without a look at the memory that is left


class Room(NamedTuple):
    """What there is of one kind of room, in bytes."""

    where: str
    free: int
    limit: int

    def check(self, need: int) -> None:
        """Raise `NotEnoughMemoryError` unless `need` bytes are free."""
        if need > self.free:
            raise self.shortage(need)

    def shortage(self, need: int) -> NotEnoughMemoryError:
        """The error for who needs so many bytes."""
        return NotEnoughMemoryError(need, self.free, self.limit, self.where)


def room_in(directory: str) -> Room:
    """Free and total bytes of the file system that `directory` is on."""
    status = os.statvfs(directory)
    return Room(directory, status.f_bavail * status.f_frsize, status.f_blocks * status.f_frsize)


def file_size() -> Room:
    """The largest file, shared memory included, that this process may write."""
    limit, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    limit = sys.maxsize if limit == resource.RLIM_INFINITY else limit
    return Room("a file of this process (RLIMIT_FSIZE, ulimit -f)", limit, limit)


def memory(proc: str = "/proc", cgroups: str = "/sys/fs/cgroup") -> Room:
    """Memory that can still be filled, and the limit: of the machine or of the container."""
    return min(memories(proc, cgroups), key=lambda room: room.free)


def memories(proc: str = "/proc", cgroups: str = "/sys/fs/cgroup") -> list[Room]:
    """The machine's memory, and that of each control group with a limit.

    What the page cache holds counts as free: the kernel gives it back when it is needed.
    """
    try:
        lines = _read(proc, "meminfo").splitlines()
    except OSError:  # no /proc, as on macOS: what is available is not known, so nothing is refused
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        return [Room("memory", total, total)]
    kilobytes = {
        name: int(rest.split()[0]) for name, _, rest in (ln.partition(":") for ln in lines)
    }
    return [
        Room("memory", kilobytes["MemAvailable"] * 1024, kilobytes["MemTotal"] * 1024),
        *_cgroup_rooms(proc, cgroups),
    ]


def cpus(proc: str = "/proc", cgroups: str = "/sys/fs/cgroup") -> int:
    """How many CPUs this process may use: its affinity, and the container's quota rounded up."""
    count = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    for group in _groups(proc, cgroups, "cpu"):
        try:
            if os.path.exists(os.path.join(group, "cpu.max")):
                quota, period = _read(group, "cpu.max").split()
            else:
                quota = _read(group, "cpu.cfs_quota_us").strip()
                period = _read(group, "cpu.cfs_period_us").strip()
        except OSError:
            continue
        if quota not in ("max", "-1"):
            count = min(count, math.ceil(int(quota) / int(period)))
    return max(count, 1)


def oom_kills(proc: str = "/proc") -> int:
    """How many processes the kernel has killed because memory ran out, in any control group.

    0 where it does not say.
    """
    try:
        lines = _read(proc, "vmstat").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)


class _Memory:
    """The memory that this process takes for arrays."""

    def __init__(self) -> None:
        self._unseen = 0  # bytes that it took since it looked how much is left

    def check(self, nbytes: int) -> None:
        """Raise `NotEnoughMemoryError` unless `nbytes` more are left.

        A process that passes its container's limit is killed, so this comes before. To look how
        much is left takes longer than to load a small array; so this looks only when arrays of
        some size in all have passed without. Two processes that look at the same time both see
        the same memory left, and may pass the limit by as much as they asked for.
        """
        self._unseen += nbytes
        if self._unseen >= _SMALL_NBYTES:
            memory().check(nbytes)
            self._unseen = 0


check_memory = _Memory().check


class _Descriptors:
    """The descriptors that this process may open.

    Linux counts them by listing all that are open, which takes longer the more there are. So they
    are counted once, and again when as many have been allowed as there was room for.
    """

    def __init__(self) -> None:
        self._soft = 0  # the soft limit when they were counted
        self._left = 0  # how many more may be opened under it

    def allow(self, count: int) -> None:
        """Have room for `count` more open descriptors: raise the soft limit, if that is allowed.

        Raises
        ------
        TooManySegmentsError
            If the hard limit is too low.
        """
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft == resource.RLIM_INFINITY:
            return
        if soft != self._soft or count > self._left:
            most = sys.maxsize if hard == resource.RLIM_INFINITY else hard
            spare = min(_SPARE_DESCRIPTORS, most // 4)
            try:
                need = len(os.listdir("/dev/fd")) + count + spare
            except FileNotFoundError:  # on Linux it leads to /proc
                return
            if need > most:
                raise TooManySegmentsError(most, "RLIMIT_NOFILE")
            if need > soft:  # twice that: who makes one array after another raises it seldom
                soft = min(2 * need, most)
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            self._soft, self._left = soft, soft - need + count
        self._left -= count


allow_descriptors = _Descriptors().allow


def allow_mappings(count: int, proc: str = "/proc") -> None:
    """Check that there is room for `count` more mappings; only root may raise the limit.

    Raises
    ------
    TooManySegmentsError
        If there is none.
    """
    try:
        limit = int(_read(proc, "sys/vm/max_map_count"))
        with open(os.path.join(proc, "self/maps"), "rb") as maps:
            used = sum(1 for _ in maps)  # not listed: without a mapping left there is no memory
    except OSError:
        return
    if used + count > limit:
        raise TooManySegmentsError(limit, "vm.max_map_count")


def _groups(proc: str, cgroups: str, controller: str) -> Iterator[str]:
    """The directories of this process's control group and of every group above it.

    Inside a container the path in /proc/self/cgroup may be the host's, which is not mounted here:
    then its last existing ancestor, the mount itself, holds the container's limits.
    """
    try:
        lines = _read(proc, "self/cgroup").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            root = cgroups
        elif controller in controllers.split(","):
            root = os.path.join(cgroups, controller)
        else:
            continue
        group = os.path.join(root, path.strip("/")).rstrip("/")
        while len(group) >= len(root):
            yield group
            group = os.path.dirname(group)


def _cgroup_rooms(proc: str, cgroups: str) -> Iterator[Room]:
    for group in _groups(proc, cgroups, "memory"):
        try:
            second = os.path.exists(os.path.join(group, "memory.max"))
            limit = _read(group, "memory.max" if second else "memory.limit_in_bytes").strip()
            if limit == "max" or int(limit) >= 1 << 60:  # v1 says "none" by a huge number
                continue
            used = int(_read(group, "memory.current" if second else "memory.usage_in_bytes"))
            statistics = dict(line.split() for line in _read(group, "memory.stat").splitlines())
        except OSError:
            continue
        # total_ is v1's name for "with the groups below".
        cache = sum(
            int(statistics.get(f"total_{name}", statistics.get(name, "0")))
            for name in ("inactive_file", "active_file")
        )
        yield Room("the container's memory limit", max(int(limit) - used + cache, 0), int(limit))


def _read(folder: str, name: str) -> str:
    with open(os.path.join(folder, name), encoding="utf-8", errors="surrogateescape") as file:
        return file.read()
