"""`shmkit.panel`: the shared memory of this machine, live, with buttons to give it back.

    Shared memory   3 segments, 2.10 GB here · 1 segment, 78 MB left behind
    [Unlink all] [Forget outputs] [Remove orphans] [Refresh] [Close]
    unlinked 1 segment, 312 MB; still held by a                    what was done
    File   State   Rows   Held by [Unlink]   Memory                the table of %shm (listing.py)

A button runs between cells, since a kernel hears no widget while a cell runs (ipykernel 7.4).
"""

from __future__ import annotations

from IPython import get_ipython

from shmkit._format import counted, few_text
from shmkit._html import escaped
from shmkit.cleanup.owner import this_process
from shmkit.display.holders import forget_outputs, shell_variables
from shmkit.display.listing import FoundSegment, Listing, list_segments, remove_left, total
from shmkit.display.panel.live_panel import LivePanel
from shmkit.display.panel.load_panel import look_again
from shmkit.segments.segment import mapped_here

__all__ = ["panel"]

_shown: list[_MemoryPanel] = []  # one at most: two would show the same


def panel() -> None:
    """Show the shared memory of this machine in a notebook, with buttons to give it back.

    It is the table of ``%shm``: this notebook's segments and the variables that hold them, those of
    other processes, those that killed processes left, and what room there is. It is up to date
    after every cell. Its buttons work between cells:

    - *Unlink*, *Unlink all*: remove the name of a segment, or of all of this notebook's, which is
      asked for a second time. Views stay valid; the memory is back when no variable holds one any
      more.
    - *Forget outputs*: have IPython forget the arrays that cells have shown as their value, which
      ``Out`` and ``_`` keep; as ``%shm forget``.
    - *Remove orphans*: remove what killed processes left.
    - *Close*: leave the table as it is, without buttons. Another `panel()` closes the one before.

    A saved notebook keeps the table, as plain HTML.

    Outside a notebook it prints the table.

    Examples
    --------
    >>> import shmkit
    >>> from shmkit.sample import methylation
    >>> path = methylation("one.txt", rows=1000)
    >>> with shmkit.shared_load(path) as arrays:
    ...     shmkit.panel()  # doctest: +ELLIPSIS, +NORMALIZE_WHITESPACE
    File  Shape  Array  Memory  Owner  Age  Segment
    ...
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
        self._shell = get_ipython()
        self._said = ""
        listing = self._look()
        self._panel = LivePanel(
            listing.snapshot(),
            self._head(listing),
            listing.rows(buttons=True),
            *listing.columns,
            on_press=self._press,
        )
        self._shell.events.register("post_run_cell", self._show)

    def close(self) -> None:
        """Leave the table as it is, without buttons."""
        if self._show in self._shell.events.callbacks["post_run_cell"]:
            self._shell.events.unregister("post_run_cell", self._show)
            self._panel.keep(self._look().snapshot())
            self._panel.close()

    def _look(self) -> Listing:
        return list_segments(variables=shell_variables())

    def _show(self, _result: object = None) -> None:
        listing = self._look()
        self._panel.show(self._head(listing), listing.rows(buttons=True))
        self._panel.keep(listing.snapshot())

    def _head(self, listing: Listing) -> str:
        own = _own(listing)
        buttons = []
        if own:
            ask = f"Unlink {total(own)}?"
            buttons.append(f'<button data-do="unlink" data-ask="{ask}">Unlink all</button>')
        if any(name.startswith(("Out[", "_")) for f in listing.found for name in f.holders):
            buttons.append('<button data-do="forget">Forget outputs</button>')
        if any(f.orphan for f in listing.found):
            buttons.append('<button data-do="gc">Remove orphans</button>')
        buttons += [
            '<button data-do="refresh">Refresh</button>',
            '<button data-do="close">Close</button>',
        ]
        said = f'<div role="status">{escaped(self._said)}</div>'
        return listing.head(f'<div class="shmkit-tools">{"".join(buttons)}</div>{said}')

    def _press(self, action: str, what: str) -> None:
        if action == "close":
            self.close()
            return
        self._said = ""
        if action == "unlink":
            self._said = self._unlink([f for f in _own(self._look()) if what in ("", f.path)])
        elif action == "forget":
            self._said = f"forgot {counted(forget_outputs(self._shell), 'output', 'outputs')}"
        elif action == "gc":
            self._said = remove_left()[1]
        look_again()
        self._show()

    def _unlink(self, found: list[FoundSegment]) -> str:
        paths = {f.path for f in found}
        for segment in mapped_here():
            if segment.path in paths:
                segment.unlink()
        holders = list(dict.fromkeys(name for f in found for name in f.holders))
        held = f"; still held by {few_text(holders)}" if holders else ""
        return f"unlinked {total(found)}{held}"


def _own(listing: Listing) -> list[FoundSegment]:
    """The segments that this process may unlink."""
    return [f for f in listing.found if f.path and f.owner == this_process()]
