"""The lines of a part of a table, counted before they are read.

A part may begin inside of quotes, which only the parts before it tell. So its lines are counted
both ways at once (`Counted`), and `TablePlan.in_parts` chooses when all are counted.

Most of the time of a count goes into getting the text from the page cache. To map the file instead
of reading it takes as long, and a file that is cut short meanwhile would end the process (SIGBUS).
"""

from __future__ import annotations

from typing import BinaryIO

from shmkit.readers.text.lines import parser
from shmkit.readers.text.table.plan import Counted, TablePlan

__all__ = ["counted"]

_COUNT_NBYTES = 1 << 18  # stays in the cache of a core until it is counted
_Ends = tuple[int, int, int, int]


def counted(data: BinaryIO, start: int, stop: int, plan: TablePlan) -> Counted:
    """The lines in these bytes of a text."""
    dialect = plan.dialect
    signs = {"delimiter": dialect.delimiter, "quotechar": dialect.quotechar}
    text = bytearray(2 + _COUNT_NBYTES)
    data.seek(max(start - 2, 0))
    before = data.read(start - max(start - 2, 0))
    text[:2] = before.rjust(2, b"\n")
    sides = [(0, 0, 0, -1), (0, 0, 0, -1)]  # begun outside, and inside
    crossed, at = False, start  # whether so far the side has changed
    while at < stop:
        with memoryview(text)[2 : 2 + stop - at] as free:
            count: int = data.readinto(free)  # type: ignore[attr-defined] # they all have it
        if not count:
            break
        *found, other = parser.count(text, 2, 2 + count, comment=dialect.comment, **signs)
        for i in (0, 1):
            sides[i] = _added(sides[i], found[i ^ crossed], at - start)
        crossed ^= other
        text[:2] = text[count : count + 2]
        at += count
    return Counted(start, stop, sides[0], sides[1], crossed)


def _added(total: _Ends, more: _Ends, at: int) -> _Ends:
    """Both together, where `more` begins at this place."""
    first = total[3] if total[3] >= 0 or more[3] < 0 else at + more[3]
    return total[0] + more[0], total[1] + more[1], total[2] + more[2], first
