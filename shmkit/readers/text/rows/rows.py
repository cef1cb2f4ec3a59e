"""The rows of a text, written to a segment: by the compiled parser, or by np.loadtxt.

    block of whole lines ──▶ the parser ──▶ some rows, in the cache ─────▶ written
                               │ a line of which it is not sure              ▲
                               ▼                                             │
                             np.loadtxt, for it and some after it ──▶ checked
                                                                             │ does not fit
                                                                             ▼
                                                                explain_row ──▶ LoadError

1. A block is read into a buffer. What follows its last line end waits for the next block.
2. The parser takes the lines that it is sure to read exactly as np.loadtxt does (see _parser.pyi),
   until it meets one that it is not sure of.
3. np.loadtxt takes that line and some after it: few at first, twice as many where the parser then
   gets no further. Its rows are checked: whether the array can hold each value unchanged.
4. A row that does not fit is looked at field by field, until it is known which one is wrong and
   which option helps (errors).
5. Both give the texts of category columns their codes, from one table a column (codes).

So what a text means, and what is wrong with it, is said in one place. Where the parser was not
compiled, np.loadtxt reads all lines.
"""

from __future__ import annotations

import codecs
import functools
import io
import itertools
import math
import operator
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shmkit._categories import too_many
from shmkit.errors import LoadError
from shmkit.readers.text.lines import LINE_END, Lines, loadtxt, parser
from shmkit.readers.text.rows.codes import TABLE, CategoryCodes
from shmkit.readers.text.rows.errors import (
    TextPlan,
    array_can_hold,
    columns,
    explain_row,
    is_category,
    parse_options,
)

__all__ = ["PARSER", "Rows", "by_lines", "lines_are_bytes"]

_CPU = {"_parser_avx512": ", for AVX-512", "_parser_avx2": ", for AVX2", "_parser": ""}
PARSER = (
    "np.loadtxt (none was compiled on installation)"
    if parser is None
    else f"compiled{_CPU[parser.__name__.rpartition('.')[2]]}"
)

# Together they stay in the cache of a core: a block until it is parsed, its rows until written.
_READ_NBYTES = 1 << 19
_ROWS_NBYTES = 1 << 18
_MIN_NBYTES = 1 << 14
_MIN_ROWS = 1 << 8
_BEHIND = 16  # the parser loads so many bytes at once, the last ones from behind the text
_FEW_NBYTES = 1 << 12  # that np.loadtxt gets at first, where the parser gets no further
_BLOCK_ROWS = 20_000
_BLOCK_NBYTES = 1 << 23  # np.loadtxt allocates a block in full: fewer rows where they are long
_PARSED = frozenset(
    np.dtype(code) for code in ("?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f4", "f8")
)
# In which a byte below 128 is always that ASCII character.
_ASCII_BYTES = frozenset(["ascii", "utf-8", "iso8859-1", "iso8859-15", "cp1250", "cp1252"])


def lines_are_bytes(options: Mapping[str, Any]) -> bool:
    """Whether lines can be told apart in the undecoded file."""
    encoding = codecs.lookup(options["encoding"].removesuffix("-sig")).name
    return encoding in _ASCII_BYTES and options.get("quotechar") is None


class Rows:
    """Takes lines of a text, and writes their rows.

    Parameters
    ----------
    path, plan
        Of the file.
    write
        Called with the next rows, again and again, in an array that is used again afterwards.
    line
        Lines of the file before the first one that is taken.

    Attributes
    ----------
    count : int
        Rows that are written.
    """

    def __init__(
        self, path: str, plan: TextPlan, write: Callable[[NDArray[Any]], None], line: int = 0
    ) -> None:
        self.count = 0
        self._path = path
        self._plan = plan
        self._write = write
        self._line = line
        self._at_top = line <= plan.options.get("skiprows", 0)
        most = plan.options.get("max_rows")
        self._most: int = sys.maxsize if most is None else most
        self._encoding = plan.options["encoding"].removesuffix("-sig")
        self._row_nbytes = plan.dtype.itemsize * math.prod(plan.shape[1:])
        categories = tuple(plan.options.get("categories", ()))
        layout = _layout(plan.dtype, categories, plan.shape[1:], _keys(plan))
        self._fields = layout.fields if _parser_knows(plan) else None
        self._syntax = _syntax(plan, self._encoding, layout.width)
        order, by_parser = layout.categories, self._fields is not None
        self._tables = np.zeros(len(order) if by_parser else 0, TABLE)  # in the order of the file
        self._codes = {
            i: CategoryCodes(self._tables[n : n + 1] if by_parser else None)
            for n, i in enumerate(order)
        }
        if by_parser:
            # For a small file, room for its rows alone: to clear more takes longer than to parse.
            room = min(_ROWS_NBYTES // self._row_nbytes, max(plan.shape[0], _MIN_ROWS))
            self._parsed = _parsed(max(1, room), plan)

    @property
    def categories(self) -> dict[str, list[str]]:
        """The texts of the category fields, by code."""
        fields = self._plan.dtype.names or ()
        return {fields[i]: codes.texts for i, codes in sorted(self._codes.items())}

    @property
    def _complete(self) -> bool:
        """Whether there are as many rows as were wanted."""
        return self.count >= self._most

    def take_bytes(self, stream: BinaryIO, nbytes: int, skip: int) -> Iterator[int]:
        """Take the lines in the next `nbytes` of the stream, but for the first `skip`.

        Yields how many bytes are read, now and then and at the end.
        """
        # For a small file, no more room than it needs: to clear it takes longer than to read.
        room = min(_READ_NBYTES, nbytes, max(os.path.getsize(self._path), _MIN_NBYTES))
        buffer = bytearray(room + 1 + _BEHIND)
        begun = done = 0  # bytes of a line at the begin of the buffer; bytes that were read
        ended = False
        while not (ended or self._complete):
            if begun == len(buffer) - _BEHIND:  # one line fills it
                buffer += bytes(begun)
            with memoryview(buffer)[begun:-_BEHIND][: nbytes - done] as free:
                count: int = stream.readinto(free)  # type: ignore[attr-defined] # they all have it
            done += count
            ended = not count or done == nbytes
            filled = begun + count
            if ended and filled and buffer[filled - 1] not in b"\r\n":  # the parser wants an end
                buffer[filled] = ord("\n")
                filled += 1
            end = filled if ended else _end_of_lines(buffer, filled)
            start = 0
            if skip:
                ends = [m.end() for m in itertools.islice(LINE_END.finditer(buffer, 0, end), skip)]
                skip -= len(ends)
                self._line += len(ends)
                start = end if skip else ends[-1]
            self._take(buffer, start, end)
            begun = filled - end
            buffer[:begun] = buffer[end:filled]
            yield done

    def take_lines(self, lines: Lines, offset: int = 0) -> Iterator[None]:
        """Take all the lines, by np.loadtxt; before the first are `offset` lines of the file.

        Yields now and then, and at the end.
        """
        left, first = self._most - self.count, self._at_top and self.count == 0
        for block in by_lines(self._path, self._plan, lines, left, offset, first=first):
            rows = np.zeros((len(block), *self._plan.shape[1:]), self._plan.dtype)
            for i, codes in self._codes.items():
                try:
                    block[f"f{i}"] = codes.encode(block[f"f{i}"].tolist())
                except OverflowError:
                    reason = too_many((self._plan.dtype.names or ())[i])
                    raise LoadError(self._path, None, None, reason) from None
            rows.view(_fields_of_a_block(self._plan.dtype))[...] = block
            self._write(rows)
            self.count += len(rows)
            yield
        self._line = offset + lines.taken
        yield

    def _take(self, text: bytearray, start: int, stop: int) -> None:
        """Take whole lines."""
        may_parse = self._fields is not None
        nbytes = _FEW_NBYTES if may_parse else stop
        while start < stop and not self._complete:
            before = start
            start = self._parse(text, start, stop) if may_parse else start
            if start == stop or self._complete:
                return
            # A call of np.loadtxt takes its time: it gets more where the parser gets no further.
            nbytes = _FEW_NBYTES if start > before else 2 * nbytes
            found = LINE_END.search(text, min(start + nbytes, stop), stop)
            end = found.end() if found else stop
            lines = Lines(io.BytesIO(text[start:end]), self._encoding)
            for _ in self.take_lines(lines, self._line):
                pass
            start = end

    def _parse(self, text: bytearray, start: int, stop: int) -> int:
        """Take the lines that the parser takes; gives where they end."""
        assert self._fields is not None
        room = rows = len(self._parsed)
        while rows == room and start < stop and not self._complete:
            rows, nbytes, lines = parser.parse(
                text,
                start,
                stop,
                self._parsed.reshape(-1).view(np.uint8).data,
                self._row_nbytes,
                self._fields,
                tables=self._tables.data,
                max_rows=self._most - self.count,
                **self._syntax,
            )
            parsed = self._parsed[:rows]
            self._write(parsed)
            self.count += rows
            self._line += lines
            start += nbytes
        return start


_kept: list[NDArray[Any]] = []  # one at most


def _parsed(rows: int, plan: TextPlan) -> NDArray[Any]:
    """An array for parsed rows; that of the file before, where many have one plan."""
    shape = rows, *plan.shape[1:]
    if not (_kept and _kept[0].dtype is plan.dtype and _kept[0].shape == shape):
        _kept[:] = [np.zeros(shape, plan.dtype)]
    return _kept[0]


def by_lines(
    path: str, plan: TextPlan, lines: Lines, most: int, offset: int = 0, *, first: bool = True
) -> Iterator[NDArray[Any]]:
    """The rows as `parse_options` says, at most `most`, a block at a time, each checked to fit.

    Before the first of the lines are `offset` lines of the file, with a row among them or, if
    `first`, with none.
    """
    options = parse_options(plan)
    row_nbytes = max(1, plan.dtype.itemsize * math.prod(plan.shape[1:]))
    block_rows = max(1, min(_BLOCK_ROWS, _BLOCK_NBYTES // row_nbytes))
    while most:
        start, count = lines.taken, min(block_rows, most)
        lines.mark()
        refusal = ""
        try:
            block = loadtxt(lines, max_rows=count, **options)
            good = array_can_hold(block, plan)
        except UnicodeDecodeError:
            raise
        except (ValueError, DeprecationWarning) as error:
            good, refusal = False, str(error)
        block_lines = lines.since_mark()
        if not good:
            misfit = explain_row(path, plan, block_lines, offset + start, first=first)
            raise misfit or LoadError(path, offset + start + 1, None, refusal)
        if len(block):
            first = False
            yield block
        if len(block) < count:
            return
        most -= count


def _end_of_lines(text: bytearray, stop: int) -> int:
    r"""Where the last whole line ends; a lone \r ends one too, but \n may follow."""
    return text.rfind(b"\n", 0, stop) + 1 or text.rfind(b"\r", 0, max(stop - 1, 0)) + 1


class _Layout(NamedTuple):
    """How a row lies in memory."""

    width: int  # columns that fill it
    categories: tuple[int, ...]  # which of them, in the order of the file
    fields: memoryview | None  # as the parser wants them; None if it cannot fill them


# Many small files have one layout. The categories are part of the key, since to numpy two dtypes
# that differ in these alone are equal.
@functools.lru_cache(maxsize=4)
def _layout(
    dtype: np.dtype[Any],
    categories: tuple[str, ...],  # noqa: ARG001 - see above
    shape: tuple[int, ...],
    keys: tuple[int, ...] | None,
) -> _Layout:
    found = list(columns(dtype))
    if dtype.names is None:
        found = [found[0]._replace(offset=i * dtype.itemsize) for i in range(math.prod(shape))]
    order = [i for i, column in enumerate(found) if is_category(column.dtype)]
    if keys is not None:
        order.sort(key=keys.__getitem__)
    wanted: Sequence[int] = range(len(found)) if keys is None else keys
    distinct = len(set(wanted)) == len(wanted) == len(found) and min(wanted, default=-1) >= 0
    if not distinct or not all(_parses(column.dtype) for column in found):
        return _Layout(len(found), tuple(order), None)
    fields = [
        (ord("C" if is_category(t) else t.kind), t.itemsize, offset, number, not t.isnative)
        for (_, t, offset), number in zip(found, wanted, strict=True)
    ]
    packed = np.array(sorted(fields, key=operator.itemgetter(3)), np.int64).data
    return _Layout(len(found), tuple(order), packed)


def _parses(dtype: np.dtype[Any]) -> bool:
    """Whether the parser knows how to read a field of this type."""
    return dtype.itemsize > 0 and (dtype.kind in "SU" or dtype.newbyteorder("=") in _PARSED)


def _keys(plan: TextPlan) -> tuple[int, ...] | None:
    """The columns of the file that are wanted, if not all."""
    keys = plan.options.get("usecols")
    return None if keys is None else tuple(keys)


def _parser_knows(plan: TextPlan) -> bool:
    """Whether there is a parser, and it knows these options."""
    marks = plan.options.get("comments", "#")
    known = marks is None or isinstance(marks, str)
    return parser is not None and known and plan.options.get("converters") is None


def _syntax(plan: TextPlan, encoding: str, width: int) -> dict[str, Any]:
    """The options of the parser."""
    return {
        "delimiter": plan.options.get("delimiter"),
        "comments": plan.options.get("comments", "#"),
        "quotechar": None,
        "columns": width if _keys(plan) is None else -1,
        "utf8": codecs.lookup(encoding).name == "utf-8",
    }


def _fields_of_a_block(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The same memory with the fields that `parse_options` has np.loadtxt fill."""
    if dtype.names is None:
        return dtype
    found = list(columns(dtype))
    return np.dtype(
        {
            "names": [f"f{i}" for i in range(len(found))],
            "formats": [column.dtype for column in found],
            "offsets": [column.offset for column in found],
            "itemsize": dtype.itemsize,
        }
    )
