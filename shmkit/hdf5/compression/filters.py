"""The filters of an HDF5 dataset's chunks, both ways, outside of HDF5 and in any thread.

    items ──shuffle──▶ planes ──gzip, zstd, lzf, lz4, blosc, …──▶ bytes ──fletcher32──▶ chunk
          ◀─────────           ◀──────────────────────────────          ◀─checked──

HDF5 runs its filters in one thread under one lock. These are the same, and so are the bytes, which
every reader undoes who has the filter; only who applies them, in how many threads, differs.

===========  ======  ==========================================================
filter       number  by
===========  ======  ==========================================================
deflate      1       isal, libdeflate
shuffle      2       `hdf5.shuffle`
fletcher32   3       numpy
zstd         32015   Python's own zstd
lzf          32000   h5py's filter; see `plugins`
all others           hdf5plugin's, where these can run in several threads
===========  ======  ==========================================================

A chunk that a filter makes no smaller is stored without it, and says so by a bit of its mask.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

import deflate
import h5py
import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray

from shmkit.hdf5.compression.planes import shuffle
from shmkit.hdf5.compression.plugins import plugin

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

__all__ = ["DEFLATE", "FASTEST", "LZF", "SHUFFLE", "ZSTD", "Filter", "Pipeline", "filter_name"]

DEFLATE, SHUFFLE, FLETCHER32, LZF, ZSTD = 1, 2, 3, 32000, 32015
_NAMES = {
    1: "gzip",
    2: "shuffle",
    3: "fletcher32",
    4: "szip",
    307: "bzip2",
    32000: "lzf",
    32001: "blosc",
    32004: "lz4",
    32008: "bitshuffle",
    32013: "zfp",
    32015: "zstd",
    32017: "sz",
    32026: "blosc2",
}
FASTEST = 1  # level: isal's 2 and 3 are slower, and no smaller on shuffled data
_MAX_ISAL_LEVEL = 3
_MIN_PIECE_NBYTES = 8 << 10  # that are compressed with one Huffman table
_OF_ZSTD = zstd.CompressionParameter
# At level 1. A table that stays in a CPU's first cache; planes have few repeats, and those near.
_FAST_ZSTD = {_OF_ZSTD.compression_level: 1, _OF_ZSTD.hash_log: 12, _OF_ZSTD.window_log: 17}


class Filter(NamedTuple):
    """One filter of a dataset, as its creation properties have it.

    Attributes
    ----------
    code
        Its registered number.
    values
        Its numbers, such as a level.
    """

    code: int
    values: tuple[int, ...] = ()


def filter_name(code: int) -> str:
    """What people call it, and its number."""
    return f"{_NAMES[code]} ({code})" if code in _NAMES else str(code)


class Pipeline:
    """The filters of one dataset, in their order.

    Attributes
    ----------
    shuffled
        Bytes of an item of which the first filter makes planes; 0 if it makes none.
    """

    def __init__(self, filters: Sequence[Filter], itemsize: int) -> None:
        self._filters = filters
        self.shuffled = itemsize if filters and filters[0].code == SHUFFLE else 0

    @classmethod
    def of(cls, dataset: h5py.Dataset) -> Pipeline | None:
        """The filters of a dataset; None if one of them is HDF5's to apply."""
        properties = dataset.id.get_create_plist()
        filters = [
            Filter(found[0], tuple(found[2]))
            for found in map(properties.get_filter, range(properties.get_nfilters()))
        ]
        known = all(
            found.code in (DEFLATE, FLETCHER32, ZSTD)
            or (found.code == SHUFFLE and place == 0)
            or plugin(found.code) is not None
            for place, found in enumerate(filters)
        )
        return cls(filters, dataset.dtype.itemsize) if known else None

    def encode(self, items: NDArray[Any]) -> tuple[int, Any]:
        """The mask and the bytes of a chunk, from its items: a C-contiguous array."""
        data = shuffle(items) if self.shuffled else items.reshape(-1).view(np.uint8)
        plane = items.size if self.shuffled else data.size
        skipped = 0
        for place, (code, values) in enumerate(self._filters):
            if code != SHUFFLE:
                found = _encode(code, values, data, plane)
                if found is None:
                    skipped |= 1 << place
                else:
                    data, plane = found, len(found)
        return skipped, data

    def decode(self, data: Any, skipped: int, nbytes: int) -> tuple[Any, int]:
        """The bytes of a chunk, of so many bytes, and of what they are planes: as `shuffled`.

        Raises ValueError if they are damaged.
        """
        sums = [place for place, (code, _) in enumerate(self._filters) if code == FLETCHER32]
        for place, (code, values) in reversed([*enumerate(self._filters)]):
            if code != SHUFFLE and not skipped >> place & 1:
                before = sum(4 for other in sums if other < place and not skipped >> other & 1)
                data = _decode(code, values, data, nbytes + before)
        return data, 0 if skipped & 1 else self.shuffled


def _encode(code: int, values: Sequence[int], data: Any, plane: int) -> Any:
    if code == DEFLATE:
        return _deflated(data, values[0], plane)
    if code == ZSTD:
        return _zstd(data, values[0] if values else 3, plane)
    if code == FLETCHER32:
        view = memoryview(data).cast("B")
        return view.tobytes() + _fletcher32(view).to_bytes(4, "little")
    found = plugin(code)
    assert found is not None
    return found.encode(data, values)


def _decode(code: int, values: Sequence[int], data: Any, nbytes: int) -> Any:
    if code == DEFLATE:
        try:
            return deflate.zlib_decompress(data, nbytes)  # up to 1.5 times as fast as isal's
        except deflate.DeflateError:
            raise ValueError("its deflated data are damaged") from None
    if code == FLETCHER32:
        return _checked(data)
    if code == ZSTD:
        try:
            return zstd.decompress(data)
        except zstd.ZstdError as error:
            raise ValueError(f"its zstd data are damaged: {error}") from None
    found = plugin(code)
    assert found is not None
    return found.decode(data, values)


def _deflated(data: Any, level: int, plane: int) -> bytes | bytearray:
    """The zlib stream. It is flushed after each plane, which gives each its own Huffman table.

    That is less on the disk, and planes of noise are stored quickly.
    """
    if level > _MAX_ISAL_LEVEL:
        return deflate.zlib_compress(data, level)
    deflater = isal_zlib.compressobj(level)
    parts = []
    for start, stop in _pieces(len(data), plane):
        parts.append(deflater.compress(data[start:stop]))
        parts.append(deflater.flush(isal_zlib.Z_FULL_FLUSH))
    parts.append(deflater.flush())
    return b"".join(parts)


def _zstd(data: Any, level: int, plane: int) -> bytes:
    """One frame, which says how long its content is; a block ends with each plane, as above."""
    options: Any = _FAST_ZSTD if level == 1 else {_OF_ZSTD.compression_level: level}
    compressor = zstd.ZstdCompressor(options=options)
    compressor.set_pledged_input_size(len(data))
    parts = [
        compressor.compress(
            memoryview(data[start:stop]),
            compressor.FLUSH_BLOCK if stop < len(data) else compressor.FLUSH_FRAME,
        )
        for start, stop in _pieces(len(data), plane)
    ]
    return b"".join(parts)


def _pieces(length: int, plane: int) -> list[tuple[int, int]]:
    """Planes, several small ones together."""
    step = plane * -(-_MIN_PIECE_NBYTES // plane)
    return [(start, min(start + step, length)) for start in range(0, length, step)]


def _checked(data: Any) -> memoryview:
    """The bytes before their checksum; raises ValueError if it is another.

    HDF5 1.6.2 and older swapped its bytes on most machines, and HDF5 takes both.
    """
    view = memoryview(data).cast("B")
    content, stored = view[:-4], int.from_bytes(view[-4:], "little")
    found = _fletcher32(content)
    swapped = int.from_bytes(np.uint32(found).tobytes(), "little")
    swapped = (swapped & 0x00FF00FF) << 8 | (swapped & 0xFF00FF00) >> 8
    if stored not in (found, swapped):
        raise ValueError("its checksum (fletcher32) does not fit: the data are damaged")
    return content


def _fletcher32(data: memoryview) -> int:
    """HDF5's: sums of big-endian words, modulo 65535, where a sum that is not 0 never becomes 0.

    >>> hex(_fletcher32(memoryview(b"abcde")))
    '0x4ff029c7'
    """
    padded = bytes(data[-1:]) + b"\0" if len(data) % 2 else b""
    pieces = [np.frombuffer(data[: len(data) // 2 * 2], ">u2"), np.frombuffer(padded, ">u2")]
    first = second = 0
    for words in pieces:
        for start in range(0, len(words), 1 << 16):  # so few that no sum overflows
            some = words[start : start + (1 << 16)].astype(np.uint64)
            weights = np.arange(len(some), 0, -1, dtype=np.uint64)
            second = _folded(second + len(some) * first + int(some @ weights))
            first = _folded(first + int(some.sum()))
    return second << 16 | first


def _folded(total: int) -> int:
    return (total - 1) % 65535 + 1 if total else 0
