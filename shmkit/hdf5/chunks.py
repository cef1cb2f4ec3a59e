"""The chunks of an HDF5 dataset, made and read outside of HDF5.

    block of an array ──shuffle──▶ planes ──deflate──▶ bytes of the chunk in the file
                      ◀─unshuffle──       ◀─inflate───

Shuffle puts the first bytes of all items first, then the second bytes, and so on: alike comes
beside alike. HDF5 runs its filters in one thread under one lock. These are the stock ones, so
every HDF5 reader undoes them; only who applies them, in how many threads, differs.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import deflate
import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray

from shmkit.hdf5.shuffle.planes import shuffle, unshuffle

__all__ = ["FASTEST", "Block", "Deflater", "as_bytes", "blocks", "chunk_shape", "inflate"]

FASTEST = 1  # level: isal's 2 and 3 are slower, and no smaller on shuffled data

# The chunk cache of most HDF5 releases holds 1 MiB a dataset. A chunk that does not fit is
# inflated again for every row somebody reads of it. Chunk and planes also fit a CPU's cache.
_CHUNK_NBYTES = 1 << 20
_MIN_PIECE_NBYTES = 16 << 10  # that are deflated with one Huffman table
_MAX_ISAL_LEVEL = 3

Block = tuple[slice, ...]


def chunk_shape(shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    """Whole rows, or whole rows of rows; in equal parts, so that little of the last is padding.

    >>> chunk_shape((3_000_000,), 26), chunk_shape((365, 181, 360), 4)
    ((40000,), (4, 181, 360))
    """
    chunks = [max(length, 1) for length in shape]
    for axis in range(len(shape)):
        row = math.prod(chunks[axis + 1 :]) * itemsize
        parts = math.ceil(chunks[axis] / max(_CHUNK_NBYTES // row, 1))
        chunks[axis] = math.ceil(chunks[axis] / parts)
        if chunks[axis] > 1:
            break
    return tuple(chunks)


def blocks(shape: tuple[int, ...], chunks: tuple[int, ...]) -> Iterator[Block]:
    """The part of an array that is in each chunk, in the order of the chunks."""
    axes = (range(0, length, step) for length, step in zip(shape, chunks, strict=True))
    for offset in itertools.product(*axes):
        yield tuple(slice(start, start + step) for start, step in zip(offset, chunks, strict=True))


class Deflater(NamedTuple):
    """Shuffle and deflate, for the chunks of one dataset.

    Attributes
    ----------
    chunks
        Shape of a chunk.
    level
        0 to 3 are isal's, several times as fast as zlib; 4 to 9 are libdeflate's.
    shuffle
        Whether bytes are put into planes.
    """

    chunks: tuple[int, ...]
    level: int = FASTEST
    shuffle: bool = True

    def __call__(self, block: NDArray[Any]) -> bytes | bytearray:
        """The bytes in the file of a chunk.

        The stream is flushed after each plane, which gives each its own Huffman table: less on
        the disk, and planes of noise are stored quickly.
        """
        data = self.raw(block)
        if self.level > _MAX_ISAL_LEVEL:
            return deflate.zlib_compress(data, self.level)
        step = len(data)
        if self.shuffle:
            items = math.prod(self.chunks)
            step = items * math.ceil(_MIN_PIECE_NBYTES / items)
        deflater = isal_zlib.compressobj(self.level)
        parts = []
        for start in range(0, len(data), step):
            parts.append(deflater.compress(data[start : start + step]))
            parts.append(deflater.flush(isal_zlib.Z_FULL_FLUSH))
        parts.append(deflater.flush())
        return b"".join(parts)

    def raw(self, block: NDArray[Any]) -> NDArray[np.uint8]:
        """The bytes before they are deflated; a block at the edge of the array is filled up."""
        if block.shape != self.chunks:
            whole = np.zeros(self.chunks, block.dtype)
            whole[tuple(slice(length) for length in block.shape)] = block
            block = whole
        return shuffle(np.ascontiguousarray(block)) if self.shuffle else as_bytes(block)


def as_bytes(block: NDArray[Any]) -> NDArray[np.uint8]:
    """The bytes of an array, item after item; a copy only where they do not lie so."""
    return np.ascontiguousarray(block).reshape(-1).view(np.uint8)


def inflate(
    data: bytes | bytearray,
    chunks: tuple[int, ...],
    out: NDArray[Any],
    *,
    there: Block,
    deflated: bool,
    shuffled: int,
) -> None:
    """Fill an array from the bytes of a chunk in a file; raises ValueError if they are damaged.

    `there` says which items of the chunk they are: at the edge of a dataset these are fewer than
    the chunk has. `shuffled` is the bytes of an item in planes, 0 if there are none.
    """
    nbytes = math.prod(chunks) * out.itemsize
    if deflated:
        try:
            data = deflate.zlib_decompress(data, nbytes)  # up to 1.5 times as fast as isal's
        except deflate.DeflateError:
            raise ValueError("its deflated data are damaged") from None
    if len(data) != nbytes:
        raise ValueError(f"a chunk holds {len(data)} bytes instead of {nbytes}")
    first_rows = there[0].start == 0 and there[0].step == 1 and out.shape[1:] == chunks[1:]
    if first_rows and _all_in_order(there[1:]) and out.flags.c_contiguous:
        _sort(np.frombuffer(data, np.uint8), out, shuffled=shuffled)
    else:
        whole = np.empty(chunks, out.dtype)
        _sort(np.frombuffer(data, np.uint8), whole, shuffled=shuffled)
        out[...] = whole[there]


def _all_in_order(axes: Block) -> bool:
    return all(axis.start == 0 and axis.step == 1 for axis in axes)


def _sort(data: NDArray[np.uint8], out: NDArray[Any], *, shuffled: int) -> None:
    """Put the bytes of the first items of a chunk in their places."""
    items = out.reshape(-1).view(np.uint8)
    if shuffled:
        unshuffle(data, items, shuffled)
    else:
        items[...] = data[: items.size]
