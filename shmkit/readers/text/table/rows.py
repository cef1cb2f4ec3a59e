"""The rows of a part of a table, parsed into arrays and written to their places.

block of text ──▶ Columns.parse ──▶ an array a column ──┬─▶ "columns": each to its own place
                      │                                 └─▶ "rows", "matrix": row by row
                      │ a field that does not fit
                      ▼
the rest of the part ──▶ facts ──▶ Belied
"""

from __future__ import annotations

import os
import sys
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from shmkit._categories import MAX_NAME_NBYTES, too_many
from shmkit._text_dtype import decoded, encoded
from shmkit.errors import LoadError
from shmkit.readers.base import Part, Piece
from shmkit.readers.compression import content_nbytes, position
from shmkit.readers.text.columns import AROUND, FACTS, Columns, Fit, Misfit
from shmkit.readers.text.lines import parser
from shmkit.readers.text.stream import TextStream
from shmkit.readers.text.table.columns import converter_of, facts_by_words, first_rows, words_of
from shmkit.readers.text.table.errors import changed, line_of, misfit_error, open_quote
from shmkit.readers.text.table.notes import Witness
from shmkit.readers.text.table.plan import Belied, TableColumn, TablePlan, merged
from shmkit.segments.writer import SegmentWriter

__all__ = ["READ_NBYTES", "TableRows", "new_columns"]

READ_NBYTES = 1 << 19  # stays in the cache of a core until it is parsed and written
_MIN_NBYTES = 1 << 14
_LINE_END = ord("\n")
_OTHER_FIELDS = frozenset(
    [Fit.RAGGED, Fit.NOT_UTF8, Fit.NUL, Fit.TOO_MANY]
)  # what no type would hold


def new_columns(plan: TablePlan, rows: int) -> Columns:
    """Arrays for so many rows of a table, and what the parser must know to fill them."""
    fields = [column.field for column in plan.columns]
    types = dict(zip(fields, plan.types, strict=True))
    return Columns(
        types, plan.fields, plan.dialect, dict(zip(fields, plan.words, strict=True)), rows
    )


_kept: list[tuple[TablePlan, Columns]] = []  # one at most


def _columns(plan: TablePlan, rows: int) -> Columns:
    """As `new_columns`, or those of the file before: of many small files all have one plan."""
    for known, columns in _kept:
        if known is plan and columns.renew(rows):
            return columns
    _kept[:] = [(plan, new_columns(plan, rows))]
    return _kept[0][1]


class _Window:
    """A block of text with room around it, as the parser wants it, that slides over a stream.

    Attributes
    ----------
    text : bytearray
    start, stop : int
        What of it is text that is not done.
    place : int
        Of `start` in the stream.
    ended : bool
        Whether nothing comes behind it.
    """

    def __init__(self, stream: TextStream, place: int, stop: int | None, nbytes: int) -> None:
        self._stream = stream
        self._left = sys.maxsize if stop is None else stop - place
        self.text = bytearray(AROUND + nbytes + 1 + AROUND)
        self.start = self.stop = AROUND
        self.place = place
        self.ended = False

    def fill(self) -> None:
        """Read more; a last line gets an end."""
        rest = self.stop - self.start
        self.text[AROUND : AROUND + rest] = self.text[self.start : self.stop]
        self.start, self.stop = AROUND, AROUND + rest
        if self.stop == len(self.text) - AROUND - 1:  # one line fills it
            self.text += bytes(len(self.text))
        end = min(len(self.text) - AROUND - 1, self.stop + self._left)
        self.ended = not self._left
        while self.stop < end and not self.ended:
            with memoryview(self.text)[self.stop : end] as free:
                count: int = self._stream.readinto(free)
            self.stop, self._left = self.stop + count, self._left - count
            self.ended = not count or not self._left
        if self.ended and self.stop > AROUND and self.text[self.stop - 1] != _LINE_END:
            self.text[self.stop] = _LINE_END
            self.stop += 1

    def most_rows(self, comment: str | None) -> int:
        """The lines of what is not done, but for those that are empty or comments."""
        mark = ord(comment or "\n")
        lines, without_rows = parser.ends(self.text, self.start, self.stop, mark)
        return int(lines - without_rows)

    def drop(self, nbytes: int) -> None:
        """So many bytes are done."""
        self.start += nbytes
        self.place += nbytes


class TableRows:
    """Takes the text of a part, and writes its rows.

    Parameters
    ----------
    path, plan, part
        Of the file; the plan says for how many rows there is room.
    writer
        Where they go.
    converters
        As the user gave them.

    Attributes
    ----------
    count : int
        Rows that are written.
    """

    def __init__(
        self,
        path: str,
        plan: TablePlan,
        part: Part,
        writer: SegmentWriter,
        converters: Any,
    ) -> None:
        self._path = path
        self._plan = plan
        self._part = part
        self._writer = writer
        self._converters = {
            n: converter_of(converters, column.field, plan.names)
            for n, column in enumerate(plan.columns)
            if column.converted is not None
        }
        self._table_room = plan.shape[0]
        self._room = self._table_room - part.row if part.rows is None else part.rows  # of the part
        most = plan.options.get("max_rows")
        self._passed, _ = plan.options.get("select", (0, most))  # rows, before those that are taken
        self._most: int = sys.maxsize if most is None else max(most - self._passed, 0)
        self.count = 0
        self._places: list[int] = []  # of the part's first value of each column

    def _declare(self) -> None:
        plan, room = self._plan, self._table_room
        if plan.form == "columns":
            # Of many small files in one segment all have the same.
            layout, image = plan.whole
            if room != plan.shape[0]:
                layout = plan.layout_for(room)
                image = layout.image()
            self._writer.declare(*image, gaps=not plan.counted)
            row = self._part.row
            self._places = [c.offset + row * c.dtype.itemsize for c in layout.columns]
        else:
            self._writer.declare(plan.dtype, (room, *plan.shape[1:]))

    def take(self, stream: TextStream, data: BinaryIO) -> Piece:
        """Read the part; gives what was written, or what belies the plan."""
        plan, part = self._plan, self._part
        begin = part.start or stream.begin + len(plan.head)
        stream.seek(begin)
        size = os.stat(self._path).st_size
        nbytes = min(READ_NBYTES, max(size, _MIN_NBYTES))
        window = _Window(stream, begin, part.stop, nbytes)
        window.fill()
        if window.ended and part.rows is None and part.stop is None:  # all of it is there
            most_rows = window.most_rows(plan.dialect.comment)
            self._table_room = self._room = min(most_rows, self._most)
        self._declare()
        columns = _columns(plan, min(self._room + 1, nbytes // max(2 * plan.fields, 8) + 256))
        scale = size / (content_nbytes(data) or 1) if part.stop is not None else 0.0
        passing = self._passed
        while True:
            while window.start < window.stop and self.count < self._most:
                most = passing or min(self._most, self._room + 1) - self.count
                taken, done, misfit = columns.parse(window.text, window.start, window.stop, most)
                if passing and misfit is None:
                    window.drop(done)
                    passing -= taken
                    if not passing:  # those that come count their own missing values
                        columns = new_columns(plan, columns.rows)
                    elif taken < min(most, columns.rows):
                        break
                    continue
                if not passing and self.count + taken > self._room:
                    return self._without_room()
                found = None if passing else self._write(columns, taken)
                if misfit is not None:
                    before = self._passed - passing + self.count + taken
                    found = self._misfit(misfit, window, stream, before)
                window.drop(done)
                if found is not None:
                    return Piece(self.count, belied=self._look_on(found, window))
                self.count += taken
                if taken < min(most, columns.rows):  # no whole line is left
                    break
            read = int((window.place - begin) * scale) if scale else position(data)
            self._writer.advance(bytes_done=read, rows=self.count)
            if window.ended or self.count >= self._most:
                break
            window.fill()
        if window.ended and window.start < window.stop and self.count < self._most:
            if part.stop is None:
                raise open_quote(self._path, stream, window.place)
            raise changed(self._path)
        missing = dict(zip((c.name for c in plan.columns), columns.missing.values(), strict=True))
        return Piece(self.count, self._categories(columns), missing=missing)

    def _without_room(self) -> Piece:
        """More rows came than there was room for: where they were counted, the file changed."""
        if self._part.rows is not None:
            raise changed(self._path)
        return Piece(self.count, belied=Belied(room=2 * self._table_room))

    # ---- what fits ------------------------------------------------------------------------------

    def _write(self, columns: Columns, rows: int) -> Belied | None:
        """Write the rows that were parsed; or say what a converter gave that belies the plan."""
        plan = self._plan
        arrays = [columns.arrays[column.field][:rows] for column in plan.columns]
        for n, convert in self._converters.items():
            array = self._converted(n, convert, arrays[n])
            if isinstance(array, Belied):
                return array
            arrays[n] = array
        if plan.form == "columns":
            for array, place in zip(arrays, self._places, strict=True):
                self._writer.seek(place + self.count * array.itemsize)
                self._writer.write(array)
            return None
        block = np.empty((rows, *plan.shape[1:]), plan.dtype)
        if plan.form == "matrix":
            for n, array in enumerate(arrays):
                block[:, n] = array
        else:
            for column, array in zip(plan.columns, arrays, strict=True):
                block[column.name] = array
        self._writer.write(block)
        return None

    def _converted(self, n: int, convert: Any, texts: NDArray[np.bytes_]) -> NDArray[Any] | Belied:
        """What the converter of a column gives of these texts, as the column has it."""
        column, dtype = self._plan.columns[n], self._plan.dtypes[n]
        values = []
        for row, text in enumerate(decoded(texts).tolist()):
            try:
                values.append(convert(text))
            except Exception as error:  # noqa: BLE001 - the user's function may raise anything
                reason = f"{text!r} makes its converter fail ({error!r})"
                where = f"row {self.count + row + 1} of the table" if self._part.row == 0 else ""
                reason += f", in {where}" if where else ""
                line = None
                raise LoadError(self._path, line, column.field + 1, reason) from None
        if column.given is not None and column.given.kind != "U":
            return self._given(column, values)
        array = np.array(values)
        if not rows_fit(array, column):
            return Belied(converted={column.field: array.dtype})
        if array.dtype.kind == "U":
            array = encoded(array)
        return array.astype(dtype)

    def _given(self, column: TableColumn, values: list[Any]) -> NDArray[Any]:
        """What a converter gave, as the type that the caller said, or LoadError."""
        dtype = column.given
        assert dtype is not None
        try:
            if dtype.kind in "fM":  # None is NaN and NaT, and text is read
                return np.array(values, dtype)
            array = np.array(values)
            found = array.astype(dtype)
            if array.dtype.kind not in ("SU" if dtype.kind == "S" else "iub") or (
                dtype.kind != "S" and (found != array).any()
            ):
                raise TypeError(f"{array.dtype}, from {array.min()} to {array.max()}")
        except (TypeError, ValueError, OverflowError) as error:
            reason = (
                f"what the converter of {column.name!r} gives is no {dtype} ({error}); correct "
                f"it, or leave dtype= of {column.name!r} out"
            )
            raise LoadError(self._path, None, column.field + 1, reason) from None
        return found

    def _categories(self, columns: Columns) -> dict[str, list[str]]:
        """The texts of the columns of codes."""
        coded = [column.name for column in self._plan.columns if column.coded]
        return {
            name: [text.decode() for text in table["names"][: table["count"]].tolist()]
            for name, table in zip(coded, columns.tables, strict=True)
        }

    # ---- what does not --------------------------------------------------------------------------

    def _misfit(self, misfit: Misfit, window: _Window, stream: TextStream, rows: int) -> Belied:
        """The field that does not fit, behind so many rows of the part.

        Raises LoadError where no wider type would hold it.
        """
        plan = self._plan
        text = bytes(window.text[misfit.start : misfit.stop])
        place = window.place + misfit.start - window.start
        if misfit.fit is Fit.TOO_MANY:
            column = next(c for c in plan.columns if c.field == misfit.column)
            if len(text) <= MAX_NAME_NBYTES:
                raise LoadError(self._path, None, None, too_many(column.name))
        line = line_of(stream, place)
        guessed = misfit.fit not in _OTHER_FIELDS and _is_guess(plan, misfit)
        if not guessed:
            before = rows if self._part.row == 0 else None  # of other parts it is a bound
            raise misfit_error(self._path, plan, misfit, text, line, before)
        return Belied(witnesses={misfit.column: Witness(text.decode(errors="replace"), line)})

    def _look_on(self, found: Belied, window: _Window) -> Belied:
        """What is in the rest of the part."""
        plan = self._plan
        words = words_of(plan.columns, plan.fields)
        total = np.zeros(plan.fields, FACTS)
        left = self._passed + self._most - self.count if self._most < sys.maxsize else self._most
        while True:
            text = first_rows(bytes(window.text[window.start : window.stop]), left)
            whole = text.rfind(b"\n") + 1
            total = merged([total, facts_by_words(text[:whole], plan.dialect, words)])
            left -= text.count(b"\n") if left < sys.maxsize else 0
            window.drop(whole)
            if window.ended or left <= 0:
                return found._replace(facts=total)
            window.fill()


def rows_fit(array: NDArray[Any], column: TableColumn) -> bool:
    """Whether what a converter gave is of the type that the plan has for it."""
    assert column.converted is not None
    if not len(array):
        return True
    return np.result_type(array.dtype, column.converted) == column.converted


def _is_guess(plan: TablePlan, misfit: Misfit) -> bool:
    """Whether nobody said the type of the column that a field does not fit."""
    column = next(c for c in plan.columns if c.field == misfit.column)
    return column.given is None or column.given.kind == "U"
