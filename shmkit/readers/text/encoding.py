"""The encoding of a text, and what is none."""

from __future__ import annotations

import codecs
from collections.abc import Mapping
from typing import Any, BinaryIO

from shmkit.errors import LoadError
from shmkit.readers.text.lines import line_ends_are_bytes

__all__ = ["encoding_of"]

_LOOK_NBYTES = 4096  # binary files have a NUL byte in the first ones


def encoding_of(path: str, data: BinaryIO, options: Mapping[str, Any]) -> str:
    """The encoding that is given, else UTF-8, with a byte order mark or without.

    Raises
    ------
    LoadError
        If the file is no text.
    """
    data.seek(0)
    begin = data.read(_LOOK_NBYTES)
    data.seek(0)
    encoding: str | None = options.get("encoding")
    if encoding is None:
        encoding = "utf-8-sig" if begin.startswith(codecs.BOM_UTF8) else "utf-8"
    utf_16 = begin.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))  # reading says so
    if b"\0" in begin and not utf_16 and line_ends_are_bytes(encoding):
        reason = (
            "it holds NUL bytes, so it is no text; give reader=, a function that takes the "
            'path and returns an array, or encoding= if it is UTF-16 ("utf-16-le")'
        )
        raise LoadError(path, None, None, reason)
    return encoding
