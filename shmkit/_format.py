"""Numbers as a person reads them: the same units in messages, tables and widgets."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

__all__ = [
    "count_text",
    "counted",
    "cut_text",
    "dtype_text",
    "few_text",
    "more_text",
    "nbytes_text",
    "printable",
    "seconds_text",
    "shape_text",
    "short_count_text",
    "table_text",
]

# What a terminal obeys or reorders, and what cannot be written to it.
_UNPRINTABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


def printable(text: str) -> str:
    r"""A text from a file or a file's name, with what a terminal would obey escaped.

    >>> print(printable("red\x1b[31m"), printable("größe"))
    red\x1b[31m größe
    """
    return _UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def nbytes_text(nbytes: float) -> str:
    """Bytes in decimal units with three figures, as file managers and disks count.

    >>> [nbytes_text(n) for n in (0, 999, 78_000_000, 1_520_000_000)]
    ['0 B', '999 B', '78.0 MB', '1.52 GB']
    """
    if nbytes < 999.5:
        return f"{nbytes:.0f} B"
    for unit in ("kB", "MB", "GB", "TB"):
        nbytes /= 1000
        if nbytes < 999.5 or unit == "TB":
            break
    digits = 2 if nbytes < 9.995 else 1 if nbytes < 99.95 else 0
    return f"{nbytes:.{digits}f} {unit}"


def count_text(count: int) -> str:
    """A count with thin groups of three, which no locale takes for a decimal point.

    >>> count_text(12_000_000)
    '12\u202f000\u202f000'
    """
    return f"{count:,}".replace(",", "\u202f")


def short_count_text(count: int) -> str:
    """A count in at most seven letters, for a column; larger ones with three figures.

    >>> [short_count_text(n) for n in (999_999, 12_000_000, 3_456_789_012)]
    ['999\u202f999', '12.0 M', '3.46 G']
    """
    return count_text(count) if count < 1_000_000 else nbytes_text(count).removesuffix("B")


def counted(count: int, one: str, many: str) -> str:
    """A count of things, in the singular or the plural.

    >>> counted(1, "file", "files"), counted(0, "file", "files")
    ('1 file', '0 files')
    """
    return f"{count_text(count)} {one if count == 1 else many}"


def few_text(names: Sequence[str]) -> str:
    """The first three names, and how many more there are.

    >>> few_text(["a", "Out[3]"]), few_text(["a", "b", "c", "d", "e"])
    ('a, Out[3]', 'a, b, c and 2 more')
    """
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


def more_text(nbytes: Sequence[int]) -> list[str]:
    """A note on what a table does not show, of so many bytes each; none if it shows all.

    >>> more_text([400, 599]), more_text([])
    (['and 2 more (999 B)'], [])
    """
    return [f"and {len(nbytes)} more ({nbytes_text(sum(nbytes))})"] if nbytes else []


def cut_text(text: str, letters: int) -> str:
    """The text, cut to so many letters.

    >>> cut_text("chromosome", 5)
    'chro…'
    """
    return text if len(text) <= letters else f"{text[: letters - 1]}…"


def dtype_text(dtype: np.dtype[Any]) -> str:
    """The names of the fields, or the dtype.

    >>> dtype_text(np.dtype([("chr", "S5"), ("pos", "i8")])), dtype_text(np.dtype("f4"))
    ('chr pos', 'float32')
    """
    return " ".join(dtype.names) if dtype.names else str(dtype)


def shape_text(shape: Sequence[int]) -> str:
    """The lengths of an array.

    >>> shape_text((12, 721)), shape_text(())
    ('12 \N{MULTIPLICATION SIGN} 721', 'scalar')
    """
    return " \N{MULTIPLICATION SIGN} ".join(map(count_text, shape)) or "scalar"


def seconds_text(seconds: float) -> str:
    """A duration, in one unit or two.

    >>> [seconds_text(s) for s in (0.012, 3.14159, 75, 7500, 200_000)]
    ['12 ms', '3.1 s', '1 min 15 s', '2 h 5 min', '2 d 7 h']
    """
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    if not hours:
        return f"{minute} min {second} s"
    if hours < 24:
        return f"{hours} h {minute} min"
    return f"{hours // 24} d {hours % 24} h"


def table_text(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of texts; a column is its side, "<" for left or ">" for right, and its heading.

    Each text comes out `printable`.

    >>> print(table_text(["<File", ">"], [("a.npy", "9 B"), ("b", "12 B")]))
    File
    a.npy   9 B
    b      12 B
    """
    texts = [[column[1:] for column in columns], *rows]
    table = [list(map(printable, row)) for row in texts]
    widths = [max(map(len, cells)) for cells in zip(*table, strict=True)]
    formats = [f"{column[0]}{width}" for column, width in zip(columns, widths, strict=True)]
    lines = ("  ".join(map(format, cells, formats)).rstrip() for cells in table)
    return "\n".join(lines)
