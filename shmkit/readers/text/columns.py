"""Delimited text to columns: what a sample says of them, and their values, by the compiled parser.

    sample ──▶ widths ──▶ facts ──▶ type_of ──▶ a ColumnType for each column
                                                   │
    block of whole lines ──▶ Columns.parse ────────┘──▶ an array for each, used again and again
                                  │ a field that does not fit its type
                                  ▼
                               Misfit: the row, the column, why; the rows before it are done

`_parser.pyi` has the rules of the text: quotes, missing words, numbers, times. Types are chosen
here, by rules that do not depend on where in the column a value stands: where a later line belies
a type, the right one is what `type_of` gives for the facts of both together.
"""

from __future__ import annotations

import enum
import sys
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shmkit._categories import enum_of
from shmkit.readers.text.lines import parser
from shmkit.readers.text.rows.codes import TABLE

__all__ = [
    "AROUND",
    "FACTS",
    "MISSING",
    "WEAK",
    "Class",
    "ColumnType",
    "Columns",
    "Dialect",
    "Fit",
    "Misfit",
    "Sampled",
    "best_delimiter",
    "facts",
    "type_of",
]

AROUND = 64  # bytes before and behind a block that the parser may load
MISSING = b"\n".join([b"", b"NA", b"N/A", b"NaN", b"nan", b"null", b"NULL", b"None"])
WEAK = b"\n".join([b".", b"-", b"?", b"*", b"***"])  # where all else is numbers

_DELIMITERS = ("\t", ";", ",", "|", None)
_DELIMITER_LINES = 200  # enough to tell a delimiter from a character of the text
_UNITS = ("D", "s", "ms", "us", "ns")


class Class(enum.IntEnum):
    """What a field is: the first of these that fits."""

    EMPTY = 0
    MISSING = 1  # a word that means missing, but in text
    WEAK = 2  # a word that does where all else is numbers
    WHOLE = 3  # up to 2**53, which float64 holds
    WHOLE_INT64 = 4  # more, up to what int64 holds
    WHOLE_UINT64 = 5
    WHOLE_LARGE = 6  # more than either holds
    ZERO_FIRST = 7  # a whole number that begins with a zero, but for 0
    REAL = 8  # any other number, inf and nan too
    TRUTH = 9
    DATE = 10
    TIME_SECOND = 11  # by the least unit that holds it
    TIME_MILLI = 12
    TIME_MICRO = 13
    TIME_NANO = 14
    UTC_SECOND = 15  # with an offset from UTC
    UTC_MILLI = 16
    UTC_MICRO = 17
    UTC_NANO = 18
    TEXT = 19


class Fit(enum.IntEnum):
    """Why a field does not fit its column."""

    GOOD = 0
    RAGGED = 1  # the line has another number of fields
    MISSING = 2  # a missing word, where the type has no value for it
    FRACTION = 3  # a number, but no whole one
    TOO_LARGE = 4  # a whole number that the type does not hold, or not exactly
    ZERO_FIRST = 5  # a whole number that begins with a zero, where the type was guessed
    NO_NUMBER = 6  # no number, time or truth
    TOO_LONG = 7  # text
    NOT_UTF8 = 8
    NUL = 9  # text that ends in a NUL, which fixed-width text would lose
    TOO_FINE = 10  # a time that the unit does not hold
    OFFSET = 11  # a time with an offset from UTC among such without, or the other way
    TOO_MANY = 12  # different texts in a category, or one longer than 255 bytes


# Of one column, as `_parser.infer` fills it; first_start and first_stop are bytes of the sample.
FACTS = np.dtype(
    [
        *((name, "i8", len(Class)) for name in ("count", "first_row", "first_start", "first_stop")),
        ("nbytes", "i8"),  # of the longest field, as text
        ("not_ascii", "i8"),  # fields
        ("not_utf8", "i8"),
        ("words", "i8"),  # a bit for each missing word that was seen, of the first 63
        ("weak_words", "i8"),
        ("not_nano", "i8"),  # times that nanoseconds do not hold: before 1677 or after 2262
    ]
)


class Dialect(NamedTuple):
    """How a text is split into fields; `_parser.pyi` says what each means."""

    delimiter: str | None = None  # None: white space
    quotechar: str | None = '"'
    comment: str | None = None
    decimal: str = "."
    skip_blanks: bool = False

    @property
    def splitting(self) -> dict[str, Any]:
        """What splits lines, apart from what reads their fields."""
        return {name: value for name, value in self._asdict().items() if name != "decimal"}


class Sampled(NamedTuple):
    """What a sample says."""

    rows: int
    facts: NDArray[Any]  # of dtype FACTS, one a column
    ragged: int  # lines with another number of fields, which are no rows
    ragged_fields: int  # of the first of these
    ragged_start: int  # and its bytes in the sample
    ragged_stop: int


class ColumnType(NamedTuple):
    """What a column of the text becomes.

    Attributes
    ----------
    dtype
        Of native byte order: an integer, float32 or float64, bool, datetime64 of one of the units
        D, s, ms, us, ns, ``S<n>`` for UTF-8 of at most n bytes, or a category (see `_categories`).
    whole
        Of a float64 column: whole numbers only, which it holds exactly.
    offsets
        Of a datetime64 column: whether its times have an offset from UTC.
    guessed
        Whether a whole number that begins with a zero does not fit, as it is likely no number.
    """

    dtype: np.dtype[Any]
    whole: bool = False
    offsets: bool = False
    guessed: bool = True


class Misfit(NamedTuple):
    """The first field that does not fit."""

    fit: Fit
    column: int  # its key in the types; of a ragged line, how many fields it has
    start: int  # bytes of the data: the field, with its quotes; or the ragged line
    stop: int


def best_delimiter(sample: bytes, dialect: Dialect) -> str | None:
    r"""The delimiter that splits most lines of the sample alike; of several such, the first.

    Of tab, semicolon, comma, bar, and white space (None). ``"\n"`` if none splits them: each line
    is one field.

    >>> best_delimiter(b"a;b;1,5\nc;d;2,5\n", Dialect())
    ';'
    """

    def alike(delimiter: str | None) -> int:
        given = dialect._replace(delimiter=delimiter).splitting
        widths = parser.widths(sample, max_rows=_DELIMITER_LINES, **given)
        return max((widths.count(width) for width in set(widths) if width > 1), default=0)

    best = max(_DELIMITERS, key=alike)
    return best if alike(best) else "\n"


def facts(
    sample: bytes,
    fields: int,
    dialect: Dialect,
    missing: bytes | None = MISSING,
    weak: bytes | None = WEAK,
) -> Sampled:
    r"""What the fields of whole lines are, column by column.

    Parameters
    ----------
    sample
        Whole lines, without the header.
    fields
        How many each line has; others are counted, but are no rows.
    dialect
        How the lines are split.
    missing, weak
        Words with ``\n`` between them; an empty one is the empty field, which is text if it is
        among none of them; None is no words.

    Examples
    --------
    >>> sampled = facts(b"1,a\n,b\n", 2, Dialect(","))
    >>> [type_of(column).dtype.str for column in sampled.facts]
    ['<f8', '|S1']
    """
    found = np.zeros(fields, FACTS)
    rows, _, *ragged = parser.infer(sample, fields, found.data, missing, weak, **dialect._asdict())
    if all(words is None or b"" not in words.split(b"\n") for words in (missing, weak)):
        _count_as_text(found, Class.EMPTY)
    return Sampled(rows, found, *ragged)


def _count_as_text(found: NDArray[Any], kind: Class) -> None:
    """Count the fields of a class among the texts, which they may begin."""
    some, texts = found["count"][:, kind] > 0, found["count"][:, Class.TEXT] > 0
    start = found["first_start"]
    first = some & (~texts | (start[:, kind] < start[:, Class.TEXT]))
    for name in ("first_row", "first_start", "first_stop"):
        found[name][first, Class.TEXT] = found[name][first, kind]
    found["count"][:, Class.TEXT] += found["count"][:, kind]
    found["count"][:, kind] = 0


def type_of(column: NDArray[Any]) -> ColumnType:
    """The type that holds every field of a column, of which these are the facts.

    - whole numbers are int64, else uint64; with missing ones among them float64, if that holds each
    - numbers are float64
    - true and false are bool, with none missing
    - dates and times are datetime64 of the least unit that is exact, all with an offset or none
    - a column where all is missing is float64
    - all else is text: whole numbers that begin with a zero too, and numbers or times that no type
      holds together
    """
    seen = {kind for kind, count in zip(Class, column["count"].tolist(), strict=True) if count}
    gaps = seen & {Class.EMPTY, Class.MISSING, Class.WEAK}
    values = seen - gaps
    text = ColumnType(np.dtype(f"S{max(1, int(column['nbytes']))}"))
    whole = {Class.WHOLE, Class.WHOLE_INT64, Class.WHOLE_UINT64}
    if not values:
        return text if Class.WEAK in gaps else ColumnType(np.dtype(np.float64))
    if Class.REAL in values and values <= whole | {Class.REAL, Class.WHOLE_LARGE}:
        return ColumnType(np.dtype(np.float64))
    if values <= whole:
        if gaps:
            small = values == {Class.WHOLE}
            return ColumnType(np.dtype(np.float64), whole=True) if small else text
        large = Class.WHOLE_UINT64 in values
        return ColumnType(np.dtype(np.uint64 if large else np.int64))
    if values == {Class.TRUTH} and not gaps:
        return ColumnType(np.dtype(np.bool_))
    local = min(values) >= Class.DATE and max(values) <= Class.TIME_NANO
    utc = min(values) >= Class.UTC_SECOND and max(values) <= Class.UTC_NANO
    if Class.WEAK not in gaps and (local or utc):
        unit = _UNITS[max(values) - (Class.DATE if local else Class.UTC_SECOND - 1)]
        if unit == "ns" and column["not_nano"]:
            return text
        return ColumnType(np.dtype(f"M8[{unit}]"), offsets=utc)
    return text


class Columns:
    """Columns of a block of text, in arrays that are used again for the next one.

    Parameters
    ----------
    types
        By column of the text, from 0.
    fields
        How many each line has.
    dialect
        How the lines are split.
    missing
        By column, words as for `facts`; a column that is not there has no missing words.
    rows
        How many there is room for; an attribute, too.

    Attributes
    ----------
    arrays : dict of int to array
        Of the last block, by column; as long as there is room for. Text of categories is codes.
    missing : dict of int to int
        How many missing values each column had, of all blocks.
    not_ascii : dict of int to int
        The same of texts that are not ASCII.
    tables : array of TABLE
        The names of the categories, in the order of their columns.
    """

    def __init__(
        self,
        types: Mapping[int, ColumnType],
        fields: int,
        dialect: Dialect,
        missing: Mapping[int, bytes | None],
        rows: int,
    ) -> None:
        self.rows = rows
        self.arrays: dict[int, NDArray[Any]] = {
            column: np.zeros(rows, t.dtype) for column, t in types.items()
        }
        self._room = rows
        self._keys = list(types)
        self._packed = np.array([_packed(key, t) for key, t in types.items()], np.int64)
        self._outs = [array.view(np.uint8).data for array in self.arrays.values()]
        self._words = [missing.get(column) for column in types]
        self._tallies = np.zeros((len(types), 2), np.int64)
        self._fields = fields
        self._options = dialect._asdict()
        self.tables = np.zeros(sum(_is_category(t.dtype) for t in types.values()), TABLE)

    def renew(self, rows: int) -> bool:
        """Begin anew, as a new one would, if there is room for so many rows and no category."""
        good = rows <= self._room and not len(self.tables)
        if good:
            self._tallies[...] = 0
        return good

    @property
    def missing(self) -> dict[int, int]:
        """How many missing values each column had, of all blocks."""
        return dict(zip(self._keys, self._tallies[:, 0].tolist(), strict=True))

    @property
    def not_ascii(self) -> dict[int, int]:
        """How many texts of each column were not ASCII, of all blocks."""
        return dict(zip(self._keys, self._tallies[:, 1].tolist(), strict=True))

    def parse(
        self, data: bytearray | bytes, start: int, stop: int, most: int = sys.maxsize
    ) -> tuple[int, int, Misfit | None]:
        r"""Fill the arrays from their begin with rows of the whole lines in these bytes.

        Before `start` and behind `stop` are `AROUND` bytes, which may be anything. Gives how many
        rows there are now, how many bytes they were, and what did not fit, if that ended it: else
        the lines did, or the room or `most`.

        >>> columns = Columns({1: ColumnType(np.dtype("f8"))}, 2, Dialect(","), {1: MISSING}, 100)
        >>> columns.parse(bytes(64) + b"1,2.5 3,NA 5,x ".replace(b" ", b"\n") + bytes(64), 64, 79)
        (2, 11, Misfit(fit=<Fit.NO_NUMBER: 6>, column=1, start=77, stop=78))
        >>> columns.arrays[1][:2]
        array([2.5, nan])
        """
        rows, nbytes, fit, column, first, last = parser.parse_columns(
            data,
            start,
            stop,
            self._packed.data,
            self._outs,
            self._words,
            self._tallies.data,
            self._fields,
            tables=self.tables.data,
            max_rows=most,
            **self._options,
        )
        if fit == Fit.GOOD:
            return rows, nbytes, None
        key = column if fit == Fit.RAGGED else self._keys[column]
        return rows, nbytes, Misfit(Fit(fit), key, first, last)


def _is_category(dtype: np.dtype[Any]) -> bool:
    return enum_of(dtype) is not None


def _packed(column: int, given: ColumnType) -> tuple[int, ...]:
    """The row that the parser wants of a column."""
    dtype = given.dtype
    kind = "C" if _is_category(dtype) else "w" if given.whole else dtype.kind
    unit = _UNITS.index(np.datetime_data(dtype)[0]) if kind == "M" else 0
    return (ord(kind), dtype.itemsize, column, unit, given.guessed, given.offsets)
