"""What np.loadtxt must be told to read a text file, found in a sample of its lines.

    file   [ head ]....[ piece ]....[ piece ]....[ piece ]     32 pieces: what is rare, or comes
             │            └────────────┴────────────┘          late in a sorted file, is seen too
             ▼                         ▼
    quotes, delimiter, header     types and widths of the columns

The sample is split by np.loadtxt itself (dtype=object), so a field is here what it is there.
A guess that a later line belies is an error there, never a changed value.
"""

from __future__ import annotations

import functools
import io
import itertools
import math
import re
from collections import Counter, defaultdict, deque
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shmkit.errors import LoadError
from shmkit.readers.text.lines import line_ends_are_bytes, loadtxt

__all__ = [
    "EXACT",
    "Inferred",
    "Sample",
    "infer",
    "is_number",
    "split_fields",
    "split_options",
    "take_sample",
]

EXACT = 2**53  # below it float64 holds every whole number

_WHOLE_FILE_NBYTES = 1 << 20  # a file no larger is sampled whole
_HEAD_NBYTES = 1 << 16
_PIECE_NBYTES = 1 << 14
_PIECES = 32
_PIECES_NBYTES = 1 << 23  # of all pieces: bounds the sample of a file with huge lines
_DELIMITER_LINES = 200  # enough to tell a delimiter from a character of the text
_ROUND_UP = 8  # see _type_of_text

_WHOLE_NUMBER = re.compile(r"\s*[+-]?[0-9]+\s*")
_QUOTED = re.compile(r'(?:^|[\t;, ])"(?:[^"]|"")*"(?:[\t;, ]|$)')
_UCSC = re.compile(r"track +\w+=|browser +(?:position|hide|dense|pack|squish|full)\b")
_MISSING = frozenset(["", "-", ".", "?", "na", "n/a", "nan", "null", "none", "nil", "missing"])


class Sample(NamedTuple):
    """Lines of a file, without the first `skiprows`."""

    head: list[str]  # the first lines, at least three if there are
    spread: list[str]  # whole lines from the rest of the file
    whole: bool  # whether `head` is all there is


class Inferred(NamedTuple):
    """What the sample says."""

    options: dict[str, Any]  # dtype, and where not given delimiter, skiprows, quotechar
    # Of the array: float64, but whole numbers in all the sample.
    whole_columns: tuple[int, ...] = ()


def take_sample(file: BinaryIO, nbytes: int, skiprows: int, encoding: str) -> Sample:
    """Lines from all over a file of `nbytes` bytes (once decompressed)."""
    # What cannot be decoded is no error here: reading the file names its line.
    text = io.TextIOWrapper(file, encoding, errors="replace")
    whole = nbytes <= _WHOLE_FILE_NBYTES
    head: list[str] = []
    head_nbytes = 0
    for line in itertools.islice(text, skiprows, None):
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


def split_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Those of np.loadtxt's options that split a line into fields."""
    return {k: options[k] for k in ("comments", "delimiter", "quotechar") if k in options}


def infer(path: str, sample: Sample, options: Mapping[str, Any]) -> Inferred:
    """Find the dtype, and the delimiter, header and quotes where `options` does not give them.

    Parameters
    ----------
    path
        For messages.
    sample
        Of `take_sample`, with the same ``skiprows``.
    options
        What the user gave, of np.loadtxt's options; ``usecols`` as a list.

    Raises
    ------
    LoadError
        If the first line may be a header or data, or the converters give what no array can hold.
    """
    split = split_options(options)
    max_rows = options.get("max_rows")
    head, spread = sample.head, sample.spread if max_rows is None else []
    found: dict[str, Any] = {}
    comments = options.get("comments", "#")
    # np.loadtxt allows no quotes beside other marks of a comment.
    one_mark = comments is None or (isinstance(comments, str) and len(comments) == 1)
    if "quotechar" not in split and one_mark and any(map(_QUOTED.search, head + spread)):
        found["quotechar"] = split["quotechar"] = '"'
    if "delimiter" not in split:
        found["delimiter"] = split["delimiter"] = _delimiter(head, split)
    with_data = (i for i, line in enumerate(head) if split_fields([line], split))
    first = next((i for i in with_data if not _UCSC.match(head[i])), None)
    skipped = options.get("skiprows", 0) + (first or 0)
    if any(map(_UCSC.match, head[:first])):  # of a BED file
        found["skiprows"] = skipped
    numbers = Inferred(found | {"dtype": np.dtype(np.float64)})
    if first is None:
        return numbers
    table = _table(head[first:] + spread, split)
    width = table.shape[1]
    columns = range(width) if options.get("usecols") is None else options["usecols"]
    if not all(-width <= column < width for column in columns):
        return numbers  # reading names the line
    columns = [column % width for column in columns]

    names, table = _header(path, skipped + 1, head[first:], table, split)
    has_header = bool(names)
    if has_header:
        found["skiprows"] = skipped + 1
        first += 1
    else:
        names = _comment_names(head[first - 1] if first else "", comments, split, width)
    cells = table[:max_rows, columns]
    exact = sample.whole or len(cells) == max_rows
    if options.get("converters") is not None:
        given = {name: options[name] for name in ("usecols", "converters") if name in options}
        converted = _table(head[first:] + spread, split | given)[:max_rows]
        if len(converted) and converted.shape[1] == len(columns):
            cells = converted
    if not len(cells):
        return numbers

    types = [
        _type(path, column, list(values), exact=exact)
        for column, values in zip(columns, cells.T, strict=True)
    ]
    if not has_header and all(t.dtype.kind == "f" or t.whole for t in types):
        return numbers._replace(whole_columns=tuple(i for i, t in enumerate(types) if t.whole))
    chosen = _distinct(names[column] if names else "" for column in columns)
    return Inferred(
        found | {"dtype": _dtype(tuple(zip(chosen, (t.dtype for t in types), strict=True)))},
        tuple(i for i, t in enumerate(types) if t.whole and t.dtype.kind == "f"),
    )


@functools.lru_cache(maxsize=4)  # files that are alike share it, and what is cached by it
def _dtype(fields: tuple[tuple[str, np.dtype[Any]], ...]) -> np.dtype[Any]:
    return np.dtype(list(fields))


def split_fields(row: list[str], split: dict[str, Any]) -> list[Any]:
    """The fields of the first row of these lines; none if there is none, or its converter fails."""
    try:
        rows = loadtxt(row, dtype=object, ndmin=2, max_rows=1, **split).tolist()
    except ValueError:
        return []
    return rows[0] if rows else []


def _table(lines: list[str], split: dict[str, Any]) -> NDArray[Any]:
    """The fields of the lines; shape (rows, columns).

    Lines of another width than most, or that a converter fails on, are left out here, where too
    few are seen to judge: reading the file names them.
    """
    try:
        return loadtxt(lines, dtype=object, ndmin=2, **split)
    except ValueError:
        rows = [row for row in (split_fields([line], split) for line in lines) if row]
        width = Counter(map(len, rows)).most_common(1)[0][0] if rows else 0
        table = np.empty((sum(len(row) == width for row in rows), width), dtype=object)
        table[:] = [row for row in rows if len(row) == width]
        return table


def _width(lines: list[str], split: dict[str, Any]) -> int:
    """The columns of lines that give a row each, all as wide; 0 of others.

    To split them one by one takes a hundred times as long.
    """
    try:
        rows, width = loadtxt(lines, dtype=object, ndmin=2, **split).shape
    except ValueError:
        return 0
    return width if rows == len(lines) else 0


def _delimiter(head: list[str], split: dict[str, Any]) -> str | None:
    """The delimiter that splits most lines alike; of several such, the first."""
    lines = head[:_DELIMITER_LINES]
    if not _width(lines, split | {"delimiter": None, "usecols": [0]}):  # not all are data
        with_data = (line for line in head if split_fields([line], split | {"delimiter": None}))
        lines = list(itertools.islice(with_data, _DELIMITER_LINES))

    def alike(delimiter: str | None) -> int:
        given = split | {"delimiter": delimiter}
        if width := _width(lines, given):
            return len(lines) if width > 1 else 0
        widths = Counter(len(split_fields([line], given)) for line in lines)
        return max((count for width, count in widths.items() if width > 1), default=0)

    best = max(("\t", ";", ",", None), key=alike)
    return best if alike(best) else None


def is_number(text: str) -> bool:
    """Whether np.loadtxt reads it as a float64 (Python takes "1_000" too)."""
    if not text.strip().isascii() or "_" in text:
        return False
    try:
        float(text)
    except ValueError:
        return False
    return True


def _are_numbers(texts: Collection[str]) -> bool:
    """Whether all of them are; for many, without a look at each."""
    together = "".join(texts)
    if together.isascii() and "_" not in together:
        try:
            deque(map(float, texts), 0)
        except ValueError:
            return False
        return True
    return all(map(is_number, texts))


def _numbers(texts: Sequence[str]) -> int:
    """How many of them are numbers."""
    counts = Counter(texts)
    if _are_numbers(counts):
        return len(texts)
    return sum(count for text, count in counts.items() if is_number(text))


def _header(
    path: str, number: int, lines: list[str], table: NDArray[Any], split: dict[str, Any]
) -> tuple[list[str], NDArray[Any]]:
    """The names in the first of the lines, number `number` of the file, and the rows below it.

    No names, and all rows, if it is no header.
    """
    width = table.shape[1]
    names = split_fields(lines[:1], split)
    if any("\n" in name for name in names):  # a quoted field goes on in the next line
        return [], table
    below = table[len(names) == width :]
    if "comments" not in split and not is_number(names[-1]):  # a name may hold the sign: "#reads"
        uncut = split_fields(lines[:1], split | {"comments": None})
        names = uncut if len(uncut) <= width else names
    doubt = ""
    if len(names) == width - 1 and not any(map(str.strip, below[:, -1])):
        names = [*names, ""]  # a delimiter ends each row
    elif len(names) == width - 1:  # R's write.table has no name for the row names
        names = ["row", *names]
        labels = not all(map(is_number, below[:, 0])) or any(s.startswith('"') for s in lines[1:])
        if split["delimiter"] in (",", ";") and not labels:
            doubt = (
                f"this line has {width - 1} of {width} names; give delimiter= if the rows are "
                "split wrongly (at decimal commas?)"
            )
    is_header = _is_header(names, below)
    if is_header is None:
        doubt = "this line may name the columns or be data; give dtype= if it is data"
    if doubt and is_header is not False:
        raise LoadError(path, number, None, f"{doubt}, or skiprows={number} if it is a header")
    return (names, below) if is_header else ([], table)


def _is_header(names: Sequence[str], below: NDArray[Any]) -> bool | None:
    """Whether this first line names the columns; None where a wrong guess would pass unseen.

    Text above a column of numbers is a name. A missing value is no sign of a header: the line
    would be lost. Half of a column is enough to be numbers, as values may be missing below too.
    """
    if not len(below) or len(names) != below.shape[1]:
        return False
    texts = [i for i, name in enumerate(names) if not is_number(name)]
    named = [i for i in texts if names[i].strip().lower() not in _MISSING]
    if len(texts) == len(names):
        over_numbers = any(2 * _numbers(below[:, i].tolist()) >= len(below) for i in named)
    else:
        over_numbers = any(_are_numbers(below[:, i].tolist()) for i in named)
    if any(names[i] in below[:, i] for i in named):
        return len(texts) == len(names) and over_numbers
    if not names[0].strip() and all(map(str.strip, below[:, 0])):  # an index, of pandas
        distinct = {name for name in names[1:] if name.strip().lower() not in _MISSING}
        return len(distinct) == len(names) - 1
    if len(texts) == len(names) or not named:
        return over_numbers
    # Numbers among the names: years, or 1, 2, 3.
    numbers = [i for i, name in enumerate(names) if is_number(name)]
    cells, under = [names[i] for i in numbers], below[:, numbers]
    years = len(cells) > 1 and all(map(_is_year, cells)) and not any(map(_is_year, under.flat))
    step = _step(cells)
    if not step:
        return None if years or over_numbers else False
    if not all(is_number(text) or text.strip().lower() in _MISSING for text in under.flat):
        return False
    runs = [_step(row) == step for row in under]
    if years or not (any(runs) or len(cells) == 2):
        return True
    return False if all(runs) and not over_numbers else None


def _step(cells: Sequence[str]) -> float:
    """The constant step, from 1 to 10, of at least two whole numbers; else 0."""
    if len(cells) < 2 or not all(map(_WHOLE_NUMBER.fullmatch, cells)):
        return 0
    steps = {float(after) - float(before) for before, after in itertools.pairwise(cells)}
    return steps.pop() if len(steps) == 1 and 1 <= min(steps) <= 10 else 0


def _is_year(text: str) -> bool:
    return is_number(text) and 1500 <= float(text) <= 2200


def _comment_names(line: str, mark: object, split: dict[str, Any], width: int) -> list[str]:
    """The words of a comment such as "#chr start end", if there are as many as columns."""
    if isinstance(mark, str) and line.startswith(mark):
        text = line.strip().lstrip(mark)
        for names in (text.split(split["delimiter"]), text.split()):
            if len(names) == width:
                return names
    return []


def _distinct(names: Iterable[str]) -> list[str]:
    """Field names: stripped, none empty, none twice."""
    distinct: dict[str, None] = {}  # in order
    numbers: defaultdict[str, Iterator[int]] = defaultdict(lambda: itertools.count(1))
    for i, name in enumerate(names):
        candidate = base = name.strip() or f"f{i}"
        while candidate in distinct:
            candidate = f"{base}_{next(numbers[base])}"
        distinct[candidate] = None
    return list(distinct)


class _Type(NamedTuple):
    dtype: np.dtype[Any]
    whole: bool = False  # whole numbers only, all below EXACT: float64 would do as well


def _type(path: str, column: int, values: list[Any], *, exact: bool) -> _Type:
    if all(issubclass(kind, str) for kind in set(map(type, values))):
        return _type_of_text(set(values), exact=exact)
    try:
        array = np.array(values)
    except ValueError:  # sequences of unlike length
        array = np.array(None)
    if array.ndim != 1 or array.dtype.kind not in "biufcMm":
        kinds = " and ".join(sorted({type(value).__name__ for value in values}))
        reason = f"its converter gives {kinds}, not one type of number, text or np.datetime64"
        raise LoadError(path, None, column + 1, f"{reason}; correct it, or give dtype=")
    small = array.dtype.kind in "iu" and all(abs(int(value)) < EXACT for value in values)
    return _Type(array.dtype, small)


def _type_of_text(texts: set[str], *, exact: bool) -> _Type:
    # As wide as the widest. Of a file seen in part the width is rounded up: the next chromosome's
    # name or a longer identifier then has room, at the cost of a few bytes a row.
    width = max(map(len, texts)) or 1
    if not exact:
        width = -(-width // _ROUND_UP) * _ROUND_UP
    text_type = _Type(np.dtype(f"{'S' if all(map(str.isascii, texts)) else 'U'}{width}"))
    if not _are_numbers(texts):
        return text_type
    try:
        whole = {text: int(text) for text in texts if _WHOLE_NUMBER.fullmatch(text)}
    except ValueError:  # more digits than Python reads
        return text_type
    small = all(abs(number) < EXACT for number in whole.values())
    if len(whole) == len(texts):
        low, high = min(whole.values()), max(whole.values())
        if low >= -(2**63) and high < 2**63:
            return _Type(np.dtype(np.int64), small)
        # np.loadtxt takes no sign here, not that of "-0" either.
        unsigned = high < 2**64 and not any("-" in text for text in texts)
        return _Type(np.dtype(np.uint64)) if unsigned else text_type
    if any(number != float(text) for text, number in whole.items()):
        return text_type  # whole numbers with gaps ("nan"), which float64 would change
    finite = {text for text in texts if math.isfinite(float(text))}
    return _Type(np.dtype(np.float64), bool(finite) and finite <= whole.keys() and small)
