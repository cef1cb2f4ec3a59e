r"""Where the table begins in a text, how its lines are split, and what its columns are called.

    sep=;                       obeyed, no row
    Station report, 2024        a preamble: lines of another width than all behind
    # made by hand              comments
    time;temp;rh                the header ──▶ names
    s;degC;%                    units, if said
    2024-03-01;2,5;80           here the rows begin ──▶ begin, lines

1. The delimiter is the one that splits most lines of the head alike (`best_delimiter`).
2. The table begins at the first line that is as wide as all behind it, where there are some; else
   an error may name the line where it does (preamble.py).
3. The first line of it is a header, or data (header.py). What cannot be told is an error.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shmkit.errors import LoadError
from shmkit.readers.text.columns import Class, Dialect, best_delimiter, facts
from shmkit.readers.text.header import (
    TIMES,
    Verdict,
    class_of,
    comment_names,
    distinct,
    is_header,
)
from shmkit.readers.text.lines import parser
from shmkit.readers.text.preamble import last_words, plain_begin, ragged_begin, seem_names

__all__ = ["Shape", "shape_of"]

_TIMES_NBYTES = 4096  # of the head: enough to tell times
_WIDE = 3  # fields
_LOOK_ROWS = 200  # of the head: enough to tell a table, and a header
_MAX_LINES = 64  # of one row, in quotes
_UCSC = re.compile(rb"track +\w+=|browser +(?:position|hide|dense|pack|squish|full)\b")
_SEPARATOR = re.compile(rb'"?sep=(.)"?\r?\n')
_FORMATS = re.compile(rb"\d+[sndSND]")  # of USGS's RDB, below the header
_BLANK_QUOTE = re.compile(rb'[,;|] +"')
_WHOLE = re.compile(rb" *\d+ *")
_COMMA_NUMBER = re.compile(rb"[;\n] *[+-]?\d+,\d+ *[;\r\n]")


class Shape(NamedTuple):
    """What the head of a file says of its table.

    Attributes
    ----------
    dialect
        How lines are split.
    fields
        How many each has; 0 where there is no line at all.
    names
        Of the columns, distinct; `header` says whether they are from a header.
    begin, lines
        Bytes and lines before the first row.
    units
        Of the columns, if there is a line of them.
    """

    dialect: Dialect
    fields: int
    names: tuple[str, ...]
    header: bool
    begin: int
    lines: int
    units: tuple[str, ...] = ()


class _Row(NamedTuple):
    """A row of the head, and where it is."""

    cells: list[bytes]
    texts: list[str]  # of the cells
    start: int
    stop: int
    line: int  # lines before it


def shape_of(path: str, head: bytes, given: dict[str, Any], *, fixed: bool) -> Shape:
    """The shape of the table in a text that begins with these whole lines.

    Parameters
    ----------
    path
        For messages.
    head
        UTF-8, as the parser will see it.
    given
        The options of a table (table_options), as the user gave them.
    fixed
        Whether the lines were of fixed width; then they are split already.

    Raises
    ------
    LoadError
        If the first line may be a header or data, or names are not as many as columns.
    """
    begin, line = 0, 0
    for _ in range(given.get("skiprows", 0)):
        begin, line = (head.find(b"\n", begin) + 1 or len(head)), line + 1
    dialect = _signs(given, fixed=fixed)
    if found := _SEPARATOR.match(head, begin):
        dialect = dialect._replace(delimiter=found[1].decode("latin-1"))
        begin, line = found.end(), line + 1
    elif "delimiter" not in given and not fixed:
        quoted = dialect._replace(skip_blanks=bool(_BLANK_QUOTE.search(head, begin)))
        dialect = quoted._replace(delimiter=best_delimiter(head[begin:], quoted))
        if dialect.delimiter is None and _are_times(head[begin:], dialect):
            dialect = dialect._replace(delimiter="\n")
        if dialect.delimiter in (None, "\n"):
            dialect = dialect._replace(skip_blanks=False)
    if "decimal" not in given and dialect.delimiter == ";" and _COMMA_NUMBER.search(head, begin):
        dialect = dialect._replace(decimal=",")
    rows = list(_rows(head, begin, line, dialect))
    first = next((i for i, row in enumerate(rows) if not _UCSC.match(head, row.start)), len(rows))
    rows = rows[first:]
    if not rows:
        return Shape(dialect, 0, (), header=False, begin=len(head), lines=line)
    rows = rows[plain_begin([len(row.cells) for row in rows]) :]
    _check_begin(path, head, rows, dialect, given)
    width = _width([len(row.cells) for row in rows])
    names, below_names = _names(path, head, rows, width, dialect, given)
    used = bool(names) + bool(below_names)
    below = rows[0].stop if len(rows[0].cells) == width or names else len(head)
    if dialect.comment and _are_rows(head, below, dialect, width):
        return shape_of(path, head, {**given, "comments": None}, fixed=fixed)
    at = rows[used].start if len(rows) > used else rows[-1].stop
    lines = rows[used].line if len(rows) > used else head.count(b"\n", 0, at)
    named = names
    if not names and isinstance(given.get("header"), list):
        named = given["header"]
        if len(named) != width:
            reason = (
                f"header= has {len(named)} names, and the lines have {width} fields; give a name "
                "for each"
            )
            raise LoadError(path, rows[0].line + 1, None, reason)
    elif not names and given.get("header") is None:
        named = _comment_above(head, begin, rows[0].start, dialect, width)
    return Shape(
        dialect,
        width,
        tuple(distinct(named or [""] * width)),
        header=bool(names),
        begin=at,
        lines=lines,
        units=tuple(below_names if given.get("units") else ()),
    )


def _are_times(head: bytes, dialect: Dialect) -> bool:
    """Whether the first lines are times, each with a blank in it."""
    lines = head[: max(_TIMES_NBYTES, head.find(b"\n") + 1)].rpartition(b"\n")[0] + b"\n"
    looked = facts(lines, 1, dialect._replace(delimiter="\n"))
    return 2 * int(looked.facts["count"][0, list(TIMES)].sum()) > looked.rows


def _signs(given: dict[str, Any], *, fixed: bool) -> Dialect:
    """The dialect, as far as it is given."""
    comments = given.get("comments", "#")
    return Dialect(
        delimiter="\x1f" if fixed else given.get("delimiter"),
        quotechar=None if fixed else given.get("quotechar", '"'),
        comment=None if comments is None or "comments" in given else "#",
        decimal=given.get("decimal", "."),
    )


def _rows(head: bytes, begin: int, line: int, dialect: Dialect) -> Iterator[_Row]:
    """The first rows, and where each is."""
    split = dialect.splitting
    mark = (dialect.comment or "\0").encode()
    at, found = begin, 0
    while at < len(head) and found < _LOOK_ROWS:
        stop = head.find(b"\n", at) + 1 or len(head)
        lines = 1
        if not head[at:stop].strip() or head.startswith(mark, at):
            at, line = stop, line + 1
            continue
        cells = parser.split(head[at:stop], **split)
        while not cells and stop < len(head) and lines < _MAX_LINES:  # a quote goes on
            stop, lines = head.find(b"\n", stop) + 1 or len(head), lines + 1
            cells = parser.split(head[at:stop], **split)
        if cells:
            texts = [cell.decode(errors="replace") for cell in cells[0]]
            yield _Row(cells[0], texts, at, stop, line)
            found += 1
        at, line = stop, line + lines


def _are_rows(head: bytes, begin: int, dialect: Dialect, width: int) -> bool:
    """Whether lines that look like comments are as wide as the rows: "#9 Dream,John Lennon,1974".

    Between blanks, or with one delimiter, comments may be so by chance.
    """
    if dialect.delimiter in (None, "\n") or width < _WIDE:
        return False
    split = dialect._replace(comment=None).splitting
    lines = itertools.islice(re.finditer(rb"\n(#[^\n]*\n?)", head[begin - 1 :]), _LOOK_ROWS)
    return any(len(cells) == width for line in lines for cells in parser.split(line[1], **split))


def _width(widths: Sequence[int]) -> int:
    """How wide most of the rows are, the first of which may be a header."""
    counts = Counter(widths[1:] or widths)
    return max(counts, key=lambda width: (counts[width], width == widths[0]))


def _check_begin(
    path: str, head: bytes, rows: Sequence[_Row], dialect: Dialect, given: dict[str, Any]
) -> None:
    """Raise LoadError if the table seems to begin below the first of these rows."""
    widths = [len(row.cells) for row in rows]
    begin = ragged_begin(widths)
    # A first line that is one name short, as R's, is not as wide as the rows, but stays a header.
    top = begin or int(len(widths) > 1 and widths[0] != widths[1])
    alike = list(itertools.takewhile(lambda row: len(row.cells) == widths[top], rows[top:]))
    last, line = last_words([row.texts for row in alike]), rows[begin].line

    def looked(start: int, stop: int) -> NDArray[np.void]:
        return facts(head[start:stop], widths[top], dialect).facts

    used = given.get("header") is not None or _used_names(given) & set(rows[0].texts)
    if last > 0 and (begin or not used):
        above = [looked(row.start, row.stop) for row in alike[: last + 1]]
        behind = looked(alike[last].stop, alike[-1].stop)
        if seem_names(above, behind, header_above=top > begin):
            line = alike[last].line
    if line == rows[0].line:
        return
    reason = f"the table seems to begin here; give skiprows={line} if this line names the columns"
    reason += f", or skiprows={line + 1} and header=[...] if none does"
    if not begin:
        reason += f", or header=True if line {rows[0].line + 1} does"
    raise LoadError(path, line + 1, None, reason)


def _comment_above(head: bytes, begin: int, at: int, dialect: Dialect, width: int) -> list[str]:
    """The names in a comment right above the first row."""
    line = head[begin:at].rstrip(b"\r\n").rpartition(b"\n")[2]
    if dialect.comment is None or not line.startswith(dialect.comment.encode()):
        return []
    return comment_names(line.decode(errors="replace"), dialect.delimiter, width)


def _names(
    path: str,
    head: bytes,
    rows: Sequence[_Row],
    width: int,
    dialect: Dialect,
    given: dict[str, Any],
) -> tuple[list[str], list[str]]:
    """The names in the first of the rows, and the line of units or formats below that is no row."""
    header = given.get("header")
    if header is False or isinstance(header, list):
        return [], []
    top, below = rows[0], [row for row in rows[1:] if len(row.cells) == width]
    units: list[str] = []
    if below and (given.get("units") or all(map(_FORMATS.fullmatch, below[0].cells))):
        units = below[0].texts
        below = below[1:]
    texts = [row.texts for row in below]
    looked = facts(head[top.start : top.stop], len(top.cells), dialect).facts
    names, classes, doubt = top.texts, list(map(class_of, looked)), ""
    if len(names) == width - 1 and texts and not any(row[-1].strip() for row in texts):
        names, classes = [*names, ""], [*classes, Class.EMPTY]  # a delimiter ends each row
    elif len(names) == width + 1 and not names[-1].strip():
        names, classes = names[:-1], classes[:-1]
    elif len(names) == width - 1:  # R's write.table has no name for the row names
        names, classes = ["row", *names], [Class.TEXT, *classes]
        quote = (dialect.quotechar or "\0").encode()
        quoted = any(head.startswith(quote, row.start) for row in below)
        if not quoted and all(_WHOLE.fullmatch(row.cells[0]) for row in below):
            doubt = f"this line has {width - 1} of {width} names"
    fits = len(names) == width and not any("\n" in name for name in names)
    if header is True and not fits:
        reason = (
            f"this line has {len(names)} names, and the lines below have {width} fields; give "
            f"skiprows={top.line + 1} and header=[...] with {width} names"
        )
        raise LoadError(path, top.line + 1, None, reason)
    used = _used_names(given)
    if header is True or not fits or used & {name.strip() for name in names}:
        return (names, units) if fits else ([], [])
    start, stop = (below[0].start, below[-1].stop) if below else (0, 0)
    verdict = is_header(names, classes, texts, facts(head[start:stop], width, dialect).facts)
    if verdict is Verdict.DOUBT:
        doubt = doubt or "this line may name the columns or be data"
    if doubt and verdict is not Verdict.DATA:
        reason = f"{doubt}; give header=True if it names them, or header=False if it is data"
        raise LoadError(path, top.line + 1, None, reason)
    return (names, units) if verdict is Verdict.HEADER else ([], [])


def _used_names(given: dict[str, Any]) -> set[str]:
    """The names by which other options choose columns: where one is there, it is a header."""
    found: set[str] = set()
    for option in ("usecols", "dtype", "missing", "converters", "categories"):
        keys = given.get(option, ())
        if isinstance(keys, Mapping) or (option in ("usecols", "categories")):
            found |= {key for key in keys if isinstance(key, str)}
    return found
