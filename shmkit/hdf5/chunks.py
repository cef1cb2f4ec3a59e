"""How an array is cut into the chunks of an HDF5 dataset, and put together again.

array ──blocks──▶ block ──whole_chunk──▶ items ──▶ `filters` ──▶ the chunk in the file
                    ◀──────fill──────── bytes ◀──
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shmkit.hdf5.compression.planes import unshuffle

__all__ = ["Block", "as_bytes", "blocks", "chunk_shape", "fill", "whole_chunk"]

# The chunk cache of most HDF5 releases holds 1 MiB a dataset. A chunk that does not fit is
# inflated again for every row somebody reads of it. Chunk and planes also fit a CPU's cache.
_CHUNK_NBYTES = 1 << 20

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


def blocks(shape: tuple[int, ...], chunks: tuple[int, ...], first: int = 0) -> Iterator[Block]:
    """The part of an array that is in each chunk, in the order of the chunks, from a row on."""
    starts = [first, *[0] * (len(shape) - 1)]
    axes = (range(*axis) for axis in zip(starts[: len(shape)], shape, chunks, strict=True))
    for offset in itertools.product(*axes):
        yield tuple(slice(start, start + step) for start, step in zip(offset, chunks, strict=True))


def whole_chunk(block: NDArray[Any], chunks: tuple[int, ...]) -> NDArray[Any]:
    """The items of a chunk, one after another; a block at the edge of the array is filled up."""
    if block.shape == chunks:
        return np.ascontiguousarray(block)
    whole = np.zeros(chunks, block.dtype)
    whole[tuple(slice(length) for length in block.shape)] = block
    return whole


def as_bytes(block: NDArray[Any]) -> NDArray[np.uint8]:
    """The bytes of an array, item after item; a copy only where they do not lie so."""
    return np.ascontiguousarray(block).reshape(-1).view(np.uint8)


def fill(
    data: Any, chunks: tuple[int, ...], out: NDArray[Any], *, there: Block, shuffled: int
) -> None:
    """Fill an array from the bytes of a chunk; raises ValueError if they are too few or many.

    `there` says which items of the chunk they are: at the edge of a dataset these are fewer than
    the chunk has. `shuffled` is the bytes of an item in planes, 0 if there are none.
    """
    nbytes = math.prod(chunks) * out.itemsize
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
