"""What is in a segment, as one sees it: an array, text, or a table; and the rows of each file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from shmkit._format import count_text, counted
from shmkit._html import Shown, Table
from shmkit._text_dtype import is_text
from shmkit.errors import SegmentGoneError
from shmkit.segments.image.header import Header
from shmkit.segments.segment import Segment
from shmkit.views.array import SharedArray, view
from shmkit.views.table import SharedTable
from shmkit.views.text import SharedText

__all__ = ["Source", "Sources", "view_of"]

_SHOWN = 30  # files, and failures


def view_of(
    segment: Segment, header: Header | None = None, *, writable: bool = True
) -> SharedArray | SharedText | SharedTable:
    """What is in a segment, over its memory; `header` is that of it, if it was written just now."""
    array = view(segment, header, writable=writable)
    if (layout := segment.layout) is not None:
        return SharedTable(array, segment.span, layout)
    return SharedText(array) if is_text(array.dtype) else array


class Source(NamedTuple):
    """A file of an array that was loaded from several: its rows are ``array[start:stop]``."""

    name: str
    file: str
    start: int
    stop: int


class Sources(Shown, Mapping[str, SharedArray | SharedText | SharedTable]):
    """The files whose rows an array, or a table, has: by name, a view of the rows of each.

    It shows itself as a table, and does not keep the memory: that is the array's.

    Attributes
    ----------
    files : list of Source
        The name, the path and the rows, from `start` to before `stop`, of each, in order.
    failures : dict of str to Exception
        The files that could not be loaded, with ``on_error="skip"``.

    Examples
    --------
    >>> from shmkit import shared_load
    >>> from shmkit.sample import methylation
    >>> paths = [methylation(f"data{n}.txt", rows=1000, seed=n) for n in range(2)]
    >>> with shared_load(paths, concat=True) as calls:
    ...     print(len(calls), list(calls.sources), len(calls.sources["data1"]))
    ...     calls.sources.files[1].start
    2000 ['data0', 'data1'] 1000
    1000
    """

    def __init__(self, segment: Segment | None) -> None:
        about = {} if segment is None else segment.source
        self._segment = segment
        self.files = [Source(*source) for source in about.get("sources", ())]
        self.failures: Mapping[str, Exception] = about.get("failures", {})
        self._by_name = {source.name: source for source in self.files}

    def __getitem__(self, name: str) -> SharedArray | SharedText | SharedTable:
        """A view of the rows of the file of this name."""
        if name not in self._by_name:
            if name in self.failures:
                raise KeyError(f"{name!r} could not be loaded: {self.failures[name]}")
            raise KeyError(f"{name!r} is none of {', '.join(list(self)[:20])}")
        source, segment = self._by_name[name], self._segment
        assert segment is not None
        if not segment.mapped:
            raise SegmentGoneError(segment.path, "the array is gone; keep it with its sources")
        rows: Any = view_of(segment)[source.start : source.stop]
        found: SharedArray | SharedText | SharedTable = rows
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_name)

    def __len__(self) -> int:
        return len(self.files)

    def table(self) -> Table:
        """What is shown."""
        rows = [
            (name, file, count_text(start), count_text(stop))
            for name, file, start, stop in self.files[:_SHOWN]
        ]
        notes = [f"and {len(self) - _SHOWN} more"] if len(self) > _SHOWN else []
        notes += [f"{name} failed: {error}" for name, error in self.failures.items()][:_SHOWN]
        columns = ("<Name", "<File", ">Start", ">Stop")
        return Table("Sources", counted(len(self), "file", "files"), columns, rows, notes)
