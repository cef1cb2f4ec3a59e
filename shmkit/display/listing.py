"""The segments of this machine: what lies in directories and in memfds, whose it is, who holds it.

/dev/shm, directories ─┐
/proc/<pid>/fd  memfds ┼──▶ FoundSegment ──▶ Listing: the one table of `shmkit ls`, %shm and panel()
mapped here ───────────┘
   (also if unlinked: then no other process can see it)

1. Files in these directories, and descriptors of every process that may be looked at, are segments
   if their name says who owns them.
2. What is in a segment is read from its header; whether its owner lives, from the name.
3. Of the segments that this process maps, it is also said which variables hold them. One that is
   unlinked has no path any more; it is listed as long as it takes memory.
"""

from __future__ import annotations

import glob
import math
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from shmkit import _limits
from shmkit._format import (
    counted,
    cut_text,
    dtype_text,
    few_text,
    more_text,
    nbytes_text,
    seconds_text,
    shape_text,
    table_text,
)
from shmkit._html import Shown, Table
from shmkit.cleanup.orphans import is_orphan, kill_orphaned_loaders, remove_orphans
from shmkit.cleanup.owner import Owner, owner_of, this_process
from shmkit.cleanup.published import published_names
from shmkit.display.holders import held_by
from shmkit.errors import SegmentError
from shmkit.segments.backing import NAMES
from shmkit.segments.header import Header, read_segment_header
from shmkit.segments.layout import as_rows
from shmkit.segments.segment import mapped_here

__all__ = ["FoundSegment", "Listing", "list_segments", "remove_left", "total"]

_MAX_ROWS = 100  # segments that a notebook's table names
_MAX_LETTERS = 40  # of the names of fields
_COLUMNS = "<Held by", ">Shape", "<Array", ">Memory", "<Owner", ">Age", "<Name", "<Segment"


class FoundSegment(NamedTuple):
    """One segment.

    Attributes
    ----------
    path : str
        A file, or the ``/proc/<pid>/fd/<n>`` of its owner; empty if it is unlinked.
    names : list of str
        What it is published as.
    owner : Owner
        The process that unlinks it; of an unlinked one this process, which maps it.
    orphan : bool
        The owner has ended, and was this user's.
    nbytes : int
        Bytes that it takes.
    written : float
        When it was last written through the file, as `time.time`: about when it was loaded; 0 if
        it is unlinked.
    header : Header or None
        dtype and shape; None until it is reserved, if it is damaged, and for another user's.
    holders : list of str
        The variables of IPython's shell that hold it.
    """

    path: str
    names: list[str]
    owner: Owner
    orphan: bool
    nbytes: int
    written: float
    header: Header | None
    holders: list[str]


@dataclass(frozen=True)
class Listing(Shown):
    """Segments, and what room there is, shown as a table.

    Attributes
    ----------
    found : list of FoundSegment
        This process's, then those of others, then what has no owner any more; the oldest first.
    rooms : list of Room
        Where segments live, the machine's memory, and the container's.
    """

    found: list[FoundSegment]
    rooms: list[_limits.Room]

    def __str__(self) -> str:
        _, summary, columns, rows, notes = self._table(len(self.found))
        return "\n".join([*([table_text(columns, rows)] if rows else []), summary, *notes])

    _repr_pretty_ = Shown._repr_pretty_  # IPython prefers a class's own repr to what it inherits

    def table(self) -> Table:
        """What a notebook shows of it."""
        return self._table(_MAX_ROWS)

    def _table(self, count: int) -> Table:
        """So many segments, without the columns in which there is nothing."""
        rows = [_row(segment) for segment in self.found[:count]]
        used = [n for n, cells in enumerate(zip(*rows, strict=True)) if any(cells)]
        notes = more_text([f.nbytes for f in self.found[count:]]) + self._notes()
        columns = [_COLUMNS[n] for n in used]
        rows = [tuple(row[n] for n in used) for row in rows]
        return Table("Shared memory", self._summary(), columns, rows, notes)

    def _summary(self) -> str:
        """How much is whose."""
        here, others, orphans = self._groups()
        groups = (here, "here"), (others, "of other processes"), (orphans, "left behind")
        return " · ".join(f"{total(g)} {whose}" for g, whose in groups if g) or "no segments"

    def _notes(self) -> list[str]:
        rooms = [
            f"{r.where}: {nbytes_text(r.free)} free of {nbytes_text(r.limit)}" for r in self.rooms
        ]
        orphans = self._groups()[2]
        if not orphans:
            return rooms
        left = f"{total(orphans)}, left by processes that were killed"
        return [f"{left}: shmkit gc, in a notebook %shm gc, removes them", *rooms]

    def _groups(self) -> tuple[list[FoundSegment], list[FoundSegment], list[FoundSegment]]:
        here = this_process()
        return (
            [f for f in self.found if f.owner == here],
            [f for f in self.found if f.owner != here and not f.orphan],
            [f for f in self.found if f.orphan],
        )


def list_segments(
    directories: Iterable[str] = (), variables: Mapping[str, Any] | None = None
) -> Listing:
    """The segments in /dev/shm, these directories and memfds, and those that are mapped here.

    `variables` are those of an IPython shell, among which to look for who holds them.
    """
    here = {s.identity: s for s in sorted(mapped_here(), key=lambda s: s.identity)}
    places = _places(directories)
    holders = held_by(here, variables or {})
    names = published_names()
    found: dict[tuple[int, int], FoundSegment] = {}
    for path in (*_files(places), *_memfds()):
        owner = owner_of(path)
        try:
            status = os.stat(path, follow_symlinks=path.startswith("/proc/"))
        except OSError:  # it was unlinked just now
            continue
        identity = status.st_dev, status.st_ino
        if owner is not None and (identity not in here or here[identity].linked):
            segment = FoundSegment(
                path,
                names.get(path, []),
                owner,
                status.st_uid == os.geteuid() and is_orphan(path),
                status.st_size,
                status.st_mtime,
                _header(path),
                holders.get(identity, []),
            )
            # Before Python 3.13 a mapping has a descriptor of the memfd too.
            found.setdefault(identity, segment)
    me = this_process()
    for identity, mapped in here.items():
        if not mapped.linked:
            held = holders.get(identity, [])
            found[identity] = FoundSegment("", [], me, False, mapped.nbytes, 0, mapped.header, held)

    def rank(segment: FoundSegment) -> tuple[bool, bool, float]:
        return segment.orphan, segment.owner != me, segment.written or math.inf

    rooms = [*(_limits.room_in(place) for place in places), *_limits.memories()]
    return Listing(sorted(found.values(), key=rank), rooms)


def remove_left(directories: Iterable[str] = ()) -> tuple[list[str], str]:
    """Remove what killed processes left; the paths, and how much memory that was."""
    orphans = [segment for segment in list_segments(directories).found if segment.orphan]
    kill_orphaned_loaders()
    removed = remove_orphans(_places(directories))
    return removed, f"removed {total([f for f in orphans if f.path in removed])}"


def total(found: Sequence[FoundSegment]) -> str:
    """How many segments, and how much memory they take."""
    return (
        f"{counted(len(found), 'segment', 'segments')}, {nbytes_text(sum(f.nbytes for f in found))}"
    )


def _places(directories: Iterable[str]) -> list[str]:
    """Where to look: where names lie, these directories, and those that are in use here."""
    used = {os.path.dirname(s.path) for s in mapped_here() if s.backing == "file" and s.linked}
    return [*dict.fromkeys([NAMES, *directories, *sorted(used)])]


def _row(segment: FoundSegment) -> tuple[str, ...]:
    owner, header = segment.owner, segment.header
    dtype, shape = as_rows(header.dtype, header.shape) if header else (None, ())
    whose = f"{owner.pid}, ended" if segment.orphan else str(owner.pid)
    return (
        few_text(segment.holders),
        shape_text(shape) if dtype else "?",
        cut_text(dtype_text(dtype), _MAX_LETTERS) if dtype else "?",
        nbytes_text(segment.nbytes),
        "this process" if owner == this_process() else whose,
        seconds_text(max(time.time() - segment.written, 0)) if segment.written else "",
        " ".join(segment.names),
        segment.path or "unlinked",
    )


def _files(directories: Iterable[str]) -> Iterator[str]:
    for directory in directories:
        for entry in os.scandir(directory):
            if entry.is_file(follow_symlinks=False) and owner_of(entry.path) is not None:
                yield entry.path


def _memfds() -> Iterator[str]:
    for process in glob.glob("/proc/[0-9]*"):
        try:
            descriptors = sorted(map(int, os.listdir(f"{process}/fd")))
        except OSError:  # another user's, or it has ended
            continue
        for descriptor in descriptors:
            path = f"{process}/fd/{descriptor}"
            owner = owner_of(path)
            # A forked child has the descriptor too; the segment is shown once, as its owner's.
            if owner is not None and process == f"/proc/{owner.pid}":
                yield path


def _header(path: str) -> Header | None:
    follow = 0 if path.startswith("/proc/") else os.O_NOFOLLOW
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | follow), "rb") as file:
            return read_segment_header(path, file)
    except (OSError, SegmentError):
        return None
