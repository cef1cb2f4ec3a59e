"""Where a table begins below lines that are none of it.

    Station 7, Oslo             ──┐  another width than all behind: passed over
    serial,0815,x               ──┘
    time,temp,n                       the table begins
    2024-03-01,2.5,80

A preamble is passed over only where the lines behind it are all alike. Where they are not, or where
lines of the preamble are as wide as the table, the error names the line and the `skiprows=` that
reads it, so that nobody must find it line by line.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from shmkit.readers.text.columns import Class
from shmkit.readers.text.header import GAPS, NUMBERS, TIMES

__all__ = ["last_words", "plain_begin", "ragged_begin", "seem_names"]

_MIN_ROWS = 3  # behind a preamble: fewer are alike by chance
_LETTER = re.compile(r"[^\W\d_]")
_POWER = re.compile(r"[-+\s\d.,]+[eE][-+]?\d+\s*")  # a number with a letter in it


def plain_begin(widths: Sequence[int]) -> int:
    """The first row of the table: behind a preamble, if all that is behind one is as wide."""
    width = widths[-1]
    behind = next((i for i, found in enumerate(widths) if found == width), 0)
    alike = len(set(widths[behind:])) == 1 and len(widths) - behind >= _MIN_ROWS
    return behind if alike and width > 1 and not _is_header(widths, behind, width) else 0


def ragged_begin(widths: Sequence[int]) -> int:
    """The first of some rows that are as wide as most; 0 if that is the first, or a header is.

    >>> ragged_begin([1, 3, 3, 3, 2, 3])
    1
    """
    width, count = Counter(widths).most_common(1)[0]
    if width == 1 or count < _MIN_ROWS:
        return 0
    wanted = [width] * _MIN_ROWS
    starts = range(len(widths) - _MIN_ROWS + 1)
    first = next((i for i in starts if list(widths[i : i + _MIN_ROWS]) == wanted), 0)
    return 0 if _is_header(widths, first, width) else first


def _is_header(widths: Sequence[int], first: int, width: int) -> bool:
    """Whether the only row before may name the columns: R's has one name less."""
    return first == 1 and widths[0] in (width - 1, width + 1)


def last_words(rows: Sequence[Sequence[str]]) -> int:
    """The last row, but for the last few, that has words alone; -1 if there is none."""
    for i in range(len(rows) - 1 - _MIN_ROWS, -1, -1):
        cells = filter(None, rows[i])
        if all(_LETTER.search(cell) and not _POWER.fullmatch(cell) for cell in cells):
            return i
    return -1


def seem_names(
    above: Sequence[NDArray[np.void]], behind: NDArray[np.void], *, header_above: bool
) -> bool:
    """Whether the last of the rows above names columns, and those before it are no rows of them.

    `above` are the facts of each, `behind` those of the rows behind. In columns that have numbers
    or times alone behind, all of the last have words, and each of the others has one at least. Two
    rows of words may be names and units, if there is no header above; so they tell nothing.
    """
    values = NUMBERS | TIMES
    kinds = [set(map(Class, np.flatnonzero(count).tolist())) for count in behind["count"]]
    over = [i for i, kind in enumerate(kinds) if kind & values and kind <= values | GAPS]
    words = [[bool(row["count"][i][Class.TEXT]) for i in over] for row in above]
    if not over or not all(words[-1]) or not all(map(any, words)):
        return False
    return header_above or len(words) > 2 or not all(words[0])
