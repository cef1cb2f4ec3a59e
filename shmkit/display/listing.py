"""The segments of this machine: what lies in directories and in memfds, whose it is, who holds it.

/dev/shm, directories ─┐   also those that another process has a lock in
/proc/<pid>/fd  memfds ┼──▶ FoundSegment ──▶ Listing: the one table of `shmkit ls`, %shm and panel()
mapped here ───────────┘
   (also if unlinked: then no other process can see it)

    notebook     a row for each segment of this process, and one for each other process
    terminal     a row for each segment

1. Files in these directories, and descriptors of every process that may be looked at, are segments
   if their name says who owns them.
2. What is in a segment is read from its header; whether its owner lives, from the name.
3. Of the segments that this process maps, it is also said which variables hold them. One that is
   unlinked has no path any more; it is listed as long as it takes memory.
4. This process's segments are in the order of the variables that hold them, so those of a load in
   the order of its files. Records of shmkit's own, by which loaders say how far they are, are left
   out.
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
    count_text,
    counted,
    cut_text,
    dtype_text,
    few_text,
    nbytes_text,
    seconds_text,
    shape_text,
    table_text,
)
from shmkit._html import Cell, escaped, row_html
from shmkit.cleanup.lock import locked_directories
from shmkit.cleanup.orphans import is_orphan, kill_orphaned_loaders, remove_orphans
from shmkit.cleanup.owner import Owner, owner_of, this_process
from shmkit.cleanup.published import published_names
from shmkit.display.about_array import column_lines, nbytes_of, short_text
from shmkit.display.holders import held_by, to_free
from shmkit.display.panel.page import (
    MAX_ROWS,
    NUMBER,
    Snapshot,
    count_cell,
    head,
    nbytes_cell,
    snapshot_html,
    state_cell,
    unfolding,
)
from shmkit.errors import SegmentError
from shmkit.loading.board.record import RECORD
from shmkit.segments.backing import NAMES
from shmkit.segments.files import open_file
from shmkit.segments.image.header import Header, read_segment_header
from shmkit.segments.image.layout import as_rows
from shmkit.segments.segment import Segment, mapped_here

__all__ = ["FoundSegment", "Listing", "list_segments", "remove_left", "total"]

_MAX_LETTERS = 40  # of the names of fields
_COLUMNS = "<File", "<Held by", ">Shape", "<Array", ">Memory", "<Owner", ">Age", "<Name", "<Segment"
_HEADINGS = (
    *(Cell("File"), Cell("State"), Cell("Rows", NUMBER), Cell("Held by"), Cell("Memory", NUMBER)),
)
_WIDTHS = "".join(
    f'<col style="width:{width}">' for width in ("24ch", "14ch", "10ch", "auto", "10ch")
)


class FoundSegment(NamedTuple):
    """One segment.

    Attributes
    ----------
    path : str
        A file, or the ``/proc/<pid>/fd/<n>`` of its owner; empty if it is unlinked.
    file : str
        The file that was loaded into it, as far as this process loaded it.
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
    file: str
    names: list[str]
    owner: Owner
    orphan: bool
    nbytes: int
    written: float
    header: Header | None
    holders: list[str]


@dataclass(frozen=True)
class Listing:
    """Segments, and what room there is, shown as a table.

    Attributes
    ----------
    found : list of FoundSegment
        This process's, then those of others, then what has no owner any more.
    rooms : list of Room
        Where segments live, the machine's memory, and the container's.
    """

    found: list[FoundSegment]
    rooms: list[_limits.Room]

    def __str__(self) -> str:
        rows = [_cells(segment) for segment in self.found]
        used = [n for n, cells in enumerate(zip(*rows, strict=True)) if any(cells)]
        rows = [tuple(row[n] for n in used) for row in rows]
        table = [table_text([_COLUMNS[n] for n in used], rows)] if rows else []
        return "\n".join([*table, self._summary(), *self._notes()])

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(repr(self) if cycle else str(self))

    def _repr_html_(self) -> str:
        return snapshot_html(self.snapshot(), *self.columns)

    columns = _HEADINGS, _WIDTHS

    def head(self, below: str = "") -> str:
        """What stands above the table, as HTML."""
        notes = "".join(f'<div class="shmkit-note">{escaped(n)}</div>' for n in self._notes())
        return head("Shared memory", f"<span>{self._summary()}</span> ", (), below + notes)

    def rows(self, *, buttons: bool = False) -> list[str]:
        """The rows of the table, as HTML; those of this process with a button to unlink."""
        here = this_process()
        own = [_own_row(f, buttons=buttons) for f in self.found if f.owner == here]
        others: dict[tuple[Owner, bool], list[FoundSegment]] = {}
        for segment in self.found:
            if segment.owner != here:
                others.setdefault((segment.owner, segment.orphan), []).append(segment)
        return own + [_process_row(owner, found) for (owner, _), found in others.items()]

    def snapshot(self) -> Snapshot:
        """What stays of it in a saved notebook."""
        rows = self.rows()
        rest = len(rows) - MAX_ROWS
        more = f"and {count_text(rest)} more" if rest > 0 else ""
        return Snapshot(self.head(), rows[:MAX_ROWS], str(self), more)

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
    held_first = {identity: place for place, identity in enumerate(holders)}
    found: dict[tuple[int, int], FoundSegment] = {}
    for path in (*_files(places), *_memfds()):
        owner = owner_of(path)
        try:
            status = os.stat(path, follow_symlinks=path.startswith("/proc/"))
        except OSError:  # it was unlinked just now
            continue
        identity = status.st_dev, status.st_ino
        if owner is not None and (identity not in here or here[identity].linked):
            header = _header(path)
            if header is not None and header.dtype == RECORD:
                continue
            segment = FoundSegment(
                path,
                _loaded_from(here.get(identity)),
                names.get(path, []),
                owner,
                status.st_uid == os.geteuid() and is_orphan(path),
                status.st_size if header is None else nbytes_of(header),
                status.st_mtime,
                header,
                holders.get(identity, []),
            )
            # Before Python 3.13 a mapping has a descriptor of the memfd too.
            found.setdefault(identity, segment)
    me = this_process()
    for identity, mapped in here.items():
        if not mapped.linked and mapped.header.dtype != RECORD:
            file, held, header = _loaded_from(mapped), holders.get(identity, []), mapped.header
            nbytes = nbytes_of(header)
            found[identity] = FoundSegment("", file, [], me, False, nbytes, 0, header, held)

    def rank(identity: tuple[int, int]) -> tuple[bool, bool, float, float]:
        segment, place = found[identity], held_first.get(identity, math.inf)
        return segment.orphan, segment.owner != me, place, segment.written or math.inf

    rooms = [*(_limits.room_in(place) for place in places), *_limits.memories()]
    return Listing([found[identity] for identity in sorted(found, key=rank)], rooms)


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
    """Where to look: where names lie, these directories, and those that some process uses."""
    here = {os.path.dirname(s.path) for s in mapped_here() if s.backing == "file" and s.linked}
    others = {path for path in locked_directories() if os.path.isdir(path)}  # in this namespace
    return [*dict.fromkeys([NAMES, *directories, *sorted(here | others)])]


def _loaded_from(segment: Segment | None) -> str:
    return "" if segment is None else str((segment.source or {}).get("file", ""))


def _cells(segment: FoundSegment) -> tuple[str, ...]:
    """A row in a terminal."""
    owner, header = segment.owner, segment.header
    dtype, shape = as_rows(header.dtype, header.shape) if header else (None, ())
    whose = f"{owner.pid}, ended" if segment.orphan else str(owner.pid)
    return (
        os.path.basename(segment.file),
        few_text(segment.holders),
        shape_text(shape) if dtype else "?",
        cut_text(dtype_text(dtype), _MAX_LETTERS) if dtype else "?",
        nbytes_text(segment.nbytes),
        "this process" if owner == this_process() else whose,
        _age(segment),
        " ".join(segment.names),
        segment.path or "unlinked",
    )


def _age(segment: FoundSegment) -> str:
    return seconds_text(max(time.time() - segment.written, 0)) if segment.written else ""


def _own_row(segment: FoundSegment, *, buttons: bool) -> str:
    """The row of a segment of this process."""
    names = " ".join(segment.names)
    name = os.path.basename(segment.file) or names or "no file"
    word = "ready" if segment.path else "unlinked"
    about, rows, line = [], Cell("", NUMBER), "no variable"
    if segment.holders:
        line = few_text(segment.holders)
    if segment.header is not None:
        dtype, shape = as_rows(segment.header.dtype, segment.header.shape)
        about += [short_text(dtype, shape), *(column_lines(dtype) if dtype.names else ()), ""]
        rows = count_cell(shape[0] if shape else 1)
    lines = {
        "held by  ": ", ".join(segment.holders),
        "to free  ": to_free(segment.holders),
        "file     ": segment.file,
        "segment  ": segment.path,
        "name     ": names,
        "age      ": _age(segment),
    }
    about += [heading + text for heading, text in lines.items() if text]
    button = ""
    if buttons and segment.path:
        what = f'data-do="unlink" data-what="{escaped(segment.path)}"'
        button = f'<button {what} aria-label="Unlink {escaped(name)}">Unlink</button>'
    cells = [
        Cell(escaped(name), f'title="{escaped(segment.file or segment.path)}"'),
        state_cell(word),
        rows,
        Cell(button + unfolding(escaped(line), "\n".join(about))),
        nbytes_cell(segment.nbytes),
    ]
    return row_html(cells, f'data-state="{word}"')


def _process_row(owner: Owner, found: Sequence[FoundSegment]) -> str:
    """The row of all segments of another process."""
    word = "left behind" if found[0].orphan else "in use"
    whose = f"process {owner.pid}{', ended' if found[0].orphan else ''}"
    about = "\n".join(segment.path for segment in found)
    line = escaped(counted(len(found), "segment", "segments"))
    cells = [
        Cell(whose),
        state_cell(word),
        Cell("", NUMBER),
        Cell(unfolding(line, about)),
        nbytes_cell(sum(segment.nbytes for segment in found)),
    ]
    return row_html(cells, f'data-state="{word}"')


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
    try:
        file, _ = open_file(path, writable=False)
        with file:
            return read_segment_header(path, file)
    except (OSError, SegmentError):
        return None
