"""Why a table cannot be read: file, line, column, text, and the code that reads it."""

from __future__ import annotations

from reprlib import repr as short

from shmkit._categories import MAX_NAME_NBYTES
from shmkit.errors import LoadError
from shmkit.readers.text.columns import Fit, Misfit
from shmkit.readers.text.stream import TextStream
from shmkit.readers.text.table.notes import missing_with
from shmkit.readers.text.table.plan import TablePlan

__all__ = ["changed", "line_of", "misfit_error", "open_quote"]

_COUNT_NBYTES = 1 << 18


def line_of(stream: TextStream, place: int) -> int:
    """The number, from 1, of the line at this byte of a text; the stream goes on where it was."""
    at = stream.tell()
    stream.seek(stream.begin)
    left, line = place - stream.begin, 1
    while left and (piece := stream.read(min(left, _COUNT_NBYTES))):
        line += piece.count(b"\n")
        left -= len(piece)
    stream.seek(at)
    return line


def misfit_error(
    path: str, plan: TablePlan, misfit: Misfit, text: bytes, line: int, rows: int | None
) -> LoadError:
    """What is wrong with a field that no type would hold, or that the dtype given does not.

    `rows` are those of the table before it, if that is known.
    """
    shown = short(text.decode(errors="replace"))
    if misfit.fit is Fit.RAGGED:
        found = misfit.column
        reason = f"expected {plan.fields} fields, found {found} in {shown}"
        if rows:
            reason += f"; max_rows={rows} reads the rows before it"
        elif rows == 0:
            reason += f"; skiprows={line} reads the lines behind it"
        if b"#" in text and "comments" not in plan.options:
            reason += ", comments='#' if a comment begins there"
        elif found > plan.fields and (plan.dialect.quotechar or "\0").encode() in text:
            reason += ", quotechar=None if quotes are part of the text"
        return LoadError(path, line, min(found, plan.fields) + 1, reason)
    column = next(c for c in plan.columns if c.field == misfit.column)
    where = f"column {column.name!r}" if plan.header else f"column {column.field}"
    key = repr(column.name)
    if misfit.fit is Fit.NOT_UTF8:
        bad = next(byte for byte in text if byte > 127)
        reason = (
            f"byte 0x{bad:02x} is not UTF-8, in {shown} ({where}); give encoding=, for example "
            '"latin-1"'
        )
    elif misfit.fit is Fit.NUL:
        reason = (
            f"{shown} holds a NUL ({where}), which no text in memory ends with; give "
            f"converters={{{key}: lambda text: text.rstrip(chr(0))}}"
        )
    elif misfit.fit is Fit.TOO_MANY:
        reason = (
            f"{shown} takes more than {MAX_NAME_NBYTES} bytes ({where}), so it is no category; "
            "leave it out of categories="
        )
    elif misfit.fit is Fit.TOO_LONG:
        reason = (
            f"{shown} takes {len(text)} bytes, more than {column.given} holds ({where}); give "
            f"dtype={{{key}: str}}"
        )
    elif misfit.fit in (Fit.MISSING, Fit.NO_NUMBER):
        word = text.decode(errors="replace").strip().strip(plan.dialect.quotechar)
        words = [] if misfit.fit is Fit.MISSING else [missing_with(column, word)]
        if column.given is not None and column.given.kind in "iub":
            words.insert(0, f"dtype={{{key}: float}}")
        reason = (
            f"{shown} is not {_of_type(column.given)} ({where}); give "
            f"{', '.join(words)} if it means missing, or dtype={{{key}: str}}"
        )
    else:
        other = "float" if misfit.fit is Fit.FRACTION else "str"
        if misfit.fit is Fit.TOO_FINE:
            other = '"datetime64[ns]"'
        reason = f"{shown} is not {_of_type(column.given)} ({where}); give dtype={{{key}: {other}}}"
    return LoadError(path, line, column.field + 1, reason)


def _of_type(dtype: object) -> str:
    return f"{'an' if str(dtype)[0] == 'i' else 'a'} {dtype}"


def open_quote(path: str, stream: TextStream, place: int) -> LoadError:
    """The error for a quote that never closes, in the line at this place."""
    reason = (
        "a quote opens in this line, and the file ends before it closes; give quotechar=None if "
        "quotes are part of the text, else complete the file"
    )
    return LoadError(path, line_of(stream, place), None, reason)


def changed(path: str) -> LoadError:
    """The error for a file that is no longer what was counted."""
    return LoadError(path, None, None, "the file changed while loading; load it again")
