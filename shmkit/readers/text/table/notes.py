"""What is to be said of a table: which word on which line made a column what it is.

temp   21.5  22.0  <0.5  19.5   ──▶   'temp' is text: '<0.5' in line 4; missing= makes it numbers
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shmkit._format import count_text
from shmkit.readers.text.columns import MISSING, Class
from shmkit.readers.text.header import NUMBERS, TIMES

if TYPE_CHECKING:
    from shmkit.readers.text.table.plan import TableColumn, TablePlan

__all__ = ["Witness", "missing_with", "notes", "witnesses"]


class Witness(NamedTuple):
    """The value that made a column wider than most of it would need, and its line from 1."""

    text: str
    line: int


def witnesses(
    sample: bytes, facts: NDArray[np.void], line_of: Callable[[int], int]
) -> dict[int, Witness]:
    """The first field of a sample, by number, that makes text of what else is numbers or times.

    `facts` are those of the sample; `line_of` gives the line of a byte of it.
    """
    found = {}
    for number, column in enumerate(facts):
        odd = _odd(column)
        if odd is not None:
            start, stop = int(column["first_start"][odd]), int(column["first_stop"][odd])
            text = sample[start:stop].decode(errors="replace")
            found[number] = Witness(text, line_of(start))
    return found


def _odd(column: NDArray[Any]) -> Class | None:
    """The class of what makes text of a column that else is of one kind; None if it is none."""
    count = column["count"]
    for kinds in (NUMBERS, TIMES):
        alike = sum(int(count[kind]) for kind in kinds)
        if count[Class.TEXT] and alike >= count[Class.TEXT]:
            return Class.TEXT
        if kinds is NUMBERS and count[Class.ZERO_FIRST]:
            return Class.ZERO_FIRST
    return None


def missing_with(column: TableColumn, word: str) -> str:
    """The option by which this word means missing in a column, beside what was said of it."""
    said = None if column.words is None else column.words.decode()
    if column.weak is None:
        words = sorted({*([] if said is None else said.split("\n"))} - {word})
        return f"missing={{{column.name!r}: {{{', '.join(map(repr, [*words, word]))}}}}}"
    more = (said or "").removeprefix(MISSING.decode()).split("\n")[1:]
    return f"missing={{{column.name!r}: {[*more, word]!r}}}"


def notes(plan: TablePlan, missing: Mapping[str, int]) -> Iterator[str]:
    """What is to be said; `missing` is how many values of each column are."""
    for column, dtype in zip(plan.columns, plan.dtypes, strict=True):
        witness = plan.witnesses.get(column.field)
        if witness is None or column.given is not None or column.coded:
            continue
        key, text = repr(column.name), repr(witness.text)
        where = f"{text} in line {count_text(witness.line)}"
        is_text = plan.types[plan.columns.index(column)].dtype.kind == "S"
        odd = _odd(plan.facts[column.field])
        if is_text and odd is Class.ZERO_FIRST:
            yield f"{key} is text: {where} begins with a zero; dtype={{{key}: int}} drops it"
        elif is_text and odd is Class.TEXT:
            below = plan.header and witness.line == plan.lines + 1
            word = witness.text.strip().strip(plan.dialect.quotechar)
            other = ""
            if below:
                other = (
                    f", units=True if that line has units, skiprows={plan.lines} if it has names"
                )
            yield (
                f"{key} is text: {where}; {missing_with(column, word)} has it missing, and the "
                f"others numbers{other}"
            )
        elif not is_text:
            yield f"{key} is {dtype}: {where}"
    counts = [f"{count_text(count)} in {name!r}" for name, count in missing.items() if count]
    if counts:
        yield f"missing: {', '.join(counts)}"
