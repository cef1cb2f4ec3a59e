"""How an array is cut into chunks, and put together again from their bytes."""

import math

import numpy as np
import pytest

from shmkit.hdf5.chunks import as_bytes, blocks, chunk_shape, fill, whole_chunk
from shmkit.hdf5.compression.planes import shuffle

MB = 1 << 20


@pytest.mark.parametrize(
    ("shape", "itemsize"),
    [((3_000_000,), 26), ((365, 181, 360), 4), ((5, 10_000_000), 8), ((7,), 1), ((100, 0), 8)],
)
def test_chunks_are_whole_rows_of_a_mebibyte_at_most(shape, itemsize):
    chunks = chunk_shape(shape, itemsize)
    assert len(chunks) == len(shape)
    assert math.prod(chunks) * itemsize <= MB
    cut = next((axis for axis, length in enumerate(chunks) if length > 1), len(shape))
    assert chunks[cut + 1 :] == tuple(max(length, 1) for length in shape[cut + 1 :])
    # In equal parts: of the last less is padding than there are parts.
    for length, chunk in zip(shape, chunks, strict=True):
        assert -length % chunk <= max(math.ceil(length / chunk), 1)


def test_an_item_larger_than_a_chunk_is_one():
    assert chunk_shape((3,), 5 * MB) == (1,)
    assert chunk_shape((), 8) == ()
    assert chunk_shape((0,), 8) == (1,)


@pytest.mark.parametrize("first", [0, 4])
def test_blocks_cover_the_rows_from_one_on_once(first):
    seen = np.zeros((10, 7), int)
    for block in blocks(seen.shape, (4, 3), first):
        seen[block] += 1
    assert (seen[first:] == 1).all()
    assert (seen[:first] == 0).all()


def test_a_block_at_the_edge_is_filled_up():
    edge = np.arange(6, dtype="i2").reshape(3, 2)[:, ::-1]
    whole = whole_chunk(edge, (4, 3))
    assert whole.flags.c_contiguous
    np.testing.assert_array_equal(whole[:3, :2], edge)
    assert whole.sum() == edge.sum()
    inner = np.arange(12).reshape(4, 3)
    assert whole_chunk(inner, (4, 3)) is inner  # no copy where none is needed
    assert as_bytes(edge).tobytes() == edge.tobytes()


@pytest.mark.parametrize("shuffled", [False, True])
@pytest.mark.parametrize(
    "there",
    [
        np.s_[0:4:1, 0:3:1],
        np.s_[0:2:1, 0:3:1],
        np.s_[1:4:2, 0:3:1],
        np.s_[0:4:1, 1:3:1],
        np.s_[3:None:-1, 2:None:-2],
        np.s_[0:4:1, 2:None:-1],
    ],
    ids=["all", "first rows", "some rows", "some columns", "backwards", "rows backwards"],
)
def test_what_was_cut_is_put_together(there, shuffled):
    chunk = np.arange(12, dtype="i4").reshape(4, 3) * 70_001
    data = as_bytes(chunk)
    if shuffled:
        data = shuffle(chunk)
    out = np.zeros_like(chunk[there])
    fill(data.tobytes(), (4, 3), out, there=there, shuffled=4 if shuffled else 0)
    np.testing.assert_array_equal(out, chunk[there])


def test_a_chunk_of_another_length_is_damaged():
    with pytest.raises(ValueError, match="holds 47 bytes instead of 48"):
        fill(b"\0" * 47, (4, 3), np.zeros((4, 3), "i4"), there=np.s_[0:4:1, 0:3:1], shuffled=0)
