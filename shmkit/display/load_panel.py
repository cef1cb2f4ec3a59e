"""The load panel: what a notebook shows of a load, while it runs and ever after.

    begin, update ──▶ ┌ HTML widgets, changed at most 5 times a second ┐
                      │ summary                                 Cancel │
                      │ headings                                       │
                      │ ┌ pieces ────────────────────────────────────┐ │
                      │ │ files that load; files that failed         │ │
                      │ │ files 0-99; 100-199; …                     │ │  a piece is sent again
                      │ └──────────────── if they are many: scroll ──┘ │  if one of its rows changed
                      └────────────────────────────────────────────────┘
    end           ──▶ plain HTML in their place, which a saved notebook keeps; they are closed
    close, and after every cell, as long as a segment is there
                  ──▶ the HTML again, if a segment was unlinked or freed, or is held by other
                      variables

Replacing the text of a widget loses what was selected, scrolled to, pressed or unfolded in it, so
each is replaced for its own reasons only. The browser lays out just those pieces that are in sight
(``content-visibility`` in panel.css), so thousands of files are as smooth as ten.
"""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Iterable
from typing import Any

import ipywidgets
import numpy as np
from IPython import get_ipython
from IPython.display import display

from shmkit._format import counted
from shmkit.display.holders import held_by, shell_variables
from shmkit.display.load_html import MAX_ROWS, Files, counts, summary, table
from shmkit.loading.board import Board
from shmkit.loading.record import State

__all__ = ["Panel", "look_again", "watching"]

_PERIOD = 0.2  # seconds between two changes of the widgets; servers drop messages past 1,000/s

# While a cell runs, its kernel receives no message of a widget (ipykernel 7.4). So this button asks
# the server to interrupt the kernel, as JupyterLab's stop button does. On pages other than
# JupyterLab's panel.css hides it; where the server refuses, it removes itself.
_CANCEL = """\
<button onclick="
  const page = JSON.parse(document.getElementById('jupyter-config-data').textContent);
  const headers = {{'X-XSRFToken': (document.cookie.match('\\\\b_xsrf=([^;]*)') || [])[1] || ''}};
  if (page.token) headers.Authorization = 'token ' + page.token;
  this.disabled = true;
  fetch(page.baseUrl + 'api/kernels/{kernel}/interrupt', {{method: 'POST', headers}})
    .then(reply => reply.ok || this.remove());">Cancel</button>"""

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
        self._shown: object = None
        self._files = files = Files(board)
        order = files.order()
        self._pieces = [order[n : n + MAX_ROWS] for n in range(0, len(order), MAX_ROWS)]
        self._piece_of = {n: at for at, piece in enumerate(self._pieces) for n in piece}
        self._summary = ipywidgets.HTML()
        # All share one layout and one style, as each of these is one more message: 50 pieces begin
        # with 60 messages instead of 170. And each widget is made with its text, since servers
        # count the messages that change a widget, not those that make one.
        layout, style = self._summary.layout, self._summary.style

        def html(value: str = "") -> ipywidgets.HTML:
            return ipywidgets.HTML(value, layout=layout, style=style)

        self._loading, self._failed = html(), html()
        # So the keyboard reaches the list that scrolls: ipywidgets 8.1 forgets a box's `tabbable`.
        self._loading.tabbable = self._many or None
        self._rest = [html(table(files, piece)) for piece in self._pieces]
        kernel = _kernel(self._shell)
        cancel = html(_CANCEL.format(kernel=kernel) if kernel else "").add_class("shmkit-cancel")
        parts = [self._summary, cancel, html(table(files, [], headings=True))]
        pieces = [self._loading, self._failed, *self._rest]
        below = ipywidgets.VBox(pieces, layout=layout)
        below.add_class("shmkit-pieces")
        self._box = ipywidgets.VBox([*parts, below], layout=layout).add_class("shmkit-load")
        if self._many:
            self._box.add_class("shmkit-many")
        self._open = [self._box, *parts, below, *pieces, style, layout]
        self._draw(range(len(self._pieces)))
        self._handle: Any = display(self._box, display_id=True)

    def update(self, board: Board) -> None:  # noqa: ARG002 - the board of begin(), as Monitor says
        """Show the state of the board, unless it was shown a moment ago."""
        if time.monotonic() - self._drawn >= _PERIOD:
            self._draw({self._piece_of[number] for number in self._files.look()})

    def end(self, board: Board) -> None:
        """Put plain HTML in the place of the widgets and close them."""
        self._board = board
        self._redraw()
        for widget in self._open:
            widget.close()
        if self._shell is not None and _has_memory(board):
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

    @property
    def _many(self) -> bool:
        return len(self._pieces) > 1

    def _draw(self, pieces: Iterable[int]) -> None:
        """Bring the widgets up to date; a value that is what it was is not sent."""
        files = self._files
        self._summary.value = summary(files, time.time())
        self._loading.value = table(files, files.order("loading"))
        self._failed.value = table(files, files.order("failed"))
        above = () if self._many else ("loading", "failed")  # a long list would jump
        for number in pieces:
            rows = [n for n in self._pieces[number] if files.words[n] not in above]
            self._rest[number].value = table(files, rows)
        self._drawn = time.monotonic()

    def _redraw(self) -> None:
        """Show the board's last state as plain HTML, if it changed."""
        board = self._board
        board.refresh()
        states = board.records["state"]
        holders = {}
        if unlinked := np.flatnonzero(states == State.UNLINKED).tolist():
            holders = held_by({n: board.files[n].segment for n in unlinked}, shell_variables())
        shown = (board.closed, states.tobytes(), holders)
        if shown == self._shown:
            return
        self._shown = shown
        files = Files(board)
        first = [*files.order("failed"), *files.order("unlinked")]
        numbers = dict.fromkeys([*first, *files.order()])  # each once, where it comes first
        page = summary(files, board.ended)
        page += table(files, [*numbers], holders=holders, headings=True)
        words = f"{counted(len(board.files), 'file', 'files')}: {counts(files.words)}"
        self._handle.update({"text/html": page, "text/plain": words}, raw=True)


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
    return bool(np.isin(board.records["state"], (State.READY, State.UNLINKED)).any())
