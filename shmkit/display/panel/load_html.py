"""What the load panel says, as HTML made of the board alone.

    Loading 12 files  5 ready, 2 loading  1.84 GB of 3.10 GB · 412 MB/s · 3 s left      summary
    ▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬───────────────────────
    /dev/shm  ▬▬▬────────────  2.10 GB these arrays · 0.40 GB others · 9.5 GB free
    patient_…_batch7            what all names have in common; or where the types differ
    File       State           Rows      Array                          Memory           a row each
    0007       ▸ loading 63 %  8.41 M  ▸ chr pos pct, which unfolds     312 MB

1. A row is one element, so the live panel replaces it alone.
2. Columns for figures have the width of the longest figure there can be: none is ever cut. A name
   that is longer than its column is broken into lines.
3. What a person needs seldom unfolds below the array: the type of each column, the segment, the
   file's path.

What makes it calm: columns that stay where they are, aligned figures, a bar only where something
moves, states by mark and word (never by colour alone). Colours are the front end's own mixed with
its text colour, so they are legible on light and on dark, in JupyterLab, VS Code and wherever the
notebook is read. Where a front end removes ``<style>``, as GitHub does, a plain table with the same
words is left.
"""

from __future__ import annotations

import math
import os
import re
import time
import traceback
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from shmkit import _limits
from shmkit._format import count_text, counted, few_text, nbytes_text, seconds_text
from shmkit._html import Cell, escaped, row_html
from shmkit.display.about_array import column_lines, nbytes_of, short_text, types_of
from shmkit.display.holders import to_free
from shmkit.display.panel.page import (
    MARKS,
    NUMBER,
    count_cell,
    head,
    nbytes_cell,
    progress_bar,
    state_cell,
    unfolding,
)
from shmkit.errors import SegmentError, ShmkitError
from shmkit.loading.board.board import Board
from shmkit.loading.board.entry import Entry
from shmkit.loading.board.record import State
from shmkit.segments.image.header import Header
from shmkit.segments.image.layout import as_rows

__all__ = ["Files", "columns", "counts", "row", "summary"]

_LETTERS = 9, 32  # of the column of names, at least and at most
_FEW = 3  # files that a note names
_WORTH = 6  # letters that all names share; fewer are left where they are


class Files:
    """What there is to say of each file, kept up to date at the cost of what has changed.

    Attributes
    ----------
    words : list of str
        The state: what still waited or loaded when the load ended has stopped.
    nbytes : ndarray of int, shape (files,)
        Bytes of memory that the array takes now.
    names : list of str
        The names without what all of them have in common.
    common : str
        What they have in common, with a gap; empty if that is little.
    before : mapping of str to int
        The variables that have arrays of these files already, and the bytes of these.
    """

    def __init__(self, board: Board, before: Mapping[str, int] | None = None) -> None:
        self.board = board
        self.before = before or {}
        self.words = [""] * len(board.files)
        self.nbytes = np.zeros(len(board.files), np.int64)
        self.names, self.common = _told_apart([file.name for file in board.files])
        self._seen = np.array(board.records)
        self._note(range(len(self.words)))

    def look(self) -> list[int]:
        """Look at the board again; the numbers of the files of which something changed."""
        now = np.array(self.board.records)
        changed: list[int] = np.flatnonzero(now != self._seen).tolist()
        self._seen = now
        self._note(changed)
        return changed

    def order(self) -> list[int]:
        """The order in which they are shown: those that failed, then the others."""
        return sorted(range(len(self.words)), key=lambda n: self.words[n] != "failed")

    def _note(self, numbers: Iterable[int]) -> None:
        states = self._seen["state"]
        for number in numbers:
            word = State(states[number]).word
            if self.board.ended and word in ("waiting", "loading"):
                word = "stopped"
            self.words[number] = word
            self.nbytes[number] = _nbytes(self.board.files[number], word)


def _told_apart(names: Sequence[str]) -> tuple[list[str], str]:
    """The names without what all have in common, and that with a gap; whole words only.

    >>> _told_apart(["patient_01_batch7", "patient_02_batch7"])
    (['01', '02'], 'patient_…_batch7')
    >>> _told_apart(["2024_north", "2024_south"])
    (['2024_north', '2024_south'], '')
    """
    prefix = re.sub(r"[^\W_]*$", "", _common_start(names))
    ends = _common_start([name[len(prefix) :][::-1] for name in names])
    suffix = re.sub(r"^[^\W_]*", "", ends[::-1])
    if len(names) < 2 or len(prefix) + len(suffix) < _WORTH:
        return list(names), ""
    own = [name[len(prefix) : len(name) - len(suffix)] for name in names]
    return (own, f"{prefix}…{suffix}") if all(own) else (list(names), "")


def _common_start(names: Sequence[str]) -> str:
    first, last = min(names, default=""), max(names, default="")  # what these share, all do
    return first[
        : next((n for n, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))
    ]


def columns(files: Files) -> tuple[Sequence[Cell], str]:
    """The headings, and the widths of the columns as ``<col>``-s."""
    least, most = _LETTERS
    width = min(max(least, *map(len, files.names)), most) if files.names else least
    headings = (
        Cell(files.board.words.one.capitalize()),
        Cell("State"),
        Cell("Rows", NUMBER),
        Cell("Array"),
    )
    widths = f"{width + 2}ch", "19ch", "10ch", "auto", "10ch"
    cols = "".join(f'<col style="width:{width}">' for width in widths)
    return [*headings, Cell("Memory", NUMBER)], cols


def summary(files: Files, now: float, *, snapshot: bool = False) -> str:
    """Title, counts, figures, bar, and where the memory is, at the time `now`.

    A snapshot says how late it was, and nothing of speed or time left.
    """
    board = files.board
    title = board.words.counted(len(board.files))
    done, total = board.nbytes_done, board.nbytes_total
    seconds = max((board.ended or now) - board.started, 1e-3)
    speed = f"{nbytes_text(done / seconds)}/s"
    bar = ""
    if board.ended:
        read = nbytes_text(total)
        if nbytes_text(done) != read:
            read = f"{_of(done, total)} read"
        loaders = counted(board.processes, "loader process", "loader processes")
        figures = [seconds_text(seconds), loaders]
        if board.words.read:
            figures = [f"{read} in {figures[0]}", *([speed] if done else []), loaders]
    else:
        title = f"{board.words.doing} {title}"
        bar = progress_bar(title, done, total, 'class="shmkit-whole"')
        figures = [_of(done, total)] if board.words.read else []
        if done and not snapshot:
            left = math.ceil((total - done) * seconds / done)
            figures += [speed] if board.words.read else []
            figures.append(f"{left} s left" if left < 60 else f"{seconds_text(left)} left")
    if snapshot:
        figures.append(f"as of {time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(now))}")
    state = f'<span aria-live="polite">{_outcome(board)}{counts(files.words)}</span> '
    return head(title, state, figures, bar + _memory(files) + _notes(files))


def counts(words: Iterable[str]) -> str:
    """How many files are in which state: "5 ready, 2 loading"."""
    number_of = Counter(words)
    return ", ".join(f"{count_text(number_of[w])} {w}" for w in MARKS if number_of[w])


def row(files: Files, number: int, holders: Sequence[str] = ()) -> str:
    """The row of a file; `holders` are the variables that keep the memory of an unlinked one."""
    file, word = files.board.files[number], files.words[number]
    name = Cell(escaped(files.names[number]), f'title="{escaped(file.path)}"')
    more, attributes = "", f'data-state="{word}"'
    done, total, rows = (int(file.record[f]) for f in ("bytes_done", "bytes_total", "rows"))
    if word == "loading":
        percent = f"{100 * done // max(total, 1)}&nbsp;%"
        more = f" {percent}{progress_bar(file.name, done, total)}"
    cells = [name, state_cell(word, more)]
    if file.error is not None:
        error = Cell(_error(file.error, file.path), 'colspan="3" class="shmkit-error"')
        return row_html([*cells, error], attributes)
    count = count_cell(rows) if rows else Cell("", NUMBER)
    has_memory = word not in ("waiting", "stopped")
    memory = nbytes_cell(int(files.nbytes[number])) if has_memory else Cell("", NUMBER)
    return row_html([*cells, count, Cell(_array(file, word, holders)), memory], attributes)


def _outcome(board: Board) -> str:
    """How the load ended, if there is more to say than the counts do."""
    if board.closed:
        return "closed: "
    if board.cancelled:
        return "stopped, nothing kept: "
    return "load failed, nothing kept: " if board.failed else ""


def _notes(files: Files) -> str:
    """What is to be said of all files, a line each."""
    notes = _differences(files) if files.board.ended else []
    for variable, nbytes in files.before.items():
        name, both = escaped(variable), nbytes_text(nbytes + int(files.nbytes.sum()))
        notes.append(
            f"<b>{name}</b> has arrays of these files already, {nbytes_text(nbytes)}; with those "
            f"of this load {both}. <b>{name}.close()</b> before a load gives them back first"
        )
    if files.common:
        notes.append(f"All names: <b>{escaped(files.common)}</b>")
    return "".join(f'<div class="shmkit-note">{note}</div>' for note in notes)


def _differences(files: Files) -> list[str]:
    """The columns whose type is not the same in all files; the width of text does not count."""
    by_dtype: dict[np.dtype[Any], list[int]] = {}
    for number, file in enumerate(files.board.files):
        if found := _array_in(file, files.words[number]):
            by_dtype.setdefault(found[0], []).append(number)
    types: dict[str, dict[str, list[int]]] = {}
    for dtype, numbers in by_dtype.items():
        for column, exact in types_of(dtype).items():
            text = re.sub(r"^([SU])\d+$", r"\1", exact)
            types.setdefault(column, {}).setdefault(text, []).extend(numbers)
    return [
        f"<b>{escaped(column) or 'Types'}</b> differs: "
        + escaped("; ".join(f"{text} in {_which(files, of)}" for text, of in found.items()))
        for column, found in types.items()
        if len(found) > 1
    ]


def _which(files: Files, numbers: Sequence[int]) -> str:
    """These files, by their names if they are few."""
    if len(numbers) > _FEW:
        return counted(len(numbers), "file", "files")
    return ", ".join(files.names[number] for number in numbers)


def _memory(files: Files) -> str:
    """A line for each limit on these segments: what they use of it, what others, what is free."""
    board = files.board
    if board.ended and not {"ready", "unlinked"} & {*files.words}:
        return ""
    ours = int(files.nbytes.sum())
    kind = "still mapped" if board.closed else "these arrays"
    lines = ""
    for room in _rooms(board):
        others = max(room.limit - room.free - ours, 0)
        percent = 100 / max(room.limit, 1)
        parts = "".join(
            f'<span class="shmkit-{part}" style="width:{percent * nbytes:.2f}%"></span>'
            for part, nbytes in (("ours", ours), ("others", others))
        )
        figures = f"{nbytes_text(ours)} {kind} · {nbytes_text(others)} others · "
        lines += (
            f'<div class="shmkit-room"><span class="shmkit-muted">{escaped(room.where)}</span> '
            f'<span class="shmkit-meter" aria-hidden="true">{parts}</span> '
            f'<span class="shmkit-muted">{figures}{nbytes_text(room.free)} free</span></div>'
        )
    return lines or '<div class="shmkit-room"></div>'  # so that nothing moves when it fills


def _rooms(board: Board) -> Iterator[_limits.Room]:
    """Where the segments live, and the container's memory if that is another limit on them."""
    segment = next((file.segment for file in board.files if file.segment is not None), None)
    if segment is None:
        return
    machine, *containers = _limits.memories()
    if segment.backing == "memfd":
        yield machine
    else:
        try:
            yield _limits.room_in(os.path.dirname(segment.path))
        except OSError:  # the user's directory is gone
            return
    if segment.backing != "file":
        yield from sorted(containers, key=lambda room: room.free)[:1]


def _error(error: Exception, path: str) -> str:
    """What went wrong, in a line; all there is to read about it unfolds."""
    whole = "".join(traceback.format_exception_only(error)).strip()
    text = str(error).removeprefix(path).lstrip(",: ")
    if not isinstance(error, ShmkitError):
        text = f"{type(error).__name__}: {error}"
    line, *more = text.splitlines() or [""]
    if not more and not hasattr(error, "__notes__"):
        return escaped(line)
    return unfolding(escaped(line), whole)


def _array(file: Entry, word: str, holders: Sequence[str]) -> str:
    """The names of the columns, or dtype and shape; who holds it, if it is unlinked."""
    found = _array_in(file, word)
    if found is None:
        return ""
    dtype, shape = found
    line = f"<code>{escaped(short_text(dtype, shape))}</code>"
    about = column_lines(dtype)
    if word == "unlinked":
        who = few_text(holders) if holders else "an object that no variable leads to"
        line = f"held by {escaped(who)}"
        about += ["", f"to free  {to_free(holders)}"] if holders else []
    about += ["", f"file     {file.path}, {nbytes_text(file.nbytes)}"]
    if file.segment is not None and word in ("loading", "ready"):
        about.append(f"segment  {file.segment.path}")
    notes = "".join(f"<div>{escaped(note)}</div>" for note in file.notes)
    return unfolding(line, "\n".join(about)) + notes


def _array_in(file: Entry, word: str) -> tuple[np.dtype[Any], tuple[int | str, ...]] | None:
    """Dtype and shape of the array, as far as they are known; of a table those of its rows."""
    if (header := _header(file, word)) is not None:
        return as_rows(header.dtype, header.shape)
    if file.plan is not None and word in ("waiting", "loading"):
        # How many rows there are, a plan knows only as an upper bound.
        return file.plan.dtype, ("…", *file.plan.shape[1:])
    return None


def _nbytes(file: Entry, word: str) -> int:
    """Bytes of memory that a file's array takes now."""
    if word == "loading":
        return file.plan.nbytes if file.plan is not None else 0
    header = _header(file, word)
    return 0 if header is None or word == "freed" else nbytes_of(header)


def _header(file: Entry, word: str) -> Header | None:
    """What array is in a segment; only from READY on: until then the loader may still change it."""
    if file.segment is None or word not in ("ready", "unlinked", "freed"):
        return None
    try:
        return file.header or file.segment.header
    except SegmentError:  # it was freed before anybody read the header
        return None


def _of(done: int, total: int) -> str:
    return f"{nbytes_text(done)} of {nbytes_text(total)}"
