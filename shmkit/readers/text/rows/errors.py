"""What a row of a text file holds that the array cannot, and the error that says so.

    dtype        chr S4         pos i4   pct f4       given, or inferred
    parsed as    f0  S5         f1  i4   f2  f4       one character more: text too long shows
    row          chr17_random   5        n/a
                 └─ too long             └─ no number ──▶ LoadError: line, column, text, option

np.loadtxt's own errors count rows, not lines, and it cuts text without one. So a block of rows
that failed is parsed again row by row, and in the row that fails the field is searched for.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from reprlib import repr as short
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shmkit._categories import MAX_NAME_NBYTES, enum_of
from shmkit.errors import LoadError
from shmkit.readers.base import Plan
from shmkit.readers.text.lines import loadtxt, split_fields, split_options

__all__ = [
    "TextPlan",
    "array_can_hold",
    "columns",
    "explain_row",
    "is_category",
    "parse_options",
]


@dataclass(frozen=True)
class TextPlan(Plan):
    """A plan for np.loadtxt."""

    def final_shape(self, rows: int) -> tuple[int, ...]:
        """The shape that np.loadtxt gives to an array of so many rows."""
        shape, ndmin = (rows, *self.shape[1:]), self.options.get("ndmin", 0)
        if len(shape) > ndmin:
            shape = tuple(length for length in shape if length != 1)
        return (*shape, *(1,) * (ndmin - len(shape)))


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


def is_category(dtype: np.dtype[Any]) -> bool:
    """Whether text becomes codes, whose names are to be found."""
    return enum_of(dtype) == {}


def _wide(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype with room for one character more, so that no text is cut unseen."""
    if is_category(dtype):
        return np.dtype(object)
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


def array_can_hold(rows: NDArray[Any], plan: TextPlan) -> bool:
    """Whether the array holds these parsed rows without changing a value."""
    if not len(rows):
        return True
    if plan.dtype.names is not None:
        return not any(
            _change(rows[f"f{i}"], column.dtype)
            for i, column in enumerate(columns(plan.dtype))
            if column.dtype.kind in "SU" or is_category(column.dtype)
        )
    if len(plan.shape) == 2 and rows.shape[1] != plan.shape[1]:
        return False
    return not _change(rows, plan.dtype)


def _change(values: NDArray[Any], dtype: np.dtype[Any]) -> str | None:
    """How the array would change one of these parsed values; None if it holds all."""
    if dtype.kind in "SU":
        character = np.dtype(np.uint8 if dtype.kind == "S" else np.uint32)
        length = values.dtype.itemsize // character.itemsize
        codes = np.ascontiguousarray(values).view(character).reshape(-1, length)
        if codes[:, -1].any():
            return f"has more characters than {dtype.kind}{length - 1} holds"
    if is_category(dtype):
        texts = set(map(str, values.tolist()))
        if any("\0" in text or len(text.encode()) > MAX_NAME_NBYTES for text in texts):
            return f"holds a NUL or more than {MAX_NAME_NBYTES} bytes, so it is no category"
    return None


def explain_row(
    path: str, plan: TextPlan, lines: list[str], start: int, *, first: bool
) -> LoadError | None:
    """The error for the first row that does not fit, in the lines after `start`.

    `first` says whether no row comes before these lines: theirs may be a header.
    """
    parse, split, rest = parse_options(plan), split_options(plan.options), iter(lines)
    while operator.length_hint(rest):
        begin, reason = len(lines) - operator.length_hint(rest), ""
        try:
            good = array_can_hold(loadtxt(rest, max_rows=1, **parse), plan)
        except (ValueError, DeprecationWarning) as error:
            good, reason = False, str(error)
        end = len(lines) - operator.length_hint(rest)
        if good:
            continue
        fields = split_fields(lines[begin:end], split)
        # A quoted field may hold line ends: the line is that where the row begins. One that does
        # not end holds the last line end, too.
        top = max(begin, end - 1 - sum(field.count("\n") for field in fields))
        row = lines[top:end]
        column, reason = _misfit(plan, row, fields) or (None, reason)
        if first and begin == 0:
            reason += f", or skiprows={start + end} if this line is a header"
        return LoadError(path, start + top + 1, column, reason)
    return None


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
    converters, at = plan.options.get("converters"), [key % found for key in keys]
    if isinstance(converters, Mapping):  # its keys may count from the end
        converters = {key % found: converter for key, converter in converters.items()}
    low, high = 0, len(at)
    while low < high:  # by halves: one by one would take the square of a wide row
        end = (low + high) // 2 + 1
        part = replace(
            plan,
            dtype=np.dtype([(f"f{i}", column.dtype) for i, column in enumerate(expected[low:end])]),
            options={**plan.options, "usecols": at[low:end], "converters": converters},
        )
        try:
            good = array_can_hold(loadtxt(row, max_rows=1, **parse_options(part)), part)
        except (ValueError, DeprecationWarning):
            good = False
        low, high = (end, high) if good else (low, end - 1)
    if low == len(at):
        return None
    converter = converters.get(at[low]) if isinstance(converters, Mapping) else converters
    reason = _field_misfit(plan, row, fields, at[low], expected[low], converter)
    return None if reason is None else (at[low] + 1, reason)


def _field_misfit(
    plan: TextPlan,
    row: list[str],
    fields: list[str],
    at: int,
    column: Column,
    converter: Callable[[str], Any] | None,
) -> str | None:
    """What is wrong with one field, and the option that helps."""
    text, dtype = fields[at], column.dtype
    options = split_options(plan.options) | {"usecols": [at], "converters": converter}
    option = f"give converters={{{at}: ...}} or another dtype="
    if dtype.kind in "SU":
        kind = "S" if dtype.kind == "S" and text.isascii() else "U"
        option = f'give dtype= with "{kind}{len(text)}" or longer'
    if is_category(dtype):
        option = "leave it out of categories="
    try:
        value = loadtxt(row, dtype=_wide(dtype), ndmin=1, max_rows=1, **options)
        reason = _change(value, dtype)
    except (ValueError, DeprecationWarning) as error:
        reason = f"is not {'an' if dtype.kind == 'i' else 'a'} {dtype.name}"
        if converter:
            reason = f"makes its converter fail ({error.__cause__!r})"
        elif dtype.kind == "S":
            reason = "has a character of more than one byte"
    if reason is None:
        return None
    if converter:
        option = "correct the text or the converter, or give another dtype="
    note = f' (field "{column.name}")' if column.name else ""
    return f"{short(text)} {reason}{note}; {option}"
