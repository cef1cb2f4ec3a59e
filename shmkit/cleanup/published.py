"""Names that another notebook can be told: ``attach("genome")`` instead of a path.

    /dev/shm/shmkit.<uid>.genome ──symbolic link──▶ /dev/shm/shmkit-<owner>-<random>.npy
                                              or ──▶ /proc/<pid>/fd/<n>#shmkit-<owner>-<random>
                                  of a section of it ──▶ ….npy[<start>:<stop>]

Making the link is one step that fails if the name is taken, and where it leads says who owns it:
so a name whose owner has ended is told from one in use by the owner's lock, and needs no register
that could be damaged. It is free then, and nobody attaches by it. Links are read, never followed.
The path of a memfd leads to another file later, so the name of the memfd stands behind it.
"""

from __future__ import annotations

import contextlib
import os
import re

from shmkit.cleanup import guard
from shmkit.cleanup.lock import ended, hold
from shmkit.cleanup.orphans import LINK, published_by, remove_link
from shmkit.cleanup.owner import NAMES, lock_path, memfd_name, split_rows
from shmkit.errors import SegmentError, SegmentExistsError, SegmentGoneError

__all__ = ["publish", "published_names", "published_path", "withdraw"]

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")


def publish(name: str, path: str) -> str:
    """Make `name` lead to the segment at `path`, and return the link.

    Raises SegmentExistsError if it is taken, and SegmentError where no links can be made.
    """
    link = _link(name)
    guard.watch(NAMES)
    hold(NAMES)
    target = _target_for(path)
    while True:
        try:
            os.symlink(target, link)
        except FileExistsError:
            pass
        except OSError as error:
            reason = f"no name can be published here: {error.strerror}; attach by the path instead"
            raise SegmentError(link, reason) from None
        else:
            return link
        if _target_of(link) == target:
            return link
        if not remove_link(link):
            taken = _target_of(link)
            if taken is None and not os.path.lexists(link):
                continue  # it was withdrawn just now
            raise SegmentExistsError(
                link if taken is None else _path_in(taken),
                "cannot be replaced: it is another user's; choose another name"
                if taken is None
                else f"is published as {name!r} already; close its arrays first, or choose another "
                "name",
            )


def published_path(name: str) -> str:
    """The path of the segment that is published as `name`.

    Raises SegmentGoneError if there is none, and SegmentError if it cannot be reached from here.
    """
    path = _living_path(_link(name))
    if path is None:
        known = ", ".join(sorted(name for names in published_names().values() for name in names))
        raise SegmentGoneError(
            name,
            "no segment is published under this name: its arrays were closed, or the process that "
            f"loaded them ended, or it never was; published now: {known or 'nothing'}",
        )
    return path


def withdraw(links: list[str], path: str) -> None:
    """Remove those of the links that lead to `path`, or to a section of what is there."""
    for link in links:
        target = _path_in(_target_of(link) or "")
        if path in (target, split_rows(target)[0]):
            with contextlib.suppress(OSError):  # somebody removed it
                os.unlink(link)


def published_names() -> dict[str, list[str]]:
    """The names that this user has published, by the path of their segment."""
    names: dict[str, list[str]] = {}
    prefix = f"{LINK}{os.geteuid()}."
    for entry in os.scandir(NAMES):
        if entry.name.startswith(prefix):
            with contextlib.suppress(SegmentError):
                if path := _living_path(entry.path):
                    names.setdefault(path, []).append(entry.name.removeprefix(prefix))
    return names


def _link(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"{name!r} is no name to publish: up to 100 letters, digits, '_', '-' and '.', the "
            "first of them a letter, a digit or '_'"
        )
    return os.path.join(NAMES, f"{LINK}{os.geteuid()}.{name}")


def _target_for(path: str) -> str:
    file, rows = split_rows(path)
    return f"{file}#{memfd_name(file)}{rows}" if file.startswith("/proc/") else path


def _path_in(target: str) -> str:
    link, rows = split_rows(target)
    return link.partition("#")[0] + rows if target.startswith("/proc/") else target


def _target_of(link: str) -> str | None:
    """What this user's link says; None for what is none."""
    with contextlib.suppress(FileNotFoundError):  # it was withdrawn just now
        return os.readlink(link) if published_by(link) is not None else None
    return None


def _living_path(link: str) -> str | None:
    """The path of the segment that a link leads to; None if that is gone, or its owner."""
    owner, target = published_by(link), _target_of(link)
    if owner is None or target is None:
        return None
    with ended(lock_path(NAMES, owner), owner) as told:
        if told:
            return None
    path = _path_in(target)
    if path == target:
        return path if os.path.lexists(split_rows(path)[0]) else None
    if target != _target_for(path):
        raise SegmentError(
            path,
            "this segment lives, but /proc does not show it to this process: it is a memfd in "
            'another container; load it with backing="shm" or a directory there',
        )
    return path
