"""Sections: rows of a segment that are an array of their own, beside others of the same load.

    segment   │ header │ rows of a.csv │ rows of b.csv │ rows of c.csv │
                               ▲               ▲ section, "….npy[1000:2000]"
    view ──base──▶ SectionMemory ──base──▶ Mapped, of all that share the segment

A section is to its array what a segment is to any other: where it came from, whether it is closed,
whether a view still holds it.

1. What is in the file is one array, or one table, with the rows of all: ``np.load`` and `attach` of
   its path give these. The path of a section says which rows are its own, and `attach` takes it.
2. A section is *unlinked* when it is closed or its last view ends: this process sends no more
   references to it. The file's name goes with the last section that has it, and the memory with
   the last view of any.

What does not work: to give the memory of one section back before. Another process may have it
mapped, and would read zeros there.
"""

from __future__ import annotations

import math
import re
import weakref
from collections.abc import Mapping
from typing import Any, Self

import numpy as np

from shmkit.cleanup import published as _published
from shmkit.cleanup.owner import split_rows
from shmkit.segments.files import Identity
from shmkit.segments.image.header import Header
from shmkit.segments.image.layout import Layout, as_rows
from shmkit.segments.mapping import SectionMemory
from shmkit.segments.segment import Segment

__all__ = ["Section", "attached", "referred"]

_ROWS = re.compile(r"\[(\d+)(?::(\d+))?\]")

# One object a section, as there is one a segment; by the first row, and the row behind the last.
_sections: weakref.WeakKeyDictionary[Segment, _Sections] = weakref.WeakKeyDictionary()


class _Sections:
    """The sections of one segment in this process."""

    def __init__(self) -> None:
        self.by_rows: weakref.WeakValueDictionary[tuple[int, int | None], Section]
        self.by_rows = weakref.WeakValueDictionary()
        self.linked: set[tuple[int, int | None]] = set()
        # Of all rows, once they are mapped: to find out takes its time for each small file.
        self.header: Header | None = None
        self.layout: Layout | None = None


class Section(Segment):
    """Rows of a segment, as a segment; `Section.of` makes them.

    `whole` is that segment, and `span` says which rows of it.
    """

    def __init__(self, whole: Segment, sections: _Sections, start: int, stop: int | None) -> None:
        self._whole = whole
        self._sections = sections
        self.path = f"{whole.path}[{start}]" if stop is None else f"{whole.path}[{start}:{stop}]"
        self.backing = whole.backing
        self.identity = whole.identity
        self.source: Mapping[str, Any] = {}
        self.sealed = False
        self._links: list[str] = []
        self._rows = start, stop
        self._linked = True
        self._memory: weakref.ref[SectionMemory] | None = None
        self._readonly_memory: weakref.ref[SectionMemory] | None = None

    @classmethod
    def of(cls, whole: Segment, start: int, stop: int | None) -> Self:
        """The section with these rows of a segment; without a `stop` the item ``[start]``."""
        sections = _sections.get(whole) or _sections.setdefault(whole, _Sections())
        known = sections.by_rows.get((start, stop))
        if known is None or (start, stop) not in sections.linked:  # it was closed
            known = sections.by_rows[start, stop] = cls(whole, sections, start, stop)
            sections.linked.add((start, stop))
        assert isinstance(known, cls)
        return known

    @property
    def whole(self) -> Segment:
        """The segment that it is in."""
        return self._whole

    @property
    def span(self) -> range:
        """Its rows in the segment."""
        start, stop = self._rows
        return range(start, start + 1 if stop is None else stop)

    @property
    def owned(self) -> bool:
        """Whether this process created the segment."""
        return self.whole.owned

    @property
    def header(self) -> Header:
        """What array its rows are; of a table they are described as records."""
        header = self._sections.header
        if header is None:
            header = self.whole.header
            dtype, shape = as_rows(header.dtype, header.shape)
            header = header._replace(dtype=dtype, shape=shape)
            if self.whole.mapped:
                self._sections.header, self._sections.layout = header, self.whole.layout
        dtype, (_, *inner), fortran_order, offset, attrs = header
        start, stop = self._rows
        offset += start * math.prod(inner) * dtype.itemsize
        shape = tuple(inner) if stop is None else (stop - start, *inner)
        return Header(dtype, shape, fortran_order, offset, attrs)

    @property
    def layout(self) -> Layout | None:
        """Where the columns of the whole table lie, if it is one."""
        return self._sections.layout if self._sections.header else self.whole.layout

    @property
    def rows(self) -> int:
        """How many items the array has along its first axis, or rows the table."""
        shape = self.header.shape
        return shape[0] if shape else 1

    @property
    def nbytes(self) -> int:
        """Bytes that its rows take."""
        return self.header.nbytes

    @property
    def linked(self) -> bool:
        """Whether it is not closed, and other processes can attach."""
        return self._linked and self.whole.linked

    def _mapped(self) -> SectionMemory | None:  # type: ignore[override] # as map
        for memory in (self._memory, self._readonly_memory):
            found = None if memory is None else memory()
            if found is not None:
                return found
        return None

    def map(  # type: ignore[override] # what it gives is used as a mapping
        self, header: Header | None = None, *, writable: bool = True, name: str | None = None
    ) -> SectionMemory:
        """Its memory in this process, as `Segment.map`: it holds that of the whole segment."""
        found = self._memory if writable else self._readonly_memory
        memory = None if found is None else found()
        if memory is None:
            other = self._mapped()
            mapped = self.whole.map(header, writable=writable, name=name)
            self.sealed = self.whole.sealed
            memory = SectionMemory.__new__(SectionMemory, len(mapped), np.uint8, mapped)
            memory.segment = self
            if writable:
                self._memory = weakref.ref(memory)
            else:
                self._readonly_memory = weakref.ref(memory)
                memory.writable = other
        return memory

    def publish(self, name: str) -> None:
        """Have `name` lead to it as well, until it is unlinked; see `SharedArray.publish`."""
        super().publish(name)
        self.whole.withdraw_with(self._links[-1])  # whose end may come first

    def unlink(self) -> None:
        """Note that it is closed; the last one that does unlinks the segment."""
        if not self.owned or not self._linked:
            return
        _published.withdraw(self._links, self.path)
        self._sections.linked.discard(self._rows)
        if not self._sections.linked:
            self.whole.unlink()
        self._linked = False  # last, so that after an interrupt it can be called again


def attached(path: str, identity: Identity | None = None, *, any_user: bool = False) -> Segment:
    """The segment or the section at a path; raises as `Segment.attach`."""
    file, rows = split_rows(path)
    return _in(Segment.attach(file, identity, any_user=any_user), rows)


def referred(path: str, identity: Identity) -> Segment:
    """As `attached`, also if it is unlinked: see `Segment.referred`."""
    file, rows = split_rows(path)
    return _in(Segment.referred(file, identity), rows)


def _in(segment: Segment, rows: str) -> Segment:
    found = _ROWS.fullmatch(rows)
    if found is None:
        return segment
    start, stop = found.groups()
    return Section.of(segment, int(start), None if stop is None else int(stop))
