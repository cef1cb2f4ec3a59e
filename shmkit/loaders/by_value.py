"""Pickling of what is defined in a cell: by value, with the names and lines of its source.

    notebook: function ──▶ its code, its file's name, and the cell's lines ──▶ pickle
    loader:   pickle ──▶ the code with that name again; the lines go to linecache ──▶ function

A failing reader shows its own traceback, with the line that raised. Python looks such a line up by
the file name of the code. From version 3.1.3 on cloudpickle gives all code the name
``<dynamic-code>``, so that equal functions have equal pickles; so the name travels beside the code.
The lines of a cell are in no file: the kernel keeps them in `linecache`, and a loader process gets
them with the code. Those of a file are read where they are needed.

The same happens to code inside of code: nested functions, lambdas, the methods of classes.
"""

from __future__ import annotations

import linecache
import os
from collections.abc import Callable
from types import CodeType
from typing import Any

import cloudpickle

from shmkit.pools import reducers

__all__ = ["dumps"]


def dumps(value: object) -> bytes:
    """The value pickled, what ``__main__`` defines by value."""
    return reducers.dumps(value, _Pickler)


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc] # cloudpickle publishes no types
    @property
    def dispatch_table(self) -> dict[type, Any]:  # it is read once a message
        return {**cloudpickle.Pickler.dispatch_table, **reducers.by_type}

    def reducer_override(self, value: Any) -> Any:
        if not isinstance(value, CodeType):
            return super().reducer_override(value)
        make, arguments = cloudpickle.Pickler.dispatch_table[CodeType](value)
        return _named_code, (make, arguments, value.co_filename, _lines(value.co_filename))


def _lines(file_name: str) -> list[str]:
    """The source of a cell; none for a file, which others can read."""
    return [] if os.path.exists(file_name) else linecache.getlines(file_name)


def _named_code(
    make: Callable[..., CodeType], arguments: tuple[Any, ...], file_name: str, lines: list[str]
) -> CodeType:
    """The code as it was, for unpickling."""
    if lines:
        nbytes = sum(map(len, lines))
        linecache.cache[file_name] = nbytes, None, lines, file_name  # None: in no file, so it stays
    return make(*arguments).replace(co_filename=file_name)
