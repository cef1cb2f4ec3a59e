"""What panels and listings are made of: a head, and a table with a row for each thing.

    title  state  figures
    File   State   Rows   Array        Memory
    a      ready   12.0 M  ▸ unfolds    96 MB      one element a row

It is HTML with classes of panel.css, which comes along. Where a front end removes that, as GitHub
does, a plain table with the same words is left.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib import resources
from typing import NamedTuple

from shmkit._format import count_text, nbytes_text, short_count_text
from shmkit._html import Cell, escaped, grid

__all__ = [
    "MARKS",
    "MAX_ROWS",
    "NUMBER",
    "STYLE",
    "Snapshot",
    "count_cell",
    "head",
    "nbytes_cell",
    "progress_bar",
    "snapshot_html",
    "state_cell",
    "table_html",
    "unfolding",
]

MAX_ROWS = 100  # of a snapshot
_BOX = 12  # rows; more get a box that scrolls, as in panel.js
NUMBER = 'class="shmkit-n"'  # of the cells of a column of figures
STYLE = (resources.files("shmkit.display.panel") / "panel.css").read_text("utf-8")


MARKS = {
    "ready": "✓",
    "loading": "▸",
    "waiting": "·",
    "failed": "✕",
    "stopped": "■",
    "unlinked": "○",
    "freed": "●",
    "in use": "·",
    "left behind": "○",
}


class Snapshot(NamedTuple):
    """What a panel says at a moment: the HTML of its head and rows, and all of it in plain text.

    Of the rows there are `MAX_ROWS` at most; then `more` says what the others are.
    """

    head: str
    rows: Sequence[str]
    text: str
    more: str = ""


def head(title: str, state: str, figures: Iterable[str], below: str) -> str:
    """The line at the top of a panel, and what is below it: all but the table."""
    parts = " · ".join(f'<span class="shmkit-figure">{figure}</span>' for figure in figures)
    return (
        f'<div class="shmkit-head"><strong>{title}</strong> '
        f'{state}<span class="shmkit-muted">{parts}</span></div>{below}'
    )


def progress_bar(label: str, done: int, total: int, attributes: str = "") -> str:
    """A bar; `label` is for those who do not see it."""
    return (
        f'<progress {attributes} max="{max(total, 1)}" value="{done}" '
        f'aria-label="{escaped(label)}"></progress>'
    )


def state_cell(word: str, more: str = "") -> Cell:
    """A state, by mark and word, and more HTML."""
    return Cell(f"{MARKS[word]} {word}{more}", f'class="shmkit-{word.replace(" ", "-")}"')


def count_cell(count: int) -> Cell:
    """A count, whole on hover."""
    return Cell(
        short_count_text(count), f'{NUMBER} data-value="{count}" title="{count_text(count)}"'
    )


def nbytes_cell(nbytes: int) -> Cell:
    """Bytes."""
    return Cell(nbytes_text(nbytes), f'{NUMBER} data-value="{nbytes}"')


def unfolding(line: str, text: str) -> str:
    """A line of HTML that unfolds into this text."""
    return f"<details><summary>{line}</summary><pre>{escaped(text)}</pre></details>"


def snapshot_html(snapshot: Snapshot, columns: Sequence[Cell], widths: str, key: str = "") -> str:
    """A snapshot as a notebook's output, which no live panel but that with this key hides."""
    table = table_html(columns, widths, snapshot.rows) if snapshot.rows else ""
    if len(snapshot.rows) > _BOX:  # as high as the live one; it scrolls by keyboard too
        label = f'role="group" aria-label="{escaped(columns[0].html)}"'
        table = f'<div class="shmkit-many" {label} tabindex="0">{table}</div>'
    more = f'<div class="shmkit-note">{escaped(snapshot.more)}</div>' if snapshot.more else ""
    return (
        f'<style>\n{STYLE}</style><div class="shmkit-panel" data-snapshot="{key}">'
        f"{snapshot.head}{table}{more}</div>"
    )


def table_html(columns: Sequence[Cell], widths: str, rows: Sequence[str]) -> str:
    """The table of a panel."""
    return f"<table><colgroup>{widths}</colgroup>{grid(columns, rows)}</table>"
