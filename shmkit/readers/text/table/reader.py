r"""Tables: delimited text whose types are inferred, read into columns.

    probe    head of the text ──▶ shape: delimiter, header (shape); pieces of all of it ──▶ facts
                                                                       ──▶ plan: types (plan)
    count    bytes of it ──▶ lines, as if they began outside of quotes and as if inside
    read     a block of lines at a time ──▶ the parser ──▶ an array a column ──▶ its own place
                                               │ a field that does not fit
                                               ▼
             what else is in the part? ──▶ belied: the file is read again, with wider types;
             where no type would do    ──▶ LoadError (errors)

1. A large file is sampled: its head, and pieces from all over it.
2. A text that is UTF-8 already is read in parts, which may begin inside of quotes (`Counted`).
3. Each block of a part is parsed into arrays that stay in the cache, and each is written to the
   place of its column (or all of them as rows of a matrix).
4. The first field that a guessed type does not hold ends the reading of that part. The rest of it
   is only looked at, which is several times as fast, so that one more reading is enough.
"""

from __future__ import annotations

import bisect
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, BinaryIO, Self

import numpy as np

from shmkit.errors import LoadError
from shmkit.readers.base import Part, Piece, Plan, Reader, Version
from shmkit.readers.compression import content_nbytes, decompressed, position
from shmkit.readers.text.columns import AROUND, Dialect
from shmkit.readers.text.encoding import encoding_of
from shmkit.readers.text.lines import decoding, parser
from shmkit.readers.text.shape import Shape, shape_of
from shmkit.readers.text.stream import TextStream, by_widths, without_comments
from shmkit.readers.text.table.columns import (
    facts_by_words,
    first_rows,
    table_columns,
    words_of,
)
from shmkit.readers.text.table.count import counted
from shmkit.readers.text.table.errors import line_of
from shmkit.readers.text.table.notes import witnesses
from shmkit.readers.text.table.plan import LEAST_ROWS, ROOM, Counted, TablePlan, merged
from shmkit.readers.text.table.rows import READ_NBYTES, TableRows, new_columns
from shmkit.segments.writer import SegmentWriter

__all__ = ["TableReader"]

_LARGE_NBYTES = 1 << 24  # from here on a file may be read in parts
_WHOLE_FILE_NBYTES = 1 << 20  # a file no larger is sampled whole
_HEAD_NBYTES = 1 << 16
_LINE_NBYTES = 1 << 12  # of which a first line may be like that of another file
_PIECE_NBYTES = 1 << 14
_PIECES = 32


class TableReader(Reader):
    r"""Reads one table.

    Parameters
    ----------
    path
        It may be compressed, as for `TextReader`.
    options
        From `table_options.checked`.

    Examples
    --------
    >>> import os, tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "calls.txt")
    >>> with open(path, "w") as file:
    ...     _ = file.write("chr\tpos\tpct\nchr1\t10469\t87.5\nchr1\t10471\tNA\n")
    >>> with TableReader.open(path, {}) as reader:
    ...     plan = reader.probe()
    >>> [(column.name, t.dtype.str) for column, t in zip(plan.columns, plan.types)]
    [('chr', '|S4'), ('pos', '<i8'), ('pct', '<f8')]
    """

    def __init__(self, path: str, options: Mapping[str, Any], data: BinaryIO) -> None:
        self._path = path
        self._options = options
        self._data = data  # decompressed
        self._only_returns: bool | None = None  # whether lines end so; it is looked at once

    @classmethod
    @contextmanager
    def open(cls, path: str, options: Mapping[str, Any]) -> Iterator[Self]:
        """The reader of a file; raises as `TextReader.open`.

        Raises
        ------
        LoadError
            Also where no parser was compiled.
        """
        with decompressed(path) as data:
            if parser is None:
                reason = (
                    "tables need the compiled parser, and none was compiled on installation; "
                    "install shmkit where a C++ compiler is, or give dtype= for np.loadtxt's way"
                )
                raise LoadError(path, None, None, reason)
            yield cls(path, options, data)

    def version(self) -> Version:
        """The version of the open file."""
        return Version.of(os.fstat(self._data.fileno()))

    # ---- what is in the file --------------------------------------------------------------------

    def probe(self, like: Plan | None = None) -> TablePlan:
        """Find out what is in the file.

        Raises
        ------
        LoadError
            If the first line may be a header or data, an option names a column that is not there,
            the file is no text, or compressed data are damaged.
        """
        encoding = encoding_of(self._path, self._data, self._options)
        with decoding(self._path, encoding):
            stream = self._stream(encoding)
            if isinstance(like, TablePlan):
                if self._is_like(stream, encoding, like):
                    return like
                stream.seek(stream.begin)
            head, whole = self._head(stream)
            return self._plan(stream, encoding, head, whole=whole)

    def _stream(self, encoding: str) -> TextStream:
        given, data = self._options, self._data
        changes = []
        if given.get("comments"):
            changes.append(without_comments(given["comments"], given.get("quotechar", '"')))
        if "widths" in given:
            changes.append(by_widths(given["widths"]))
        if self._only_returns is None:
            data.seek(0)
            begin = data.read(_HEAD_NBYTES)
            self._only_returns = b"\r" in begin and b"\n" not in begin
        return TextStream(data, encoding, changes, only_returns=self._only_returns)

    def _head(self, stream: TextStream) -> tuple[bytes, bool]:
        """The first lines, three at least if there are; and whether they are all there is."""
        nbytes = content_nbytes(self._data)
        most = _WHOLE_FILE_NBYTES if nbytes is None or nbytes <= _WHOLE_FILE_NBYTES else 0
        most = max(most, _HEAD_NBYTES)
        head = bytearray()
        while piece := stream.read(most + 1 - len(head)):
            head += piece
            if len(head) > most:
                if head.count(b"\n") >= 3:
                    return bytes(head[: head.rindex(b"\n") + 1]), False
                most *= 2
        return bytes(head), True

    def _is_like(self, stream: TextStream, encoding: str, like: TablePlan) -> bool:
        """Whether a file that begins so may be read by the plan of another one."""
        if encoding != like.options["encoding"] or not like.fields:
            return False
        most = len(like.head) + _LINE_NBYTES
        head = stream.read(most) or b""
        rest = head[len(like.head) :]
        if not head.startswith(like.head) or like.header or not rest:
            return head.startswith(like.head) and like.header
        end = rest.find(b"\n") + 1
        if not end and len(head) == most:
            return False
        line = rest[:end] or rest + b"\n"
        text = bytes(AROUND) + line + bytes(AROUND)
        rows, _, misfit = new_columns(like, 1).parse(text, AROUND, AROUND + len(line))
        return rows == 1 and misfit is None

    def _plan(self, stream: TextStream, encoding: str, head: bytes, *, whole: bool) -> TablePlan:
        given, nbytes = self._options, content_nbytes(self._data)
        fixed = "widths" in given
        shape = shape_of(self._path, head, dict(given), fixed=fixed)
        columns = table_columns(self._path, given, shape, head[shape.begin :])
        words, most = words_of(columns, shape.fields), given.get("max_rows")
        sample = first_rows(head[shape.begin :], most)
        found = facts_by_words(sample, shape.dialect, words)
        first = witnesses(sample, found, lambda at: shape.lines + 1 + sample.count(b"\n", 0, at))
        if not whole and stream.plain and nbytes is not None and most is None:
            pieces, places = _pieces(stream, stream.begin + len(head), nbytes, shape.dialect)
            looked = facts_by_words(pieces, shape.dialect, words)
            later = witnesses(pieces, looked, lambda at: line_of(stream, places(at)))
            found, first = merged([found, looked]), later | first
        rows = head.count(b"\n", shape.begin) + 1
        if not whole:
            read = len(head) if nbytes is not None and stream.plain else position(self._data)
            size = nbytes if nbytes is not None and stream.plain else self.version().nbytes
            rows = int(rows * max(size / max(read, 1), 1) * ROOM) + LEAST_ROWS
        if most is not None:
            rows = min(rows, most)
        first_row, _ = given.get("select", (0, most))
        rows = max(rows - first_row, 0)
        large = nbytes is not None and nbytes >= _LARGE_NBYTES and stream.plain and most is None
        large = large and not first_row  # where that is, only reading tells
        plan = TablePlan(
            dtype=np.dtype(np.float64),
            shape=(rows,),
            options=self._resolved(encoding, shape),
            span=(stream.begin + shape.begin, nbytes) if large and nbytes is not None else None,
            columns=columns,
            facts=found,
            dialect=shape.dialect,
            fields=shape.fields,
            names=shape.names,
            head=head[: shape.begin],
            layout=given.get("layout", "columns" if given.get("dtype") else None),
            header=shape.header or isinstance(given.get("header"), list),
            exact=whole,
            witnesses=first,
            lines=shape.lines,
        )
        if not columns:
            if plan.layout is not None:
                raise LoadError(self._path, None, None, "there is no line of a table in it")
            return replace(plan, form="matrix", shape=(0,))
        return plan.planned()

    def _resolved(self, encoding: str, shape: Shape) -> dict[str, Any]:
        """The options, with what was inferred of the shape filled in."""
        found: dict[str, Any] = {
            "encoding": encoding,
            "delimiter": shape.dialect.delimiter,
            "header": shape.header,
        }
        if shape.dialect.decimal != ".":
            found["decimal"] = shape.dialect.decimal
        return {**self._options, **found}

    # ---- its parts ------------------------------------------------------------------------------

    def count(self, plan: Plan, start: int, stop: int) -> Counted:  # type: ignore[override] # for in_parts
        """The lines in these bytes of the plan's span, whichever side of a quote they begin on.

        Raises
        ------
        LoadError
            If compressed data are damaged.
        """
        assert isinstance(plan, TablePlan)
        assert plan.span is not None
        return counted(self._data, start, stop, plan)

    # ---- its rows -------------------------------------------------------------------------------

    def read(self, plan: Plan, part: Part, writer: SegmentWriter) -> Piece:
        """Write the rows of a part; or say what belies the plan.

        Raises
        ------
        LoadError
            For the first line that no type would hold, or that does not fit the dtype given: where
            it is, what is wrong, what to do. If the file changed since it was counted.
        NotEnoughMemoryError
            If there is no room.
        """
        assert isinstance(plan, TablePlan)
        encoding = plan.options["encoding"]
        with decoding(self._path, encoding):
            stream = self._stream(encoding)
            nbytes = content_nbytes(self._data)
            is_whole = part.rows is None and part.stop is None
            if is_whole and stream.plain and nbytes is not None and nbytes > READ_NBYTES:
                # To count is many times as fast as to read, and an exact room leaves no gap.
                plan = self._counted(stream, plan)
            converters = self._options.get("converters")
            rows = TableRows(self._path, plan, part, writer, converters)
            return rows.take(stream, self._data)

    def _counted(self, stream: TextStream, plan: TablePlan) -> TablePlan:
        nbytes = content_nbytes(self._data) or self.version().nbytes
        begin = stream.begin + len(plan.head)
        found, (part, *_) = plan.in_parts([counted(self._data, begin, nbytes, plan)])
        most: int = found.shape[0] if part.rows is None else part.rows
        wanted: int = self._options.get("max_rows", most)
        first: int = self._options.get("select", (0,))[0]
        return replace(found, shape=(max(min(most, wanted) - first, 0), *plan.shape[1:]))


def _pieces(
    stream: TextStream, start: int, stop: int, dialect: Dialect
) -> tuple[bytes, Callable[[int], int]]:
    """Whole lines from all over these bytes of a text; and what gives the place of a byte of them.

    A piece that begins in a quoted field is told by its quotes, which are out of place then.
    """
    found, at, places = [], [0], []
    signs = {"delimiter": dialect.delimiter, "quotechar": dialect.quotechar}
    for i in range(_PIECES):
        place = start + max(0, stop - start - _PIECE_NBYTES) * (i + 1) // _PIECES
        stream.seek(place)
        piece = stream.read(_PIECE_NBYTES) or b""
        *sides, _ = parser.count(b"ab" + piece, 2, 2 + len(piece), comment=None, **signs)
        *_, first = min(sides, key=lambda side: side[2])  # with the fewest that are out of place
        if first >= 0:
            found.append(piece[first + 1 : piece.rfind(b"\n") + 1])
            places.append(place + first + 1)
            at.append(at[-1] + len(found[-1]))

    def place_of(byte: int) -> int:
        number = bisect.bisect(at, byte) - 1
        return places[number] + byte - at[number]

    return b"".join(found), place_of
