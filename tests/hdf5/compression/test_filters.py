"""The filters of chunks, both ways, past HDF5 and in threads: the same as HDF5's own."""

import os
import subprocess
import sys

import h5py
import hdf5plugin
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from machine import tool

from shmkit import LoadError, shared_load, to_hdf5
from shmkit.hdf5.compression.filters import Pipeline
from shmkit.hdf5.compression.plugins import plugin

RANDOM = np.random.default_rng(0)
GRID = np.cumsum(RANDOM.integers(-3, 4, (300, 700)), axis=1).astype("i4")
TABLE = np.zeros(40_000, [("chr", "S5"), ("pos", "<i4"), ("pct", "<f8")])
TABLE["chr"], TABLE["pos"] = b"chr1", np.arange(40_000)
TABLE["pct"] = RANDOM.integers(0, 5, 40_000)
NOISE = RANDOM.integers(0, 256, 50_000).astype("u1")
ARRAYS = {"grid": GRID, "table": TABLE, "noise": NOISE, "big endian": GRID.astype(">f8")}
NAMES = ["gzip", "zstd", "lzf", "lz4", "blosc", "blosc2", "bshuf", "bzip2"]
PLUGINS = {
    "zstd": hdf5plugin.Zstd(5),
    "lz4": hdf5plugin.LZ4(),
    "blosc": hdf5plugin.Blosc("zstd", 3, hdf5plugin.Blosc.BITSHUFFLE),
    "blosc2": hdf5plugin.Blosc2("lz4", 3),
    "bshuf": hdf5plugin.Bitshuffle(cname="zstd"),
    "bzip2": hdf5plugin.BZip2(),
}


@pytest.mark.parametrize("name", NAMES)
def test_hdf5_reads_what_is_written_past_it(tmp_path, name, monkeypatch):
    monkeypatch.setattr(h5py.Dataset, "__setitem__", None)  # HDF5's own way
    to_hdf5(tmp_path / "a.h5", ARRAYS, compression=name)
    with h5py.File(tmp_path / "a.h5") as file:
        for key, array in ARRAYS.items():
            np.testing.assert_array_equal(file[key][:], array, strict=True)
            size = file[key].id.get_storage_size()
            assert size < array.nbytes * (1.02 if key == "noise" else 0.6)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*NAMES, None])
@pytest.mark.parametrize("options", [{}, {"shuffle": True}, {"fletcher32": True}], ids=str)
def test_what_hdf5_wrote_is_read_past_it(tmp_path, name, options, monkeypatch):
    compression = PLUGINS.get(name, {"compression": name})
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for key, array in ARRAYS.items():
            file.create_dataset(key, data=array, chunks=True, **compression, **options)
            assert Pipeline.of(file[key]) is not None
    with shared_load(tmp_path / "a.h5") as arrays:
        for key, array in ARRAYS.items():
            np.testing.assert_array_equal(arrays[key], array, strict=True)


@pytest.mark.parametrize("name", ["zstd", "lz4", "blosc", "blosc2"])
def test_stock_tools_read_them_with_the_plugins_of_hdf5plugin(tmp_path, name):
    to_hdf5(tmp_path / "a.h5", GRID, compression=name)
    done = subprocess.run(
        [tool("h5dump"), "-d", "data", "-b", "LE", "-o", tmp_path / "a.bin", tmp_path / "a.h5"],
        env=os.environ | {"HDF5_PLUGIN_PATH": hdf5plugin.PLUGIN_PATH},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stderr == ""
    np.testing.assert_array_equal(np.fromfile(tmp_path / "a.bin", "i4").reshape(GRID.shape), GRID)


def test_a_chunk_that_gets_no_smaller_is_stored_as_it_is(tmp_path):
    to_hdf5(tmp_path / "a.h5", NOISE, compression="lzf", chunks=1000)
    with h5py.File(tmp_path / "a.h5") as file:
        assert file["data"].id.get_chunk_info(0).filter_mask == 2  # shuffled only
        assert file["data"].id.get_chunk_info(0).size == 1000
        np.testing.assert_array_equal(file["data"][:], NOISE)
    with shared_load(tmp_path / "a.h5") as (array,):
        np.testing.assert_array_equal(array, NOISE)


@pytest.mark.parametrize("name", ["gzip", "zstd", "lzf", "blosc", None])
def test_a_checksum_that_does_not_fit_is_told(tmp_path, name):
    compression = PLUGINS.get(name, {"compression": name})
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("x", data=GRID, chunks=True, fletcher32=True, **compression)
        info = file["x"].id.get_chunk_info(3)
    with open(tmp_path / "a.h5", "r+b") as file:
        file.seek(info.byte_offset + info.size // 2)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 16]))
    with pytest.raises(LoadError, match=r"its checksum \(fletcher32\) does not fit"):
        shared_load(tmp_path / "a.h5")


@pytest.mark.parametrize("name", ["gzip", "zstd", "lzf", "lz4", "blosc", "blosc2", "bzip2"])
def test_damaged_chunks_are_an_error(tmp_path, name):
    to_hdf5(tmp_path / "a.h5", {"x": GRID}, compression=name)
    with h5py.File(tmp_path / "a.h5") as file:
        info = file["x"].id.get_chunk_info(0)
    with open(tmp_path / "a.h5", "r+b") as file:
        file.seek(info.byte_offset)
        file.write(b"\xff" * 64)
    with pytest.raises(LoadError, match="damaged"):
        shared_load(tmp_path / "a.h5")


@given(data=st.binary(min_size=1, max_size=999), shuffled=st.booleans())
def test_checksums_are_those_of_hdf5(data, shuffled):
    with h5py.File("x", "w", driver="core", backing_store=False) as file:
        options = {"chunks": (len(data),), "fletcher32": True, "shuffle": shuffled}
        array = np.frombuffer(data, "u1")
        dataset = file.create_dataset("x", data=array, **options)
        filters = Pipeline.of(dataset)
        _, stored = dataset.id.read_direct_chunk((0,))
        assert filters.encode(array) == (0, stored)
        assert filters.decode(stored, 0, len(data))[0] == array.tobytes()


@pytest.fixture
def without_plugins(tmp_path, monkeypatch):
    """For processes that are started from now on, hdf5plugin is not installed."""
    (tmp_path / "none").mkdir()
    (tmp_path / "none/hdf5plugin.py").write_text("raise ImportError\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "none"))


IMPORTS = "import numpy as np\nfrom shmkit import shared_load, to_hdf5\n"


def test_zstd_needs_no_plugin(tmp_path, run_script, without_plugins):
    script = "to_hdf5('a.h5', np.arange(99999), compression='zstd')\n"
    script += "print(shared_load('a.h5')[0].sum())\n"
    assert run_script(IMPORTS + script).stdout == "4999850001\n"
    with h5py.File(tmp_path / "a.h5") as file:
        np.testing.assert_array_equal(file["data"][:], np.arange(99999))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lz4", "blosc2"])
def test_what_is_not_here_is_told_with_what_to_install(tmp_path, run_script, name, without_plugins):
    to_hdf5(tmp_path / "a.h5", {"x": GRID}, compression=name)
    install = "pip install 'shmkit[filters]'"
    said = run_script(IMPORTS + "shared_load('a.h5')", check=False).stderr
    assert f"/x is stored by the filter {name} ({hdf5plugin.FILTERS[name]}), which HDF5" in said
    assert install in said
    script = IMPORTS + f"to_hdf5('b.h5', np.arange(9), compression={name!r})"
    said = run_script(script, check=False).stderr
    assert f"compression={name!r} is none of" in said
    assert install in said


def test_filters_that_hold_a_state_are_left_to_hdf5(tmp_path):
    array = GRID.astype("f4")
    for name in ("zfp", "sz"):
        to_hdf5(tmp_path / f"{name}.h5", array, compression=name)
        with h5py.File(tmp_path / f"{name}.h5") as file:
            assert Pipeline.of(file["data"]) is None
            np.testing.assert_allclose(file["data"][:], array, atol=1)


@pytest.mark.slow
def test_no_filter_holds_the_lock_of_the_interpreter():
    """Threads that compress at once take less than one after another would, or at least run."""
    script = """
import sys, threading, numpy as np
from shmkit.hdf5.compression.plugins import plugin
data = np.random.default_rng(0).integers(0, 4, 1 << 23).astype("u1")
done = threading.Event()
def work():
    plugin(307).encode(data, (9,))
    done.set()
sys.setswitchinterval(1e-4)
thread = threading.Thread(target=work)
thread.start()
count = 0
while not done.wait(0.001):
    count += 1
print(count)
"""
    found = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60
    )
    assert int(found.stdout) > 20


def test_every_plugin_is_the_filter_that_it_says():
    assert all(plugin(code) is not None for code in (307, 32000, 32001, 32004, 32008, 32026))
    assert plugin(32017) is plugin(4) is None
