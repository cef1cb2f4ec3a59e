"""Compressed files: told by their first bytes, decompressed as a stream, from any block of bgzip.

    file   │ member │ member │ member │    members of gzip, frames of zstd, streams of bzip2 and xz
           ▼        ▼        ▼
    text   ├────────┼────────┼────────┤    seek: to the last begin before it that is known, and on

1. The first bytes of a file say what compressed it, whatever its name.
2. Its members are decompressed one after another, as much at a time as somebody reads.
3. A seek to a place in the text goes back to the last member that is known to begin before it, and
   passes over the text in between. Of most files only the first begin is known: a seek backwards
   begins anew.
4. Block-gzip, as ``bgzip`` writes it, is gzip in members of at most 64 KiB, its blocks. The header
   of each says how long it is, its end how much text it holds. So all begins are known, any place
   of the text is reached at once, and large files are read in parts.
5. Where data are damaged, the lines before are counted anew, so that the error names the line.
"""

from __future__ import annotations

import functools
import io
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, BinaryIO, NamedTuple, Protocol, cast

import numpy as np
from isal import igzip_lib
from numpy.typing import NDArray

from shmkit.errors import LoadError
from shmkit.readers.base import Version

__all__ = ["ENDINGS", "content_nbytes", "decompressed", "position"]

_INPUT_NBYTES = 1 << 16
_HEADER_NBYTES = 1 << 10  # isal misreads a header of several fields that comes in two pieces
_PASS_NBYTES = 1 << 18  # of text, a step in which it is passed over
# Of text, a step in which lines before damage are counted. The step that hits the damage gives
# nothing, so its lines are missed: the smaller it is, the nearer is the line that an error names.
_COUNT_NBYTES = 1 << 13
# A cold disk reads all of a file in such steps faster than the header and end of each block.
_CHAIN_NBYTES = 1 << 20

_BLOCK = re.compile(rb"\x1f\x8b\x08\x04.{6}\x06\0BC\x02\0(..)", re.DOTALL)
_BLOCK_HEADER_NBYTES = 18


class _Decompressor(Protocol):
    """Of one member; as in Python's bz2."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int) -> bytes: ...


def _of_gzip() -> _Decompressor:
    return cast("_Decompressor", igzip_lib.IgzipDecompressor(igzip_lib.DECOMP_GZIP))


# The other modules are imported where they are needed: few load such files, all import this one.


def _of_bzip2() -> _Decompressor:
    import bz2  # noqa: PLC0415

    return bz2.BZ2Decompressor()


def _of_xz() -> _Decompressor:
    import lzma  # noqa: PLC0415

    return lzma.LZMADecompressor()


def _of_zstd() -> _Decompressor:
    if sys.version_info >= (3, 14):
        from compression.zstd import ZstdDecompressor  # noqa: PLC0415
    else:
        from backports.zstd import ZstdDecompressor  # noqa: PLC0415
    return ZstdDecompressor()


class _Format(NamedTuple):
    name: str
    magic: re.Pattern[bytes]
    endings: tuple[str, ...]
    decompressor: Callable[[], _Decompressor]


_FORMATS = [
    _Format("gzip", re.compile(rb"\x1f\x8b\x08"), (".gz", ".bgz"), _of_gzip),
    _Format(
        "bzip2",
        re.compile(rb"BZh[1-9](?:1AY&SY|\x17rE8P\x90)"),  # "BZh9" may begin a text
        (".bz2",),
        _of_bzip2,
    ),
    _Format("xz", re.compile(rb"\xfd7zXZ\0|]\0\0"), (".xz", ".lzma"), _of_xz),
    _Format("zstd", re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18"), (".zst",), _of_zstd),
]
ENDINGS = tuple(ending for form in _FORMATS for ending in form.endings)


class _DamagedError(Exception):
    """The compressed data end too early, or are none."""


@contextmanager
def decompressed(path: str) -> Iterator[BinaryIO]:
    """What is in the file, seekable.

    Raises
    ------
    LoadError
        If compressed data are damaged or cut short (in the block as well), or the file is not
        compressed though its name says so.
    OSError
        If the file cannot be read.
    """
    line = None
    try:
        with _opened(path) as data:
            try:
                yield data
            except LoadError as error:
                line = error.line
                raw = cast("io.BufferedReader", data).raw
                if isinstance(raw, _Stream):  # damage may only show at the end of its member
                    raw.end_member()
                raise
    except _DamagedError as damage:
        line = line or _lines_before_damage(path) + 1
        raise LoadError(path, line, None, str(damage)) from None


def _opened(path: str) -> BinaryIO:
    file = open(path, "rb", buffering=0)  # noqa: SIM115 - the caller closes what is given back
    begin = file.read(_BLOCK_HEADER_NBYTES)
    file.seek(0)
    form = next((form for form in _FORMATS if form.magic.match(begin)), None)
    if form is not None:
        return cast("BinaryIO", io.BufferedReader(_Stream(path, file, form), _INPUT_NBYTES))
    if path.lower().endswith(ENDINGS):
        file.close()
        reason = (
            "its name says that it is compressed, its first bytes do not; rename it if it is plain "
            "text, else copy it again"
        )
        raise LoadError(path, None, None, reason)
    return cast("BinaryIO", io.BufferedReader(file, _INPUT_NBYTES))


def position(data: BinaryIO) -> int:
    """Bytes of the file, as it lies there, that were read."""
    return os.lseek(data.fileno(), 0, os.SEEK_CUR)


def content_nbytes(data: BinaryIO) -> int | None:
    """Bytes that are in the file once decompressed; None where only that can tell.

    Where it is known, a `seek` to any place takes no longer than to the begin.
    """
    raw = cast("io.BufferedReader", data).raw
    return raw.nbytes if isinstance(raw, _Stream) else os.fstat(data.fileno()).st_size


def _lines_before_damage(path: str) -> int:
    lines = 0
    with suppress(_DamagedError), _opened(path) as data:
        while piece := cast("io.BufferedReader", data).raw.read(_COUNT_NBYTES):
            lines += piece.count(b"\n")
    return lines


class _Stream(io.RawIOBase):
    """What is in a compressed file."""

    def __init__(self, path: str, file: io.FileIO, form: _Format) -> None:
        self._path = path
        self._file = file
        self._form = form
        self._begin(0, 0)

    def _begin(self, place: int, at: int) -> None:
        """Go on with the member that begins at this place of the text and byte of the file."""
        self._place = self._member_place = place
        self._member_at = at
        self._member: _Decompressor | None = None
        self._in_block = False
        self._input = b""
        self._file.seek(at)

    @functools.cached_property
    def _begins(self) -> NDArray[np.int64]:
        version, at = Version.of(os.fstat(self._file.fileno())), self._file.tell()
        if version not in _known_begins:  # it is asked for each part
            while len(_known_begins) >= _KNOWN:
                del _known_begins[next(iter(_known_begins))]
            _known_begins[version] = _find_begins(self._file, version.nbytes)
            self._file.seek(at)
        return _known_begins[version]

    @property
    def nbytes(self) -> int | None:
        """Of the text, if it is known."""
        return int(self._begins[-1, 0]) if len(self._begins) > 1 else None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._file.fileno()

    def close(self) -> None:
        self._file.close()
        super().close()

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        if whence == os.SEEK_CUR:
            offset += self._place
        if offset != self._place:
            last = np.searchsorted(self._begins[:, 0], offset, "right") - 1
            place, at = self._begins[last].tolist()
            if not place <= self._place <= offset:
                self._begin(place, at)
        while self._place < offset and self._read(min(offset - self._place, _PASS_NBYTES)):
            pass
        return self._place

    def readinto(self, buffer: Any, /) -> int:
        data = self._read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def end_member(self) -> None:
        """Pass over the rest of the member that is being read."""
        member = self._member
        while member is not None and member is self._member and not member.eof:
            self._read(_PASS_NBYTES)

    def _read(self, nbytes: int) -> bytes:
        """The bytes that come next, at most so many; none at the end."""
        while member := self._unfinished_member():
            if member.needs_input and not self._input:
                self._input = self._file.read(_INPUT_NBYTES)
                if not self._input:
                    raise self._cut_short()
            try:
                data = member.decompress(self._input, nbytes)
            except MemoryError:
                raise
            except Exception as error:  # noqa: BLE001 - each library raises its own
                raise self._damaged(error) from None
            self._input = member.unused_data
            self._place += len(data)
            if data:
                return data
        return b""

    def _unfinished_member(self) -> _Decompressor | None:
        """The member that is being read, or the next one; None at the end of the file."""
        if self._member is not None and not self._member.eof:
            return self._member
        data = self._input.lstrip(b"\0")  # zeros may fill up a file
        while len(data) < _HEADER_NBYTES and (more := self._file.read(_INPUT_NBYTES)):
            data = (data + more).lstrip(b"\0")
        if not data:
            if self._in_block and self._place > self._member_place:
                raise self._cut_short()
            return None
        self._input = data
        self._member_place, self._member_at = self._place, self._file.tell() - len(data)
        if not self._form.magic.match(data):
            raise _DamagedError(
                f"what begins at byte {self._member_at:,} is no {self._form.name} data; copy the "
                "file again, or cut off what is behind its end"
            )
        self._in_block = _BLOCK.match(data) is not None
        self._member = self._form.decompressor()
        return self._member

    def _cut_short(self) -> _DamagedError:
        nbytes = self._file.tell()
        reason = f"its {self._form.name} data are cut short: the file ends at byte {nbytes:,}"
        if not self._in_block:
            return _DamagedError(f"{reason}; copy it again")
        if self._member is not None and not self._member.eof:
            return _DamagedError(f"{reason}, in the block at {self._member_at:,}; copy it again")
        return _DamagedError(
            f"{reason}, without the empty block that bgzip writes last; copy it again, or "
            "decompress it if its writer leaves that block out"
        )

    def _damaged(self, error: Exception) -> _DamagedError:
        at = max(self._member_at, self._file.tell() - _INPUT_NBYTES)
        where = f"near byte {at:,}"
        if self._in_block:
            where = f"in the block at byte {self._member_at:,}"
        return _DamagedError(
            f"its {self._form.name} data are damaged {where} ({error}); copy it again"
        )


_KNOWN = 4
_known_begins: dict[Version, NDArray[np.int64]] = {}


def _find_begins(raw: io.FileIO, nbytes: int) -> NDArray[np.int64]:
    """Where members begin, as far as that is known: place in the text, byte of the file.

    Of bgzip all, if no block is missing; of any other file the first one.
    """
    begins, place, at, held = [], 0, 0, 0
    raw.seek(0)
    file = io.BufferedReader(raw, _CHAIN_NBYTES)
    while block := _BLOCK.match(file.read(_BLOCK_HEADER_NBYTES)):
        begins.append((place, at))
        at += int.from_bytes(block[1], "little") + 1
        file.seek(max(at - 4, 0))
        held = int.from_bytes(file.read(4), "little")
        place += held
    file.detach()
    whole = at == nbytes and not held  # an empty block ends the file
    return np.array(begins if whole else [(0, 0)], np.int64)
