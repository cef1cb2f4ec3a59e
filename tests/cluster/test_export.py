"""`to_hdf5` of arrays that are on two nodes: what travels, what is in it, a node that dies."""

from __future__ import annotations

import os

import h5py
import numpy as np
import pytest
from nodes import within

import shmkit

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def loaded(session, files, nodes):
    session(f"arrays = shmkit.shared_load({files.glob!r}, categories='chr', client=client)")
    yield session
    session("arrays.close()")
    assert within(5, lambda: not nodes.segments(1) | nodes.segments(2))


@pytest.mark.parametrize("layout", [None, "columns"])
@pytest.mark.parametrize("compression", ["gzip", None, "lzf"])
def test_the_file_is_that_of_a_local_export(loaded, files, tmp_path, layout, compression):
    there, here = str(tmp_path / "there.h5"), str(tmp_path / "here.h5")
    options = f"layout={layout!r}, compression={compression!r}"
    loaded(f"export = shmkit.to_hdf5({there!r}, arrays, {options})")
    with shmkit.shared_load(files.glob, categories="chr", progress=False) as arrays:
        shmkit.to_hdf5(here, arrays, layout=layout, compression=compression)
    with h5py.File(there) as a, h5py.File(here) as b:
        names = []
        b.visititems(lambda name, item: names.append(name) if hasattr(item, "shape") else None)
        found = []
        a.visititems(lambda name, item: found.append(name) if hasattr(item, "shape") else None)
        assert found == names
        for name in names:
            assert a[name].dtype == b[name].dtype
            assert a[name].chunks == b[name].chunks
            assert np.array_equal(a[name][:], b[name][:])
            assert set(a[name].attrs) == set(b[name].attrs)
            assert h5py.check_enum_dtype(a[name].dtype) == h5py.check_enum_dtype(b[name].dtype)


def test_only_compressed_bytes_travel_and_once(loaded, nodes, tmp_path):
    path = str(tmp_path / "all.h5")
    before = nodes.transferred()
    loaded(f"export = shmkit.to_hdf5({path!r}, arrays)")
    travelled = nodes.transferred() - before
    far = loaded(
        "node = lambda d: arrays.nodes[d.name.split('/')[0]]\n"
        "sum(d.nbytes_stored for d in export.datasets if node(d) == 'node2')"
    )
    assert far > 500_000
    assert travelled <= 1.05 * far + 100_000  # what the scheduler and the workers say meanwhile


def test_a_node_that_dies_in_the_middle_changes_nothing_of_the_result(
    session, cluster, nodes, tmp_path
):
    """Its arrays are loaded again on the other node, as Dask does it; the file is right."""
    for number in range(2):
        np.save(tmp_path / f"x{number}.npy", np.arange(4_000_000) * (number + 1))
    path = str(tmp_path / "all.h5")
    session(
        f"those = shmkit.shared_load({str(tmp_path / '*.npy')!r}, client=client)\n"
        f"export = lambda: shmkit.to_hdf5({path!r}, those, level=9)\n"
        "thread = threading.Thread(target=export); thread.start()\n"
    )
    assert within(20, lambda: [n for n in os.listdir(tmp_path) if n.endswith(".tmp")])
    nodes.kill(2, *cluster.pids(2, "dask"))
    session("thread.join(90)")
    with h5py.File(path) as file:
        for number in range(2):
            assert np.array_equal(file[f"x{number}"][:], np.arange(4_000_000) * (number + 1))
    session("those.close()")
    cluster.add(2)
    session("client.wait_for_workers(4, timeout=60)")


def test_an_export_that_cannot_be_leaves_the_old_file(session, nodes, tmp_path):
    """All processes that had the array die, and its file is gone: it cannot be made again."""
    numbers = np.random.default_rng(0).integers(0, 1 << 40, 12_000_000)  # take long to deflate
    np.save(tmp_path / "y.npy", numbers)
    path = tmp_path / "all.h5"
    path.write_bytes(b"as it was")
    session(
        f"those = shmkit.shared_load({str(tmp_path / 'y.npy')!r}, client=client)\n"
        f"os.unlink({str(tmp_path / 'y.npy')!r})\n"
        "failed = []\n"
        "def export():\n"
        "    try:\n"
        f"        shmkit.to_hdf5({str(path)!r}, those, level=9)\n"
        "    except Exception as error:\n"
        "        failed.append(type(error).__name__)\n"
        "thread = threading.Thread(target=export); thread.start()\n"
    )
    assert within(20, lambda: [n for n in os.listdir(tmp_path) if n.endswith(".tmp")])
    hosts = "__import__('socket').gethostname()"
    for host, pid in session(f"[*client.run(lambda: ({hosts}, os.getpid())).values()]"):
        nodes.kill(int(host[-1]), pid)
    session("thread.join(90)")
    assert session("failed") == ["FileNotFoundError"]
    assert path.read_bytes() == b"as it was"
    assert os.listdir(tmp_path) == ["all.h5"]
    session("those.close()")
