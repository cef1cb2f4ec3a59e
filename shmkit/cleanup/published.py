"""Names that another notebook can be told: ``attach("genome")`` instead of a path.

    /dev/shm/shmkit.<uid>.genome ──symbolic link──▶ /dev/shm/shmkit-<owner>-<n>.npy
                                              or ──▶ /proc/<pid>/fd/<n>

Making the link is one step that fails if the name is taken, and where it leads says who owns it:
so a name whose owner was killed is told from one in use, and needs no register that could be
damaged. Links are read, never followed.
"""

from __future__ import annotations

import contextlib
import os
import re

from shmkit.cleanup import guard
from shmkit.cleanup.orphans import LINK, remove_stale, target_of
from shmkit.errors import SegmentExistsError, SegmentGoneError
from shmkit.memory.backing import NAMES

__all__ = ["publish", "published_names", "published_path", "withdraw"]

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")


def publish(name: str, path: str) -> str:
    """Make `name` lead to the segment at `path`; return the link, or raise SegmentExistsError."""
    link = _link(name)
    guard.watch(os.path.dirname(link))
    while True:
        try:
            os.symlink(path, link)
        except FileExistsError:
            target = target_of(link)
            if target == path:
                return link
            if target is not None:
                raise SegmentExistsError(
                    target,
                    f"is published as {name!r} already; close its arrays first, or choose another "
                    "name",
                ) from None
            if not remove_stale(link) and target_of(link) is None and os.path.lexists(link):
                raise SegmentExistsError(
                    link, "cannot be replaced: it is another user's; choose another name"
                ) from None
        else:
            return link


def published_path(name: str) -> str:
    """The path of the segment that is published as `name`; raises SegmentGoneError."""
    path = target_of(_link(name))
    if path is None:
        known = ", ".join(sorted(name for names in published_names().values() for name in names))
        raise SegmentGoneError(
            name,
            "no segment is published under this name: its arrays were closed, or the process that "
            f"loaded them ended, or it never was; published now: {known or 'nothing'}",
        )
    return path


def withdraw(links: list[str], path: str) -> None:
    """Remove those of the links that lead to `path`."""
    for link in links:
        with contextlib.suppress(OSError):  # somebody removed it, or put something else there
            if os.readlink(link) == path:
                os.unlink(link)


def published_names() -> dict[str, list[str]]:
    """The names that this user has published, by the path of their segment."""
    names: dict[str, list[str]] = {}
    prefix = f"{LINK}{os.geteuid()}."
    for entry in os.scandir(NAMES):
        target = target_of(entry.path) if entry.name.startswith(prefix) else None
        if target is not None:
            names.setdefault(target, []).append(entry.name.removeprefix(prefix))
    return names


def _link(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"{name!r} is no name to publish: up to 100 letters, digits, '_', '-' and '.', the "
            "first of them a letter, a digit or '_'"
        )
    return os.path.join(NAMES, f"{LINK}{os.geteuid()}.{name}")
