"""What could not be loaded, as `SharedArrays.failures` has it and shows it."""

from __future__ import annotations

import os
import re

from shmkit._format import counted
from shmkit._html import Shown, Table
from shmkit.errors import LoadError

__all__ = ["Failures"]

# Where messages begin to advise.
_OPTION = re.compile(r"; (?=(?:give|try) |[a-z_]+=)|, or (?=skiprows=)")


class Failures(Shown, dict[str, Exception]):
    """The errors by the names of their files: a dict that shows itself as a table.

    Examples
    --------
    >>> reason = "'n/a' is not a float32; give converters={2: ...} or another dtype="
    >>> print(Failures({"calls": LoadError("/data/calls.txt", 20345, 3, reason)}))
    Failures: 1 file
    File        Line  What                    Try
    calls.txt  20345  'n/a' is not a float32  converters={2: ...} or another dtype=
    """

    def table(self) -> Table:
        """What is shown."""
        rows = [_row(name, error) for name, error in self.items()]
        columns = ("<File", ">Line", "<What", "<Try")
        return Table("Failures", counted(len(rows), "file", "files"), columns if rows else (), rows)


def _row(name: str, error: Exception) -> tuple[str, str, str, str]:
    if isinstance(error, OSError) and isinstance(error.filename, str) and error.strerror:
        what, *advice = error.strerror.split("; ", maxsplit=1)
        return os.path.basename(error.filename), "", what, "".join(advice)
    if not isinstance(error, LoadError):
        return name, "", f"{type(error).__name__}: {error}", ""
    what, *advice = _OPTION.split(error.reason, maxsplit=1)
    option = re.sub("^(give|try) ", "", "".join(advice))
    line = "" if error.line is None else str(error.line)
    return os.path.basename(error.path), line, what, option
