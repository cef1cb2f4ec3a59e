"""What owners that were killed have left behind: how to tell it, and how to remove it.

    <directory>/shmkit-<owner>-<random>.npy    a segment            unlinked
    <directory>/.shmkit-<owner>-<time>.lease   its second name      unlinked
    <directory>/.shmkit-<owner>-<random>.tmp   an unfinished export unlinked
    /dev/shm/shmkit.<uid>.<name> ──▶ <owner>   a published name     unlinked
    <directory>/.shmkit-<owner>.lock           the owner's lock     unlinked, after all of these
    /proc/<pid>/cmdline: … <owner>             a loader process     killed

All of it says whose it is, so there is no register that could be damaged, and whoever finds an
orphan may remove it: the guard at once, the next load, `shmkit gc`. In each directory the names are
gathered by owner. Who gets an owner's lock knows that it has ended, and removes what it left; the
lock file goes last, for what has none cannot be told from what is alive.

A link that leads to nothing is removed whoever made it. That is no owner's to remove, so the lock
of the directory is asked for: once, as anybody may hold that one, and for long.

Never touched: what belongs to a living owner or one that cannot be told dead, what is another
user's, and what has another name.

The guard imports this module too: the standard library is all it needs.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import signal
from collections.abc import Iterable, Iterator

from shmkit._descriptors import directory, opened
from shmkit._interrupts import uninterrupted
from shmkit.cleanup.lock import ended
from shmkit.cleanup.owner import (
    NAMES,
    Owner,
    exporter_of,
    lease_of,
    lock_of,
    lock_path,
    owner_of,
    split_rows,
    this_process,
)

__all__ = [
    "LINK",
    "is_orphan",
    "kill_orphaned_loaders",
    "loader_mark",
    "published_by",
    "remove_link",
    "remove_orphans",
]

LINK = "shmkit."  # how the name of a published name's link begins
_LOADER = "shmkit-loader-of-"
_MEMFD_LINK = re.compile(r"/proc/[0-9]+/fd/[0-9]+#shmkit-(.*)-[0-9a-f]+")


def remove_orphans(directories: Iterable[str], *, of: Owner | None = None) -> list[str]:
    """Unlink what owners that have ended left in these directories; the paths, but for locks.

    The guard knows that an owner has ended, `of`, whatever its lock tells.
    """
    return [path for directory in directories for path in _removed_from(directory, of)]


def _removed_from(directory: str, known: Owner | None) -> Iterator[str]:
    left, exports, links = _names(directory)
    yield from filter(remove_link, links)
    for owner, paths in left.items():
        lock = lock_path(directory, owner)
        with ended(lock, owner, wait=owner == known) as told:
            if told or owner == known:
                # A name may be published anew since it was seen. While its link leads to something
                # only who has the lock replaces it: so the links go first.
                its = [p for p in paths if not _is_link(p) or published_by(p) == owner]
                removed = [p for p in sorted(its, key=_is_link, reverse=True) if _unlinked(p)]
                yield from removed
                if len(removed) == len(its):
                    _unlinked(lock)
    for path, owner in exports.items():
        with ended(path, owner) as told:
            if (told or owner == known) and _unlinked(path):
                yield path


def _names(directory: str) -> tuple[dict[Owner, list[str]], dict[str, Owner], list[str]]:
    """What is in a directory: segments and links by owner, exports, links that lead to nothing."""
    left: dict[Owner, list[str]] = {}
    exports: dict[str, Owner] = {}
    links: list[str] = []
    try:
        entries = list(os.scandir(directory))
    except OSError:  # it is gone, or may not be read
        return left, exports, links
    for entry in entries:
        path, owner = entry.path, None
        if not entry.name.startswith(("shmkit", ".shmkit")):
            continue
        if entry.is_symlink():
            if entry.name.startswith(LINK):
                if _leads_nowhere(path):
                    links.append(path)
                else:
                    owner = published_by(path)
        elif (owner := owner_of(path) or lease_of(path)) is None:
            if exporter := exporter_of(path):
                exports[path] = exporter
            elif lock := lock_of(path):
                left.setdefault(lock, [])
        if owner is not None:
            left.setdefault(owner, []).append(path)
    left.pop(this_process(), None)
    return left, exports, links


def _is_link(path: str) -> bool:
    return os.path.basename(path).startswith(LINK)


def _unlinked(path: str) -> bool:
    """Remove what is this user's, and say whether that was done."""
    try:
        if os.lstat(path).st_uid != os.geteuid():
            return False
        os.unlink(path)
    except OSError:  # another process removes it at the same moment, or it may not be removed
        return False
    return True


def is_orphan(path: str) -> bool:
    """Whether the owner of the segment at `path` has ended, and was this user's."""
    owner = owner_of(path)
    if owner is None or path.startswith("/proc/"):  # a memfd goes with its owner
        return False
    with ended(lock_path(os.path.dirname(path), owner), owner) as told:
        return told


def published_by(link: str) -> Owner | None:
    """The owner of what a published name's link leads to; None for what is no such link.

    Another user's link is none: it may have been put there to lead somewhere else.
    """
    try:
        if os.lstat(link).st_uid != os.geteuid():
            return None
        target, _ = split_rows(os.readlink(link))
    except OSError:
        return None
    if found := _MEMFD_LINK.fullmatch(target):
        with contextlib.suppress(ValueError):
            return Owner.parse(found[1])
        return None
    return None if target.startswith("/proc/") else owner_of(target)


def remove_link(link: str) -> bool:
    """Remove a link of this user that is free to be made anew, and say whether it is gone.

    Another process may find the same, and publish the name anew before this one removes it. So it
    is looked at again by who has the lock: only that one removes.
    """
    if _leads_nowhere(link):
        return uninterrupted(lambda: _removed_alone(link))
    owner = published_by(link)
    if owner is None:
        return not os.path.lexists(link)
    with ended(lock_path(os.path.dirname(link), owner), owner, wait=True) as told:
        return told and (published_by(link) != owner or _unlinked(link))


def _leads_nowhere(link: str) -> bool:
    """Whether a link of this user leads to no segment, whatever has become of its owner.

    What cannot be seen from here, as a directory of another container, may be there.
    """
    try:
        if os.lstat(link).st_uid != os.geteuid():
            return False
        target, _ = split_rows(os.readlink(link))
    except OSError:
        return False
    if published_by(link) is None:
        return True
    return os.path.dirname(target) == os.path.dirname(link) and not os.path.lexists(target)


def _removed_alone(link: str) -> bool:
    """Remove a link that leads nowhere, unless another process removes such ones here just now."""
    try:
        with directory(os.path.dirname(link)) as number:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return _leads_nowhere(link) and _unlinked(link)
    except BlockingIOError:
        return False


def loader_mark() -> str:
    """An argument for the command line of a loader process: whose it is."""
    return f"{_LOADER}{this_process()}"


def kill_orphaned_loaders() -> None:
    """End the loader processes of this user whose owner has ended.

    They end by themselves, unless a reader holds the interpreter's lock.
    """
    processes = os.listdir("/proc") if os.path.isdir("/proc") else []
    for pid in filter(str.isdigit, processes):
        with contextlib.suppress(OSError, ValueError):  # it has ended, or is none of ours
            if _is_orphaned_loader(pid):
                with opened(os.pidfd_open, int(pid)) as process:
                    if _is_orphaned_loader(pid):  # its pid may be another's by now
                        signal.pidfd_send_signal(process.fileno(), signal.SIGKILL)


def _is_orphaned_loader(pid: str) -> bool:
    if os.stat(f"/proc/{pid}").st_uid != os.geteuid():
        return False
    with open(f"/proc/{pid}/cmdline", errors="replace") as file:
        command, _, last = file.read().rstrip("\0").rpartition("\0")
    if not last.startswith(_LOADER) or "shmkit.loaders." not in command:
        return False
    owner = Owner.parse(last.removeprefix(_LOADER))
    lock = lock_path(NAMES, owner)
    if os.path.lexists(lock):
        with ended(lock, owner) as told:
            return told
    # Without a lock its parents tell, if their pids are counted as in its owner's name: a loader,
    # and what a reader forks, is a descendant of its owner as long as that lives.
    same = os.readlink(f"/proc/{pid}/ns/pid") == os.readlink("/proc/self/ns/pid")
    return same and owner.pid not in _ancestors(pid)


def _ancestors(pid: str) -> Iterator[int]:
    while pid != "0":
        with open(f"/proc/{pid}/stat", "rb") as file:
            # The second field after the command, which may hold blanks and parentheses (proc(5)).
            pid = file.read().rpartition(b")")[2].split()[1].decode()
        yield int(pid)
