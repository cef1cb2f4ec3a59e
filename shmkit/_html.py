"""A table for the output of a notebook's cell, quiet on light and on dark.

    title  summary
    Name     Shape   Memory     headings
    ─────────────────────────
    a        3 × 4     96 B     rows, with their figures to the right
    ─────────────────────────
    and 70 more                 notes

Styles are inline, since GitHub removes any other; where JupyterLab's colours are not there, those
of the page are taken.
"""  # noqa: RUF002 - the sign is meant

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shmkit._format import counted, cut_text, dtype_text, shape_text, table_text

__all__ = [
    "Cell",
    "Shown",
    "Table",
    "array_html",
    "columns_html",
    "escaped",
    "grid",
    "row_html",
    "table_html",
]

_MUTED = "color:color-mix(in srgb,currentColor 70%,transparent)"  # on any background
_SIDES = {"<": "left", ">": "right"}
_LONG = ";white-space:normal;min-width:24ch;overflow-wrap:anywhere"  # it is broken into lines
_PRE = "margin:0;padding:4px 8px;white-space:pre;overflow:auto;font-size:13px"

# What is shown of an array with fields:
_FIRST_ROWS = 5
_LAST_ROWS = 2
_MAX_FIELDS = 20
_MAX_LETTERS = 40  # of a value


class Table(NamedTuple):
    """A table of texts; for its columns see `table_html`."""

    title: str
    summary: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()

    def __str__(self) -> str:
        table = table_text(self.columns, self.rows)
        return "\n".join([f"{self.title}: {self.summary}", table, *self.notes])

    @property
    def html(self) -> str:
        """As HTML."""
        return table_html(*self)


class Cell(NamedTuple):
    """A cell: HTML, and the attributes of its element, such as ``class="n"``."""

    html: str
    attributes: str = ""


class Shown:
    """Shown as a table: in a terminal as text, in a notebook as HTML."""

    def table(self) -> Table:
        """What is shown."""
        raise NotImplementedError

    def __str__(self) -> str:
        return str(self.table())

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(repr(self) if cycle else str(self))

    def _repr_html_(self) -> str:
        return self.table().html


def escaped(text: str) -> str:
    """Escaped for HTML; bytes of a file name that are no UTF-8 would break the message."""
    import html  # noqa: PLC0415 - its table of entities, only where something is shown

    return html.escape(text.encode("utf-8", "replace").decode())


def grid(columns: Sequence[Cell], rows: Iterable[str], attributes: str = "") -> str:
    """The inside of a ``<table>``: headings, and rows that `row_html` made.

    >>> grid([Cell("Name")], [])
    '<thead><tr><th scope="col">Name</th></tr></thead><tbody></tbody>'
    """
    cells = "".join(_element('th scope="col"', column) for column in columns)
    return f"<thead>{_element('tr', Cell(cells, attributes))}</thead><tbody>{''.join(rows)}</tbody>"


def row_html(cells: Sequence[Cell], attributes: str = "") -> str:
    """A row; its first cell says what it is about.

    >>> row_html([Cell("a"), Cell("1", 'class="n"')])
    '<tr><th scope="row">a</th><td class="n">1</td></tr>'
    """
    first, *rest = cells
    html = "".join([_element('th scope="row"', first), *(_element("td", cell) for cell in rest)])
    return _element("tr", Cell(html, attributes))


def _element(tag: str, cell: Cell) -> str:
    attributes = f" {cell.attributes}" if cell.attributes else ""
    return f"<{tag}{attributes}>{cell.html}</{tag.split(maxsplit=1)[0]}>"


def table_html(
    title: str,
    summary: str,
    columns: Sequence[str] = (),
    rows: Iterable[Sequence[str]] = (),
    notes: Iterable[str] = (),
) -> str:
    """A table of texts; a column is its side, "<" for left or ">" for right, and its heading.

    >>> "<td" in table_html("a < b", "1 row", ["<Name", ">Rows"], [("a", "1")])
    True
    """
    styles = [
        "border:0;border-bottom:1px solid var(--jp-border-color2,rgba(128,128,128,.35));"
        f"padding:5px 8px;white-space:nowrap;vertical-align:top;background:none;text-align:{side}"
        for side in (_SIDES[column[0]] for column in columns)
    ]
    headings = [
        Cell(escaped(column[1:]), f'style="{style};{_MUTED};font-weight:600"')
        for column, style in zip(columns, styles, strict=True)
    ]
    weights = [";font-weight:400", *[""] * len(columns)]  # of the first column, which are <th>
    plain = 'style="background:none"'
    cells = (
        [
            Cell(
                escaped(text), f'style="{style}{weight}{_LONG if len(text) > _MAX_LETTERS else ""}"'
            )
            for text, style, weight in zip(row, styles, weights, strict=False)
        ]
        for row in rows
    )
    inside = grid(headings, (row_html(row, plain) for row in cells), plain)
    # It scrolls where it is too wide, by keyboard too.
    table = (
        f'<div role="group" aria-label="{escaped(title)}" tabindex="0" style="overflow:auto">'
        '<table style="border-collapse:collapse;border:0;margin:0;font-size:inherit;'
        f'color:inherit">{inside}</table></div>'
    )
    below = "".join(
        f'<div style="{_MUTED};padding:5px 8px">{escaped(note)}</div>' for note in notes
    )
    return (
        '<div style="font-size:13px;line-height:1.4;font-variant-numeric:tabular-nums;'
        'color:var(--jp-ui-font-color1,inherit)">'
        f'<div style="padding:4px 8px"><strong>{escaped(title)}</strong> '
        f'<span style="{_MUTED};margin-left:8px">{escaped(summary)}</span></div>'
        f"{table if columns else ''}{below}</div>"
    )


def array_html(title: str, summary: str, array: NDArray[Any]) -> str:
    """An array: the first and last rows of a table, numpy's text of any other.

    >>> "⋮" in array_html("calls", "", np.zeros(9, "i4, S3"))
    True
    """
    names = array.dtype.names if array.ndim == 1 else None
    if names:
        return columns_html(title, summary, {name: array[name] for name in names}, len(array))
    summary = f"{shape_text(array.shape)} {dtype_text(array.dtype)} · {summary}"
    text = f'<pre tabindex="0" style="{_PRE}">{escaped(str(array))}</pre>'
    return table_html(title, summary) + text


def columns_html(
    title: str,
    summary: str,
    columns: Mapping[str, Any],
    length: int,
    about: Mapping[str, Mapping[str, str]] | None = None,
    notes: Iterable[str] = (),
) -> str:
    """The first and last rows of columns, below what is to be said of each: by heading and column.

    The notes come below.

    >>> "f8" in columns_html("t", "", {"x": np.zeros(9)}, 9, {"type": {"x": "f8"}})
    True
    """
    shown = list(columns)[:_MAX_FIELDS]
    headings = [">", *(f"{'<>'[_is_numeric(columns[n])]}{n}" for n in shown)]
    numbers = range(length)
    first, last = numbers[:_FIRST_ROWS], numbers[_FIRST_ROWS:][-_LAST_ROWS:]
    rows = [[str(n), *(_value_text(columns[name][n]) for name in shown)] for n in (*first, *last)]
    if len(rows) < length:
        rows.insert(_FIRST_ROWS, ["⋮", *("" for _ in shown)])
    said = [[what, *(texts[name] for name in shown)] for what, texts in (about or {}).items()]
    hidden = len(columns) - len(shown)
    more = [f"and {counted(hidden, 'more field', 'more fields')}"] if hidden else []
    summary = f"{counted(length, 'row', 'rows')} · {summary}"
    return table_html(title, summary, headings, said + rows, [*more, *notes])


def _is_numeric(column: Any) -> bool:
    return column.ndim == 1 and column.dtype.kind in "iufc"


def _value_text(value: Any) -> str:
    if isinstance(value, bytes):
        text = value.decode("utf-8", "replace")
    elif isinstance(value, np.inexact):
        text = f"{value:.6g}"
    else:
        text = str(value)
    return cut_text(text, _MAX_LETTERS)
