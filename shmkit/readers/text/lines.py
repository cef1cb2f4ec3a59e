r"""The lines of a text file: decoded, and counted as they are taken.

bytes, decompressed ──(encoding)──▶ lines, each ended by \n, \r\n or \r
"""

from __future__ import annotations

import codecs
import importlib
import io
import itertools
import operator
import re
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from shmkit.errors import LoadError
from shmkit.readers.compression import decompressed, position

if TYPE_CHECKING:
    from shmkit.readers.text.parser import _parser as parser
else:
    parser = None  # where there was no compiler
    for _build in ("_parser", "_parser_avx2", "_parser_avx512"):  # the last that this CPU can run
        with suppress(ImportError):
            parser = importlib.import_module(f"shmkit.readers.text.parser.{_build}")

__all__ = [
    "LINE_END",
    "Lines",
    "byte_order_mark",
    "count_byte_lines",
    "count_lines",
    "decoding",
    "ends_by_numpy",
    "estimate_lines",
    "line_ends_are_bytes",
    "line_start",
    "lines_of",
    "loadtxt",
    "next_line",
    "parser",
    "split_fields",
    "split_options",
]

_COUNT_NBYTES = 1 << 18  # stays in the cache of a core until it is counted
_ESTIMATE_NBYTES = 1 << 20
_LIST_NBYTES = 1 << 16
_SKIP_LINES = 10_000
_UNDECODABLE = "\udcff"  # half of a character: in no text that was decoded

LINE_END = re.compile(rb"\r\n?|\n")


def loadtxt(lines: Iterable[str], **options: Any) -> NDArray[Any]:
    """np.loadtxt; what it deprecates ("2.5" read as the integer 2) is an error, no data is none."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=UserWarning, module=re.escape(__name__))
        warnings.filterwarnings("error", category=DeprecationWarning, module=r"numpy\.lib")
        return np.loadtxt(lines, **options)


def split_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Those of np.loadtxt's options that split a line into fields."""
    return {k: options[k] for k in ("comments", "delimiter", "quotechar") if k in options}


def split_fields(row: list[str], split: dict[str, Any]) -> list[Any]:
    """The fields of the first row of these lines; none if there is none, or its converter fails."""
    try:
        rows = loadtxt(row, dtype=object, ndmin=2, max_rows=1, **split).tolist()
    except ValueError:
        return []
    return rows[0] if rows else []


def line_ends_are_bytes(encoding: str) -> bool:
    r"""Whether \n and \r are one byte each and can be told in the undecoded file (not UTF-16)."""
    return "\n\r".encode(encoding).endswith(b"\n\r")


def count_lines(data: BinaryIO, encoding: str) -> tuple[int, int]:
    """Bytes and lines from here to the end; a last line without a line end is one."""
    if line_ends_are_bytes(encoding):
        lines, _ = count_byte_lines(data, sys.maxsize, b"")
    else:
        text = io.TextIOWrapper(data, encoding, errors="replace")
        lines = sum(1 for _ in text)
        text.detach()
    return data.tell(), lines


def count_byte_lines(data: BinaryIO, nbytes: int, mark: bytes) -> tuple[int, int]:
    """Lines in the next `nbytes`, and how many of them are sure to give no row.

    Those are the empty ones, and those that begin with `mark` if that is one character. Some such
    may be missed, where they are rare.
    """
    ends = ends_by_numpy if parser is None else parser.ends
    lines = without_rows = 0
    text = np.empty(2 + _COUNT_NBYTES, np.uint8)
    text[:2] = ord("\n")  # then the last two bytes of the piece before
    while nbytes:
        count: int = data.readinto(text[2 : 2 + nbytes].data)  # type: ignore[attr-defined] # all do
        if not count:
            break
        nbytes -= count
        found = ends(text.data, 2, 2 + count, mark[0] if len(mark) == 1 else ord("\n"))
        lines, without_rows = lines + found[0], without_rows + found[1]
        text[:2] = text[count : count + 2]
    return lines + int(text[1] != ord("\n")), without_rows


def ends_by_numpy(text: memoryview, start: int, stop: int, mark: int) -> tuple[int, int]:
    """As `_parser.ends`, for where there is none."""
    codes = np.frombuffer(text, np.uint8)[start - 2 : stop]
    ends, returns = codes == ord("\n"), codes == ord("\r")
    lines = ends[2:] | returns[1:-1]
    empty = ends[1:-1] & (ends[2:] | (codes[2:] == mark)) | ends[:-2] & returns[1:-1] & ends[2:]
    return int(np.count_nonzero(lines)), int(np.count_nonzero(empty))


def byte_order_mark(data: BinaryIO, encoding: str) -> bytes:
    """The mark at the begin of the file, which is no text, if the encoding has one."""
    data.seek(0)
    begin = data.read(len(codecs.BOM_UTF8))
    return begin if encoding == "utf-8-sig" and begin == codecs.BOM_UTF8 else b""


def line_start(data: BinaryIO, number: int, encoding: str) -> int:
    """Where in the file the line begins that has so many before it."""
    data.seek(begin := len(byte_order_mark(data, encoding)))
    text = io.TextIOWrapper(data, "latin-1", newline="")  # of one byte each, line ends as they are
    start = begin + sum(map(len, itertools.islice(text, number)))
    text.detach()
    return start


def next_line(data: BinaryIO, position: int, first: int, last: int) -> int:
    r"""Where a line begins at `position` or after it, from `first` to `last`; ends are \n alone."""
    if first < position < last:
        data.seek(position - 1)
        data.readline()
        position = data.tell()
    return min(max(position, first), last)


def estimate_lines(data: BinaryIO, nbytes: int) -> int:
    """About how many lines there are in a file of `nbytes` bytes, from its begin."""
    begin = data.read(_ESTIMATE_NBYTES)
    lines = begin.count(b"\n") + 1
    if len(begin) < _ESTIMATE_NBYTES:
        return lines
    return lines * nbytes // max(position(data), 1) + 1


class Lines:
    """The lines of a file, counted as they are taken.

    They come from lists, whose iterators know what is left in them: counting then costs a few
    nanoseconds a line, where a generator that counts each line slows np.loadtxt by an eighth.
    The lines since the last `mark` are kept, to be looked at again.
    """

    def __init__(self, data: BinaryIO, encoding: str) -> None:
        self._data = data
        self._text = io.TextIOWrapper(data, encoding)
        self._read = 0
        self._list: Iterator[str] = iter(())
        self._kept: list[str] = []  # up to the last one read
        self._lines = itertools.chain.from_iterable(self._lists())

    def _lists(self) -> Iterator[Iterator[str]]:
        while lines := self._text.readlines(_LIST_NBYTES):
            self._read += len(lines)
            self._kept += lines
            self._list = iter(lines)
            yield self._list

    def __iter__(self) -> Iterator[str]:
        return self._lines

    @property
    def taken(self) -> int:
        """Lines taken so far."""
        return self._read - operator.length_hint(self._list)

    @property
    def nbytes_taken(self) -> int:
        """Bytes of the file, as it lies there, that were read for them."""
        return position(self._data)

    def detach(self) -> None:
        """Take no more, and leave the data open."""
        self._text.detach()

    def mark(self) -> None:
        """Forget the lines taken so far."""
        del self._kept[: len(self._kept) - operator.length_hint(self._list)]

    def since_mark(self) -> list[str]:
        """The lines taken since then."""
        return self._kept[: len(self._kept) - operator.length_hint(self._list)]

    def skip(self, count: int) -> None:
        """Pass over the next lines."""
        while skipped := len(list(itertools.islice(self._lines, min(count, _SKIP_LINES)))):
            count -= skipped
            self.mark()  # so that they are not all kept


@contextmanager
def decoding(path: str, encoding: str) -> Iterator[None]:
    """Where decoding the file fails in the block, its line is named."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise _undecodable(path, encoding, error) from None


@contextmanager
def lines_of(path: str, data: BinaryIO, encoding: str, skip: int = 0) -> Iterator[Lines]:
    """The lines of the file from its begin, but for the first `skip`."""
    data.seek(0)
    lines = Lines(data, encoding)
    try:
        with decoding(path, encoding):
            lines.skip(skip)
            yield lines
    finally:
        lines.detach()


def _undecodable(path: str, encoding: str, error: UnicodeDecodeError) -> LoadError:
    codecs.register_error("shmkit.mark", lambda error: (_UNDECODABLE, cast("Any", error).end))
    with decompressed(path) as data, io.TextIOWrapper(data, encoding, "shmkit.mark") as text:
        line = next((number for number, line in enumerate(text, 1) if _UNDECODABLE in line), None)
    marks = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    other = "utf-16" if error.object.startswith(marks) else "latin-1"
    reason = (
        f"byte 0x{error.object[error.start]:02x} is not {error.encoding} text ({error.reason}); "
        f'give encoding=, for example "{other}"'
    )
    return LoadError(path, line, None, reason)
