"""The bar that a notebook shows while an export takes longer than a moment.

    Writing  1.20 GB of 3.10 GB · 412 MB/s
    ▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬───────────────────────

It is plain HTML, displayed once and then updated: widgets would have to be closed, and leave
"model not found" in a notebook that is saved meanwhile.
"""

from __future__ import annotations

import time
from typing import Any

from IPython.display import display

from shmkit._format import nbytes_text
from shmkit._monitor import NoMonitor, Work
from shmkit.display.panel.page import Snapshot, head, progress_bar, snapshot_html

__all__ = ["ExportBar"]

_PERIOD = 0.2  # seconds between two changes: servers drop messages past 1,000/s
_PATIENCE = 0.5  # seconds that nobody minds waiting


class ExportBar(NoMonitor):
    """A `Monitor` of an export in a notebook; nothing of it stays."""

    def begin(self, _work: Work) -> None:
        """Show nothing yet."""
        self._started = self._drawn = time.monotonic()
        self._handle: Any = None

    def update(self, work: Work) -> None:
        """Show how far it is, unless that was shown a moment ago."""
        now = time.monotonic()
        if now - self._started < _PATIENCE or now - self._drawn < _PERIOD:
            return
        self._drawn = now
        done, total = work.nbytes_done, work.nbytes_total
        speed = f"{nbytes_text(done / (now - self._started))}/s"
        figures = [f"{nbytes_text(done)} of {nbytes_text(total)}", speed]
        bar = progress_bar("Writing", done, total, 'class="shmkit-whole"')
        snapshot = Snapshot(head("Writing", "", figures, bar), [], f"Writing {' · '.join(figures)}")
        self._show({"text/html": snapshot_html(snapshot, [], ""), "text/plain": snapshot.text})

    def end(self, _work: Work) -> None:
        """Leave nothing of it."""
        if self._handle is not None:
            self._show({"text/html": "", "text/plain": ""})

    def _show(self, shown: dict[str, str]) -> None:
        if self._handle is None:
            self._handle = display(shown, raw=True, display_id=True)
        else:
            self._handle.update(shown, raw=True)
