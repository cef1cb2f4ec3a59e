"""What an export wrote, as a table: in the notebook and as text."""

from __future__ import annotations

import html
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from shmkit._format import count_text, counted, nbytes_text, seconds_text

__all__ = ["Dataset", "Export"]

_SHOWN = 30  # datasets that a table names
_COLUMNS = (  # title, side
    ("Dataset", "left"),
    ("Shape", "right"),
    ("Array", "left"),
    ("Memory", "right"),
    ("File", "right"),
    ("Ratio", "right"),
)


class Dataset(NamedTuple):
    """One dataset of an `Export`.

    Attributes
    ----------
    name : str
        Its path in the file, as in ``file[name]``.
    shape : tuple of int
    dtype : dtype
        Of the array that was given; what the file holds instead of strings and times is said at
        `shmkit.to_hdf5`.
    nbytes : int
        Bytes of the array in memory.
    nbytes_stored : int
        Bytes of its data in the file.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    nbytes: int
    nbytes_stored: int


@dataclass(frozen=True)
class Export:
    """What `shmkit.to_hdf5` wrote; shown as a table.

    Attributes
    ----------
    path : str
        The file.
    datasets : tuple of Dataset
        In the order in which they were written.
    nbytes_file : int
        Bytes of the file.
    seconds : float
        How long it took.
    """

    path: str
    datasets: tuple[Dataset, ...]
    nbytes_file: int
    seconds: float

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays in memory."""
        return sum(dataset.nbytes for dataset in self.datasets)

    def __repr__(self) -> str:
        datasets = counted(len(self.datasets), "dataset", "datasets")
        return f"<Export: {datasets} in {self.path} ({nbytes_text(self.nbytes)})>"

    def __str__(self) -> str:
        rows = [[title for title, _ in _COLUMNS], *self._rows()]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [f"{self.path}: {self._summary()}"]
        for row in rows:
            cells = [
                cell.rjust(width) if side == "right" else cell.ljust(width)
                for cell, width, (_, side) in zip(row, widths, _COLUMNS, strict=True)
            ]
            lines.append("  ".join(cells))
        return "\n".join([*lines, *self._more()])

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """The table in a terminal too, where the notebook's cannot be shown."""
        printer.text(repr(self) if cycle else str(self))

    def _repr_html_(self) -> str:
        """A table for the notebook. Styles are inline, since GitHub removes any other."""
        muted = "opacity:.7"  # on any background, with or without the colours of JupyterLab
        styles = [
            "border:0;border-bottom:1px solid var(--jp-border-color2,rgba(128,128,128,.35));"
            f"padding:5px 8px;white-space:nowrap;background:none;text-align:{side}"
            for _, side in _COLUMNS
        ]
        headings = "".join(
            f'<th scope="col" style="{style};{muted};font-weight:600">{title}</th>'
            for (title, _), style in zip(_COLUMNS, styles, strict=True)
        )
        body = ""
        for name, *figures in self._rows():
            body += (
                f'<tr style="background:none"><th scope="row" style="{styles[0]};font-weight:400">'
                f"{html.escape(name)}</th>"
            )
            for text, style in zip(figures, styles[1:], strict=True):
                body += f'<td style="{style}">{html.escape(text)}</td>'
            body += "</tr>"
        more = "".join(
            f'<div style="{muted};padding:5px 8px">{text}</div>' for text in self._more()
        )
        return (
            '<div style="font-size:13px;line-height:1.4;font-variant-numeric:tabular-nums;'
            'color:var(--jp-ui-font-color1,inherit)">'
            f'<div style="padding:4px 8px"><strong>{html.escape(self.path)}</strong> '
            f'<span style="{muted};margin-left:8px">{html.escape(self._summary())}</span></div>'
            '<table style="border-collapse:collapse;border:0;margin:0;font-size:inherit;'
            f'color:inherit"><thead><tr style="background:none">{headings}</tr></thead>'
            f"<tbody>{body}</tbody></table>{more}</div>"
        )

    def _summary(self) -> str:
        datasets = counted(len(self.datasets), "dataset", "datasets")
        return (
            f"{datasets} · {nbytes_text(self.nbytes)} in memory, "
            f"{nbytes_text(self.nbytes_file)} in the file · {seconds_text(self.seconds)} · "
            f"{nbytes_text(self.nbytes / max(self.seconds, 1e-9))}/s"
        )

    def _rows(self) -> Iterator[tuple[str, ...]]:
        for name, shape, dtype, nbytes, nbytes_stored in self.datasets[:_SHOWN]:
            yield (
                name,
                " × ".join(map(count_text, shape)) or "scalar",  # noqa: RUF001 - the sign is meant
                " ".join(dtype.names) if dtype.names else str(dtype),
                nbytes_text(nbytes),
                nbytes_text(nbytes_stored),
                f"{100 * nbytes_stored / nbytes:.1f} %" if nbytes else "",
            )

    def _more(self) -> list[str]:
        hidden = self.datasets[_SHOWN:]
        nbytes = sum(dataset.nbytes for dataset in hidden)
        return [f"and {len(hidden)} more ({nbytes_text(nbytes)})"] if hidden else []
