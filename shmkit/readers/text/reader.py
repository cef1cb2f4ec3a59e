"""Text files, with np.loadtxt as the reference: its options, its values, its refusals.

probe       a sample of the lines ──▶ plan: np.loadtxt's options (_infer), rows, perhaps a span
read_into   bytes, decompressed, a block at a time ──▶ rows, written to the target (_rows)
read        both, of a small file
read_part   the same, for a part of a large file
"""

from __future__ import annotations

import codecs
import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from shmkit._categories import category
from shmkit.errors import LoadError
from shmkit.memory.writer import SegmentWriter
from shmkit.readers.base import Part, Plan
from shmkit.readers.compression import content_nbytes, decompressed, position
from shmkit.readers.text.errors import TextPlan, columns, is_category
from shmkit.readers.text.infer import infer, take_sample
from shmkit.readers.text.lines import (
    byte_order_mark,
    count_byte_lines,
    count_lines,
    decoding,
    estimate_lines,
    line_ends_are_bytes,
    line_start,
    lines_of,
    loadtxt,
    next_line,
)
from shmkit.readers.text.rows import Rows, by_lines, lines_are_bytes

__all__ = ["TextPlan", "checked", "count", "probe", "read", "read_into", "read_part", "whole_shape"]

_LOOK_NBYTES = 4096  # binary files have a NUL byte in the first ones
_LARGE_NBYTES = 1 << 24  # from here on a file may be read in parts
_FEW_ROWS = 1 << 16  # for which a large file is not counted
_WITHOUT_UNIT = frozenset([np.dtype("M8"), np.dtype("m8")])


class _Checked(dict[str, Any]):
    """Options that went through `checked`."""


def checked(options: Mapping[str, Any]) -> Mapping[str, Any]:
    """The options of `probe`, `dtype` a dtype and `usecols` a list, if any file can satisfy them.

    What it has returned it returns as it is: for many files they are checked once.

    Raises
    ------
    TypeError, ValueError
        From np.loadtxt, for options that it refuses with any file; for ``encoding="bytes"``, and
        for a dtype that holds Python objects or dates without a unit.
    """
    if isinstance(options, _Checked):
        return options
    given = _Checked(options)
    if given.get("dtype", "") is None:
        del given["dtype"]
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
    if "dtype" in given:
        given["dtype"] = dtype = np.dtype(given["dtype"])
        if dtype.hasobject or any(c.dtype in _WITHOUT_UNIT for c in columns(dtype)):
            raise TypeError(
                "Python objects, and times without a unit, cannot lie in shared memory (dtype="
                f'{dtype}); give dtype= with numbers, text such as "U20", or "datetime64[s]"'
            )
    return given


def probe(path: str, options: Mapping[str, Any]) -> TextPlan:
    r"""Find out what is in the file.

    Parameters
    ----------
    path
        A text file. It is decompressed if its first bytes are those of gzip, bzip2, xz or zstd,
        whatever its name; a name that says so wrongly is an error, as it is for np.loadtxt. One
        of bgzip must end with the empty block that bgzip writes last: else lines may be missing.
    options
        What the user gave of np.loadtxt's ``dtype``, ``delimiter``, ``comments``, ``skiprows``,
        ``usecols``, ``max_rows``, ``converters``, ``encoding``, ``quotechar`` and ``ndmin``, each
        with np.loadtxt's meaning; and ``categories``, fields of which text becomes codes. Without
        ``dtype`` it is inferred from a sample, and so are ``delimiter``, ``quotechar`` and a header
        line where not given; then a quoted line end is an error if ``quotechar`` is not given, as
        is text cut at a ``#`` if ``comments`` is not.
        Without ``encoding`` the file is UTF-8, whatever the locale says, with a byte order mark
        or without.

    Returns
    -------
    TextPlan
        ``np.loadtxt(path, **plan.options)`` gives the array that `read_into` gives (where it
        knows the compression by the name), but for ``categories``.

    Raises
    ------
    LoadError
        If the first row does not fit the dtype, the first line may be a header or data, the text
        does not fit the encoding, the file is no text, or compressed data are damaged.
    TypeError, ValueError
        From `checked`.
    OSError
        If the file cannot be read.

    Examples
    --------
    >>> import os, tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "calls.txt")
    >>> with open(path, "w") as file:
    ...     _ = file.write("chr\tpos\tpct\nchr1\t10469\t87.5\nchr1\t10471\t100\n")
    >>> plan = probe(path, {})
    >>> plan.shape, plan.dtype
    ((2,), dtype([('chr', 'S4'), ('pos', '<i8'), ('pct', '<f8')]))
    >>> plan.options["delimiter"], plan.options["skiprows"]
    ('\t', 1)
    """
    with decompressed(path) as data:
        return _plan(path, data, options)


def read(path: str, options: Mapping[str, Any], target: SegmentWriter) -> TextPlan:
    """Both `probe` and `read_into`, of a file that is opened once; raises what they raise."""
    with decompressed(path) as data:
        plan = _plan(path, data, options)
        _read(path, data, plan, target)
    return plan


def _plan(path: str, data: BinaryIO, options: Mapping[str, Any]) -> TextPlan:
    given = dict(checked(options))
    whole_columns: tuple[int, ...] = ()
    found: dict[str, Any] = {}
    given["encoding"] = _encoding(path, data, given.get("encoding"))
    nbytes, lines = content_nbytes(data), None
    if nbytes is None and "dtype" in given:
        lines = estimate_lines(data, os.stat(path).st_size)
    elif "dtype" not in given:
        if nbytes is None:
            nbytes, lines = count_lines(data, given["encoding"])
            data.seek(0)
        sample = take_sample(data, nbytes, given.get("skiprows", 0), given["encoding"])
        found, whole_columns = infer(path, sample, given)
    resolved = given | found
    skip, most, span = resolved.get("skiprows", 0), resolved.get("max_rows"), None
    if lines is None:
        data.seek(0)
        assert nbytes is not None
        if nbytes >= _LARGE_NBYTES and most is None and lines_are_bytes(resolved):
            span = line_start(data, skip, resolved["encoding"]), nbytes
            data.seek(0)
            lines = estimate_lines(data, os.stat(path).st_size)
        elif nbytes >= _LARGE_NBYTES and most is not None and most <= _FEW_ROWS:
            lines = skip + most  # there may be fewer, which only reading tells
        else:
            lines = count_lines(data, resolved["encoding"])[1]
    rows = max(0, lines - skip)
    dtype = _with_categories(path, resolved)
    plan = TextPlan(
        dtype=dtype,
        shape=(rows if most is None else min(rows, most),),
        options=resolved,
        inferred=frozenset(found),
        whole_columns=tuple(
            i for i in whole_columns if dtype.names is None or not is_category(dtype[i])
        ),
        span=span,
    )
    return plan if plan.dtype.names is not None else _with_columns(path, data, plan)


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


def _encoding(path: str, data: BinaryIO, encoding: str | None) -> str:
    """The encoding of the text, from its begin if none is given; refuses what is no text."""
    begin = data.read(_LOOK_NBYTES)
    data.seek(0)
    if encoding is None:
        encoding = "utf-8-sig" if begin.startswith(codecs.BOM_UTF8) else "utf-8"
    utf_16 = begin.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))  # reading says so
    if b"\0" in begin and not utf_16 and line_ends_are_bytes(encoding):
        reason = (
            "it holds NUL bytes, so it is no text; give reader=, a function that takes the "
            'path and returns an array, or encoding= if it is UTF-16 ("utf-16-le")'
        )
        raise LoadError(path, None, None, reason)
    return encoding


def read_into(path: str, plan: Plan, target: SegmentWriter) -> None:
    """Read the file into the target.

    Raises
    ------
    LoadError
        For the first line that does not fit: where it is, what is wrong, what to do.
    NotEnoughMemoryError
        If the target has no room.
    OSError
        If the file cannot be read.
    """
    assert isinstance(plan, TextPlan)
    with decompressed(path) as data:
        _read(path, data, plan, target)


def _read(path: str, data: BinaryIO, plan: TextPlan, target: SegmentWriter) -> None:
    target.check_memory(plan.nbytes)
    target.declare(plan.dtype, plan.shape)
    encoding, skip = plan.options["encoding"], plan.options.get("skiprows", 0)
    rows = Rows(path, plan, target.write)
    if lines_are_bytes(plan.options):
        with decoding(path, encoding):
            begin = stop = len(byte_order_mark(data, encoding))
            data.seek(begin)
            for nbytes in rows.take_bytes(data, sys.maxsize, skip):
                stop = begin + nbytes
                target.advance(bytes_done=position(data), rows=rows.count)
        if plan.span is not None and stop != plan.span[1]:
            raise _changed(path)
    else:
        with lines_of(path, data, encoding, skip) as lines:
            for _ in rows.take_lines(lines):
                target.advance(bytes_done=lines.nbytes_taken, rows=rows.count)
    target.set_categories(rows.names)
    target.resize(whole_shape(plan, rows.count))


def count(path: str, plan: Plan, start: int, stop: int) -> Part:
    """The lines that begin in these bytes of the plan's span.

    Raises
    ------
    LoadError
        If compressed data are damaged.
    OSError
        If the file cannot be read.
    """
    assert plan.span is not None
    with decompressed(path) as data:
        start, stop = (next_line(data, at, *plan.span) for at in (start, stop))
        data.seek(start)
        mark = plan.options.get("comments", "#")
        lines, without_rows = count_byte_lines(
            data, stop - start, mark.encode() if isinstance(mark, str) else b""
        )
    return Part(start, stop, lines, lines - without_rows)


def read_part(path: str, plan: Plan, part: Part, line: int, target: SegmentWriter) -> int:
    """Write the rows of a part, before which there are `line` lines; gives their number.

    Raises
    ------
    LoadError
        For the first line that does not fit; if the file changed since it was counted.
    OSError
        If the file cannot be read.
    """
    assert isinstance(plan, TextPlan)

    def write(array: NDArray[Any]) -> None:
        if rows.count + len(array) > part.rows:
            raise _changed(path)
        target.write(array)

    rows, nbytes = Rows(path, plan, write, line), 0
    with decompressed(path) as data, decoding(path, plan.options["encoding"]):
        packed, unpacked = os.stat(path).st_size, content_nbytes(data) or 1
        data.seek(part.start)
        for nbytes in rows.take_bytes(data, part.stop - part.start, 0):
            target.advance(bytes_done=nbytes * packed // unpacked, rows=rows.count)
    if nbytes != part.stop - part.start:
        raise _changed(path)
    target.set_categories(rows.names)
    return rows.count


def _changed(path: str) -> LoadError:
    return LoadError(path, None, None, "the file changed while loading; load it again")


def whole_shape(plan: Plan, rows: int) -> tuple[int, ...]:
    """The shape that np.loadtxt gives to an array of so many rows."""
    shape, ndmin = (rows, *plan.shape[1:]), plan.options.get("ndmin", 0)
    if len(shape) > ndmin:
        shape = tuple(length for length in shape if length != 1)
    return (*shape, *(1,) * (ndmin - len(shape)))


def _with_columns(path: str, data: BinaryIO, plan: TextPlan) -> TextPlan:
    """The plan of an array without fields: the columns in its shape, and how wide its text is."""
    options, dtype = plan.options, plan.dtype
    if not dtype.itemsize:  # str or bytes: as wide as the widest
        plan = replace(plan, dtype=np.dtype(object))
    columns = 1 if options.get("usecols") is None else len(options["usecols"])
    encoding, skip = options["encoding"], options.get("skiprows", 0)
    most = sys.maxsize if options.get("max_rows") is None else options["max_rows"]
    with lines_of(path, data, encoding, skip) as lines:
        for block in by_lines(path, plan, lines, min(most, 1)):
            columns = block.shape[1]
    plan = replace(plan, shape=(*plan.shape, columns))
    if not dtype.itemsize:
        with lines_of(path, data, encoding, skip) as lines:
            blocks = by_lines(path, plan, lines, most)
            widest = max((len(str(text)) for block in blocks for text in block.flat), default=1)
        dtype = np.dtype(f"{dtype.kind}{widest or 1}")
    return replace(plan, dtype=dtype, options={**options, "dtype": dtype})
