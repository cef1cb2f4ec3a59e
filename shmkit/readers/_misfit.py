"""What a row of a text file holds that the array cannot, and the error that says so.

    dtype        chr S4         pos i4   pct f4       given, or inferred
    parsed as    f0  S5         f1  i4   f2  f4       one character more: text too long shows
    row          chr17_random   5        n/a
                 └─ too long             └─ no number ──▶ LoadError: line, column, text, option

np.loadtxt's own errors count rows, not lines, and it cuts text without one. So a block of rows
that failed is parsed again row by row, and the row that fails field by field.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from reprlib import repr as short
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shmkit.errors import LoadError
from shmkit.readers import Plan
from shmkit.readers._infer import EXACT, split_options
from shmkit.readers._lines import loadtxt

__all__ = ["TextPlan", "columns", "explained", "fits", "parse_options"]


@dataclass(frozen=True)
class TextPlan(Plan):
    """A plan, and how far its dtype is a guess.

    Attributes
    ----------
    inferred
        Whether the dtype comes from a sample of the file.
    whole_columns
        Columns of the array that are float64 but held only whole numbers in the sample: one
        that float64 cannot hold is an error there.
    """

    inferred: bool = False
    whole_columns: tuple[int, ...] = ()


class Column(NamedTuple):
    """What np.loadtxt fills from one column of the file."""

    name: str  # of the field, if there are fields
    dtype: np.dtype[Any]
    offset: int  # in a row of the array


def columns(dtype: np.dtype[Any], name: str = "", offset: int = 0) -> Iterator[Column]:
    """The columns that fill the dtype, nested fields and subarrays included."""
    if dtype.fields is not None:
        for field in dtype.names or ():
            inner, at = dtype.fields[field][:2]
            yield from columns(inner, f"{name}.{field}".lstrip("."), offset + at)
    elif dtype.subdtype is not None:
        for i in range(math.prod(dtype.shape)):
            yield from columns(dtype.base, name, offset + i * dtype.base.itemsize)
    else:
        yield Column(name, dtype, offset)


def _wide(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype with room for one character more, so that no text is cut unseen."""
    if dtype.kind not in "SU":
        return dtype
    return np.dtype(f"{dtype.kind}{dtype.itemsize // (4 if dtype.kind == 'U' else 1) + 1}")


def parse_options(plan: Plan) -> dict[str, Any]:
    """Options that make np.loadtxt give rows with a column each as it stands in the file.

    They are 2-d, or have the fields f0, f1, ... where the plan's dtype has fields.
    """
    options = {k: plan.options[k] for k in ("usecols", "converters") if k in plan.options}
    wide = [_wide(column.dtype) for column in columns(plan.dtype)]
    if plan.dtype.names is None:
        options |= {"dtype": wide[0], "ndmin": 2}
    else:
        options |= {"dtype": np.dtype([(f"f{i}", t) for i, t in enumerate(wide)]), "ndmin": 1}
    return options | split_options(plan.options)


def fits(rows: NDArray[Any], plan: TextPlan) -> bool:
    """Whether the array holds these parsed rows without changing a value."""
    whole = plan.whole_columns
    if not len(rows):
        return True
    if plan.dtype.names is not None:
        return not any(
            _change(rows[f"f{i}"], column.dtype, inferred=plan.inferred, whole=i in whole)
            for i, column in enumerate(columns(plan.dtype))
        )
    if len(plan.shape) == 2 and rows.shape[1] != plan.shape[1]:
        return False
    if whole and _change(rows[:, whole], plan.dtype, inferred=True, whole=True):
        return False
    return not _change(rows, plan.dtype, inferred=plan.inferred, whole=False)


def _change(
    values: NDArray[Any], dtype: np.dtype[Any], *, inferred: bool, whole: bool
) -> str | None:
    """How the array would change one of these parsed values; None if it holds all."""
    if dtype.kind in "SU":
        character = np.dtype(np.uint8 if dtype.kind == "S" else np.uint32)
        length = values.dtype.itemsize // character.itemsize
        codes = np.ascontiguousarray(values).view(character).reshape(-1, length)
        if codes[:, -1].any():
            return f"has more characters than {dtype.kind}{length - 1} holds"
        if inferred and dtype.kind == "S" and (codes > 127).any():
            return "is not ASCII text"
    if whole and (np.isfinite(values) & (np.abs(values) >= EXACT)).any():
        return "is beyond 2**53, above which float64 changes whole numbers"
    return None


def explained(path: str, plan: TextPlan, lines: list[str], start: int) -> LoadError:
    """The error for the first row that does not fit, in the lines that follow line `start`."""
    rest = iter(lines)
    while operator.length_hint(rest):
        begin, reason = len(lines) - operator.length_hint(rest), ""
        try:
            if fits(loadtxt(rest, max_rows=1, **parse_options(plan)), plan):
                continue
        except (ValueError, DeprecationWarning) as error:
            reason = str(error)
        end = len(lines) - operator.length_hint(rest)
        row, split = lines[begin:end], split_options(plan.options)
        fields = loadtxt(row, dtype=object, ndmin=2, max_rows=1, **split)[0].tolist()
        column, reason = _misfit(plan, row, fields) or (None, reason)
        if start + begin == plan.options.get("skiprows", 0):
            reason += f", or skiprows={start + end} if this line is a header"
        # A quoted field may hold line ends: the line is that where the row begins.
        line = start + end - sum(field.count("\n") for field in fields)
        return LoadError(path, line, column, reason)
    return LoadError(path, None, None, "the file changed while loading; load it again")


def _misfit(plan: TextPlan, row: list[str], fields: list[str]) -> tuple[int, str] | None:
    """The column of the first field that does not fit, counted from 1, and the reason."""
    expected, keys, found = list(columns(plan.dtype)), plan.options.get("usecols"), len(fields)
    if plan.dtype.names is None:
        width = plan.shape[1] if len(plan.shape) == 2 else found
        expected *= width if keys is None else len(keys)
    if keys is None:
        keys, need, wrong = range(found), len(expected), len(expected) != found
    else:
        need = max(key + 1 if key >= 0 else -key for key in keys)
        wrong = need > found
    if wrong:
        return min(need, found) + 1, (
            f"expected {need} columns, found {found} in {short(row[-1].rstrip())}; give "
            "delimiter=, comments= or quotechar= if it is split wrongly, usecols= for fewer columns"
        )
    for i, (column, key) in enumerate(zip(expected, keys, strict=True)):
        at, whole = key % found, i in plan.whole_columns
        reason = _field_misfit(plan, row, fields, at, column, whole=whole)
        if reason is not None:
            return at + 1, reason
    return None


def _field_misfit(
    plan: TextPlan, row: list[str], fields: list[str], at: int, column: Column, *, whole: bool
) -> str | None:
    """What is wrong with one field, and the option that helps."""
    text, dtype, converters = fields[at], column.dtype, plan.options.get("converters")
    if isinstance(converters, Mapping):  # its keys may count from the end
        matching = (f for key, f in converters.items() if key % len(fields) == at)
        converters = next(matching, None)
    options = split_options(plan.options) | {"usecols": [at], "converters": converters}
    option = f"give converters={{{at}: ...}} or another dtype="
    if dtype.kind in "SU":
        kind = "S" if dtype.kind == "S" and text.isascii() else "U"
        option = f'give dtype= with "{kind}{len(text)}" or longer'
    try:
        value = loadtxt(row, dtype=_wide(dtype), ndmin=1, max_rows=1, **options)
        reason = _change(value, dtype, inferred=plan.inferred, whole=whole)
    except (ValueError, DeprecationWarning) as error:
        reason = f"is not {'an' if dtype.kind == 'i' else 'a'} {dtype.name}"
        if converters:
            reason = f"makes its converter fail ({error.__cause__!r})"
        elif dtype.kind == "S":
            reason = "has a character of more than one byte"
    if reason is None:
        return None
    if converters:
        option = "correct the text or the converter, or give another dtype="
    notes = [f'field "{column.name}"'] if column.name else []
    notes += ["inferred from a sample of the file"] if plan.inferred else []
    note = f" ({', '.join(notes)})" if notes else ""
    return f"{short(text)} {reason}{note}; {option}"
