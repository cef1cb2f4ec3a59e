"""The codes of a category column, given to texts as they come.

    the parser ──▶ table ◀── np.loadtxt's way       without the parser: a dictionary alone

Both ways to read a text take turns in one column, so both must know which codes are given. The
parser cannot look into a Python dictionary; so where it runs, the codes are in a table of plain
memory, and np.loadtxt's way asks the parser for them.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from shmkit._categories import MAX_NAME_NBYTES, MAX_NAMES
from shmkit.readers.text.lines import parser

__all__ = ["TABLE", "CategoryCodes"]

# What the parser fills (its memory is there when it is): code + 1 by hash, name by code.
TABLE = np.dtype(
    [
        ("count", "u4"),
        ("codes", "u4", 2 * MAX_NAMES),
        ("names", f"S{MAX_NAME_NBYTES + 1}", MAX_NAMES),
    ]
)


class CategoryCodes:
    """The codes of one column: its texts are counted in the order of their first appearance.

    Parameters
    ----------
    table : array or None
        One of dtype `TABLE`, which the parser fills too; None if it is not used.
    """

    def __init__(self, table: NDArray[np.void] | None) -> None:
        self._table = table
        self._codes: dict[str, int] = {}

    def encode(self, texts: Iterable[object]) -> list[int]:
        """The codes of these texts; raises OverflowError if they become too many."""
        known = self._codes
        return [known[text] if text in known else self._code(text) for text in map(str, texts)]

    def _code(self, text: str) -> int:
        code = (
            len(self._codes)
            if self._table is None
            else parser.code(self._table.data, text.encode())
        )
        if not 0 <= code < MAX_NAMES:
            raise OverflowError
        self._codes[text] = code
        return code

    @property
    def texts(self) -> list[str]:
        """All texts, by code."""
        if self._table is None:
            return list(self._codes)
        (table,) = self._table
        return [name.decode() for name in table["names"][: table["count"]].tolist()]
