"""The memory of a segment in this process: what every view of it stands on.

    view ──base──▶ view ──base──▶ mapping ──▶ segment

As long as a view is there, so is the mapping; no view holds anything else of the segment.
"""

from __future__ import annotations

import errno
import mmap
import os
import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from shmkit import _limits
from shmkit._descriptors import above_standard
from shmkit.errors import NotEnoughMemoryError

if TYPE_CHECKING:
    from shmkit.segments.section import Section
    from shmkit.segments.segment import Segment

__all__ = ["Mapped", "SectionMemory", "allow_segments", "map_file", "mapping_of"]

# Before Python 3.13 an mmap keeps a duplicate of the descriptor that it was made from.
_HOLDS_DESCRIPTOR = sys.version_info < (3, 13)


class Mapped(mmap.mmap):
    """The memory of a segment: the base of every view of it."""

    segment: Segment
    writable: Mapped | None = None  # beside a read-only one: it lives as long

    def close(self) -> None:
        """Refuse, where mmap itself would not: it does not know of numpy's views."""
        raise BufferError("views of it may exist; it is unmapped when the last of them is gone")

    def resize(self, newsize: int) -> None:
        """Refuse, as close()."""
        del newsize
        self.close()


class SectionMemory(np.ndarray[Any, np.dtype[np.uint8]]):
    """The memory of a segment, as the base of the views of one section of it."""

    segment: Section
    writable: SectionMemory | None = None  # as above

    def __del__(self) -> None:
        # Not by a weak reference to it: the section, which would hold that, is gone before.
        if self.flags.writeable:  # as of a segment, whose read-only mapping ends nothing
            self.segment.unlink()


def allow_segments(count: int, kind: str) -> None:
    """Have descriptors for `count` more segments of this kind of backing, all of them mapped."""
    held = count * ((kind == "memfd") + _HOLDS_DESCRIPTOR)
    if held:
        _limits.allow_descriptors(held)


def mapping_of(value: object) -> Mapped | SectionMemory | None:
    """The mapping that an array or a memoryview stands on, down the chain of its bases."""
    if not isinstance(value, np.ndarray | memoryview):
        return None
    try:
        while value is not None and not isinstance(value, Mapped | SectionMemory):
            # Between arrays there may be an object of numpy's (as_strided) that has a base as well.
            value = value.obj if isinstance(value, memoryview) else getattr(value, "base", None)
    except ValueError:  # a memoryview that was released
        return None
    return value


def map_file(fd: int, access: int) -> Mapped:
    """Map the file of a segment; raises as `Segment.map`."""
    if _HOLDS_DESCRIPTOR:
        _limits.allow_descriptors(1)
    try:
        if sys.version_info >= (3, 13):
            return Mapped(fd, 0, access=access, trackfd=False)
        with above_standard():
            return Mapped(fd, 0, access=access)
    except OSError as error:
        if error.errno != errno.ENOMEM:
            raise
        _limits.allow_mappings(1)
        room = _limits.memory()
        where = "the address space of this process (RLIMIT_AS)"
        raise NotEnoughMemoryError(os.fstat(fd).st_size, 0, room.limit, where) from None
