"""Whether the first line of a table names its columns, and how.

    first line     gene    0     15           names
    below          A       1.5   2.5          facts: what the columns below it are
                   B       5.5   6.5

A data row must never be lost as names, nor names become data. So a first line is told by how it
differs in kind from what is below it, and where that tells nothing the caller must (`Doubt`).
"""

from __future__ import annotations

import enum
import itertools
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from shmkit.readers.text.columns import Class

__all__ = ["Verdict", "class_of", "comment_names", "distinct", "is_header"]

GAPS = frozenset([Class.EMPTY, Class.MISSING, Class.WEAK])
NUMBERS = frozenset(kind for kind in Class if Class.WHOLE <= kind <= Class.REAL)
TIMES = frozenset(kind for kind in Class if Class.DATE <= kind <= Class.UTC_NANO)

_MISSING = frozenset(["", "-", ".", "?", "na", "n/a", "nan", "null", "none", "nil", "missing"])
_MANY_ROWS = 20  # in which texts that repeat mostly do so
_ALONE = 0.05  # of them are there once
_FEW_ROWS = 10  # in which texts are alike by chance
_INCREASING = 4  # whole numbers that do so by chance in one of 24 rows
_WHOLE_NUMBER = re.compile(r"\s*[+-]?[0-9]+\s*")
_LETTER = re.compile(r"[^\W\d_]")


class Verdict(enum.Enum):
    """What a first line is."""

    HEADER = enum.auto()
    DATA = enum.auto()
    DOUBT = enum.auto()


def class_of(column: NDArray[np.void]) -> Class:
    """The class of the one field whose facts these are."""
    return Class(int(column["count"].argmax()))


def is_header(
    names: Sequence[str],
    classes: Sequence[Class],
    below: Sequence[Sequence[str]],
    facts: NDArray[np.void],
) -> Verdict:
    """Whether a first line is a header.

    Parameters
    ----------
    names, classes
        Its fields, and what each is.
    below
        Some rows below it, as wide.
    facts
        Of these rows.

    Text above a column of numbers, times or truth is a name, if there is a letter in it. A missing
    value is no sign of a header: the line would be lost. Half of a column is enough, as values may
    be missing below too.
    """
    rows = len(below)
    if not rows:
        return Verdict.HEADER if _are_names(names, classes) else Verdict.DATA
    values = NUMBERS | TIMES | {Class.TRUTH}
    texts = [i for i, kind in enumerate(classes) if kind not in values]
    named = [i for i in texts if names[i].strip().lower() not in _MISSING]
    if any(_of_its_kind(classes[i], facts[i]) for i in range(len(names))):
        return Verdict.DATA
    odd = [i for i in named if not _LETTER.search(names[i]) and re.search(r"\d", names[i])]
    if odd:  # one is "<0.5" or "1,234"; several, above all numbers, may be bins
        numbers = [i for i in range(len(names)) if _share(facts[i], values, rows) == 1.0]
        return Verdict.DOUBT if len(odd) > 1 and set(numbers) <= set(odd) else Verdict.DATA
    all_text = len(texts) == len(names)
    part = 0.5 if all_text else 1.0
    over_values = any(_share(facts[i], values, rows) >= part for i in named)
    if any(names[i] in {row[i] for row in below} for i in named):
        return Verdict.HEADER if all_text and over_values else Verdict.DATA
    index = not names[0].strip() and all(row[0].strip() for row in below)  # of pandas
    if index:
        others = {name for name in names[1:] if name.strip().lower() not in _MISSING}
        found = over_values or len(others) == len(names) - 1
        return Verdict.HEADER if found else Verdict.DATA
    if all_text or not named:
        found = over_values or (all_text and (_differ(names, below) or _repeat(names, below)))
        return Verdict.HEADER if found else Verdict.DATA
    return _with_numbers(names, classes, below, facts, over_values=over_values)


def _are_names(names: Sequence[str], classes: Sequence[Class]) -> bool:
    """Whether the only line of a file has names: distinct words."""
    words = all(kind is Class.TEXT for kind in classes) and all(map(_LETTER.search, names))
    return words and len(set(names)) == len(names) > 1


def _of_its_kind(kind: Class, column: NDArray[np.void]) -> bool:
    """Whether this is a time or truth, and all below it too: those are no names."""
    for kinds in (TIMES, frozenset([Class.TRUTH])):
        if kind in kinds:
            return sum(int(column["count"][k]) for k in kinds) == int(column["count"].sum())
    return False


def _share(column: NDArray[np.void], kinds: Iterable[Class], rows: int) -> float:
    """Which part of a column is of these kinds."""
    return float(sum(int(column["count"][kind]) for kind in kinds) / rows)


def _with_numbers(
    names: Sequence[str],
    classes: Sequence[Class],
    below: Sequence[Sequence[str]],
    facts: NDArray[np.void],
    *,
    over_values: bool,
) -> Verdict:
    """The same of a line with numbers among the names: years, or 0, 15, 30."""
    numbers = [i for i, kind in enumerate(classes) if kind in NUMBERS]
    cells = [names[i] for i in numbers]
    under = [[row[i] for i in numbers] for row in below]
    years = len(cells) > 1 and all(map(_is_year, cells))
    years = years and not any(map(_is_year, itertools.chain.from_iterable(under)))
    whole = all(map(_WHOLE_NUMBER.fullmatch, cells))
    increasing = len(cells) > 1 and whole and all(a < b for a, b in _pairs(cells))
    fractions = all(
        set(np.flatnonzero(facts["count"][i]).tolist()) <= GAPS | {Class.REAL} for i in numbers
    )
    if increasing and fractions:
        return Verdict.HEADER
    step = _step(cells)
    if not step:
        doubt = years or over_values or (increasing and len(cells) >= _INCREASING)
        return Verdict.DOUBT if doubt else Verdict.DATA
    if any(facts["count"][i][Class.TEXT] for i in numbers):
        return Verdict.DATA
    runs = [_step(row) == step for row in under]
    if years or not (any(runs) or len(cells) == 2):
        return Verdict.HEADER
    return Verdict.DATA if all(runs) and not over_values else Verdict.DOUBT


def _pairs(cells: Sequence[str]) -> Iterator[tuple[float, float]]:
    return itertools.pairwise(map(float, cells))


def _step(cells: Sequence[str]) -> float:
    """The constant step, from 1 to 10, of at least two whole numbers; else 0."""
    if len(cells) < 2 or not all(map(_WHOLE_NUMBER.fullmatch, cells)):
        return 0
    steps = {after - before for before, after in _pairs(cells)}
    return steps.pop() if len(steps) == 1 and 1 <= min(steps) <= 10 else 0


def _is_year(text: str) -> bool:
    return text.strip().isascii() and text.strip().isdigit() and 1500 <= int(text) <= 2200


def _differ(names: Sequence[str], below: Sequence[Sequence[str]]) -> bool:
    """Whether the names of an all-text table differ in kind from the texts below.

    They are distinct, each with a letter, and their columns have something in common that they
    have not: how they are capitalized, or that there are digits, blanks or other signs. That is so
    in half of the columns; in all where there are few rows, which may be alike by chance.
    """
    if len(below) < 2 or len(set(names)) < len(names) or not all(map(_LETTER.search, names)):
        return False
    differing = 0
    for name, column in zip(names, zip(*below, strict=True), strict=True):
        traits = [set(of_one) for of_one in zip(*map(_traits, column), strict=True)]
        pairs = zip(traits, _traits(name), strict=True)
        differing += any(len(trait) == 1 and mine not in trait for trait, mine in pairs)
    need = len(names) if len(below) < _FEW_ROWS else -(-len(names) // 2)
    return differing >= need


def _repeat(names: Sequence[str], below: Sequence[Sequence[str]]) -> bool:
    """Whether texts below repeat, in two columns at least, and nearly all do there.

    None of the names is among them, or it would be data: a row of such a table has a text that is
    there again, in each of these columns, unless it is one of a few.
    """
    if len(below) < _MANY_ROWS or len(set(names)) < len(names):
        return False
    if not all(map(_LETTER.search, names)):
        return False
    counts = [Counter(column) for column in zip(*below, strict=True)]
    once = [sum(count == 1 for count in column.values()) for column in counts]
    return sum(alone <= _ALONE * len(below) for alone in once) >= 2


def _traits(text: str) -> tuple[object, ...]:
    text = text.strip()
    case = "upper" if text.isupper() else "lower" if text.islower() else text[:1].isupper()
    return case, bool(re.search(r"\d", text)), " " in text, bool(re.search(r"[^\w\s]", text))


def comment_names(line: str, delimiter: str | None, width: int) -> list[str]:
    """The words of a comment such as "#chr start end", if there are as many as columns."""
    text = line.strip().lstrip("#")
    for names in (text.split(delimiter), text.split()):
        if len(names) == width:
            return names
    return []


def distinct(names: Iterable[str]) -> list[str]:
    """Names of columns: stripped, none empty, none twice.

    >>> distinct(["", "x", " x "])
    ['f0', 'x', 'x_1']
    """
    found: dict[str, None] = {}  # in order
    numbers: defaultdict[str, Iterator[int]] = defaultdict(lambda: itertools.count(1))
    for i, name in enumerate(names):
        candidate = base = name.strip() or f"f{i}"
        while candidate in found:
            candidate = f"{base}_{next(numbers[base])}"
        found[candidate] = None
    return list(found)
