r"""The text of a table as the parser wants it: bytes of UTF-8, lines ended by \n.

    file, decompressed ──▶ is it that already? ── yes ──▶ as it is: any place of it is reached
                                  │ no
                                  ▼
            decoded, \r to \n, comments off, fixed widths to fields ──▶ from its begin on, only

Most files are what the parser wants. What is not goes through `Lines`, some hundred lines at a
time; such a file is read in one part.
"""

from __future__ import annotations

import codecs
import io
import re
from collections.abc import Callable, Sequence
from typing import Any, BinaryIO

from shmkit.readers.text.lines import byte_order_mark

__all__ = ["SEPARATOR", "Change", "TextStream", "by_widths", "is_utf8", "without_comments"]

SEPARATOR = "\x1f"  # between the fields of fixed-width lines: ASCII's own for that
_NBYTES = 1 << 16

Change = Callable[[str], str]  # of whole lines


def is_utf8(encoding: str) -> bool:
    """Whether its bytes are UTF-8, but for a mark at the begin."""
    return codecs.lookup(encoding.removesuffix("-sig")).name in ("ascii", "utf-8")


class TextStream(io.RawIOBase):
    """A text as UTF-8, from its begin on.

    Parameters
    ----------
    data
        The file, decompressed.
    encoding
        Of the text. What is no text in it becomes an error where it is read.
    changes
        What else is done to the lines, in this order.

    Attributes
    ----------
    plain : bool
        Whether the bytes are those of the file, so that a seek leads anywhere.
    begin : int
        Where the text begins: behind a byte order mark.
    """

    def __init__(
        self,
        data: BinaryIO,
        encoding: str,
        changes: Sequence[Change] = (),
        *,
        only_returns: bool = False,
    ) -> None:
        self.plain = is_utf8(encoding) and not changes and not only_returns
        self.begin = len(byte_order_mark(data, encoding)) if self.plain else 0
        self._data = data
        self._encoding = encoding
        self._changes = changes
        self._text: io.TextIOWrapper | None = None
        self._left = b""  # decoded, and not yet taken
        self._place = 0
        self.seek(self.begin)

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Go to a byte; one of a text that is not `plain` is reached from its begin."""
        assert whence == io.SEEK_SET
        if self.plain:
            self._place = self._data.seek(offset)
            return self._place
        self.detach_text()
        self._data.seek(0)
        self._left, self._place, place = b"", 0, 0
        self._text = io.TextIOWrapper(self._data, self._encoding)  # \r and \r\n become \n
        while place < offset and (piece := self.read(min(offset - place, _NBYTES))):
            place += len(piece)
        self._place = place
        return place

    def tell(self) -> int:
        """The place of the next byte that is read."""
        return self._place

    def readinto(self, buffer: Any, /) -> int:
        """Take the next bytes."""
        if self.plain:
            count: int = self._data.readinto(buffer)  # type: ignore[attr-defined] # they all have it
            self._place += count
            return count
        assert self._text is not None
        if not self._left:
            lines = "".join(self._text.readlines(_NBYTES))
            for change in self._changes if lines else ():
                lines = change(lines)
            self._left = lines.encode()
        taken = self._left[: len(buffer)]
        buffer[: len(taken)] = taken
        self._left = self._left[len(taken) :]
        self._place += len(taken)
        return len(taken)

    def detach_text(self) -> None:
        """Let go of the file, which stays open."""
        if self._text is not None:
            self._text.detach()
            self._text = None

    def close(self) -> None:
        """End; the file stays open."""
        self.detach_text()
        super().close()


def without_comments(marks: Sequence[str], quotechar: str | None) -> Change:
    r"""What cuts lines at a mark of a comment, as np.loadtxt does: anywhere but in quotes.

    >>> without_comments(["#"], '"')('1,"a #1" # note\n# all\n2,b#c\n')
    '1,"a #1" \n\n2,b\n'
    """
    comment = rf"(?:{'|'.join(map(re.escape, marks))})[^\n]*"
    if quotechar is None:
        pattern = re.compile(rf"()(?:{comment})")
    else:
        quote = re.escape(quotechar)
        pattern = re.compile(rf"({quote}(?:[^{quote}]|{quote}{quote})*{quote})|{comment}")
    return lambda lines: pattern.sub(lambda match: match[1] or "", lines)


def by_widths(slices: Sequence[slice]) -> Change:
    r"""What makes fields of fixed-width lines, without the blanks around each.

    >>> by_widths([slice(0, 4), slice(4, 9)])("Oslo 12.5\n\nRom  21.0\n")
    'Oslo\x1f12.5\n\nRom\x1f21.0\n'
    """

    def change(lines: str) -> str:
        return "".join(
            SEPARATOR.join([line[s].strip() for s in slices]) + "\n" if line.strip() else "\n"
            for line in lines.removesuffix("\n").split("\n")
        )

    return change
