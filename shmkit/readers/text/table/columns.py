"""The columns of a table: which of the file, by which name, and what the caller said of each."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shmkit.errors import LoadError
from shmkit.readers.text.columns import FACTS, MISSING, WEAK, Dialect, facts
from shmkit.readers.text.lines import parser
from shmkit.readers.text.shape import Shape
from shmkit.readers.text.table.options import MissingWords
from shmkit.readers.text.table.plan import TableColumn

__all__ = ["converter_of", "facts_by_words", "first_rows", "table_columns", "words_of"]

_Words = tuple[bytes | None, bytes | None]  # in columns of numbers and times; of numbers alone
_CONVERTED_ROWS = 1000  # whose values say the type of a converter


def table_columns(
    path: str, given: Mapping[str, Any], shape: Shape, sample: bytes
) -> tuple[TableColumn, ...]:
    """The columns of the table to come, in its order.

    Raises
    ------
    LoadError
        If an option names a column that is not there, or a converter gives what no array holds.
    """
    names, fields = shape.names, shape.fields
    if not fields:
        return ()

    def number_of(option: str, key: str | int) -> int:
        if isinstance(key, str):
            if key in names:
                return names.index(key)
            there = ", ".join(map(repr, names[:20]))
            line = shape.lines if shape.header else None
            reason = f"{option}= names {key!r}, which is none of its columns: {there}"
            raise LoadError(path, line or None, None, reason)
        if not -fields <= key < fields:
            reason = f"{option}= has column {key}, and the lines have {fields} fields, from 0"
            raise LoadError(path, shape.lines + 1, None, reason)
        return key % fields

    keys = given.get("usecols")
    used = range(fields) if keys is None else [number_of("usecols", key) for key in keys]
    dtypes = {number_of("dtype", k): value for k, value in given.get("dtype", {}).items()}
    coded = {number_of("categories", k) for k in given.get("categories", ())}
    missing = given.get("missing", MissingWords())
    of_each = missing if isinstance(missing, Mapping) else dict.fromkeys(range(fields), missing)
    words = {number_of("missing", key): _words(said) for key, said in of_each.items()}
    converters = given.get("converters")
    converted: dict[int, np.dtype[Any]] = {}
    if converters is not None:
        of_some = isinstance(converters, Mapping)
        wanted = {number_of("converters", k) for k in converters} if of_some else set(used)
        rows = parser.split(sample, max_rows=_CONVERTED_ROWS, **shape.dialect.splitting)
        for number in wanted:
            if number in dtypes and dtypes[number].kind != "U":
                converted[number] = dtypes[number]
                continue
            texts = [row[number] for row in rows if len(row) == fields]
            convert = converter_of(converters, number, names)
            converted[number] = _converted_type(path, shape, number, texts, convert)
    found, once = [], set()
    for number in used:
        name = names[number]
        while name in once:
            name += "_1"
        once.add(name)
        found.append(
            TableColumn(
                name,
                number,
                dtypes.get(number),
                *words.get(number, (MISSING, WEAK)),
                number in coded,
                converted.get(number),
            )
        )
    return tuple(found)


def _words(said: MissingWords) -> _Words:
    """What means missing in a column of which this was said."""
    more = "\n".join(said.words).encode() if said.words else None
    if said.only:
        return more, None
    return (MISSING if more is None else MISSING + b"\n" + more), WEAK


def converter_of(converters: Any, number: int, names: Sequence[str]) -> Any:
    """The converter of a field: by its name, or by its number, which may count from the end."""
    if not isinstance(converters, Mapping):
        return converters
    keys = (names[number], number, number - len(names))
    return next(converters[key] for key in keys if key in converters)


def _converted_type(
    path: str, shape: Shape, number: int, texts: Iterable[bytes], convert: Any
) -> np.dtype[Any]:
    """The dtype of what a converter gives of these texts; one that fails is named in reading."""
    values = []
    for text in texts:
        try:
            values.append(convert(text.decode()))
        except Exception:  # noqa: BLE001, S112 - the user's function may raise anything
            continue
    try:
        array = np.array(values)
    except ValueError:  # sequences of unlike length
        array = np.array(None)
    if not values:
        return np.dtype(np.float64)
    if array.ndim != 1 or array.dtype.kind not in "biufcMmUS":
        kinds = " and ".join(sorted({type(value).__name__ for value in values}))
        reason = (
            f"the converter of {shape.names[number]!r} gives {kinds}, not one type of number, text "
            "or np.datetime64; correct it"
        )
        raise LoadError(path, None, number + 1, reason)
    return array.dtype


def words_of(columns: Sequence[TableColumn], fields: int) -> list[_Words]:
    """What means missing, by field."""
    found: list[_Words] = [(MISSING, WEAK)] * fields
    for column in columns:
        found[column.field] = column.words, column.weak
    return found


def facts_by_words(sample: bytes, dialect: Dialect, words: Sequence[_Words]) -> NDArray[np.void]:
    """What a sample says of each field, by what means missing there."""
    total = np.zeros(len(words), FACTS)
    for one in set(words):
        looked = facts(sample, len(words), dialect, *one).facts
        mine = [i for i, own in enumerate(words) if own == one]
        total[mine] = looked[mine]
    return total


def first_rows(sample: bytes, most: int | None) -> bytes:
    """The lines that give so many rows, or a few less, where comments are among them."""
    if most is None:
        return sample
    ends = [match.end() for _, match in zip(range(most), re.finditer(rb"\n", sample), strict=False)]
    return sample if len(ends) < most else sample[: ends[-1] if ends else 0]
