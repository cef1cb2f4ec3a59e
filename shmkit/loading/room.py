"""Where the arrays of a load find room, before they are read.

    arrays ── need ──▶ the backing that is wanted ──▶ none there: loaders that no load has are ended
                            │                               └──▶ none yet: NotEnoughMemoryError
    what is to be kept ──▶ the cache, if it has room
    what finds no room as it is read ──▶ a memfd, where /dev/shm was chosen and not asked for

Of some arrays it is not known how much they need before they are read: they need nothing here.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

from shmkit import _limits
from shmkit.errors import NotEnoughMemoryError
from shmkit.loaders.pool import end_idle
from shmkit.loading.cached import CachedFiles
from shmkit.loading.file import LoadingFile
from shmkit.loading.files.peers import Peers
from shmkit.segments.backing import Backing, choose_backing
from shmkit.segments.mapping import allow_segments

__all__ = ["has_room", "places_of"]

_FEW_SEGMENTS = (
    16  # whose mappings need no look at all others, which takes its time: mapping says so
)


def places_of(
    files: Sequence[LoadingFile],
    backing: str | os.PathLike[str],
    cached: CachedFiles | None,
    most: int | None,
    peers: Peers,
    *,
    segments: int | None = None,
) -> list[tuple[Sequence[LoadingFile], list[Backing]]]:
    """Where these files are read into: if there is no room in the first place, into the next.

    Each has a segment of its own, unless it is said how many they need.

    Raises NotEnoughMemoryError if they need more than there is, or than `most` bytes.
    """
    need = _need(files)
    peers.room(need)
    if most is not None and need > most:
        raise NotEnoughMemoryError(need, most, most, "memory= of this stream")
    try:
        chosen = choose_backing(backing, need)
    except NotEnoughMemoryError:
        if not end_idle():
            raise
        chosen = choose_backing(backing, need)
    segments = len(files) if segments is None else segments
    allow_segments(segments, chosen.kind)
    if segments > _FEW_SEGMENTS:
        _limits.allow_mappings(segments)
    # Only reading tells what a reader= returns, and others may fill /dev/shm meanwhile: what finds
    # no room there is read again into a memfd.
    backings = [chosen]
    if backing == "auto" and chosen.kind == "shm":
        backings.append(choose_backing("memfd", 0))
    if cached is None:
        return [(files, backings)]
    to_keep = [file for file in files if cached.has_key(file)]
    others = [file for file in files if not cached.has_key(file)]
    return [(to_keep, [*cached.backings(_need(to_keep)), *backings]), (others, backings)]


def has_room(backing: str | os.PathLike[str], files: Iterable[LoadingFile]) -> bool:
    """Whether there is room for these where it is looked for first."""
    try:
        choose_backing("shm" if backing == "auto" else backing, _need(files))
    except NotEnoughMemoryError:
        return False
    return True


def _need(files: Iterable[LoadingFile]) -> int:
    """Bytes of memory that all these arrays take, as far as it is known."""
    return sum(file.need for file in files)
