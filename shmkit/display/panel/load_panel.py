"""The load panel: what a notebook shows of a load, while it runs and ever after.

begin         ──▶ snapshot and live panel (live_panel.py)
update        ──▶ live: the head and the rows that changed, at most 5 times a second;
                  snapshot: every 10 seconds, for a notebook that is saved meanwhile
end, close, and after every cell, as long as a segment is there
              ──▶ both, if a segment was unlinked or freed, or is held by other variables
all is freed  ──▶ the live panel is closed; the snapshot stays
"""

from __future__ import annotations

import functools
import logging
import os
import re
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from IPython import get_ipython

from shmkit._format import count_text
from shmkit.display.holders import held_by, loaded_by, shell_variables
from shmkit.display.panel.live_panel import LivePanel
from shmkit.display.panel.load_html import Files, columns, counts, row, summary
from shmkit.display.panel.page import MAX_ROWS, Snapshot
from shmkit.loading.board.board import Board
from shmkit.loading.board.record import State

__all__ = ["Panel", "look_again", "watching"]

_PERIOD = 0.2  # seconds between two changes of the live panel; servers drop messages past 1,000/s
_SNAPSHOT_PERIOD = 10.0  # seconds

watching: set[Panel] = set()


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
        self._board = board
        self._files = Files(board, self._before())
        self._shown: object = None
        self._panel = LivePanel(
            self._snapshot({}),
            summary(self._files, time.time()),
            self._rows(range(len(board.files)), {}),
            *columns(self._files),
            kernel=_kernel(self._shell),
        )
        self._drawn = self._kept = time.monotonic()

    def update(self, board: Board) -> None:  # noqa: ARG002 - the board of begin(), as Monitor says
        """Show the state of the board, unless it was shown a moment ago."""
        now = time.monotonic()
        if now - self._drawn < _PERIOD:
            return
        changed = self._files.look()
        head = summary(self._files, time.time())
        self._panel.change(head, {number: row(self._files, number) for number in changed})
        self._drawn = now
        if now - self._kept >= _SNAPSHOT_PERIOD:
            self._panel.keep(self._snapshot({}))
            self._kept = now

    def end(self, board: Board) -> None:
        """Show how it ended, and go on to show what becomes of the memory."""
        self._panel.end_cancel()
        if board.cancelled and (interrupt := sys.exception()) is not None:
            # Nobody wants to read where in shmkit an interrupt came; IPython asks for this.
            line = "KeyboardInterrupt: the load was cancelled; nothing of it was kept"
            interrupt._render_traceback_ = functools.partial(list, [line])  # type: ignore[attr-defined]
        self._redraw()
        if _has_memory(board) and self._shell is not None:
            # Memory often comes back only when a later cell binds a variable anew.
            self._shell.events.register("post_run_cell", self.look_again)
            watching.add(self)

    def close(self, board: Board) -> None:  # noqa: ARG002 - as above
        """Show what was unlinked and what is freed."""
        self._redraw()

    def look_again(self, _result: object = None) -> None:
        """Show what became of the segments since, as after every cell."""
        try:
            self._redraw()
            watch = _has_memory(self._board)
        except Exception:
            # A panel that cannot be drawn is no reason to print into somebody's cell.
            logging.getLogger(__name__).debug("the load panel stays as it is", exc_info=True)
            watch = False
        if not watch:
            self._shell.events.unregister("post_run_cell", self.look_again)
            watching.discard(self)

    def _redraw(self) -> None:
        """Show the board's last state, if it changed."""
        board = self._board
        board.refresh()
        states = board.records["state"]
        holders: dict[int, list[str]] = {}
        if unlinked := np.flatnonzero(states == State.UNLINKED).tolist():
            holders = held_by({n: board.files[n].segment for n in unlinked}, shell_variables())
        before = self._before()
        shown = (board.ended, board.closed, states.tobytes(), holders, before)
        if shown == self._shown:
            return
        self._shown = shown
        self._files = Files(board, before)
        self._panel.keep(self._snapshot(holders))
        if _has_memory(board):
            rows = self._rows(range(len(board.files)), holders)
            self._panel.show(summary(self._files, time.time()), rows)
        else:
            self._panel.close()

    def _before(self) -> dict[str, int]:
        """Which variables have arrays of the same files, that are not of this load."""
        board = self._board
        if board.closed or board.failed:
            return {}
        paths = {file.path for file in board.files}
        own = [file.segment for file in board.files]
        return loaded_by(shell_variables(), paths, own)

    def _rows(self, numbers: Iterable[int], holders: Mapping[int, Sequence[str]]) -> list[str]:
        return [row(self._files, number, holders.get(number, ())) for number in numbers]

    def _snapshot(self, holders: Mapping[int, Sequence[str]]) -> Snapshot:
        files, order = self._files, self._files.order()
        words = f"{files.board.words.counted(len(order))}: {counts(files.words)}"
        more = ""
        if rest := order[MAX_ROWS:]:
            more = f"and {count_text(len(rest))} more: {counts(files.words[n] for n in rest)}"
        head = summary(files, time.time(), snapshot=True)
        return Snapshot(head, self._rows(order[:MAX_ROWS], holders), words, more)


def look_again() -> None:
    """Have every load panel show what became of its segments outside of any cell."""
    for panel in [*watching]:
        panel.look_again()


def _kernel(shell: Any) -> str | None:
    """The number by which the server knows this kernel; None if that cannot be told."""
    app = shell.config.get("IPKernelApp", {}) if shell is not None else {}
    file = os.path.basename(str(app.get("connection_file", "")))
    match = re.fullmatch(r"kernel-([0-9a-f-]{36})\.json", file)
    return match and match[1]


def _has_memory(board: Board) -> bool:
    kept = np.flatnonzero(np.isin(board.records["state"], (State.READY, State.UNLINKED)))
    return any(board.files[number].segment is not None for number in kept.tolist())
