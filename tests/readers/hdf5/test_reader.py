"""shared_load of HDF5 files: the same arrays as h5py gives, whoever wrote them."""

import itertools
import os
import subprocess
import sys
from unittest import mock

import h5py
import hdf5plugin
import numpy as np
import pytest
import reading
from hypothesis import given, settings
from hypothesis import strategies as st
from reading import MemoryWriter, open_reader, probe

from shmkit import LoadError, shared_load, to_hdf5
from shmkit.readers.hdf5 import reader as hdf5_reader

RANDOM = np.random.default_rng(0)
TABLE = np.zeros(700_000, [("chr", "S5"), ("pos", ">i4"), ("pct", "f4"), ("ok", "?"), ("n", "u2")])
TABLE["pos"] = np.arange(len(TABLE))
TABLE["pct"] = RANDOM.random(len(TABLE))
TABLE["chr"] = RANDOM.choice([b"chr1", b"chrX"], len(TABLE))
GRID = RANDOM.normal(280, 10, (50, 181, 361)).astype("f4")


def write(path, data, **options):
    with h5py.File(path, "w", **options.pop("file", {})) as file:
        return file.create_dataset("data", data=data, **options)


def assert_loads_as_h5py(path, **options):
    with h5py.File(path) as file, shared_load(path, progress=False, **options) as arrays:
        found = []
        file.visititems(lambda name, item: found.append(name) if hasattr(item, "dtype") else None)
        assert arrays.keys() == found
        for name in found:
            expected = file[name][()]
            np.testing.assert_array_equal(arrays[name], expected)
            assert arrays[name].dtype == expected.dtype
            assert arrays[name].shape == expected.shape


STOCK = {
    "gzip": {"compression": "gzip", "shuffle": True},
    "gzip alone": {"compression": "gzip", "compression_opts": 9},
    "shuffle alone": {"shuffle": True, "chunks": True},
    "chunks alone": {"chunks": True},
    "contiguous": {},
    "fletcher32": {"compression": "gzip", "fletcher32": True},
    "lzf": {"compression": "lzf"},
    "zstd": dict(hdf5plugin.Zstd()),
    "userblock": {"compression": "gzip", "file": {"userblock_size": 1024}},
    "latest": {"compression": "gzip", "file": {"libver": "latest"}},
}


@pytest.mark.slow
@pytest.mark.parametrize("options", STOCK.values(), ids=STOCK)
@pytest.mark.parametrize("data", [TABLE, GRID, GRID[:1, :20]], ids=["table", "grid", "small"])
def test_any_filter_gives_what_h5py_gives(tmp_path, data, options):
    write(tmp_path / "a.h5", data, **options)
    assert_loads_as_h5py(tmp_path / "a.h5")


@settings(max_examples=40)
@given(
    shape=st.lists(st.integers(1, 40), min_size=1, max_size=3),
    chunks=st.lists(st.integers(1, 50), min_size=3, max_size=3),
    shuffle=st.booleans(),
    compression=st.sampled_from(["gzip", None]),
    dtype=st.sampled_from(["f4", ">i8", "u1", "S3", "c16"]),
    edges=st.lists(st.integers(0, 1 << 20), max_size=4),
)
def test_any_chunks_and_any_cut_give_what_h5py_gives(
    tmp_path_factory, shape, chunks, shuffle, compression, dtype, edges
):
    path = str(tmp_path_factory.mktemp("any") / "a.h5")
    data = RANDOM.integers(0, 200, shape).astype(dtype)
    chunks = tuple(map(min, chunks, shape))
    write(path, data, chunks=chunks, shuffle=shuffle, compression=compression)
    with mock.patch.object(hdf5_reader, "_LARGE_NBYTES", 0):  # read in parts, however small
        plan = probe(path, dataset="data")
    cuts = sorted({0, plan.nbytes, *(edge % (plan.nbytes + 1) for edge in edges)})
    arrays = []
    with open_reader(path, dataset="data") as reader:
        for start, stop in itertools.pairwise(cuts):
            part, writer = plan.part(start, stop), MemoryWriter()
            assert reader.read(plan, part, writer).rows == part.rows
            writer.resize((part.rows, *plan.shape[1:]))
            arrays.append(writer.array)
    np.testing.assert_array_equal(np.concatenate(arrays), data)


def test_what_to_hdf5_saved_comes_back_with_its_dtype(tmp_path):
    saved = {
        "times": np.array(["2024-02-29", "NaT"], "M8[ns]"),
        "text": np.array([["näïve", ""], ["日本語", "a"]]),
        "table": np.array([("x", 1, "2024-01-01")], [("s", "U3"), ("n", "i4"), ("at", "M8[D]")]),
        "scalar": np.array(2.5),
        "empty": np.zeros((0, 3), "f4"),
        "flags": np.array([True, False]),
        "night": {"mean": np.arange(5.0)},
    }
    to_hdf5(tmp_path / "a.h5", saved)
    with shared_load(tmp_path / "a.h5") as arrays:
        assert sorted(arrays.keys()) == sorted([*(set(saved) - {"night"}), "night/mean"])
        for name, loaded in arrays.items():
            expected = saved["night"]["mean"] if name == "night/mean" else saved[name]
            assert loaded.dtype == expected.dtype
            np.testing.assert_array_equal(loaded, expected)


def test_rows_that_were_never_written_have_the_fill_value(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        sparse = file.create_dataset(
            "data", (10_000,), "f8", chunks=(100,), compression="gzip", fillvalue=7
        )
        sparse[500:600] = 1
    assert_loads_as_h5py(tmp_path / "a.h5")


@pytest.mark.parametrize("libver", ["earliest", "latest"])
def test_a_dataset_of_which_no_chunk_was_written_has_the_fill_value(tmp_path, libver):
    with h5py.File(tmp_path / "a.h5", "w", libver=libver) as file:
        options = {"chunks": (10,), "compression": "gzip", "fillvalue": 7}
        file.create_dataset("data", (100,), "i4", **options)
        file.create_dataset("scalar", (), "i4", fillvalue=3)
    assert_loads_as_h5py(tmp_path / "a.h5")


def test_chunks_that_a_filter_skipped(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        data = file.create_dataset("data", (20,), "i4", chunks=(10,), compression="gzip")
        data.id.write_direct_chunk((0,), np.arange(10, dtype="i4").tobytes(), filter_mask=1)
        data[10:] = np.arange(10)
    assert_loads_as_h5py(tmp_path / "a.h5")


def test_a_filter_that_is_not_installed_is_named(tmp_path, run_script):
    write(tmp_path / "a.h5", GRID, **hdf5plugin.LZ4())
    code = """
import sys
from unittest import mock
from shmkit import LoadError
sys.modules["hdf5plugin"] = None  # as if it were not installed
sys.path.insert(0, "READING")
from reading import read
try:
    read("a.h5", dataset="data")
except LoadError as error:
    print(error)
"""
    done = run_script(code.replace("READING", os.path.dirname(reading.__file__)))
    assert done.stdout.startswith("a.h5: /data is stored by the filter lz4 (32004), which")


def test_a_damaged_chunk_is_an_error_that_names_file_and_dataset(tmp_path):
    path = tmp_path / "a.h5"
    write(path, GRID, compression="gzip", shuffle=True)
    with h5py.File(path) as file:
        chunk = file["data"].id.get_chunk_info(3)
    with open(path, "r+b") as file:
        file.seek(chunk.byte_offset + 40)
        file.write(b"\xff" * 200)
    with pytest.raises(LoadError, match=r"a\.h5: .*data.* deflated data are damaged"):
        shared_load(path)


@pytest.mark.parametrize("size", [0, 4, 300, 3000])
def test_a_file_that_was_cut_short_is_an_error_that_names_it(tmp_path, size):
    write(tmp_path / "a.h5", np.arange(100_000), compression="gzip")
    os.truncate(tmp_path / "a.h5", size)
    with pytest.raises(LoadError, match=r"a\.h5: .*HDF5"):
        shared_load(tmp_path / "a.h5")
    to_hdf5(tmp_path / "b.h5", {"x": np.arange(2), "y": np.arange(3)})
    with shared_load([tmp_path / "a.h5", tmp_path / "b.h5"], on_error="skip") as arrays:
        assert arrays.keys() == ["b/x", "b/y"]
        assert isinstance(arrays.failures["a"], LoadError)


def test_what_no_array_can_hold_is_named(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("lists", (2,), h5py.vlen_dtype("i4"))
        file["good"] = np.arange(3)
        file["nothing"] = h5py.Empty("f8")
        file.create_dataset("one", (1,), np.dtype([("n", "i4"), ("to", h5py.ref_dtype)]))
    with pytest.raises(LoadError, match=r"/lists: it holds sequences of varying len.*dataset="):
        shared_load(tmp_path / "a.h5")
    with pytest.raises(LoadError, match="/one: the field to holds references"):
        shared_load(tmp_path / "a.h5", dataset="one")
    with shared_load(tmp_path / "a.h5", on_error="skip") as arrays:
        assert arrays.keys() == ["good", "nothing"]
        assert list(arrays.failures) == ["lists", "one"]
        assert arrays["nothing"].dtype == "f8"
        assert arrays["nothing"].shape == (0,)
    with shared_load(tmp_path / "a.h5", dataset="good") as arrays:
        assert arrays.keys() == ["good"]


@pytest.mark.parametrize("shape", [(4,), (), (2, 3)])
@pytest.mark.parametrize("options", [{}, {"chunks": True, "compression": "gzip", "shuffle": True}])
def test_axes_of_an_array_datatype_come_last(tmp_path, shape, options):
    items = RANDOM.integers(0, 9, (*shape, 3)).astype("i4")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        options = options if shape else {}
        data = file.create_dataset("data", shape, np.dtype(("i4", (3,))), **options)
        data[...] = items
    assert_loads_as_h5py(tmp_path / "a.h5")
    with shared_load(tmp_path / "a.h5") as (array,):
        assert array.shape == (*shape, 3)


def test_an_array_datatype_is_never_read_in_parts(tmp_path):
    items = np.arange(5_000_000, dtype="f4")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("data", (), np.dtype(("f4", items.shape)))[...] = items
    with shared_load(tmp_path / "a.h5", processes=2) as (array,):
        np.testing.assert_array_equal(array, items)


def test_fields_of_a_compound_stand_in_the_order_in_which_they_lie(tmp_path):
    compound = h5py.h5t.create(h5py.h5t.COMPOUND, 8)
    compound.insert(b"b", 4, h5py.h5t.STD_I32LE)
    compound.insert(b"a", 0, h5py.h5t.STD_I32LE)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        space, plan = h5py.h5s.create_simple((3,)), h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        h5py.h5d.create(file.id, b"swapped", compound, space, plan)
        file["swapped"][...] = np.array([(1, 2), (3, 4), (5, 6)], [("b", "i4"), ("a", "i4")])
    with shared_load(tmp_path / "a.h5") as (array,):
        assert array.dtype.names == ("a", "b")
        assert array.tolist() == [(2, 1), (4, 3), (6, 5)]


def test_types_that_few_files_have(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["opaque"] = np.array([b"ab", b"cd"], "V2")
        file["flags"] = np.array([[True, False]])
        file["complex"] = np.array([1 + 2j, 3], "c8")
        file["half"] = np.array([1.5], "f2")
        file["long"] = np.array([1.5], np.longdouble)
        file["times"] = np.array(["2024-01-01"], "M8[D]").astype(h5py.opaque_dtype("M8[D]"))
        file["nested"] = np.array(
            [((1, 2.5), [1, 2])], [("in", [("a", "u1"), ("b", ">f8")]), ("v", "i2", 2)]
        )
        file.create_dataset("enum", data=[1, 0], dtype=h5py.enum_dtype({"no": 0, "yes": 1}, "i1"))
        file.create_dataset("scalar enum", data=1, dtype=h5py.enum_dtype({"no": 0, "yes": 1}, "i1"))
    assert_loads_as_h5py(tmp_path / "a.h5")
    with shared_load(tmp_path / "a.h5", dataset="enum") as (array,):
        assert array.categories.tolist() == ["no", "yes"]


def test_one_broken_dataset_never_refuses_the_others(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("good", data=np.arange(10), chunks=(5,))
        file.create_dataset("broken", data=np.arange(10), chunks=(5,))
    data = bytearray((tmp_path / "a.h5").read_bytes())
    at = data.rfind(b"TREE")
    data[at : at + 4] = b"XXXX"
    (tmp_path / "a.h5").write_bytes(data)
    with shared_load(tmp_path / "a.h5", on_error="skip") as arrays:
        assert arrays.keys() == ["good"]
        assert "the data of broken are damaged" in str(arrays.failures["broken"])
    with shared_load(tmp_path / "a.h5", dataset="good") as (good,):
        assert good.tolist() == list(range(10))


def test_h5py_is_loaded_by_no_load_of_other_files(tmp_path):
    np.save(tmp_path / "a.npy", np.arange(3))
    code = (
        "import sys; from shmkit import shared_load\n"
        "with shared_load(sys.argv[1]): assert 'h5py' not in sys.modules\n"
        "assert 'h5py' not in shared_load(sys.argv[1], reader=lambda path: "
        "__import__('numpy').array([*__import__('sys').modules]).astype('U50'))[0]"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path / "a.npy"], check=True, timeout=60)
