"""Who shows how far a load or an export is: the notebook, the terminal, or nobody.

    progress=   False ──▶ nobody
                None  ──▶ as SHMKIT_PROGRESS says: widget, tqdm, plain (the last line only), off,
                          or auto: a notebook's kernel ──▶ widget
                                   marimo ──▶ plain
                                   stderr is a terminal ──▶ tqdm
                                   else ──▶ nobody
                True  ──▶ auto, but tqdm instead of nobody

A widget can be shown in a notebook's kernel only: elsewhere it is as auto. marimo has no such
kernel, and shows what is written to stderr below the cell.

Front ends are imported late: `import shmkit` loads none.
"""

from __future__ import annotations

import importlib.util
import os
import sys

from shmkit._monitor import Monitor, NoMonitor, Work
from shmkit.display.holders import shell
from shmkit.loading.board.board import Board

__all__ = ["export_monitor", "load_monitor"]

_VARIABLE = "SHMKIT_PROGRESS"
_KINDS = ("auto", "widget", "tqdm", "plain", "off")


def load_monitor(progress: bool | None) -> Monitor[Board]:
    """The monitor of a load."""
    kind = _kind(progress)
    if kind == "widget":
        from shmkit.display.panel.load_panel import Panel  # noqa: PLC0415 - `import shmkit` loads no front end

        return Panel()
    if kind == "off":
        return NoMonitor()
    from shmkit.display.terminal import LoadBar  # noqa: PLC0415 - as above

    return LoadBar(plain=kind == "plain")


def export_monitor(progress: bool | None) -> Monitor[Work]:
    """The monitor of an export; nothing of it stays to be seen."""
    kind = _kind(progress)
    if kind == "widget":
        from shmkit.display.export_bar import ExportBar  # noqa: PLC0415 - as above

        return ExportBar()
    if kind == "tqdm":
        from shmkit.display.terminal import Bar  # noqa: PLC0415 - as above

        return Bar()
    return NoMonitor()


def _kind(progress: bool | None) -> str:
    if progress is False:
        return "off"
    kind = os.environ.get(_VARIABLE) or "auto" if progress is None else "auto"
    if kind not in _KINDS:
        raise ValueError(f"the environment variable {_VARIABLE}={kind!r} is none of {_KINDS}")
    notebook = hasattr(shell(), "kernel")
    if kind in ("auto", "widget") and notebook and importlib.util.find_spec("anywidget"):
        return "widget"
    if kind not in ("auto", "widget"):
        return kind
    marimo = sys.modules.get("marimo")
    if marimo is not None and marimo.running_in_notebook():
        return "plain"
    terminal = sys.stderr is not None and sys.stderr.isatty()
    return "tqdm" if progress or notebook or terminal else "off"
