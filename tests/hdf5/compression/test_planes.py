"""Items to planes of bytes and back, as HDF5's own filter does it."""

import h5py
import numpy as np
import pytest

from shmkit.hdf5.compression import _shuffle, planes
from shmkit.hdf5.compression.planes import shuffle, unshuffle

RANDOM = np.random.default_rng(0)
WIDTHS = [*range(1, 36), 48, 63, 64, 100]
COUNTS = [0, 1, 2, 15, 16, 17, 31, 33, 48, 100]


@pytest.fixture(params=["compiled", "numpy"])
def made(request, monkeypatch):
    """Each way of doing it in turn."""
    if request.param == "numpy":
        monkeypatch.setattr(planes, "_shuffle", None)


@pytest.mark.parametrize("width", WIDTHS)
def test_planes_hold_the_bytes_of_all_items_one_after_another(made, width):
    for count in COUNTS:
        items = RANDOM.integers(0, 256, (count, width), np.uint8).view(f"V{width}").reshape(-1)
        expected = items.view(np.uint8).reshape(count, width).T.reshape(-1)
        np.testing.assert_array_equal(shuffle(items), expected)


@pytest.mark.parametrize("width", WIDTHS)
def test_items_come_back_also_when_they_are_fewer_than_the_planes_hold(made, width):
    for count in COUNTS:
        items = RANDOM.integers(0, 256, (count, width), np.uint8)
        for fewer in {count, count // 2, max(count - 1, 0)}:
            room = np.full((fewer + 3, width), 7, np.uint8)
            unshuffle(items.T.reshape(-1).copy(), room[:fewer].reshape(-1), width)
            np.testing.assert_array_equal(room[:fewer], items[:fewer])
            assert (room[fewer:] == 7).all()  # nothing was written behind them


def test_hdf5_reads_what_was_shuffled(tmp_path, made):
    items = np.zeros(1000, [("a", "i4"), ("b", "f8"), ("c", "S7")])
    items["a"], items["b"] = np.arange(1000), RANDOM.random(1000)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        data = file.create_dataset("data", (1000,), items.dtype, chunks=(1000,), shuffle=True)
        data.id.write_direct_chunk((0,), shuffle(items).tobytes())
    with h5py.File(tmp_path / "a.h5") as file:
        np.testing.assert_array_equal(file["data"][()], items)


@pytest.mark.parametrize("arguments", [(8, 8, 3), (8, 9, 1), (8, 16, 4), (8, 8, 0)])
def test_buffers_that_do_not_fit_are_refused(arguments):
    given, room, width = arguments
    for function in (_shuffle.shuffle, _shuffle.unshuffle):
        with pytest.raises(ValueError, match="whole items"):
            function(bytes(given), bytearray(room), width)
