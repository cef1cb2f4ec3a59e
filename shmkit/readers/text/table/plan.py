"""The plan of a table: its columns, what is known of each, and the types that follow.

    sample ──▶ facts ──┐
                       ├──▶ merged ──▶ types ──▶ layout        the same, wherever a value stands
    what belied it ────┘

Types are never changed by hand: they follow from the facts of all that was seen (`type_of`) and
from what the caller said. So a table whose odd value stands in the last line gets the types that it
would have with that value in the first, and so do all files of a load with the same columns.
"""

from __future__ import annotations

import functools
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from shmkit._categories import category
from shmkit._text_dtype import is_text, text_dtype
from shmkit.readers.base import WHOLE, Part, Plan
from shmkit.readers.text.columns import FACTS, MISSING, WEAK, Class, ColumnType, Dialect, type_of
from shmkit.readers.text.table.notes import Witness, notes
from shmkit.segments.image.layout import Layout, described_in_trailer, layout_of
from shmkit.segments.writer import SegmentWriter

__all__ = ["LEAST_ROWS", "ROOM", "Belied", "Counted", "TableColumn", "TablePlan"]

ROOM = 1.25  # times as many rows as are estimated
LEAST_ROWS = 64  # that there is room for
_ROUND_UP = 8  # bytes, to which text is as wide where not all of it was seen
_WHOLE = frozenset([Class.WHOLE, Class.EMPTY, Class.MISSING, Class.WEAK])
_EXACT = 2**53


class TableColumn(NamedTuple):
    """One column of the table to come.

    Attributes
    ----------
    name
        In the table.
    field
        Of the line, from 0.
    given
        The dtype that the caller said: ``str`` for text of any length.
    words, weak
        What means missing in numbers and times, and what does in numbers alone, with line ends
        between; None is nothing. Of text, nothing does.
    coded
        Whether its texts become categories.
    converted
        What the converter of it gives; None if it has none.
    """

    name: str
    field: int
    given: np.dtype[Any] | None = None
    words: bytes | None = MISSING
    weak: bytes | None = WEAK
    coded: bool = False
    converted: np.dtype[Any] | None = None


class Belied(NamedTuple):
    """What a part found that the plan does not hold.

    Attributes
    ----------
    facts
        Of the fields from the first such one on.
    witnesses
        The first such value, by its field.
    converted
        What a converter gave, by its field.
    room
        For how many rows there must be room; 0 if there was enough.
    """

    facts: NDArray[np.void] | None = None
    witnesses: Mapping[int, Witness] = {}
    converted: Mapping[int, np.dtype[Any]] = {}
    room: int = 0


class Counted(NamedTuple):
    """A part of the text, as if it began outside of quotes, and as if inside.

    For both: line ends outside of quotes; how many of these lines give no row; quotes that are
    out of place; where the first such line end is, or -1. Then whether it ends on the other side.
    """

    start: int
    stop: int
    outside: tuple[int, int, int, int]
    inside: tuple[int, int, int, int]
    other_side: bool


@dataclass(frozen=True)
class TablePlan(Plan):
    """A plan whose types are a guess.

    Attributes
    ----------
    columns
        In the order of the table.
    facts
        Of all fields, as far as the text was seen.
    dialect, fields
        How its lines are split, and in how many fields.
    names
        Of all fields.
    head
        The text before the first row: a file that begins with the same is alike.
    form
        What it becomes: ``"columns"``, ``"rows"`` (records), or ``"matrix"``: numbers, without a
        header.
    layout
        The form that the caller wants; None for what the text suggests.
    header
        Whether names stand in the text.
    exact
        Whether all of it was seen.
    counted
        Whether its lines were counted, so that hardly any room stays empty.
    witnesses
        By field.
    lines
        Before the first row.
    """

    columns: tuple[TableColumn, ...] = ()
    facts: NDArray[np.void] = field(default_factory=lambda: np.empty(0, FACTS))
    dialect: Dialect = field(default_factory=Dialect)
    fields: int = 0
    names: tuple[str, ...] = ()
    head: bytes = b""
    form: str = "columns"
    layout: str | None = None
    header: bool = False
    exact: bool = False
    counted: bool = False
    witnesses: Mapping[int, Witness] = field(default_factory=dict)
    lines: int = 0

    @functools.cached_property
    def types(self) -> tuple[ColumnType, ...]:
        """What the parser makes of each column."""
        found = [self._type(column) for column in self.columns]
        if self.form == "matrix":
            return tuple(
                t if t.dtype.kind in "fS" else ColumnType(np.dtype(np.float64), whole=True)
                for t in found
            )
        return tuple(found)

    def _type(self, column: TableColumn) -> ColumnType:
        facts, given = self.facts[column.field], column.given
        if column.coded:
            return ColumnType(category([]))
        if column.converted is not None or (given is not None and given.kind == "U"):
            return ColumnType(np.dtype(f"S{self._width(column.field)}"))
        if given is not None:
            utc = facts["count"][Class.UTC_SECOND : Class.UTC_NANO + 1].any()
            return ColumnType(given, offsets=given.kind == "M" and bool(utc), guessed=False)
        found = type_of(facts)
        if found.dtype.kind == "S":
            return ColumnType(np.dtype(f"S{self._width(column.field)}"))
        return found

    def _width(self, number: int) -> int:
        width = max(1, int(self.facts[number]["nbytes"]))
        return width if self.exact else -(-width // _ROUND_UP) * _ROUND_UP

    @functools.cached_property
    def dtypes(self) -> tuple[np.dtype[Any], ...]:
        """The dtype of each column in memory."""
        return tuple(map(_stored, self.columns, self.types))

    @property
    def words(self) -> tuple[bytes | None, ...]:
        """What means missing in each column."""
        return tuple(
            None
            if t.dtype.kind in "Sub"
            else _joined(column.words, column.weak if t.dtype.kind == "f" else None)
            for column, t in zip(self.columns, self.types, strict=True)
        )

    @property
    def key(self) -> Hashable:
        """The names of the columns, and what each is to be."""
        names = tuple(
            (column.name, column.field, column.given, column.words, column.weak)
            for column in self.columns
        )
        return names, self.form == "matrix", self.dialect.decimal

    def most_rows(self, nbytes: int, of: int) -> int:
        """As the rows of its own file suggest: room that is not used is a hole in each column."""
        most = super().most_rows(nbytes, of)
        if self.form != "columns":
            return most
        share = nbytes / max(of - len(self.head), 1)
        return min(int(ROOM * self.shape[0] * share) + LEAST_ROWS, most)

    @functools.cached_property
    def whole(self) -> tuple[Layout, tuple[np.dtype[Any], tuple[int, ...]]]:
        """Where the columns lie, with room for all rows, and what the header says then."""
        layout = self.layout_for(self.shape[0])
        return layout, layout.image()

    def layout_for(self, rows: int) -> Layout:
        """Where the columns lie, with room for so many rows."""
        return Layout.new(self._named(), rows)

    def _named(self) -> list[tuple[str, np.dtype[Any]]]:
        return [(c.name, dtype) for c, dtype in zip(self.columns, self.dtypes, strict=True)]

    def planned(self) -> Self:
        """The plan with form, dtype and shape that follow from the facts."""
        as_columns = replace(self, form="columns")
        numbers = all(
            _is_number(c, t, self.facts)
            for c, t in zip(self.columns, as_columns.types, strict=True)
        )
        form = self.layout or ("matrix" if numbers and not self.header else "columns")
        plan = replace(self, form=form)
        rows = self.shape[0]
        if form == "matrix":
            return replace(plan, dtype=np.dtype(np.float64), shape=(rows, len(self.columns)))
        return replace(plan, dtype=plan.layout_for(0).row_dtype(), shape=(rows,))

    def widened(self, found: Iterable[Belied]) -> Self:
        """The plan that holds what these found, too."""
        facts, room = self.facts, self.shape[0]
        witnesses = dict(self.witnesses)
        converted: dict[int, np.dtype[Any]] = {}
        for one in found:
            if one.facts is not None:
                facts = merged([facts, one.facts])
            room = max(room, one.room)
            for number, witness in one.witnesses.items():
                if number not in witnesses or witness.line < witnesses[number].line:
                    witnesses[number] = witness
            converted |= one.converted
        columns = tuple(
            column._replace(converted=np.result_type(column.converted, converted[column.field]))
            if column.field in converted and column.converted is not None
            else column
            for column in self.columns
        )
        plan = replace(
            self, facts=facts, columns=columns, witnesses=witnesses, shape=(room, *self.shape[1:])
        ).planned()
        if (plan.types, plan.columns, plan.shape) == (self.types, self.columns, self.shape):
            raise RuntimeError("what was found widens no type")
        return plan

    def shared(self) -> Self:
        """The plan for other files that are alike: their texts may be a little longer."""
        return replace(self, exact=False, witnesses={}).planned()

    def agreed(self, others: Sequence[Self]) -> Self:
        """The plan of the same file that holds what plans of the same key hold, too."""
        facts = list({id(plan.facts): plan.facts for plan in others}.values())
        if len(facts) == 1 and facts[0] is self.facts:
            return self
        exact = all(plan.exact for plan in others)
        return replace(self, facts=merged(facts), exact=exact).planned()

    def same_types(self, other: Self) -> bool:
        """Whether both give each column the same type, but for the width of text."""
        return self.form == other.form and all(
            one == two or (is_text(one) and is_text(two))
            for one, two in zip(self.dtypes, other.dtypes, strict=True)
        )

    def notes(self, missing: Mapping[str, int]) -> list[str]:
        """What is to be said of the types, and of the missing values, of a file that was read."""
        return list(notes(self, missing))

    def name_codes(self, writer: SegmentWriter, codes: Mapping[str, Mapping[str, int]]) -> None:
        """Write the names of categories, by column, beside the table that is there."""
        if self.form != "columns":
            super().name_codes(writer, codes)
            return
        layout = layout_of(writer.header.dtype, writer.header.shape)
        assert layout is not None
        _describe(
            writer,
            layout,
            [
                category(codes[column.name]) if column.coded else dtype
                for column, dtype in zip(self.columns, self.dtypes, strict=True)
            ],
        )

    @property
    def open_end(self) -> bool:
        """Whether rows lie behind one another; columns have others behind them."""
        return self.form != "columns"

    def in_parts(self, counted: Sequence[Counted]) -> tuple[Self, list[Part]]:
        """The plan and the parts, now that it is known on which side of a quote each begins.

        A text with quotes that are out of place is read as one part. What was counted may end
        before the span does, in the last part: how many rows that has is estimated.
        """
        found, inside = [], False
        for one in counted:
            found.append(one.inside if inside else one.outside)
            inside ^= one.other_side
        rows = sum(one.outside[0] + one.inside[0] for one in counted) + 1
        if any(strays for _, _, strays, _ in found) or any(ends[3] < 0 for ends in found):
            return replace(self, shape=(rows, *self.shape[1:])), [WHOLE]
        starts = [counted[0].start]
        starts += [
            one.start + ends[3] + 1 for one, ends in zip(counted[1:], found[1:], strict=True)
        ]
        is_open = self.span is not None and counted[-1].stop < self.span[1]
        stops = [*starts[1:], self.span[1] if is_open and self.span else counted[-1].stop]
        line, row, parts = self.lines, 0, []
        for i, (start, stop) in enumerate(zip(starts, stops, strict=True)):
            lines, empty, _, _ = found[i]
            lines += (i < len(found) - 1) - (i > 0) + (i == len(found) - 1)  # the last has no end
            # Of the line that is cut it is not known whether it gives a row.
            most = lines - max(empty - (i > 0), 0)
            parts.append(Part(start, stop, lines, most, line, row))
            line, row = line + lines, row + most
        if is_open:
            start, stop = starts[-1], stops[-1]
            row = parts[-1].row
            parts[-1] = Part(start, stop, line=parts[-1].line, row=row)
            row += int(row / max(start - starts[0], 1) * (stop - start) * ROOM) + LEAST_ROWS
        return replace(self, shape=(row, *self.shape[1:]), counted=not is_open), parts

    def finish(self, writer: SegmentWriter, pieces: Sequence[tuple[int, int]]) -> None:
        """Make one table, or array, of what was written of each part."""
        if self.form != "columns":
            super().finish(writer, pieces)
            return
        room = layout_of(writer.header.dtype, writer.header.shape)
        assert room is not None
        rows = 0
        for row, count in pieces:
            if row != rows:
                for _, dtype, offset in room.columns:
                    nbytes = dtype.itemsize
                    writer.move(offset + row * nbytes, count * nbytes, offset + rows * nbytes)
            rows += count
        if rows != room.rows:
            _describe(writer, room._replace(rows=rows), self.dtypes)

    def final_shape(self, rows: int) -> tuple[int, ...]:
        """The shape that np.loadtxt gives to an array of so many rows."""
        shape, ndmin = (rows, *self.shape[1:]), self.options.get("ndmin", 0)
        if self.form != "matrix":
            return shape
        if len(shape) > ndmin:
            shape = tuple(length for length in shape if length != 1)
        return (*shape, *(1,) * (ndmin - len(shape)))


def _describe(writer: SegmentWriter, layout: Layout, dtypes: Sequence[np.dtype[Any]]) -> None:
    """Say what table is there."""
    layout = layout.with_dtypes(dtypes)
    if described_in_trailer(writer.header.dtype):  # its header has no room for the columns
        writer.describe(layout.as_bytes(), (layout.nbytes,))
    else:
        writer.describe(*layout.image())


def merged(facts: Sequence[NDArray[np.void]]) -> NDArray[np.void]:
    """The facts of several samples together; where in a sample something stands is lost."""
    total = facts[0].copy()
    for other in facts[1:]:
        for name in ("count", "not_ascii", "not_utf8", "not_nano"):
            total[name] += other[name]
        total["nbytes"] = np.maximum(total["nbytes"], other["nbytes"])
        for name in ("words", "weak_words"):
            total[name] |= other[name]
    return total


def _joined(*words: bytes | None) -> bytes | None:
    """All of these words, if there are some."""
    some = [one for one in words if one is not None]
    return b"\n".join(some) if some else None


def _stored(column: TableColumn, given: ColumnType) -> np.dtype[Any]:
    """The dtype of a column in memory."""
    if column.converted is not None:
        dtype = column.converted
        return text_dtype(dtype.itemsize) if dtype.kind == "U" else dtype
    if given.dtype.kind == "S" and (column.given is None or column.given.kind == "U"):
        return text_dtype(given.dtype.itemsize)
    return given.dtype


def _is_number(column: TableColumn, given: ColumnType, facts: NDArray[np.void]) -> bool:
    """Whether a column would be the same as float64."""
    dtype = column.converted if column.converted is not None else given.dtype
    if column.given is not None or column.coded or dtype.kind not in "fiu":
        return False
    seen = set(map(Class, np.flatnonzero(facts[column.field]["count"]).tolist()))
    return dtype.kind == "f" or seen <= _WHOLE
