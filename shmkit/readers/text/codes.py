"""The texts of a category column and their codes, as they come: the same for both ways.

the parser ──▶ table ◀── np.loadtxt's way       without the parser: a dictionary alone
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from shmkit._categories import MAX_NAME_NBYTES, MAX_NAMES
from shmkit.readers.text.lines import parser

__all__ = ["TABLE", "Names"]

# What the parser fills (its memory is there when it is): code + 1 by hash, name by code.
TABLE = np.dtype(
    [
        ("count", "u4"),
        ("codes", "u4", 2 * MAX_NAMES),
        ("names", f"S{MAX_NAME_NBYTES + 1}", MAX_NAMES),
    ]
)


class Names:
    """The texts of one column, in the order of their first appearance.

    Parameters
    ----------
    table : array or None
        One of dtype `TABLE`, which the parser fills too; None if it is not used.
    """

    def __init__(self, table: NDArray[np.void] | None) -> None:
        self._table = table
        self._codes: dict[str, int] = {}

    def codes(self, texts: Iterable[object]) -> list[int]:
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

    def list(self) -> list[str]:
        """All of them, by code."""
        if self._table is None:
            return list(self._codes)
        (table,) = self._table
        return [name.decode() for name in table["names"][: table["count"]].tolist()]
