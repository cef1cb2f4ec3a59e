"""Text files, with np.loadtxt as the reference: its options, its values, its refusals.

    file ──▶ lines, counted ──▶ np.loadtxt(max_rows=) ──▶ block ──▶ the target's array
                  │                      │                  │ text fields one character wider:
                  │                      ▼                  ▼ text too long for its field shows
                  └── which line ──▶ which field ◀──────────┘
                                         ▼
                                     LoadError

np.loadtxt takes its lines one by one from an iterator and none after row ``max_rows``. So a block
bounds the memory, quoted fields may hold line ends, and the number of lines taken tells where
it failed.
"""

from __future__ import annotations

import collections
import itertools
import math
import operator
import re
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, NamedTuple, Self, cast

import numpy as np
from numpy.typing import NDArray

from shmkit.errors import LoadError
from shmkit.readers import Plan, Target
from shmkit.readers._infer import EXACT, infer, is_number, take_sample
from shmkit.readers._lines import (
    DAMAGED,
    Lines,
    count_lines,
    damaged,
    decompressed,
    resolved_encoding,
    undecodable,
)

__all__ = ["TextPlan", "probe", "read_into"]

_BLOCK_ROWS = 20_000
_BLOCK_NBYTES = 1 << 23  # np.loadtxt allocates a block in full: fewer rows where they are long

# Sized by what is in the file, as np.loadtxt does it for these and for no field.
_FLEXIBLE = frozenset(np.dtype(code) for code in ("S0", "U0", "M8", "m8"))


@dataclass(frozen=True)
class TextPlan(Plan):
    """A plan, and how far its dtype is a guess.

    Attributes
    ----------
    inferred
        Whether the dtype comes from a sample of the file.
    whole_columns
        Columns of the array that are float64 but held only whole numbers in the sample: one
        that float64 cannot hold is an error there.
    """

    inferred: bool = False
    whole_columns: tuple[int, ...] = ()


def probe(path: str, options: Mapping[str, Any]) -> TextPlan:
    r"""Find out what is in the file.

    Parameters
    ----------
    path
        A text file; ``.gz``, ``.bz2``, ``.xz`` and ``.lzma`` are decompressed, as np.loadtxt does.
    options
        What the user gave of np.loadtxt's ``dtype``, ``delimiter``, ``comments``, ``skiprows``,
        ``usecols``, ``max_rows``, ``converters``, ``encoding``, ``quotechar`` and ``ndmin``, each
        with np.loadtxt's meaning. Without ``dtype`` it is inferred from a sample, and so are
        ``delimiter``, ``quotechar`` and a header line where not given. Without ``encoding`` the
        file is UTF-8, whatever the locale says, with a byte order mark or without.

    Returns
    -------
    TextPlan
        ``np.loadtxt(path, **plan.options)`` gives the array that `read_into` gives.

    Raises
    ------
    LoadError
        If the first row does not fit the dtype, the text does not fit the encoding, compressed
        data are damaged, or the dtype holds Python objects.
    TypeError, ValueError
        From np.loadtxt, for options that it refuses with any file.
    OSError
        If the file cannot be opened.

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
    resolved = dict(options)
    np_dtype = resolved.pop("dtype", None)
    with _quiet():  # options that no file can satisfy are the caller's error, not the file's
        np.loadtxt([], **({} if np_dtype is None else {"dtype": np_dtype}), **resolved)
    try:
        if resolved.get("encoding") is None:
            resolved["encoding"] = resolved_encoding(path)
        encoding = _file_encoding(resolved)
        nbytes, lines = count_lines(path, encoding)
        whole_columns: tuple[int, ...] = ()
        if np_dtype is None:
            with open(path, "rb") as file, decompressed(file, path) as data:
                sample = take_sample(data, nbytes, resolved.get("skiprows", 0), encoding)
            found = infer(path, sample, resolved)
            resolved |= found.options
            whole_columns = found.whole_columns
        else:
            resolved["dtype"] = np.dtype(np_dtype)
    except DAMAGED as error:
        raise damaged(path, error) from None
    plan = TextPlan(
        dtype=resolved["dtype"],
        shape=(max(0, lines - resolved.get("skiprows", 0)),),
        options=resolved,
        inferred=np_dtype is None,
        whole_columns=whole_columns,
    )
    return _with_shape(path, plan)


def read_into(path: str, plan: Plan, target: Target) -> None:
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
    array = target.reserve(plan.dtype, plan.shape)
    rows = 0
    with _Rows(path, plan) as file:
        for block in file.blocks(_block_rows(plan)):
            if rows + len(block) > len(array):
                raise LoadError(path, None, None, "the file grew while loading; load it again")
            array[rows : rows + len(block)] = block
            rows += len(block)
            target.advance(bytes_done=file.nbytes_taken, rows=rows)
        target.advance(bytes_done=file.nbytes_taken, rows=rows)
    target.trim(_squeezed((rows, *plan.shape[1:]), plan.options.get("ndmin", 0)))


def _with_shape(path: str, plan: TextPlan) -> TextPlan:
    """The plan with the columns in its shape, and with a dtype of fixed size."""
    dtype, options = plan.dtype, plan.options
    (rows,) = plan.shape
    if options.get("max_rows") is not None:
        rows = min(rows, options["max_rows"])
    if dtype.hasobject:
        raise LoadError(
            path,
            None,
            None,
            f"Python objects (dtype={dtype}) cannot lie in shared memory; give dtype= with "
            'numbers, text such as "U20", or "datetime64[s]"',
        )
    if dtype.names is not None:
        return replace(plan, shape=(rows,))
    usecols = _usecols(options)
    columns = 1 if usecols is None else len(usecols)
    with _Rows(path, plan) as file:
        if dtype in _FLEXIBLE:  # only reading all of it tells
            rows = 0
            dtype = np.dtype(f"{dtype.kind}1") if dtype.kind in "SU" else dtype
            for block in file.blocks(_BLOCK_ROWS):
                rows, columns = rows + len(block), block.shape[1]
                dtype = np.promote_types(dtype, block.dtype)
        else:
            for block in itertools.islice(file.blocks(1), 1):
                columns = block.shape[1]
    return replace(plan, dtype=dtype, shape=(rows, columns), options={**options, "dtype": dtype})


def _usecols(options: Mapping[str, Any]) -> list[int] | None:
    usecols = options.get("usecols")
    if usecols is None:
        return None
    return list(usecols) if isinstance(usecols, Iterable) else [usecols]


def _block_rows(plan: Plan) -> int:
    row_nbytes = max(1, plan.dtype.itemsize * math.prod(plan.shape[1:]))
    return max(1, min(_BLOCK_ROWS, _BLOCK_NBYTES // row_nbytes))


def _squeezed(shape: tuple[int, ...], ndmin: int) -> tuple[int, ...]:
    """The shape that np.loadtxt gives to an array of rows (and columns)."""
    if len(shape) > ndmin:
        shape = tuple(length for length in shape if length != 1)
    return (*shape, *(1,) * (ndmin - len(shape)))


def _file_encoding(options: Mapping[str, Any]) -> str:
    # "bytes" is np.loadtxt's word for converters that take bytes.
    encoding: str = options["encoding"]
    return "utf-8" if encoding == "bytes" else encoding


@contextmanager
def _quiet() -> Iterator[None]:
    """Of np.loadtxt's warnings: a deprecated way to read a number is an error, no data is none."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=UserWarning, module=re.escape(__name__))
        warnings.filterwarnings("error", category=DeprecationWarning, module=r"numpy\.lib")
        yield


class _Record(NamedTuple):
    """One row as it stands in the file."""

    line: int  # its first, counted from 1
    raw: list[str]  # its lines: several if a quoted field holds line ends
    fields: list[str]


class _Misfit(NamedTuple):
    column: int | None
    reason: str
    cause: Exception | None = None  # what a converter raised


class _Rows:
    """The rows of a file in blocks, each checked; a context manager."""

    def __init__(self, path: str, plan: Plan) -> None:
        options = plan.options
        self._path = path
        self._dtype = plan.dtype
        self._flexible = plan.dtype in _FLEXIBLE
        self._columns = plan.shape[1] if len(plan.shape) == 2 else None
        self._inferred = isinstance(plan, TextPlan) and plan.inferred
        self._whole = plan.whole_columns if isinstance(plan, TextPlan) else ()
        self._skiprows = options.get("skiprows", 0)
        self._max_rows = options.get("max_rows")
        self._usecols = _usecols(options)
        self._converters = options.get("converters")
        self._encoding = _file_encoding(options)
        self._takes_bytes = options["encoding"] == "bytes"
        self._split = {
            k: options[k] for k in ("comments", "delimiter", "quotechar") if k in options
        }
        self._parse = self._split | {
            "dtype": plan.dtype if self._flexible else _widened(plan.dtype),
            "ndmin": 2 if plan.dtype.names is None else 1,
            "usecols": self._usecols,
            "converters": self._converters,
            "encoding": "bytes" if self._takes_bytes else None,
        }
        self._lines = Lines(path, self._encoding)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._lines.close()

    @property
    def nbytes_taken(self) -> int:
        """Bytes of the file read so far."""
        return self._lines.nbytes_taken

    def blocks(self, block_rows: int) -> Iterator[NDArray[Any]]:
        """The rows, `block_rows` at a time: 1-d if the dtype has fields, else 2-d."""
        left = sys.maxsize if self._max_rows is None else self._max_rows
        skip, start = self._skiprows, 0
        while left:
            count = min(block_rows, left)
            try:
                self._lines.skip(skip)
                skip, start = 0, self._lines.taken
                with _quiet():
                    block: NDArray[Any] = np.loadtxt(self._lines, max_rows=count, **self._parse)
            except MemoryError:
                raise
            except Exception as error:  # noqa: BLE001 - converters raise what they like
                failure, cause = self._explained(error, start, self._lines.taken)
                raise failure from cause
            misfit = self._misfitting_row(block)
            if misfit is not None:
                failure, cause = self._explained(None, start, self._end_of_row(start, misfit))
                raise failure from cause
            if len(block):
                yield block
            if len(block) < count:
                return
            left -= count

    def _misfitting_row(self, block: NDArray[Any]) -> int | None:
        """The first row that np.loadtxt read and its place in the array would change."""
        if not len(block):
            return None
        if block.ndim == 2:
            self._columns = self._columns or block.shape[1]
            if block.shape[1] != self._columns:
                return 0
        if self._flexible:
            return None
        bad = np.zeros(len(block), bool)
        for values, dtype in _texts(block, self._dtype):
            cells = _too_long(values, dtype)
            if self._inferred and dtype.kind == "S":
                cells |= _not_ascii(values)
            bad |= cells.reshape(len(block), -1).any(axis=1)
        for column in self._whole:
            names = self._dtype.names
            bad |= _beyond_exact(block[names[column]] if names else block[:, column])
        return int(bad.argmax()) if bad.any() else None

    def _end_of_row(self, start: int, row: int) -> int:
        """The last line of a row, which is counted from line `start` on."""
        lines = Lines(self._path, self._encoding)
        lines.skip(start)
        with _quiet():
            np.loadtxt(lines, dtype=object, usecols=[0], max_rows=row + 1, **self._split)
        taken = lines.taken
        lines.close()
        return taken

    def _records(self, start: int, end: int) -> Iterator[_Record]:
        """The rows in the lines from `start` to `end`."""
        lines = Lines(self._path, self._encoding)
        lines.skip(start)
        block = lines.take(end - start)
        lines.close()
        rest = iter(block)
        begin = 0
        while begin < len(block):
            with _quiet():
                row = np.loadtxt(rest, dtype=object, ndmin=2, max_rows=1, **self._split)
            if not len(row):
                return
            stop = len(block) - operator.length_hint(rest)
            while begin < stop - 1 and not self._has_data(block[begin]):
                begin += 1
            yield _Record(start + begin + 1, block[begin:stop], row[0].tolist())
            begin = stop

    def _has_data(self, line: str) -> bool:
        with _quiet():
            return len(np.loadtxt([line], dtype=object, ndmin=2, **self._split)) > 0

    # What is wrong --------------------------------------------------------------------------------

    def _explained(
        self, error: Exception | None, start: int, end: int
    ) -> tuple[Exception, Exception | None]:
        """The error to raise, and its cause, for a row that ends in line `end`."""
        of_file = isinstance(error, (UnicodeDecodeError, OSError, *DAMAGED))
        if not of_file or self._converters is not None:
            records = self._records(max(0, end - 1), end)
            if self._flexible:  # np.loadtxt converts these when it has read a block
                records = self._records(start, end)
            elif self._split.get("quotechar") is not None:  # the row may begin on an earlier line
                records = iter(collections.deque(self._records(start, end), maxlen=1))
            for record in records:
                if self._columns is None:  # the first row says how many there are
                    self._columns = len(record.fields)
                misfit = self._misfit(record)
                if misfit is not None:
                    where = (record.line, misfit.column)
                    return LoadError(self._path, *where, misfit.reason), misfit.cause
        if isinstance(error, DAMAGED):
            return damaged(self._path, error), None
        if isinstance(error, OSError):
            return error, None
        if isinstance(error, UnicodeDecodeError):
            return undecodable(self._path, self._encoding), None
        return LoadError(self._path, end, None, str(error)), None

    def _misfit(self, record: _Record) -> _Misfit | None:
        """What is wrong with a row; None if nothing is."""
        fields, usecols = record.fields, self._usecols
        leaves = list(_leaves(self._dtype))
        if self._dtype.names is None:
            leaves *= cast("int", self._columns) if usecols is None else len(usecols)
        if usecols is None and len(leaves) != len(fields):
            reason = f"expected {_columns(len(leaves))}, found {len(fields)}"
            hint = self._width_hint(record)
            return _Misfit(min(len(leaves), len(fields)) + 1, f"{reason}; {hint}")
        for i, (name, dtype) in enumerate(leaves):
            key = i if usecols is None else usecols[i]
            if not -len(fields) <= key < len(fields):
                return _Misfit(
                    len(fields) + 1,
                    f"usecols= asks for column {key}, counted from 0, but this line has "
                    f"{_columns(len(fields))}; {self._width_hint(record)}",
                )
            found = self._cell_misfit(record, key, i, name, dtype)
            if found is not None:
                return _Misfit(key % len(fields) + 1, *found)
        return None

    def _cell_misfit(
        self, record: _Record, key: int, i: int, name: str | None, dtype: np.dtype[Any]
    ) -> tuple[str, Exception | None] | None:
        """What is wrong with one field, and what its converter raised."""
        text = record.fields[key]
        shown = _shown(text)
        notes = [f'field "{name}"'] if name else []
        notes += ["inferred from a sample of the file"] if self._inferred else []
        note = f" ({', '.join(notes)})" if notes else ""
        converter = self._converter(key, len(record.fields))
        wide = dtype if self._flexible else _widened(dtype)
        try:
            if converter is None:
                with _quiet():
                    value = np.loadtxt(
                        record.raw,
                        dtype=wide,
                        usecols=[key],
                        max_rows=1,
                        ndmin=1,
                        **self._split,
                    )
            else:
                given = converter(text.encode("latin1") if self._takes_bytes else text)
        except Exception as error:  # noqa: BLE001 - converters raise what they like
            if converter is not None:
                called = getattr(converter, "__name__", repr(converter))
                kind = type(error).__name__
                return f"converter {called} raised {kind} for {shown}: {error}", error
            if dtype.kind == "S":
                reason = f"{shown} does not fit S, which has one byte a character{note}"
                return f'{reason}; give dtype= with "U{len(text)}" or longer', None
            hint = f"give converters={{{key}: ...}} or another dtype="
            if self._may_be_header(record):
                hint += f", or skiprows={record.line} if this is a header line"
            return f"{shown} is not {_a(dtype)}{note}; {hint}", None
        if converter is not None:
            value = np.empty(1, wide)
            try:
                value[0] = given
            except (ValueError, TypeError, OverflowError):
                called = getattr(converter, "__name__", repr(converter))
                return (
                    f"converter {called} gave {_shown(given)} for {shown}, "
                    f"which is not {_a(dtype)}{note}; correct it, or give another dtype="
                ), None
            text, shown = str(given), _shown(given)
        if dtype.kind in "SU" and not self._flexible:
            if _too_long(value, dtype).any():
                reason = f"{shown} has {len(text)} characters, more than {_kind(dtype)} holds{note}"
                return f'{reason}; give dtype= with "{dtype.kind}{len(text)}" or longer', None
            if self._inferred and dtype.kind == "S" and _not_ascii(value).any():
                reason = f"{shown} is not ASCII text{note}"
                return f'{reason}; give dtype= with "U{len(text)}" or longer', None
        if i in self._whole and _beyond_exact(value).any():
            reason = f"{shown} is beyond 2**53, above which float64 changes whole numbers{note}"
            return f"{reason}; give dtype=", None
        return None

    def _converter(self, key: int, width: int) -> Callable[[Any], Any] | None:
        """The converter of a column; a key may count from the end, as np.loadtxt has it."""
        if not isinstance(self._converters, Mapping):
            return cast("Callable[[Any], Any] | None", self._converters)
        other = key - width if self._usecols is None else key
        found: Callable[[Any], Any] | None = self._converters.get(key, self._converters.get(other))
        return found

    def _may_be_header(self, record: _Record) -> bool:
        first = self._end_of_row(self._skiprows, 0)
        return first == record.line + len(record.raw) - 1 and not any(map(is_number, record.fields))

    def _width_hint(self, record: _Record) -> str:
        """The option that most likely helps where the number of columns is off."""
        line = record.raw[0]
        delimiter = self._split.get("delimiter")
        others = [d for d in ("\t", ";", ",") if d in line and d != delimiter]
        if len(record.fields) == 1 and others:
            return f"give delimiter={others[0]!r} if that separates the columns"
        if self._may_be_header(record):
            return f"give skiprows={record.line} if this is a header line"
        if "comments" not in self._split and "#" in line:
            return "give comments=None if # belongs to the text"
        if delimiter is None:
            return "give delimiter= if a field is empty or holds blanks"
        if '"' in line and self._split.get("quotechar") is None:
            return "give quotechar='\"' if quotes protect a delimiter"
        return "correct the line, or give usecols= if the columns wanted are in every line"


def _leaves(dtype: np.dtype[Any], name: str | None = None) -> Iterator[tuple[str | None, Any]]:
    """Name and dtype for each column that a row takes from the file."""
    if dtype.names is not None:
        for field in dtype.names:
            yield from _leaves(dtype[field], field if name is None else f"{name}.{field}")
    elif dtype.subdtype is not None:
        for _ in range(math.prod(dtype.shape)):
            yield from _leaves(dtype.base, name)
    else:
        yield name, dtype


def _widened(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype with room for one character more in every text, so that none is cut unseen."""
    if all(leaf.kind not in "SU" for _, leaf in _leaves(dtype)):
        return dtype
    if dtype.names is not None:
        return np.dtype([(name, _widened(dtype[name])) for name in dtype.names])
    if dtype.subdtype is not None:
        return np.dtype((_widened(dtype.base), dtype.shape))
    return np.dtype(f"{dtype.kind}{_characters(dtype) + 1}")


def _texts(
    block: NDArray[Any], dtype: np.dtype[Any]
) -> Iterator[tuple[NDArray[Any], np.dtype[Any]]]:
    """Every field of a block that is text, with the dtype that it has in the array."""
    if dtype.names is not None:
        for name in dtype.names:
            yield from _texts(block[name], dtype[name])
    elif dtype.subdtype is not None:
        yield from _texts(block, dtype.base)
    elif dtype.kind in "SU":
        yield block, dtype


def _characters(dtype: np.dtype[Any]) -> int:
    return dtype.itemsize // (4 if dtype.kind == "U" else 1)


def _too_long(values: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[np.bool_]:
    return np.asarray(np.strings.str_len(values) > _characters(dtype))


def _not_ascii(values: NDArray[np.bytes_]) -> NDArray[np.bool_]:
    characters = np.ascontiguousarray(values).view(np.uint8)
    return np.asarray(characters.reshape(*values.shape, -1).max(axis=-1) > 127)


def _beyond_exact(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    return np.isfinite(values) & (np.abs(values) >= EXACT)


def _columns(count: int) -> str:
    return "1 column" if count == 1 else f"{count} columns"


def _kind(dtype: np.dtype[Any]) -> str:
    return f"{dtype.kind}{_characters(dtype)}" if dtype.kind in "SU" else dtype.name


def _a(dtype: np.dtype[Any]) -> str:
    return f"{'an' if dtype.name.startswith('int') else 'a'} {_kind(dtype)}"


def _shown(value: object) -> str:
    """What was found, in quotes, and cut if long."""
    text = repr(value)
    return text if len(text) <= 42 else f"{text[:38]}...{text[0]}"
