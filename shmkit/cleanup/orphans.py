"""What owners that were killed have left behind: how to tell it, and how to remove it.

    /dev/shm/shmkit-<owner>-<n>.npy     a segment's name        whose owner has ended ──▶ unlinked
    .shmkit-<owner>-<n>.tmp             an unfinished export    of such an owner      ──▶ unlinked
    /dev/shm/shmkit.<uid>.<name>        a published name        that leads to none    ──▶ unlinked
    /proc/<pid>/cmdline                 a loader process        of such an owner      ──▶ killed

All of it says whose it is, so there is no register that could be damaged, and whoever finds an
orphan may remove it: the guard at once, the next load, `shmkit gc`. Never touched: what belongs to
a living owner, to another user, or has another name.

The guard imports this module too: the standard library is all it needs.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import time
from collections.abc import Iterable

from shmkit.cleanup.owner import Owner, exporter_of, owner_of, this_process

__all__ = [
    "LINK",
    "kill_orphaned_loaders",
    "loader_mark",
    "remove_orphans",
    "remove_stale",
    "target_of",
]

LINK = "shmkit."  # how the name of a published name's link begins
_LOADER = "shmkit-loader-of-"
_TRIES = 100  # to be the only one that removes a link
_WAIT = 0.01  # seconds between two


def remove_orphans(directories: Iterable[str]) -> list[str]:
    """Unlink the names that killed owners left in these directories, and say which."""
    return [
        path
        for directory in directories
        for path in _orphans(directory)
        if (remove_stale(path) if os.path.islink(path) else _removed(path))
    ]


def _orphans(directory: str) -> Iterable[str]:
    try:
        entries = list(os.scandir(directory))
    except OSError:  # it is gone, or may not be read
        return
    for entry in entries:
        if not entry.name.startswith(("shmkit", ".shmkit")) or not _is_ours(entry.path):
            continue
        if entry.is_symlink():
            if entry.name.startswith(LINK) and target_of(entry.path) is None:
                yield entry.path
        else:
            owner = owner_of(entry.path) or exporter_of(entry.path)
            if owner is not None and not owner.may_live():
                yield entry.path


def _removed(path: str) -> bool:
    try:
        os.unlink(path)
    except OSError:  # another process removes it at the same moment, or it may not be removed
        return False
    return True


def remove_stale(link: str) -> bool:
    """Remove a link of this user that leads to no segment, and say whether that was done.

    Another process may find it stale as well, and publish the name anew before this one removes
    it. So only one at a time removes, and looks again before: no link is made where one is.
    """
    directory = os.open(os.path.dirname(link), os.O_RDONLY | os.O_CLOEXEC)
    try:
        for _ in range(_TRIES):
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return _is_ours(link) and target_of(link) is None and _removed(link)
            time.sleep(_WAIT)  # anybody may hold this lock, and for long
        return False
    finally:
        os.close(directory)


def _is_ours(path: str) -> bool:
    """Whether it is this user's; False if there is none, or if it may not be looked at."""
    try:
        return os.lstat(path).st_uid == os.geteuid()
    except OSError:
        return False


def target_of(link: str) -> str | None:
    """The segment that a published name's link leads to; None if there is none, or none any more.

    Another user's link is none: it may have been put there to lead somewhere else.
    """
    try:
        target = os.readlink(link) if _is_ours(link) else ""
    except OSError:
        return None
    owner = owner_of(target)
    return target if owner is not None and owner.may_live() and os.path.lexists(target) else None


def loader_mark() -> str:
    """An argument for the command line of a loader process: whose it is."""
    return f"{_LOADER}{this_process()}"


def kill_orphaned_loaders() -> None:
    """End the loader processes of this user whose owner has ended.

    They end by themselves, unless a reader holds the interpreter's lock.
    """
    processes = os.listdir("/proc") if os.path.isdir("/proc") else []
    for pid in filter(str.isdigit, processes):
        try:
            if os.stat(f"/proc/{pid}").st_uid != os.geteuid():
                continue
            with open(f"/proc/{pid}/cmdline", errors="replace") as file:
                command, _, last = file.read().rstrip("\0").rpartition("\0")
            owner = last.removeprefix(_LOADER)
            if (
                owner != last
                and "shmkit.loading.loader" in command
                and not Owner.parse(owner).may_live()
            ):
                os.kill(int(pid), signal.SIGKILL)
        except (OSError, ValueError):  # it has ended, or is none of ours
            continue
