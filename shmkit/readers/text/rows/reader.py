"""Text whose dtype is given, with np.loadtxt as the reference: its options, values, refusals.

probe    plan: np.loadtxt's options, rows, perhaps a span
count    bytes of the span ──▶ part: whole lines, and their rows at most (lines)
read     bytes of a part, decompressed, a block at a time ──▶ rows (rows) ──▶ writer
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, BinaryIO, Self

import numpy as np

from shmkit._categories import category
from shmkit.errors import LoadError
from shmkit.readers.base import Part, Piece, Plan, Reader, Version
from shmkit.readers.compression import content_nbytes, decompressed, position
from shmkit.readers.text.encoding import encoding_of
from shmkit.readers.text.lines import (
    byte_order_mark,
    count_byte_lines,
    count_lines,
    decoding,
    estimate_lines,
    line_start,
    lines_of,
    loadtxt,
    next_line,
)
from shmkit.readers.text.rows.errors import TextPlan, columns
from shmkit.readers.text.rows.rows import Rows, by_lines, lines_are_bytes
from shmkit.segments.writer import SegmentWriter

__all__ = ["TextReader", "checked"]

_LARGE_NBYTES = 1 << 24  # from here on a file may be read in parts
_FEW_ROWS = 1 << 16  # for which a large file is not counted
_WITHOUT_UNIT = frozenset([np.dtype("M8"), np.dtype("m8")])


def checked(options: Mapping[str, Any]) -> Mapping[str, Any]:
    """The options of a text file, `dtype` a dtype and `usecols` a list, if any file satisfies them.

    They are checked once, where the load begins; a `TextReader` relies on that.

    Raises
    ------
    TypeError, ValueError
        From np.loadtxt, for options that it refuses with any file; for ``encoding="bytes"``, and
        for a dtype that holds Python objects or dates without a unit.
    """
    given = {name: value for name, value in options.items() if name != "layout"}
    if given.get("encoding") == "bytes":
        raise ValueError(
            'encoding="bytes" is a mode of np.loadtxt from before numpy 2.0; name the encoding of '
            'the file, for example "latin-1"'
        )
    for_loadtxt = {name: value for name, value in given.items() if name != "categories"}
    try:
        loadtxt([], **for_loadtxt)
    except (TypeError, ValueError) as error:
        shown = ", ".join(f"{name}={value!r}" for name, value in for_loadtxt.items())
        raise type(error)(f"np.loadtxt reads no file with {shown}: {error}") from None
    if given.get("usecols") is not None:
        given["usecols"] = np.atleast_1d(given["usecols"]).tolist()
    given["dtype"] = dtype = np.dtype(given["dtype"])
    if dtype.hasobject or any(c.dtype in _WITHOUT_UNIT for c in columns(dtype)):
        raise TypeError(
            "Python objects, and times without a unit, cannot lie in shared memory (dtype="
            f'{dtype}); give dtype= with numbers, text such as "U20", or "datetime64[s]"'
        )
    return given


class TextReader(Reader):
    r"""Reads one text file into an array of the dtype given.

    Parameters
    ----------
    path
        It is decompressed if its first bytes are those of gzip, bzip2, xz or zstd, whatever its
        name; a name that says so wrongly is an error, as it is for np.loadtxt. A file of bgzip
        must end with the empty block that bgzip writes last: else lines may be missing.
    options
        From `checked`: what the user gave of np.loadtxt's ``dtype``, ``delimiter``, ``comments``,
        ``skiprows``, ``usecols``, ``max_rows``, ``converters``, ``encoding``, ``quotechar`` and
        ``ndmin``, each with np.loadtxt's meaning; and ``categories``, fields of which text becomes
        codes. Without ``encoding`` the file is UTF-8, whatever the locale says, with a byte order
        mark or without.

    Examples
    --------
    >>> import os, tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "calls.txt")
    >>> with open(path, "w") as file:
    ...     _ = file.write("chr1\t10469\t87.5\nchr1\t10471\t100\n")
    >>> with TextReader.open(path, checked({"dtype": "S4, i8, f8"})) as reader:
    ...     plan = reader.probe()
    >>> plan.shape, plan.dtype
    ((2,), dtype([('f0', 'S4'), ('f1', '<i8'), ('f2', '<f8')]))
    """

    def __init__(self, path: str, options: Mapping[str, Any], data: BinaryIO) -> None:
        self._path = path
        self._options = options
        self._data = data  # decompressed

    @classmethod
    @contextmanager
    def open(cls, path: str, options: Mapping[str, Any]) -> Iterator[Self]:
        """The reader of a file.

        Raises
        ------
        LoadError
            If compressed data are damaged, also where that shows in the block.
        OSError
            If the file cannot be read.
        """
        with decompressed(path) as data:
            yield cls(path, options, data)

    def version(self) -> Version:
        """The version of the open file."""
        return Version.of(os.fstat(self._data.fileno()))

    def probe(self, like: Plan | None = None) -> TextPlan:
        """Find out what is in the file.

        The plan of another one is taken where a dtype with fields, and the same encoding, leave
        nothing to be found but the rows.

        Returns
        -------
        TextPlan
            ``np.loadtxt(path, **plan.options)`` gives the array that `read` gives (where it
            knows the compression by the name), but for ``categories``.

        Raises
        ------
        LoadError
            If the first row does not fit the dtype, the text does not fit the encoding, the file
            is no text, or compressed data are damaged.
        """
        data = self._data
        encoding = encoding_of(self._path, data, self._options)
        if isinstance(like, TextPlan) and like.dtype.names and like.options["encoding"] == encoding:
            return like
        options = {**self._options, "encoding": encoding}
        nbytes, span = content_nbytes(data), None
        if nbytes is None:
            lines = estimate_lines(data, self.version().nbytes)
        else:
            lines, span = self._lines(options, nbytes)
        most = options.get("max_rows")
        rows = max(0, lines - options.get("skiprows", 0))
        dtype = _with_categories(self._path, options)
        plan = TextPlan(
            dtype=dtype,
            shape=(rows if most is None else min(rows, most),),
            options=options,
            span=span,
        )
        return plan if plan.dtype.names is not None else self._with_columns(plan)

    def _lines(self, options: Mapping[str, Any], nbytes: int) -> tuple[int, tuple[int, int] | None]:
        """About how many lines there are in so many bytes, and the span if it has parts."""
        data, skip, most = self._data, options.get("skiprows", 0), options.get("max_rows")
        data.seek(0)
        if nbytes >= _LARGE_NBYTES and most is None and lines_are_bytes(options):
            span = line_start(data, skip, options["encoding"]), nbytes
            data.seek(0)
            return estimate_lines(data, self.version().nbytes), span
        if nbytes >= _LARGE_NBYTES and most is not None and most <= _FEW_ROWS:
            return skip + most, None  # there may be fewer, which only reading tells
        return count_lines(data, options["encoding"])[1], None

    def _with_columns(self, plan: TextPlan) -> TextPlan:
        """The plan of an array without fields: the columns in its shape, how wide its text is."""
        options, dtype = plan.options, plan.dtype
        if not dtype.itemsize:  # str or bytes: as wide as the widest
            plan = replace(plan, dtype=np.dtype(object))
        columns = 1 if options.get("usecols") is None else len(options["usecols"])
        encoding, skip = options["encoding"], options.get("skiprows", 0)
        most = sys.maxsize if options.get("max_rows") is None else options["max_rows"]
        with lines_of(self._path, self._data, encoding, skip) as lines:
            for block in by_lines(self._path, plan, lines, min(most, 1)):
                columns = block.shape[1]
        plan = replace(plan, shape=(*plan.shape, columns))
        if not dtype.itemsize:
            with lines_of(self._path, self._data, encoding, skip) as lines:
                blocks = by_lines(self._path, plan, lines, most)
                widest = max((len(str(text)) for block in blocks for text in block.flat), default=1)
            dtype = np.dtype(f"{dtype.kind}{widest or 1}")
        return replace(plan, dtype=dtype, options={**options, "dtype": dtype})

    def count(self, plan: Plan, start: int, stop: int) -> Part:
        """The lines that begin in these bytes of the plan's span.

        Raises
        ------
        LoadError
            If compressed data are damaged.
        """
        assert plan.span is not None
        data = self._data
        start, stop = (next_line(data, at, *plan.span) for at in (start, stop))
        data.seek(start)
        mark = plan.options.get("comments", "#")
        lines, without_rows = count_byte_lines(
            data, stop - start, mark.encode() if isinstance(mark, str) else b""
        )
        return Part(start, stop, lines, lines - without_rows)

    def read(self, plan: Plan, part: Part, writer: SegmentWriter) -> Piece:
        """Write the rows of a part.

        Raises
        ------
        LoadError
            For the first line that does not fit: where it is, what is wrong, what to do. If the
            file changed since it was counted.
        NotEnoughMemoryError
            If there is no room.
        """
        assert isinstance(plan, TextPlan)
        writer.declare(plan.dtype, plan.shape)
        rows = Rows(self._path, plan, writer.write, part.line)
        if lines_are_bytes(plan.options):
            self._read_bytes(plan, part, rows, writer)
        else:
            skip = plan.options.get("skiprows", 0)
            with lines_of(self._path, self._data, plan.options["encoding"], skip) as lines:
                for _ in rows.take_lines(lines):
                    writer.advance(bytes_done=lines.nbytes_taken, rows=rows.count)
        return Piece(rows.count, rows.categories)

    def _read_bytes(self, plan: TextPlan, part: Part, rows: Rows, writer: SegmentWriter) -> None:
        data, encoding = self._data, plan.options["encoding"]
        at = begin = part.start or len(byte_order_mark(data, encoding))
        data.seek(begin)
        # A file that is read whole is read to its end: it may have grown.
        nbytes, scale = sys.maxsize, 0.0
        if part.stop is not None:
            nbytes = part.stop - begin
            scale = self.version().nbytes / (content_nbytes(data) or 1)
        skip = max(plan.options.get("skiprows", 0) - part.line, 0)
        with decoding(self._path, encoding):
            for taken in rows.take_bytes(data, nbytes, skip):
                at = begin + taken
                done = int((at - part.start) * scale) if scale else position(data)
                writer.advance(bytes_done=done, rows=rows.count)
        stop = plan.span[1] if part.stop is None and plan.span else part.stop
        # Rows beyond those counted were written into the place of the next part: the file fails.
        if (stop is not None and at != stop) or (part.rows is not None and rows.count > part.rows):
            reason = "the file changed while loading; load it again"
            raise LoadError(self._path, None, None, reason)


def _with_categories(path: str, options: Mapping[str, Any]) -> np.dtype[Any]:
    """The dtype, with codes in the fields that are to be categories."""
    dtype: np.dtype[Any] = options["dtype"]
    wanted, fields = options.get("categories", ()), dtype.names or ()
    for name in wanted:
        if name not in fields or dtype[name].subdtype is not None or dtype[name].names is not None:
            there = f"its fields are {', '.join(fields)}" if fields else "it has no fields"
            reason = (
                f"categories= names {name!r}, which is no field with one column; {there}; give "
                'names of those, or dtype= with such a field, for example [("chr", "U8"), ...]'
            )
            raise LoadError(path, None, None, reason)
    if not wanted:
        return dtype
    return np.dtype([(f, category([]) if f in wanted else dtype[f]) for f in fields])
