"""How work that takes a while is shown to a person: one protocol, for loads and for exports.

    load, export, conversion ──begin, update, end──▶ Monitor: a widget, a tqdm bar, or nothing
          a Work  ◀──────── looked at in each ─────────┘

The work calls, the monitor looks: so a monitor never waits, and runs in the thread that works,
which is the only one that may touch a notebook's widgets.
"""

from __future__ import annotations

from typing import Protocol, TypeVar

__all__ = ["Monitor", "NoMonitor", "Work"]


class Work(Protocol):
    """What takes a while.

    Attributes
    ----------
    nbytes_done, nbytes_total : int
        How far it is; the total may grow while more work comes.
    """

    @property
    def nbytes_done(self) -> int: ...
    @property
    def nbytes_total(self) -> int: ...


_Work_contra = TypeVar("_Work_contra", bound=Work, contravariant=True)


class Monitor(Protocol[_Work_contra]):
    """What shows some work to a person. Every method is called from the thread that works."""

    def begin(self, work: _Work_contra, /) -> None:
        """The work begins; nothing is done yet."""

    def update(self, work: _Work_contra, /) -> None:
        """Something was done; called up to ~10 times a second."""

    def end(self, work: _Work_contra, /) -> None:
        """The work has ended, well or not: a load's board says how."""

    def close(self, work: _Work_contra, /) -> None:
        """Of a load: segments were unlinked, since the arrays, or one of them, were closed."""


class NoMonitor:
    """Shows nothing."""

    def begin(self, work: Work, /) -> None:
        """Show nothing."""

    update = end = close = begin
