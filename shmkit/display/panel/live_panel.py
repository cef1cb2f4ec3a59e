"""A panel in a notebook: a head above a table, live while its kernel is there, and ever after.

    ┌ snapshot: plain HTML, with its time ┐   shown wherever the live one is not: in a saved
    └─────────────────────────────────────┘   notebook, on GitHub, after a restart of the kernel
    ┌ live: a widget (panel.js) ──────────┐   the head, and each row that changed, by itself;
    │ head                                │   filter and order of the rows are the person's
    │ [filter] [state]                    │
    │ File   State   Rows   Array  Memory │
    └─────────────────────────────────────┘

1. Both are displayed at once, the snapshot first; the live one hides it as long as it lives.
2. Python makes the HTML of each row, once for both. The live one is sent what changed; the snapshot
   seldom, since each time it is sent whole.
3. A snapshot has no more than 100 rows, as it stays in the notebook's file.

A widget alone does not do: in a saved notebook JupyterLab writes "model not found" in its place,
even where plain HTML is saved beside it. (panel.css hides that.) Plain HTML alone does not either:
each update replaces all of it, with what was scrolled to, unfolded or typed; and of 5,000 files
that took 9.2 MB, where this takes 4.2. Where a front end has no widgets, or its server
lacks anywidget, the snapshot is what is seen.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from importlib import resources
from typing import Any

import anywidget
import traitlets
from IPython.display import display

from shmkit._html import Cell
from shmkit.display.panel.page import STYLE, Snapshot, snapshot_html, table_html

__all__ = ["LivePanel"]

_WIDGET = "application/vnd.jupyter.widget-view+json"


class LivePanel:
    """A panel that is displayed.

    Parameters
    ----------
    snapshot, head, rows
        What it says first, for later and live.
    columns, widths
        The headings, and the ``<col>``-s.
    kernel
        The number by which the server knows this kernel: for a button that interrupts it.
    on_press
        Called with what a button of the panel's stands for, by its ``data-do`` and ``data-what``.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        head: str,
        rows: Sequence[str],
        columns: Sequence[Cell],
        widths: str,
        *,
        kernel: str | None = None,
        on_press: Callable[[str, str], None] | None = None,
    ) -> None:
        self._key = uuid.uuid4().hex[:12]
        self._columns, self._widths = columns, widths
        self._kept: Any = display(self._bundle(snapshot), raw=True, display_id=True)
        self._widget = LiveWidget(
            key=self._key,
            table=table_html(columns, widths, []),
            head=head,
            rows=list(rows),
            kernel=kernel or "",
        )
        if on_press is not None:
            self._widget.on_msg(lambda _, sent, __: on_press(sent["do"], sent.get("what", "")))
        view = {"model_id": self._widget.model_id, "version_major": 2, "version_minor": 0}
        self._live: Any = display({_WIDGET: view, "text/plain": ""}, raw=True, display_id=True)

    def change(self, head: str, rows: Mapping[int, str]) -> None:
        """Show another head, and other rows in place of those of these numbers."""
        self._widget.head = head
        self._widget.change_rows(rows)

    def show(self, head: str, rows: Sequence[str]) -> None:
        """Show another head and these rows in place of all."""
        before = self._widget.rows
        if len(rows) == len(before):
            pairs = enumerate(zip(before, rows, strict=True))
            self.change(head, {number: new for number, (old, new) in pairs if new != old})
        else:
            self._widget.head, self._widget.rows = head, list(rows)

    def end_cancel(self) -> None:
        """Take away the button that interrupts the kernel."""
        self._widget.kernel = ""

    def keep(self, snapshot: Snapshot) -> None:
        """Have this in the notebook's file, for when nothing is live any more."""
        self._kept.update(self._bundle(snapshot), raw=True)

    def close(self) -> None:
        """Leave the snapshot alone."""
        if self._widget.comm is not None:
            self._live.update({"text/html": "", "text/plain": ""}, raw=True)
            self._widget.layout.close()
            self._widget.close()

    def _bundle(self, snapshot: Snapshot) -> dict[str, str]:
        html = snapshot_html(snapshot, self._columns, self._widths, self._key)
        return {"text/html": html, "text/plain": snapshot.text}


class LiveWidget(anywidget.AnyWidget):
    """What panel.js shows."""

    _esm = (resources.files("shmkit.display.panel") / "panel.js").read_text("utf-8")
    _css = STYLE

    key = traitlets.Unicode().tag(sync=True)
    table = traitlets.Unicode().tag(sync=True)
    head = traitlets.Unicode().tag(sync=True)
    rows: traitlets.List[str] = traitlets.List().tag(sync=True)
    kernel = traitlets.Unicode().tag(sync=True)

    def change_rows(self, rows: Mapping[int, str]) -> None:
        """Send these rows alone; who opens the page anew gets all as they are by then."""
        for number, html in rows.items():
            self.rows[number] = html
        if rows:
            self.send({"rows": rows})
