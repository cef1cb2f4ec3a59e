"""What owners that were killed have left behind: how to tell it, and how to remove it.

    /dev/shm/shmkit-<owner>-<n>.npy     a segment's name        whose owner has ended ──▶ unlinked
    /dev/shm/shmkit.<uid>.<name>        a published name        that leads to none    ──▶ unlinked
    /proc/<pid>/cmdline                 a loader process        of such an owner      ──▶ killed

All of it says whose it is, so there is no register that could be damaged, and whoever finds an
orphan may remove it: the guard at once, the next load, `shmkit gc`. Never touched: what belongs to
a living owner, to another user, or has another name.

The guard imports this module too: the standard library is all it needs.
"""

from __future__ import annotations

import glob
import os
import signal
from collections.abc import Iterable

from shmkit._owner import Owner, owner_of, this_process

__all__ = ["LINK", "kill_orphaned_loaders", "loader_mark", "remove_orphans", "target_of"]

LINK = "shmkit."  # how the name of a published name's link begins
_LOADER = "shmkit-loader-of-"


def remove_orphans(directories: Iterable[str]) -> list[str]:
    """Unlink the names that killed owners left in these directories, and say which."""
    return [path for directory in directories for path in _orphans(directory) if _removed(path)]


def _orphans(directory: str) -> Iterable[str]:
    try:
        entries = list(os.scandir(directory))
    except OSError:  # it is gone, or may not be read
        return
    for entry in entries:
        try:
            if not entry.name.startswith("shmkit") or (
                entry.stat(follow_symlinks=False).st_uid != os.geteuid()
            ):
                continue
        except OSError:  # its owner removes it at the same moment, or it may not be looked at
            continue
        if entry.is_symlink():
            if entry.name.startswith(LINK) and target_of(entry.path) is None:
                yield entry.path
        else:
            owner = owner_of(entry.path)
            if owner is not None and not owner.may_live():
                yield entry.path


def _removed(path: str) -> bool:
    try:
        os.unlink(path)
    except OSError:  # another process removes it at the same moment, or it may not be removed
        return False
    return True


def target_of(link: str) -> str | None:
    """The segment that a published name's link leads to; None if there is none, or none any more.

    Another user's link is none: it may have been put there to lead somewhere else.
    """
    try:
        if os.lstat(link).st_uid != os.geteuid():
            return None
        target = os.readlink(link)
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
    for process in glob.glob("/proc/[0-9]*"):
        try:
            if os.stat(process).st_uid != os.geteuid():
                continue
            with open(f"{process}/cmdline", errors="replace") as file:
                last = file.read().rstrip("\0").rpartition("\0")[2]
            owner = last.removeprefix(_LOADER)
            if owner != last and not Owner.parse(owner).may_live():
                os.kill(int(os.path.basename(process)), signal.SIGKILL)
        except (OSError, ValueError):  # it has ended, or is none of ours
            continue
