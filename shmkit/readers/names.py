"""Which arrays of a file that has several are meant, by name or by glob."""

from __future__ import annotations

import difflib
import fnmatch
from collections.abc import Sequence
from typing import NamedTuple

from shmkit.errors import LoadError

__all__ = ["Kind", "Listed", "matched"]

_NEAR = 5  # names that an error offers
_SHOWN = 20


Kind = tuple[bytes, tuple[int, ...] | None]


class Listed(NamedTuple):
    """One dataset that is meant.

    Attributes
    ----------
    names
        All of its names that are meant, in order.
    nbytes
        Bytes that it takes in the file.
    loaded_nbytes
        Bytes that its array takes, about: text of varying length is not looked at.
    alone
        Whether all of its data are in this file, and none in others.
    kind
        What datasets have in common that may share a segment: how HDF5 describes their type, and
        the lengths of their axes but the first, which a single value has not (None). None if it
        needs a segment of its own: it has attributes, or no items, or only reading tells its type.
    """

    names: tuple[str, ...]
    nbytes: int
    loaded_nbytes: int
    alone: bool = True
    kind: Kind | None = None


def matched(
    path: str, patterns: Sequence[str], names: Sequence[str], others: Sequence[str] = ()
) -> list[str]:
    """Those of the names that the patterns mean, in their order.

    A pattern that is a name, also one of `others`, means that alone, whatever characters are in it.
    A glob means the others only if it means none of the names.

    Raises LoadError, with the names that are near, for a pattern that means nothing.
    """
    known = {*names, *others}
    meant: set[str] = set()
    for pattern in patterns:
        if pattern in known or pattern.strip("/") in known:
            meant.add(pattern if pattern in known else pattern.strip("/"))
            continue
        some = _alike(pattern, names) or _alike(pattern, others)
        if not some:
            raise LoadError(
                path, None, None, f"no dataset matches {pattern}; {_near(pattern, names)}"
            )
        meant |= some
    return [name for name in (*names, *others) if name in meant]


def _alike(pattern: str, names: Sequence[str]) -> set[str]:
    return {name for name in names if fnmatch.fnmatchcase(name, pattern.strip("/"))}


def _near(pattern: str, names: Sequence[str]) -> str:
    if not names:
        return "it has none"
    if len(names) > _SHOWN:
        near = difflib.get_close_matches(pattern, names, _NEAR) or [
            name for name in names if pattern.strip("*/") in name or name.endswith(f"/{pattern}")
        ]
        if near:
            return f"near it are {', '.join(near[:_NEAR])}, of {len(names)} datasets"
    more = f", and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"it has {', '.join(names[:_SHOWN])}{more}"
