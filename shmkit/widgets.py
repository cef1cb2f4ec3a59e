"""The load panel: what a notebook shows of a load, while it runs and ever after.

    begin, update ──▶ two HTML widgets, at most 5 changes a second     Loading 12 files  ▬▬▬▬──
    end           ──▶ plain HTML in their place, which a saved         12 files  12 ready
                      notebook keeps; the widgets are closed
    close, and after every cell, as long as a segment is there
                  ──▶ the HTML again, if a segment was unlinked        12 files  closed
                      or freed, or is held by other variables

The HTML is made by functions of the board alone. What makes it calm: one table whose columns stay
where they are, aligned figures, a bar only where something moves, states by mark and word (never
by colour alone). Colours are the front end's own mixed with its text colour, so they are legible
on light and on dark, in JupyterLab, VS Code and wherever the notebook is read. Where a front end
removes ``<style>``, as GitHub does, a plain table with the same words is left.
"""

from __future__ import annotations

import html
import logging
import math
import os
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from importlib import resources
from typing import Any

import ipywidgets
import numpy as np
from IPython import get_ipython
from IPython.display import display

from shmkit import _limits
from shmkit._format import count_text, counted, nbytes_text, seconds_text
from shmkit._holders import held_by, shell_variables
from shmkit._npy import Header
from shmkit._progress import Board, State
from shmkit._segment import Segment
from shmkit.errors import SegmentError, ShmkitError

__all__ = ["Panel"]

_PERIOD = 0.2  # seconds between two changes of the widgets; servers drop messages past 1,000/s
_MOST_FILES = 100  # rows; a table of 1,000 makes the page slow
_MOST_NAMES = 3  # variables in one cell
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

_COLUMNS = (  # title, width in percent, class
    ("File", 15, ""),
    ("State", 12, ""),
    ("Progress", 14, ""),
    ("Rows", 11, "shmkit-n"),
    ("Array", 20, ""),
    ("Segment", 18, ""),
    ("Memory", 10, "shmkit-n"),
)

_STYLE = f"<style>\n{(resources.files('shmkit') / 'panel.css').read_text('utf-8')}</style>"


class Panel:
    """A `Monitor` that shows a load in a notebook.

    It is given a board by `begin` and keeps that board, never an array: memory is given back
    while the panel still shows it.

    Examples
    --------
    `shmkit.shared_load` makes one by itself wherever a notebook's kernel runs it.
    """

    def begin(self, board: Board) -> None:
        """Show the panel, live."""
        self._shell = get_ipython()
        self._shown: object = None
        self._drawn = time.monotonic()
        # Two widgets: replacing the text of one leaves scroll and selection in the other.
        self._summary = ipywidgets.HTML(_summary(board, time.time()))
        self._table = ipywidgets.HTML(_table(board, {}))
        self._box = ipywidgets.VBox([self._summary, self._table])
        self._handle: Any = display(self._box, display_id=True)  # type: ignore[no-untyped-call]

    def update(self, board: Board) -> None:
        """Show the state of the board, unless it was shown a moment ago."""
        if time.monotonic() - self._drawn < _PERIOD:
            return
        self._drawn = time.monotonic()
        self._summary.value = _summary(board, time.time())
        self._table.value = _table(board, {})

    def end(self, board: Board) -> None:
        """Put plain HTML in the place of the widgets and close them."""
        self._board = board
        self._redraw()
        for widget in (self._box, self._summary, self._table):
            widget.layout.close()
            widget.close()
        if self._shell is not None and _has_memory(board):
            # Memory often comes back only when a later cell binds a variable anew.
            self._shell.events.register("post_run_cell", self._after_cell)

    def close(self, board: Board) -> None:  # noqa: ARG002 - the board of begin(), as Monitor says
        """Show what was unlinked and what is freed."""
        self._redraw()

    def _after_cell(self, _result: object) -> None:
        try:
            self._redraw()
            watch = _has_memory(self._board)
        except Exception:
            # A panel that cannot be drawn is no reason to print into somebody's cell.
            logging.getLogger(__name__).debug("the load panel stays as it is", exc_info=True)
            watch = False
        if not watch:
            self._shell.events.unregister("post_run_cell", self._after_cell)

    def _redraw(self) -> None:
        """Show the board's last state as plain HTML, if it changed."""
        board = self._board
        board.refresh()
        holders = {}
        if State.UNLINKED in board.records["state"]:
            holders = held_by(board.segments, shell_variables())
        shown = (board.closed, board.records["state"].tobytes(), holders)
        if shown == self._shown:
            return
        self._shown = shown
        page = _summary(board, board.ended) + _table(board, holders)
        words = f"{counted(len(board.names), 'file', 'files')}: {_counts(_words(board))}"
        self._handle.update({"text/html": page, "text/plain": words}, raw=True)


# What the board says, as HTML.


def _summary(board: Board, now: float) -> str:
    """Title, counts, figures, bar, and the memory line."""
    words = _words(board)
    files = counted(len(words), "file", "files")
    done, total = int(board.records["bytes_done"].sum()), int(board.records["bytes_total"].sum())
    seconds = max(now - board.started, 1e-3)
    speed = f"{nbytes_text(done / seconds)}/s"
    if board.ended:
        title, bar = files, ""
        read = nbytes_text(total) if done == total else f"{_of(done, total)} read"
        loaders = counted(board.processes, "loader process", "loader processes")
        figures = [f"{read} in {seconds_text(seconds)}", speed, loaders]
    else:
        title = f"Loading {files}"
        bar = (
            f'<progress class="shmkit-whole" max="{max(total, 1)}" value="{done}" '
            f'aria-label="{title}"></progress>'
        )
        figures = [_of(done, total)]
        if done:
            left = math.ceil((total - done) * seconds / done)
            figures += [speed, f"{left} s left" if left < 60 else f"{seconds_text(left)} left"]
    return (
        f'{_STYLE}<div class="shmkit-panel"><div class="shmkit-head"><strong>{title}</strong> '
        f'<span aria-live="polite">{_outcome(board)}{_counts(words)}</span> '
        f'<span class="shmkit-muted">{" · ".join(figures)}</span></div>'
        f"{bar}{_memory(board, words)}</div>"
    )


def _outcome(board: Board) -> str:
    """How the load ended, if there is more to say than the counts do."""
    if board.closed:
        return "closed: "
    if board.cancelled:
        return "stopped, nothing kept: "
    return "load failed, nothing kept: " if board.failed else ""


def _memory(board: Board, words: list[str]) -> str:
    """Where the segments live, how much of it they use, how much others, what is free."""
    if board.ended and not board.closed and not {"ready", "unlinked"} & {*words}:
        return ""
    room = _room(board)
    if room is None:  # no segment yet: keep the line's place
        return '<div class="shmkit-room"></div>'
    ours = sum(_nbytes(board, number, word) for number, word in enumerate(words))
    others = max(room.limit - room.free - ours, 0)
    percent = 100 / max(room.limit, 1)
    parts = "".join(
        f'<span class="shmkit-{part}" style="width:{percent * nbytes:.2f}%"></span>'
        for part, nbytes in (("ours", ours), ("others", others))
    )
    kind = "still mapped" if board.closed else "these arrays"
    figures = f"{nbytes_text(ours)} {kind} · {nbytes_text(others)} others · "
    return (
        f'<div class="shmkit-room"><span class="shmkit-muted">{_text(room.where)}</span> '
        f'<span class="shmkit-meter" aria-hidden="true">{parts}</span> '
        f'<span class="shmkit-muted">{figures}{nbytes_text(room.free)} free</span></div>'
    )


def _table(board: Board, holders: Mapping[int, list[str]]) -> str:
    """One row a file, one more for its error; at most `_MOST_FILES` files."""
    words = _words(board)
    order = _order(board, words)
    columns = "".join(f'<col style="width:{width}%">' for _, width, _ in _COLUMNS)
    heads = "".join(f'<th scope="col" class="{kind}">{title}</th>' for title, _, kind in _COLUMNS)
    rows = "".join(_row(board, n, words[n], holders.get(n)) for n in order[:_MOST_FILES])
    if rest := order[_MOST_FILES:]:
        text = f"and {count_text(len(rest))} more: {_counts([words[number] for number in rest])}"
        rows += f'<tr><td colspan="{len(_COLUMNS)}" class="shmkit-muted">{text}</td></tr>'
    return (
        f'<div class="shmkit-panel"><table><colgroup>{columns}</colgroup>'
        f"<thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _row(board: Board, number: int, word: str, holders: list[str] | None) -> str:
    record, segment = board.records[number], board.segments[number]
    done, total, rows = int(record["bytes_done"]), int(record["bytes_total"]), int(record["rows"])
    name, path = board.names[number], board.paths[number]
    if word == "loading":
        progress = (
            f'<progress max="{max(total, 1)}" value="{done}" aria-label="{_text(name)}" '
            f'title="{_of(done, total)}"></progress> {100 * done // max(total, 1)}&nbsp;%'
        )
    elif word in ("failed", "stopped"):
        progress = f'<span title="{_of(done, total)}">{nbytes_text(done)}</span>'
    else:
        progress = nbytes_text(total)
    where = ""
    if word == "unlinked":
        where = f"held by {_few(holders)}" if holders else "held, by no variable"
        where = f'<span title="{_text(where)}">{_text(where)}</span>'
    elif word in ("loading", "ready") and segment is not None:
        short = segment.path
        if segment.backing != "memfd":
            short = os.path.splitext(os.path.basename(segment.path))[0]
        where = f'<code class="shmkit-muted">{_cut(short, segment.path)}</code>'
    mark = f'<span class="shmkit-mark" aria-hidden="true">{_MARKS[word]}</span>'
    nbytes = _nbytes(board, number, word)
    memory = "" if word in ("waiting", "failed", "stopped") else nbytes_text(nbytes)
    cells = (
        f'<th scope="row">{_cut(name, path)}</th>',
        f'<td class="shmkit-{word}">{mark}{word}</td>',
        f'<td class="shmkit-muted">{progress}</td>',
        f'<td class="shmkit-n">{count_text(rows) if rows else ""}</td>',
        f"<td>{_array(board, number, word)}</td>",
        f"<td>{where}</td>",
        f'<td class="shmkit-n">{memory}</td>',
    )
    row = f"<tr>{''.join(cells)}</tr>"
    if number in board.errors:
        error = board.errors[number]
        text = str(error).removeprefix(path).lstrip(",: ")
        if not isinstance(error, ShmkitError):
            text = f"{type(error).__name__}: {error}"
        row += f'<tr><td colspan="{len(_COLUMNS)}" class="shmkit-error">{_text(text)}</td></tr>'
    return row


def _array(board: Board, number: int, word: str) -> str:
    """The field names, or dtype and shape."""
    header, plan = _header(board.segments[number], word), board.plans[number]
    if header is not None:
        dtype, shape = header.dtype, str(header.shape)
    elif plan is not None and word in ("waiting", "loading"):
        # The first dimension of a plan is but a bound.
        dtype, shape = plan.dtype, f"({', '.join(['…', *map(str, plan.shape[1:])])})"
    else:
        return ""
    if dtype.names is None:
        title = text = f"{dtype} {shape}"
    else:
        text = " ".join(dtype.names)
        title = ", ".join(f"{name} {dtype[name]}" for name in dtype.names) + f"; shape {shape}"
    return f'<code title="{_text(title)}">{_text(text)}</code>'


def _words(board: Board) -> list[str]:
    """Each file's state in a word: what still waited or loaded when the load ended, stopped."""
    words = [State(state).word for state in board.records["state"].tolist()]
    if board.ended:
        words = ["stopped" if word in ("waiting", "loading") else word for word in words]
    return words


def _order(board: Board, words: list[str]) -> list[int]:
    """The files as the table shows them: loading, failed, then those that take most memory."""

    def key(number: int) -> tuple[int, int]:
        if words[number] == "loading":
            return 0, 0
        return 1 if words[number] == "failed" else 2, -_nbytes(board, number, words[number])

    return sorted(range(len(words)), key=key)


def _nbytes(board: Board, number: int, word: str) -> int:
    """Bytes of memory that a file's array takes now."""
    segment, plan = board.segments[number], board.plans[number]
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


def _room(board: Board) -> _limits.Room | None:
    segment = next((segment for segment in board.segments if segment is not None), None)
    if segment is None:
        return None
    if segment.backing == "memfd":
        return _limits.memory()
    try:
        return _limits.room_in(os.path.dirname(segment.path))
    except OSError:  # the user's directory is gone
        return None


def _has_memory(board: Board) -> bool:
    return bool(np.isin(board.records["state"], (State.READY, State.UNLINKED)).any())


def _counts(words: Iterable[str]) -> str:
    """How many files are in which state: "5 ready, 2 loading"."""
    counts = Counter(words)
    return ", ".join(f"{count_text(counts[word])} {word}" for word in _MARKS if counts[word])


def _of(done: int, total: int) -> str:
    return f"{nbytes_text(done)} of {nbytes_text(total)}"


def _few(names: list[str]) -> str:
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return ", ".join(names[:_MOST_NAMES]) + more


def _cut(text: str, title: str) -> str:
    """A name that loses its middle, not its end, where the column is too narrow for it."""
    head, tail = text[:-_TAIL], text[-_TAIL:]
    return (
        f'<span class="shmkit-cut" title="{_text(title)}"><span>{_text(head)}</span>'
        f"<span>{_text(tail)}</span></span>"
    )


def _text(text: str) -> str:
    """Escaped for HTML; bytes of a file name that are no UTF-8 would break the message."""
    return html.escape(text.encode("utf-8", "replace").decode())
