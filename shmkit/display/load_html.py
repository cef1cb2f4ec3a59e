"""What the load panel says, as HTML made of the board alone.

    Loading 12 files  5 ready, 2 loading  1.84 GB of 3.10 GB · 412 MB/s · 3 s left      summary
    ▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬───────────────────────
    /dev/shm  ▬▬▬────────────  2.10 GB these arrays · 0.40 GB others · 9.5 GB free
    File       State       Progress      Rows     Array          Segment         Memory    table
    sample07   ▸ loading   ▬▬▬── 63 %   8 412     chr pos pct    shm 8f3a-7      312 MB

What makes it calm: columns that stay where they are, aligned figures, a bar only where something
moves, states by mark and word (never by colour alone). Colours are the front end's own mixed with
its text colour, so they are legible on light and on dark, in JupyterLab, VS Code and wherever the
notebook is read. Where a front end removes ``<style>``, as GitHub does, a plain table with the same
words is left.
"""

from __future__ import annotations

import itertools
import math
import os
import traceback
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import resources

import numpy as np

from shmkit import _limits
from shmkit._format import count_text, counted, few_text, nbytes_text, seconds_text
from shmkit._html import Cell, escaped, grid
from shmkit.errors import SegmentError, ShmkitError
from shmkit.loading.board import Board
from shmkit.loading.file import LoadingFile
from shmkit.loading.record import State
from shmkit.segments.header import Header
from shmkit.segments.layout import as_rows
from shmkit.segments.segment import Segment

__all__ = ["MAX_ROWS", "Files", "counts", "head", "progress_bar", "summary", "table"]

MAX_ROWS = 100  # files of one table: a longer one makes the page slow
_TAIL = 8  # characters of a long name that stay in sight

_MARKS = {
    "ready": "✓",
    "loading": "▸",
    "waiting": "·",
    "failed": "✕",
    "stopped": "■",
    "unlinked": "○",
    "freed": "●",
}

_WIDTHS = "".join(f'<col style="width:{width}%">' for width in (15, 12, 14, 11, 20, 17, 11))
_NUMBER, _MUTED = 'class="shmkit-n"', 'class="shmkit-muted"'
_COLUMNS = (
    Cell("File"),
    Cell("State"),
    Cell("Progress"),
    Cell("Rows", _NUMBER),
    Cell("Array"),
    Cell("Segment"),
    Cell("Memory", _NUMBER),
)
_WITHOUT_HEADINGS = [Cell("") for _ in _COLUMNS]

_STYLE = f"<style>\n{(resources.files('shmkit.display') / 'panel.css').read_text('utf-8')}</style>"


class Files:
    """What there is to say of each file, kept up to date at the cost of what has changed.

    Attributes
    ----------
    words : list of str
        The state: what still waited or loaded when the load ended has stopped.
    nbytes : ndarray of int, shape (files,)
        Bytes of memory that the array takes now.
    """

    def __init__(self, board: Board) -> None:
        self.board = board
        self.words = [""] * len(board.files)
        self.nbytes = np.zeros(len(board.files), np.int64)
        self._seen = np.array(board.records)
        self._by_size = np.argsort(-self._seen["bytes_total"], kind="stable").tolist()
        self._note(range(len(self.words)))

    def look(self) -> list[int]:
        """Look at the board again; the numbers of the files of which something changed."""
        now = np.array(self.board.records)
        changed: list[int] = np.flatnonzero(now != self._seen).tolist()
        self._seen = now
        self._note(changed)
        return changed

    def order(self, *words: str) -> list[int]:
        """The files in these states, or all of them, the largest first.

        It is the order in which they are loaded, so what loads next stands below what does.
        """
        return [n for n in self._by_size if not words or self.words[n] in words]

    def _note(self, numbers: Iterable[int]) -> None:
        states = self._seen["state"]
        for number in numbers:
            word = State(states[number]).word
            if self.board.ended and word in ("waiting", "loading"):
                word = "stopped"
            self.words[number] = word
            self.nbytes[number] = _nbytes(self.board.files[number], word)


def summary(files: Files, now: float) -> str:
    """Title, counts, figures, bar, and where the memory is, at the time `now`."""
    board = files.board
    title = counted(len(board.files), "file", "files")
    done, total = board.nbytes_done, board.nbytes_total
    seconds = max(now - board.started, 1e-3)
    speed = f"{nbytes_text(done / seconds)}/s"
    bar = ""
    if board.ended:
        read = nbytes_text(total) if done == total else f"{_of(done, total)} read"
        loaders = counted(board.processes, "loader process", "loader processes")
        figures = [f"{read} in {seconds_text(seconds)}", speed, loaders]
    else:
        title = f"Loading {title}"
        bar = progress_bar(title, done, total, 'class="shmkit-whole"')
        figures = [_of(done, total)]
        if done:
            left = math.ceil((total - done) * seconds / done)
            figures += [speed, f"{left} s left" if left < 60 else f"{seconds_text(left)} left"]
    state = f'<span aria-live="polite">{_outcome(board)}{counts(files.words)}</span> '
    return head(title, state, " · ".join(figures), bar + _memory(files))


def head(title: str, state: str, figures: str, below: str) -> str:
    """The line at the top of a panel, and what is below it: all but the table."""
    return (
        f'{_STYLE}<div class="shmkit-panel"><div class="shmkit-head"><strong>{title}</strong> '
        f'{state}<span class="shmkit-muted">{figures}</span></div>{below}</div>'
    )


def progress_bar(label: str, done: int, total: int, attributes: str) -> str:
    """A bar; `label` is for those who do not see it."""
    return (
        f'<progress {attributes} max="{max(total, 1)}" value="{done}" '
        f'aria-label="{escaped(label)}"></progress>'
    )


def table(
    files: Files,
    numbers: Sequence[int],
    *,
    holders: Mapping[int, list[str]] | None = None,
    headings: bool = False,
) -> str:
    """A row for each of these files, one more for its error; at most `MAX_ROWS` files."""
    rows = itertools.chain.from_iterable(
        _rows(files, n, (holders or {}).get(n)) for n in numbers[:MAX_ROWS]
    )
    if rest := numbers[MAX_ROWS:]:
        text = f"and {count_text(len(rest))} more: {counts(files.words[n] for n in rest)}"
        rows = itertools.chain(rows, [[Cell(text, _MUTED)]])
    return (
        f'<div class="shmkit-panel"><table><colgroup>{_WIDTHS}</colgroup>'
        f"{grid(_COLUMNS if headings else _WITHOUT_HEADINGS, rows)}</table></div>"
    )


def counts(words: Iterable[str]) -> str:
    """How many files are in which state: "5 ready, 2 loading"."""
    number_of = Counter(words)
    return ", ".join(f"{count_text(number_of[w])} {w}" for w in _MARKS if number_of[w])


def _outcome(board: Board) -> str:
    """How the load ended, if there is more to say than the counts do."""
    if board.closed:
        return "closed: "
    if board.cancelled:
        return "stopped, nothing kept: "
    return "load failed, nothing kept: " if board.failed else ""


def _memory(files: Files) -> str:
    """A line for each limit on these segments: what they use of it, what others, what is free."""
    board = files.board
    if board.ended and not board.closed and not {"ready", "unlinked"} & {*files.words}:
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


def _rows(files: Files, number: int, holders: list[str] | None) -> Iterator[list[Cell]]:
    """The row of a file, and one for its error."""
    file, word, nbytes = files.board.files[number], files.words[number], int(files.nbytes[number])
    record, segment = file.record, file.segment
    done, total, rows = int(record["bytes_done"]), int(record["bytes_total"]), int(record["rows"])
    if word == "loading":
        bar = progress_bar(file.name, done, total, f'title="{_of(done, total)}"')
        progress = f"{bar} {100 * done // max(total, 1)}&nbsp;%"
    elif word in ("failed", "stopped"):
        progress = f'<span title="{_of(done, total)}">{nbytes_text(done)}</span>'
    else:
        progress = nbytes_text(total)
    where = ""
    if word == "unlinked":
        where = f"held by {few_text(holders)}" if holders else "held, by no variable"
        where = f'<span title="{escaped(where)}">{escaped(where)}</span>'
    elif word in ("loading", "ready") and segment is not None:
        short = segment.path
        if segment.backing != "memfd":
            short = os.path.splitext(os.path.basename(segment.path))[0].removeprefix("shmkit-")
        where = (
            f'<code class="shmkit-muted shmkit-where">{segment.backing} '
            f"{_cut(short, segment.path)}</code>"
        )
    mark = f'<span class="shmkit-mark" aria-hidden="true">{_MARKS[word]}</span>'
    memory = "" if word in ("waiting", "failed", "stopped") else nbytes_text(nbytes)
    yield [
        Cell(_cut(file.name, file.path)),
        Cell(mark + word, f'class="shmkit-{word}"'),
        Cell(progress, _MUTED),
        Cell(count_text(rows) if rows else "", _NUMBER),
        Cell(_array(file, word)),
        Cell(where),
        Cell(memory, _NUMBER),
    ]
    if file.error is not None:
        yield [Cell(_error(file.error, file.path), 'class="shmkit-error"')]
    elif file.notes:
        yield [Cell(escaped(" · ".join(file.notes)), _MUTED)]


def _error(error: Exception, path: str) -> str:
    """What went wrong, in a line; all there is to read about it unfolds."""
    whole = "".join(traceback.format_exception_only(error)).strip()
    text = str(error).removeprefix(path).lstrip(",: ")
    if not isinstance(error, ShmkitError):
        text = f"{type(error).__name__}: {error}"
    line, *more = text.splitlines() or [""]
    if not more and not hasattr(error, "__notes__"):
        return escaped(line)
    return f"<details><summary>{escaped(line)}</summary><pre>{escaped(whole)}</pre></details>"


def _array(file: LoadingFile, word: str) -> str:
    """The field names, or dtype and shape."""
    header, plan = _header(file.segment, word), file.plan
    if header is not None:
        dtype, lengths = as_rows(header.dtype, header.shape)
        shape = str(lengths)
    elif plan is not None and word in ("waiting", "loading"):
        # How many rows there are, a plan knows only as an upper bound.
        dtype, shape = plan.dtype, f"({', '.join(['…', *map(str, plan.shape[1:])])})"
    else:
        return ""
    if dtype.names is None:
        title = text = f"{dtype} {shape}"
    else:
        text = " ".join(dtype.names)
        title = ", ".join(f"{field} {dtype[field]}" for field in dtype.names) + f"; shape {shape}"
    return f'<code title="{escaped(title)}">{escaped(text)}</code>'


def _nbytes(file: LoadingFile, word: str) -> int:
    """Bytes of memory that a file's array takes now."""
    segment, plan = file.segment, file.plan
    if word == "loading":
        return plan.nbytes if plan is not None else 0
    if segment is None or word not in ("ready", "unlinked") or _header(segment, word) is None:
        return 0
    return segment.nbytes


def _header(segment: Segment | None, word: str) -> Header | None:
    """What array is in a segment; only from READY on: until then the loader may still change it."""
    if segment is None or word not in ("ready", "unlinked", "freed"):
        return None
    try:
        return segment.header
    except SegmentError:  # it was freed before anybody read the header
        return None


def _of(done: int, total: int) -> str:
    return f"{nbytes_text(done)} of {nbytes_text(total)}"


def _cut(text: str, title: str) -> str:
    """A name that loses its middle, not its end, where the column is too narrow for it."""
    head, tail = text[:-_TAIL], text[-_TAIL:]
    return (
        f'<span class="shmkit-cut" title="{escaped(title)}"><span>{escaped(head)}</span>'
        f"<span>{escaped(tail)}</span></span>"
    )
