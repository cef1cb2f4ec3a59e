"""What np.loadtxt must be told to read a text file, found in a sample of its lines.

    file   [ head ]....[ piece ]....[ piece ]....[ piece ]     32 pieces: what is rare, or comes
             │            └────────────┴────────────┘          late in a sorted file, is seen too
             ▼                         ▼
    quotes, delimiter, header     types and widths of the columns

The sample is split by np.loadtxt itself (dtype=object), so a field is here what it is there.
A guess that a later line belies is an error there, never a changed value.
"""

from __future__ import annotations

import io
import itertools
import re
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shmkit.errors import LoadError
from shmkit.readers._lines import line_ends_are_bytes

__all__ = [
    "EXACT",
    "Inferred",
    "Sample",
    "infer",
    "is_number",
    "take_sample",
]

EXACT = 2**53  # below it float64 holds every whole number
_WHOLE_NUMBER = re.compile(r"\s*[+-]?[0-9]+\s*")

_WHOLE_FILE_NBYTES = 1 << 20  # a file no larger is sampled whole
_HEAD_NBYTES = 1 << 16
_PIECE_NBYTES = 1 << 14
_PIECES = 32
_PIECES_NBYTES = 1 << 23  # of all pieces: bounds the sample of a file with huge lines
_DELIMITER_LINES = 200  # enough to tell a delimiter from a character of the text
_ROUND_UP = 8  # see _text_type

_QUOTED = re.compile(r'(?:^|[\t;, ])"[^"]*"(?:[\t;, ]|$)')
_DECIMAL_COMMA = re.compile(r"[+-]?\d+(?:,\d+)?(?:[eE][+-]?\d+)?")
_MISSING = frozenset(["", "-", ".", "?", "na", "n/a", "nan", "null", "none", "nil", "missing"])


class Sample(NamedTuple):
    """Lines of a file, without the first `skiprows`."""

    head: list[str]  # the first lines, at least three if there are
    spread: list[str]  # whole lines from the rest of the file
    whole: bool  # whether `head` is all there is


class Inferred(NamedTuple):
    """What the sample says."""

    options: dict[str, Any]  # dtype, and where not given delimiter, skiprows, quotechar
    whole_columns: tuple[int, ...]  # of the array: float64, but whole numbers in all the sample


def take_sample(file: BinaryIO, nbytes: int, skiprows: int, encoding: str) -> Sample:
    """Lines from all over a file of `nbytes` bytes (once decompressed)."""
    # What cannot be decoded is no error here: reading the file names its line.
    text = io.TextIOWrapper(file, encoding, errors="replace")
    whole = nbytes <= _WHOLE_FILE_NBYTES
    lines = itertools.islice(text, skiprows, None)
    head: list[str] = []
    head_nbytes = 0
    for line in lines:
        head.append(line)
        head_nbytes += len(line)
        if not whole and head_nbytes >= _HEAD_NBYTES and len(head) >= 3:
            break
    text.detach()
    spread: list[str] = []
    if not whole and line_ends_are_bytes(encoding):
        start = file.tell()
        piece = max(_PIECE_NBYTES, 2 * max(map(len, head), default=0))
        pieces = max(1, min(_PIECES, _PIECES_NBYTES // piece))
        for i in range(pieces):
            file.seek(start + max(0, nbytes - start - piece) * (i + 1) // pieces)
            inner = b"\n".join(file.read(piece).splitlines()[1:-1])
            spread += inner.decode(encoding, errors="replace").split("\n")
    return Sample(head, spread, whole)


def infer(path: str, sample: Sample, options: Mapping[str, Any]) -> Inferred:
    """Find the dtype, and the delimiter, header and quotes where `options` does not give them.

    Parameters
    ----------
    path
        For messages.
    sample
        Of `take_sample`, with the same ``skiprows``.
    options
        What the user gave, of np.loadtxt's options.

    Raises
    ------
    LoadError
        If the converters give what no array can hold.
    """
    with warnings.catch_warnings():
        # np.loadtxt warns of lines without data, which a sample may well have.
        warnings.simplefilter("ignore", UserWarning)
        return _infer(path, sample, options)


def _infer(path: str, sample: Sample, options: Mapping[str, Any]) -> Inferred:
    split = {k: options[k] for k in ("comments", "delimiter", "quotechar") if k in options}
    found: dict[str, Any] = {}
    markers = _markers(options)
    if (
        "quotechar" not in split
        and all(len(marker) == 1 for marker in markers)  # else np.loadtxt allows no quotes
        and len(markers) <= 1
        and any(_QUOTED.search(line) for line in itertools.chain(sample.head, sample.spread))
    ):
        found["quotechar"] = split["quotechar"] = '"'

    blank = split | {"delimiter": None}
    with_data = (i for i, line in enumerate(sample.head) if _fields(line, blank))
    starts = list(itertools.islice(with_data, _DELIMITER_LINES))
    if not starts:
        return Inferred(found | {"dtype": np.dtype(np.float64)}, ())
    first = starts[0]
    if "delimiter" not in split:
        lines = [sample.head[i] for i in starts]
        found["delimiter"] = split["delimiter"] = _delimiter(lines, split)

    # All columns first: a header's names are those of the file's columns.
    head, spread = sample.head[first + 1 :], sample.spread
    header = _fields(sample.head[first], split)
    below = _table(head + spread, split)
    width = below.shape[1] if len(below) else len(header)
    usecols = _usecols(options)
    columns = list(range(width)) if usecols is None else usecols
    if not all(-width <= column < width for column in columns):
        return Inferred(found | {"dtype": np.dtype(np.float64)}, ())  # reading names the line
    columns = [column % width for column in columns]
    names: list[str] | None = None
    if _is_header(header, below, columns):
        names = header if len(header) == width else ["row", *header]
        found["skiprows"] = options.get("skiprows", 0) + first + 1
    else:
        head = sample.head[first:]

    split |= {k: options[k] for k in ("usecols", "converters", "encoding") if k in options}
    whole = sample.whole
    max_rows = options.get("max_rows")
    table = _table(head, split, len(columns))
    if max_rows is not None and len(table) >= max_rows:
        table, whole = table[:max_rows], True
    elif spread:
        table = _table(head + spread, split, len(columns))
    if not len(table):
        return Inferred(found | {"dtype": np.dtype(np.float64)}, ())
    converted = _converted(options, columns)
    types = [
        _converted_type(path, columns[i], list(values), exact=whole)
        if i in converted
        else _type(values, exact=whole)
        for i, values in enumerate(table.T)
    ]
    dtypes = [np.dtype(t.dtype) for t in types]
    if names is None and all(t.kind in "iuf" for t in dtypes) and all(t.fits_float for t in types):
        whole_columns = tuple(i for i, t in enumerate(types) if t.whole)
        return Inferred(found | {"dtype": np.dtype(np.float64)}, whole_columns)
    if names is None:
        names = _comment_names(sample.head[first - 1] if first else "", markers, split, width)
    chosen = [names[column] if names else "" for column in columns]
    whole_columns = tuple(i for i, t in enumerate(types) if t.whole and t.dtype.kind == "f")
    dtype = np.dtype(list(zip(_distinct(chosen), dtypes, strict=True)))
    return Inferred(found | {"dtype": dtype}, whole_columns)


def _markers(options: Mapping[str, Any]) -> list[str]:
    comments = options.get("comments", "#")
    if comments is None:
        return []
    several = [comments] if isinstance(comments, str | bytes) else comments
    return [c.decode("latin1") if isinstance(c, bytes) else c for c in several]


def _usecols(options: Mapping[str, Any]) -> list[int] | None:
    usecols = options.get("usecols")
    if usecols is None:
        return None
    return list(usecols) if isinstance(usecols, Iterable) else [usecols]


def _fields(line: str, split: dict[str, Any]) -> list[str]:
    """The fields of one line; none if it is blank or a comment."""
    row: NDArray[Any] = np.loadtxt([line], dtype=object, ndmin=2, **split)
    return row[0].tolist() if len(row) else []


def _table(lines: list[str], split: dict[str, Any], width: int | None = None) -> NDArray[Any]:
    """The fields of all lines of `width` fields, or of most lines; shape (rows, columns).

    Lines that do not fit are left out here, where too few are seen to judge: reading the file
    names them.
    """
    tables = [table for table in _tables(lines, split) if len(table)]
    if not tables and "converters" in split:
        return _table(lines, {k: v for k, v in split.items() if k != "converters"}, width)
    if width is None:
        rows = Counter[int]()
        for table in tables:
            rows[table.shape[1]] += len(table)
        width = max(rows, key=rows.__getitem__, default=0)
    none = np.empty((0, width), dtype=object)
    return np.concatenate([none, *(table for table in tables if table.shape[1] == width)])


def _tables(lines: list[str], split: dict[str, Any]) -> Iterator[NDArray[Any]]:
    """The fields of all lines, in parts of one width each, without lines that fail."""
    try:
        yield np.loadtxt(lines, dtype=object, ndmin=2, **split)
    except Exception:  # noqa: BLE001 - converters raise what they like
        half = len(lines) // 2
        if half:
            yield from _tables(lines[:half], split)
            yield from _tables(lines[half:], split)


def _most_common(counts: list[int]) -> int:
    return Counter(counts).most_common(1)[0][0] if counts else 0


def _delimiter(lines: list[str], split: dict[str, Any]) -> str | None:
    """The first delimiter that splits every line alike; failing that, most of them."""
    counts = {
        delimiter: [len(_fields(line, split | {"delimiter": delimiter})) for line in lines]
        for delimiter in ("\t", ";", ",", None)
    }
    numbers = [_fields(line, split | {"delimiter": None}) for line in lines]
    if all(len(row) > 1 and all(map(_DECIMAL_COMMA.fullmatch, row)) for row in numbers):
        return None  # "1,5 2,5": the commas are decimal ones
    for delimiter, (top, *rest) in counts.items():
        width = rest[0] if rest else top
        # The first line may be R's header, which has no name for the row names.
        if width > 1 and top in (width, width - 1) and all(n == width for n in rest):
            return delimiter
    for delimiter, widths in counts.items():
        width = _most_common(widths)
        if width > 1 and 2 * widths.count(width) > len(widths):
            return delimiter
    return None


def is_number(text: str) -> bool:
    """Whether np.loadtxt reads it as a float64 (Python takes "1_000" too)."""
    if not text.strip().isascii() or "_" in text:
        return False
    try:
        float(text)
    except ValueError:
        return False
    return True


def _is_header(header: Sequence[str], below: NDArray[Any], columns: Iterable[int]) -> bool:
    """Whether a column holds numbers, but not in this first line, which has no number at all.

    A missing value is no sign of a header: the line would be lost. Half of a column is enough to
    be numbers, as values may be missing below too.
    """
    if not len(below) or below.shape[1] - len(header) not in (0, 1) or any(map(is_number, header)):
        return False
    shift = below.shape[1] - len(header)
    return any(
        header[column - shift].strip().lower() not in _MISSING
        and 2 * sum(map(is_number, below[:, column])) >= len(below)
        for column in columns
        if column >= shift
    )


def _comment_names(
    line: str, markers: Iterable[str], split: dict[str, Any], width: int
) -> list[str] | None:
    """The words of a comment such as "#chr start end", if there are as many as columns."""
    text = line.strip()
    marker = next((marker for marker in markers if text.startswith(marker)), None)
    if marker is None:
        return None
    while text.startswith(marker):
        text = text.removeprefix(marker)
    plain = {"comments": None, "delimiter": split["delimiter"]}
    for names in (_fields(text, plain), text.split()):
        if len(names) == width:
            return names
    return None


def _distinct(names: Iterable[str]) -> list[str]:
    """Field names: stripped, none empty, none twice."""
    distinct: dict[str, None] = {}
    for i, name in enumerate(names):
        base = name.strip() or f"f{i}"
        candidates = itertools.chain([base], (f"{base}_{n}" for n in itertools.count(1)))
        distinct[next(c for c in candidates if c not in distinct)] = None
    return list(distinct)


class _Type(NamedTuple):
    dtype: np.dtype[Any]
    whole: bool = False  # whole numbers only
    fits_float: bool = True  # no number changes as a float64


def _type(values: Iterable[str], *, exact: bool) -> _Type:
    texts = set(values)
    text_type = _Type(_text_type(texts, exact=exact))
    if not all(map(is_number, texts)):
        return text_type
    whole = {text for text in texts if _WHOLE_NUMBER.fullmatch(text)}
    if whole == texts:
        return _whole_type(texts) or text_type
    large = {text for text in whole if abs(float(text)) >= EXACT}
    if any(int(float(text)) != _int(text) for text in large if np.isfinite(float(text))):
        return text_type  # whole numbers with gaps ("nan"), which float64 would change
    finite = {text for text in texts if np.isfinite(float(text))}
    return _Type(np.dtype(np.float64), whole=bool(finite) and finite <= whole and not large)


def _int(text: str) -> int | None:
    """The whole number; None where it has more digits than Python reads."""
    try:
        return int(text)
    except ValueError:
        return None


def _whole_type(texts: Iterable[str]) -> _Type | None:
    """The type of whole numbers; None if no integer type has room for them."""
    numbers = [_int(text) for text in texts]
    known = [number for number in numbers if number is not None]
    if not known or len(known) < len(numbers):
        return None
    low, high = min(known), max(known)
    fits = low > -EXACT and high < EXACT
    if low >= -(2**63) and high < 2**63:
        return _Type(np.dtype(np.int64), whole=True, fits_float=fits)
    # np.loadtxt takes no sign here, not that of "-0" either.
    if high < 2**64 and not any("-" in text for text in texts):
        return _Type(np.dtype(np.uint64), whole=True, fits_float=fits)
    return None


def _text_type(texts: Iterable[str | bytes], *, exact: bool) -> np.dtype[Any]:
    """S for ASCII, else U, as wide as the widest.

    Of a file seen in part the width is rounded up: the next chromosome's name or a longer
    identifier then has room, at the cost of a few bytes a row.
    """
    width = max(map(len, texts), default=0) or 1
    if not exact:
        width = -(-width // _ROUND_UP) * _ROUND_UP
    ascii_only = all(isinstance(text, bytes) or text.isascii() for text in texts)
    return np.dtype(f"{'S' if ascii_only else 'U'}{width}")


def _converted(options: Mapping[str, Any], columns: Sequence[int]) -> set[int]:
    """The array's columns whose values come from a converter."""
    converters = options.get("converters")
    if converters is None:
        return set()
    if not isinstance(converters, Mapping):
        return set(range(len(columns)))
    keys = _usecols(options) or columns
    width = len(columns)
    return {
        i
        for i, key in enumerate(keys)
        if key in converters or ("usecols" not in options and key - width in converters)
    }


def _converted_type(path: str, column: int, values: list[Any], *, exact: bool) -> _Type:
    """The type of what a converter gave."""
    if all(isinstance(value, str | bytes) for value in values):
        return _Type(_text_type(values, exact=exact))
    try:
        dtype = np.array(values).dtype
    except (ValueError, TypeError):
        dtype = np.dtype(object)
    if dtype.kind not in "biufcMm" or not all(np.ndim(value) == 0 for value in values):
        kinds = " and ".join(sorted({type(value).__name__ for value in values}))
        raise LoadError(
            path,
            None,
            column + 1,
            f"the converter gives {kinds}, for which there is no one array type; give dtype=, or "
            "let it give numbers, text or np.datetime64 only",
        )
    fits = dtype.kind not in "iu" or all(abs(int(value)) < EXACT for value in values)
    return _Type(dtype, fits_float=fits)
