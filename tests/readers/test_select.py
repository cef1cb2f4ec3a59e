"""Parts of arrays: what numpy's slices give, whatever chunks the file has."""

import itertools
import time
from unittest import mock

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reading import MemoryWriter, open_reader, read

from shmkit import LoadError, shared_load
from shmkit.readers.hdf5 import reader as hdf5_reader
from shmkit.readers.select import cuts, picked, stop_of_chunk

RANDOM = np.random.default_rng(0)


def slices(length):
    places = st.none() | st.integers(-length - 3, length + 3)
    steps = st.none() | st.integers(-7, 7).filter(bool)
    return st.builds(slice, places, places, steps)


@given(one=slices(40), length=st.integers(0, 40), chunk=st.integers(1, 50))
def test_cuts_are_the_items_of_each_chunk_in_their_order(one, length, chunk):
    items = np.arange(length)
    (wanted,) = picked(one, (length,))
    found = np.full(len(wanted), -1)
    for cut in cuts(wanted, chunk):
        here = items[cut.chunk : cut.chunk + chunk][cut.there]
        assert len(here) > 0
        found[cut.here] = here
    np.testing.assert_array_equal(found, items[one])
    for first in range(len(wanted)):
        stop = stop_of_chunk(wanted, first, chunk)
        assert {at // chunk for at in wanted[first:stop]} == {wanted[first] // chunk}
        assert stop == len(wanted) or wanted[stop] // chunk != wanted[first] // chunk


@settings(max_examples=60)
@given(
    data=st.data(),
    shape=st.lists(st.integers(1, 30), min_size=1, max_size=3),
    chunks=st.lists(st.integers(1, 30), min_size=3, max_size=3),
    compression=st.sampled_from(["gzip", "lzf", "none", "contiguous"]),
    edges=st.lists(st.integers(0, 1 << 20), max_size=3),
)
def test_a_part_of_a_dataset_is_what_numpy_gives(
    tmp_path_factory, data, shape, chunks, compression, edges
):
    path = str(tmp_path_factory.mktemp("any") / "a.h5")
    array = RANDOM.integers(0, 200, shape).astype("i4")
    options = {} if compression == "contiguous" else {"chunks": tuple(map(min, chunks, shape))}
    if compression in ("gzip", "lzf"):
        options |= {"compression": compression, "shuffle": True}
    with h5py.File(path, "w") as file:
        file.create_dataset("data", data=array, **options)
    axes = data.draw(st.integers(1, len(shape)))
    select = tuple(data.draw(slices(length)) for length in shape[:axes])
    expected = array[select]
    with open_reader(path, dataset="data", select=select) as reader:
        with mock.patch.object(hdf5_reader, "_LARGE_NBYTES", 0):  # read in parts, however small
            plan = reader.probe()
        assert plan.shape == expected.shape
        cuts = sorted({0, plan.nbytes, *(edge % (plan.nbytes + 1) for edge in edges)})
        parts = [plan.part(*pair) for pair in itertools.pairwise(cuts)]
        found = []
        for part in parts:
            writer = MemoryWriter()
            assert reader.read(plan, part, writer).rows == part.rows
            writer.resize((part.rows, *plan.shape[1:]))
            found.append(writer.array)
    if plan.nbytes:
        np.testing.assert_array_equal(np.concatenate(found), expected)


@settings(max_examples=60)
@given(data=st.data(), shape=st.lists(st.integers(0, 30), min_size=1, max_size=3))
def test_a_part_of_an_npy_file_is_what_numpy_gives(tmp_path_factory, data, shape):
    path = tmp_path_factory.mktemp("any") / "a.npy"
    array = RANDOM.integers(0, 200, shape).astype("i4")
    order = data.draw(st.sampled_from("CF"))
    np.save(path, np.asarray(array, order=order))
    axes = data.draw(st.integers(1, len(shape)))
    select = tuple(data.draw(slices(length)) for length in shape[:axes])
    found, _, _ = read(path, select=select)
    np.testing.assert_array_equal(found, array[select])


def test_one_part_for_all_datasets_or_one_for_each(tmp_path):
    grid, column = np.arange(60.0).reshape(12, 5), np.arange(12)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("grid", data=grid, chunks=(5, 2), compression="gzip")
        file["column"] = column
        file["words"] = [str(i) for i in range(12)]
    with shared_load(tmp_path / "a.h5", select=slice(-1, 2, -3)) as arrays:
        np.testing.assert_array_equal(arrays["grid"], grid[-1:2:-3])
        np.testing.assert_array_equal(arrays["column"], column[-1:2:-3])
        assert arrays["words"].tolist() == ["11", "8", "5"]
    part = {"grid": (slice(3), slice(1, None, 2))}
    with shared_load(tmp_path / "a.h5", select=part) as arrays:
        np.testing.assert_array_equal(arrays["grid"], grid[:3, 1::2])
        np.testing.assert_array_equal(arrays["column"], column)
    with pytest.raises(ValueError, match="select= has 'gird', which is none of column, grid"):
        shared_load(tmp_path / "a.h5", select={"gird": slice(3)})
    with pytest.raises(
        LoadError, match=r"(column|words): select= has 2 slices, but the shape is \(12,\)"
    ):
        shared_load(tmp_path / "a.h5", select=(slice(3), slice(2)))


@pytest.mark.parametrize("wrong", [3, [slice(3)], (slice(3), 4), {"x": "y"}, ...])
def test_what_is_no_slice_is_refused_before_a_file_is_read(tmp_path, wrong):
    np.save(tmp_path / "a.npy", np.arange(3))
    with pytest.raises(TypeError, match="is no slice; it takes"):
        shared_load(tmp_path / "a.npy", select=wrong)


def test_only_the_chunks_of_the_part_are_inflated(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        data = file.create_dataset("data", (1000, 10), "i4", chunks=(10, 10), compression="gzip")
        data[500:510] = 7
        for first in range(0, 1000, 10):
            if first != 500:
                data.id.write_direct_chunk((first, 0), b"damaged")
    with shared_load(tmp_path / "a.h5", select=slice(500, 510)) as (part,):
        assert (part == 7).all()
        assert part.segment.nbytes < 4096


def test_a_hundredth_takes_about_a_hundredth_of_the_time(tmp_path):
    path = str(tmp_path / "a.h5")
    with h5py.File(path, "w") as file:
        rows = RANDOM.normal(size=(8_000_000,)).astype("f4")
        file.create_dataset("data", data=rows, chunks=(50_000,), compression="gzip")
    took = []
    for select in (slice(None), slice(4_000_000, 4_080_000)):
        start = time.process_time()
        read(path, dataset="data", select=select)
        took.append(time.process_time() - start)
    assert took[1] < took[0] / 15
