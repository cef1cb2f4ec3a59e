"""`shmkit.panel`: the shared memory of this machine, live, with buttons to give it back.

    Shared memory   3 segments, 2.10 GB here · 1 segment, 78 MB left behind
    Held by   Shape   Array   Memory   Owner   Age   Segment       the table of %shm
    [segment ▾] [Unlink] [Unlink all] [Remove orphans] [Refresh] [Close]
    unlinked 1 segment, 312 MB; still held by a                    what was done

A button runs between cells, since a kernel hears no widget while a cell runs (ipykernel 7.4). A
widget without its kernel is of no use: JupyterLab writes "model not found" in its place, even where
plain HTML is saved beside it. So the table is plain HTML, in an output of its own; the buttons are
another output, which the table's style hides in a reopened notebook.
"""

from __future__ import annotations

import os
from typing import Any

import ipywidgets
from IPython import get_ipython
from IPython.display import display

from shmkit._format import few_text
from shmkit._html import escaped
from shmkit.cleanup.owner import this_process
from shmkit.display.holders import shell_variables
from shmkit.display.listing import FoundSegment, Listing, list_segments, remove_left, total
from shmkit.display.load_panel import look_again
from shmkit.segments.segment import mapped_here

__all__ = ["panel"]

# JupyterLab puts an element of this class, without elements in it, in the place of widgets whose
# kernel is gone.
_HIDE_DEAD = """<style>
  .jp-OutputArea:has(.shmkit-memory) .jp-OutputArea-output.jupyter-widgets:not(:has(*))
    { display: none }
</style><div class="shmkit-memory"></div>"""

_shown: list[_MemoryPanel] = []  # one at most: two would show the same


def panel() -> None:
    """Show the shared memory of this machine in a notebook, with buttons to give it back.

    It is the table of ``%shm``: this notebook's segments and the variables that hold them, those of
    other processes, those that killed processes left, and what room there is. It is up to date
    after every cell. Its buttons work between cells:

    - *Unlink*, *Unlink all*: remove the name of a segment, or of all of this notebook's. Views stay
      valid; the memory is back when no variable holds one any more.
    - *Remove orphans*: remove what killed processes left.
    - *Close*: leave the table as it is, without buttons. Another `panel()` closes the one before.

    A saved notebook keeps the table, as plain HTML.

    Outside a notebook it prints the table.

    Examples
    --------
    >>> import shmkit
    >>> with shmkit.share([1.0, 2.0]) as array:
    ...     shmkit.panel()  # doctest: +ELLIPSIS, +NORMALIZE_WHITESPACE
    Shape ...
    """
    if not hasattr(get_ipython(), "kernel"):
        print(list_segments(variables=shell_variables()))  # noqa: T201 - what was asked for
        return
    while _shown:
        _shown.pop().close()
    _shown.append(_MemoryPanel())


class _MemoryPanel:
    """One panel, from its display to its end."""

    def __init__(self) -> None:
        self._said = ipywidgets.HTML()
        width = {"width": "auto", "min_width": "320px"}
        self._segment = ipywidgets.Dropdown(description="Segment", layout=width)
        self._unlink = _button("Unlink", "Remove the name of this segment", self._unlink_one)
        self._all = _button("Unlink all", "Remove the names of all of them", self._unlink_all)
        self._gc = _button("Remove orphans", "Remove what killed processes left", self._remove)
        refresh = _button("Refresh", "Look again", lambda _: self._say(""))
        close = _button("Close", "Leave the table as it is", lambda _: self.close())
        row = [self._segment, self._unlink, self._all, self._gc, refresh, close]
        buttons = ipywidgets.HBox(row, layout={"flex_flow": "row wrap"})
        self._box = ipywidgets.VBox([buttons, self._said])
        self._shell = get_ipython()
        self._table: Any = display({}, raw=True, display_id=True)
        self._look()
        shown = self._box._repr_mimebundle_() | {"text/plain": ""}
        self._buttons: Any = display(shown, raw=True, display_id=True)
        self._shell.events.register("post_run_cell", self._after_cell)

    def close(self) -> None:
        """Leave the table as it is, and remove the buttons."""
        if self._box.comm is None:  # it was closed before
            return
        self._look()
        self._shell.events.unregister("post_run_cell", self._after_cell)
        self._buttons.update({"text/html": "", "text/plain": ""}, raw=True)
        for widget in (self._box, *self._box.children, *self._box.children[0].children):
            for part in (widget.layout, getattr(widget, "style", None), widget):
                if part is not None:
                    part.close()

    def _after_cell(self, _result: object) -> None:
        self._look()

    def _look(self) -> Listing:
        listing = list_segments(variables=shell_variables())
        shown = {"text/html": _HIDE_DEAD + listing._repr_html_(), "text/plain": str(listing)}
        self._table.update(shown, raw=True)
        own = [f for f in listing.found if f.path and f.owner == this_process()]
        options = [(_label(f), f.path) for f in own]
        if options != list(self._segment.options):
            paths, chosen = [path for _, path in options], self._segment.value
            self._segment.options = options  # this resets the choice
            self._segment.value = chosen if chosen in paths else next(iter(paths), None)
        self._segment.disabled = self._unlink.disabled = self._all.disabled = not own
        self._gc.disabled = not any(f.orphan for f in listing.found)
        return listing

    def _say(self, text: str) -> None:
        look_again()
        self._look()
        self._said.value = f'<span role="status">{escaped(text)}</span>'

    def _unlink_one(self, _button: object) -> None:
        self._unlink_paths([self._segment.value])

    def _unlink_all(self, _button: object) -> None:
        self._unlink_paths([path for _, path in self._segment.options])

    def _unlink_paths(self, paths: list[str]) -> None:
        found = [f for f in self._look().found if f.path in paths]
        for segment in mapped_here():
            if segment.path in paths:
                segment.unlink()
        holders = list(dict.fromkeys(name for f in found for name in f.holders))
        held = f"; still held by {few_text(holders)}" if holders else ""
        self._say(f"unlinked {total(found)}{held}")

    def _remove(self, _button: object) -> None:
        self._say(remove_left()[1])


def _button(text: str, tooltip: str, action: Any) -> ipywidgets.Button:
    button = ipywidgets.Button(description=text, tooltip=tooltip, layout={"width": "auto"})
    button.on_click(action)
    return button


def _label(segment: FoundSegment) -> str:
    name = ", ".join(segment.names) or os.path.basename(segment.path)
    return f"{few_text(segment.holders) or 'no variable'}: {name}"
