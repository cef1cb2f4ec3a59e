r"""The lines of a text file: decompressed, decoded, and counted as they are taken.

    bytes ──(gzip, bz2, xz)──▶ bytes ──(encoding)──▶ lines, each ended by \n, \r\n or \r

Which line was taken last is what an error about a line is made from.
"""

from __future__ import annotations

import bz2
import codecs
import collections
import io
import itertools
import lzma
import operator
import os
import zlib
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, cast

import numpy as np
from isal import igzip, isal_zlib

from shmkit.errors import LoadError

__all__ = [
    "DAMAGED",
    "Lines",
    "count_lines",
    "damaged",
    "decompressed",
    "line_ends_are_bytes",
    "resolved_encoding",
    "undecodable",
]

_COUNT_NBYTES = 1 << 20
_LIST_NBYTES = 1 << 16

# What the decompressors raise.
DAMAGED: tuple[type[Exception], ...] = (
    EOFError,
    zlib.error,
    cast("type[Exception]", isal_zlib.error),  # its stub says that it is an instance
    lzma.LZMAError,
    igzip.BadGzipFile,
)


def line_ends_are_bytes(encoding: str) -> bool:
    r"""Whether \n and \r are one byte each and can be told in the undecoded file (not UTF-16)."""
    return "\n\r".encode(encoding).endswith(b"\n\r")


def decompressed(file: BinaryIO, path: str) -> BinaryIO:
    """What is in the file; np.loadtxt goes by the same endings."""
    openers: dict[str, Callable[[BinaryIO], Any]] = {
        ".gz": igzip.open,
        ".bz2": bz2.open,
        ".xz": lzma.open,
        ".lzma": lzma.open,
    }
    ending = os.path.splitext(path)[1]
    return cast("BinaryIO", openers[ending](file)) if ending in openers else file


def damaged(path: str, error: Exception) -> LoadError:
    """The error for one of DAMAGED."""
    reason = f"its compressed data are damaged or cut short ({error}); copy the file again"
    return LoadError(path, None, None, reason)


def resolved_encoding(path: str) -> str:
    """The encoding of a file for which none was given: UTF-8 on every machine, whatever its locale.

    A byte order mark is no text.
    """
    with open(path, "rb") as file, decompressed(file, path) as data:
        return "utf-8-sig" if data.read(3) == codecs.BOM_UTF8 else "utf-8"


def count_lines(path: str, encoding: str) -> tuple[int, int]:
    """Bytes once decompressed, and lines; a last line without a line end is one."""
    with open(path, "rb", buffering=0) as file, decompressed(file, path) as data:
        if not line_ends_are_bytes(encoding):
            with io.TextIOWrapper(data, encoding, errors="replace") as text:
                lines = sum(1 for _ in text)
                return data.tell(), lines
        buffer = bytearray(_COUNT_NBYTES)
        view = np.frombuffer(buffer, np.uint8)
        nbytes = lines = 0
        last = ord("\n")
        while count := cast("io.RawIOBase", data).readinto(buffer):
            lines += int(np.count_nonzero(view[:count] == ord("\n")))
            # A lone \r ends a line too (old Mac); that of \r\n is no second one.
            returns = int(np.count_nonzero(view[:count] == ord("\r")))
            if returns:
                lines += returns - buffer.count(b"\r\n", 0, count)
            if last == ord("\r") and buffer[0] == ord("\n"):
                lines -= 1
            last = buffer[count - 1]
            nbytes += count
    return nbytes, lines + (last not in b"\r\n")


class Lines:
    """The lines of a file, counted as they are taken.

    They come from lists, whose iterators know what is left in them: counting then costs a few
    nanoseconds a line, where a generator that counts each line slows np.loadtxt by an eighth.
    """

    def __init__(self, path: str, encoding: str) -> None:
        self._file = open(path, "rb")  # noqa: SIM115 - closed by close()
        self._text = io.TextIOWrapper(decompressed(self._file, path), encoding)
        self._read = 0
        self._list: Iterator[str] = iter(())
        self._lines = itertools.chain.from_iterable(self._lists())

    def _lists(self) -> Iterator[Iterator[str]]:
        while lines := self._text.readlines(_LIST_NBYTES):
            self._read += len(lines)
            self._list = iter(lines)
            yield self._list

    def __iter__(self) -> Iterator[str]:
        return self._lines

    @property
    def taken(self) -> int:
        """Lines taken so far."""
        return self._read - operator.length_hint(self._list)

    @property
    def nbytes_taken(self) -> int:
        """Bytes of the file, as it lies there, that were read for them."""
        return self._file.tell()

    def take(self, count: int) -> list[str]:
        """The next lines."""
        return list(itertools.islice(self._lines, count))

    def skip(self, count: int) -> None:
        """Pass over the next lines."""
        collections.deque(itertools.islice(self._lines, count), maxlen=0)

    def close(self) -> None:
        """Close the file."""
        self._text.close()
        self._file.close()


def undecodable(path: str, encoding: str) -> LoadError:
    """The error that names the line of the first byte that is no text in the encoding."""
    line = 1
    with open(path, "rb") as file, decompressed(file, path) as data:
        text = io.TextIOWrapper(data, encoding)
        try:
            for _ in text:
                line += 1
        except UnicodeDecodeError as error:
            # Lines before it that were to be decoded together with it.
            before = error.object[: error.start].decode(encoding, "replace")
            line += len(before.replace("\r\n", "\n").replace("\r", "\n").split("\n")) - 1
            marks = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
            other = "utf-16" if line == 1 and error.object.startswith(marks) else "latin-1"
            reason = (
                f"byte 0x{error.object[error.start]:02x} is not {error.encoding} text "
                f'({error.reason}); give encoding=, for example "{other}"'
            )
            return LoadError(path, line, None, reason)
    return LoadError(path, None, None, "the file changed while loading; load it again")
