"""Rows of a dataset, past HDF5 or through it: what numpy would select, a few at a time."""

import h5py
import numpy as np
import pytest

from shmkit.readers.hdf5.rows import Rows
from shmkit.readers.select import picked

DATA = np.arange(40 * 6, dtype="i4").reshape(40, 6)
STORED = {
    "contiguous": {},
    "chunks": {"chunks": (7, 4)},
    "gzip": {"chunks": (7, 4), "compression": "gzip", "shuffle": True},
    "scaleoffset": {"chunks": (7, 4), "scaleoffset": 0},  # which HDF5 alone undoes
}


@pytest.fixture(params=STORED)
def dataset(request, tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        yield file.create_dataset("x", data=DATA, **STORED[request.param])


def rows_of(dataset, select, start=0, stop=None):
    rows = Rows(dataset, picked(select, dataset.shape))
    return rows, [block.copy() for block in rows.blocks(start, stop)]


@pytest.mark.parametrize(
    "select",
    [
        np.s_[:, :],
        np.s_[3:33:5, 1:5],
        np.s_[::-1, ::-2],
        np.s_[30:2:-7, :],
        np.s_[:, 2:2],
        np.s_[5:5, :],
    ],
    ids=str,
)
def test_a_part_is_what_numpy_selects(dataset, select):
    rows, blocks = rows_of(dataset, select)
    expected = DATA[select]
    assert rows.shape == expected.shape
    np.testing.assert_array_equal(np.concatenate([expected[:0], *blocks]), expected)


def test_only_the_rows_from_one_to_another_are_read(dataset):
    _, blocks = rows_of(dataset, np.s_[::2, :], 3, 11)
    np.testing.assert_array_equal(np.concatenate(blocks), DATA[::2][3:11])


def test_chunks_that_were_never_written_have_the_fill_value(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        options = {"chunks": (7, 4), "compression": "gzip", "fillvalue": -1}
        dataset = file.create_dataset("x", (40, 6), "i4", **options)
        dataset[10:20] = DATA[10:20]
        _, blocks = rows_of(dataset, np.s_[:, :])
        np.testing.assert_array_equal(np.concatenate(blocks), dataset[:])


def test_a_scalar_is_one_block(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = 2.5
        _, (block,) = rows_of(file["x"], ())
        assert (block[()], block.shape) == (2.5, ())
