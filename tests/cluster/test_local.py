"""A `LocalCluster` on one node: options, errors, tables, memory; by processes and by threads."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from nodes import Session

from shmkit.sample import methylation

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=["processes", "threads"])
def session(request, apart):
    python = Session(apart)
    python(
        "import os, sys, time, hashlib, numpy as np, shmkit\n"
        "from dask.distributed import Client, LocalCluster, wait\n"
        "cluster = LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None,\n"
        f"    processes={request.param == 'processes'})\n"
        "client = Client(cluster)\n"
        "def near(arrays):\n"
        "    f = lambda x: (type(x).__name__, hashlib.md5(np.asarray(getattr(x, 'whole', x))\n"
        "        .tobytes()).hexdigest())\n"
        "    return client.gather(client.map(f, list(arrays), pure=False))\n"
        "def here(arrays):\n"
        "    return [(type(x).__name__, hashlib.md5(np.asarray(getattr(x, 'whole', x))\n"
        "        .tobytes()).hexdigest()) for x in arrays]\n"
        "def names():\n"
        "    return [n for n in os.listdir('/dev/shm') if n.startswith('shmkit-')]\n"
        "def error(*arguments, **options):\n"
        "    try:\n"
        "        shmkit.shared_load(*arguments, client=client, **options).close()\n"
        "    except Exception as error:\n"
        "        return type(error).__name__, str(error)\n"
    )
    yield python
    python("client.close(); cluster.close()")
    python.close()


@pytest.fixture(autouse=True)
def _nothing_is_left(session):
    yield
    session("import gc; gc.collect()")
    assert session("[time.sleep(0.1) for _ in range(50) if names()][:0], names()")[1] == []


@pytest.fixture(scope="module")
def calls(tmp_path_factory):
    folder = tmp_path_factory.mktemp("calls")
    for number in range(3):
        methylation(folder / f"c{number}.txt", rows=2000 * (number + 1), seed=number)
    return folder


@pytest.mark.parametrize(
    "options",
    [
        "{}",
        "{'usecols': [1, 2], 'max_rows': 100}",
        "{'categories': ['chr'], 'processes': 1}",
        "{'dtype': 'U10,i8,f8,i2,i2', 'skiprows': 1, 'backing': 'memfd'}",
    ],
)
def test_arrays_are_those_of_a_local_load(session, calls, options):
    files = f"{str(calls / '*.txt')!r}, **{options}"
    session(
        f"arrays = shmkit.shared_load({files}, client=client)\nlocal = shmkit.shared_load({files})"
    )
    assert session("near(arrays) == here(local)")
    assert session("arrays.keys() == local.keys()")
    assert session("[len(a) == len(b) for a, b in zip(arrays, local)]") == [True] * 3
    session("arrays.close(); local.close(); del arrays, local")


def test_a_table_is_a_table_in_every_process(session):
    session(
        "made = client.submit(lambda: shmkit.share({'station': ['a', 'é'], 'temp': [1.0, 2.0]}))\n"
        "f = lambda t: (type(t).__name__, [str(s) for s in t['station']], t['temp'].tolist())\n"
        "found = [client.submit(f, made, workers=[worker], pure=False).result()\n"
        "    for worker in client.scheduler_info()['workers']]\n"
    )
    assert session("found") == [("SharedTable", ["a", "é"], [1.0, 2.0])] * 2
    session("del made")


def test_a_dask_array_of_row_ranges(session, calls):
    files = f"{str(calls / '*.txt')!r}, layout='rows'"
    session(
        f"arrays = shmkit.shared_load({files}, client=client)\n"
        f"local = shmkit.shared_load({files})\n"
        "x = arrays.to_dask(rows=1500)\n"
    )
    assert session("x.shape, x.chunks[0]") == (
        (12_000,),
        (1500, 500, 1500, 1500, 1000, 1500, 1500, 1500, 1500),
    )
    assert session("x.compute().tobytes() == np.concatenate(list(local)).tobytes()")
    mean = session("float(np.concatenate([a['pct'] for a in local]).mean(dtype='f8'))")
    assert session("float(x['pct'].mean())") == pytest.approx(mean, rel=1e-5)
    assert session("arrays[1].to_dask().chunks") == ((4000,),)
    session("arrays.close(); local.close(); del x, arrays, local")


def test_a_dask_frame_of_tables(session, calls):
    files = f"{str(calls / '*.txt')!r}"
    session(
        f"arrays = shmkit.shared_load({files}, client=client)\n"
        f"local = shmkit.shared_load({files})\n"
        "x = arrays.to_dask(rows=1500)\n"
    )
    assert session("type(x).__module__.startswith('dask.dataframe'), x.npartitions") == (True, 9)
    assert session("x.compute()['pos'].tolist() == [p for t in local for p in t['pos'].tolist()]")
    mean = session("float(np.concatenate([t['pct'] for t in local]).mean())")
    assert session("float(x['pct'].mean().compute())") == pytest.approx(mean)
    session("arrays.close(); local.close(); del x, arrays, local")


def test_a_failing_file_is_named(session, calls, tmp_path):
    bad = tmp_path / "bad.txt"
    bad.write_text("1 2\n" * 10 + "1 x\n")
    kind, text = session(f"error([{str(calls / 'c0.txt')!r}, {str(bad)!r}], dtype='f8')")
    assert kind == "LoadError"
    assert str(bad) in text or "c0.txt" in text
    session(
        f"arrays = shmkit.shared_load([{str(calls / 'c0.txt')!r}, {str(bad)!r}], dtype='f8',"
        " skiprows=1, usecols=1, on_error='skip', client=client)"
    )
    assert session("sorted(arrays.failures)") == ["bad"]
    assert session("arrays.keys()") == ["c0"]
    session("arrays.close()")


def test_a_file_that_no_node_has_is_named(session, calls):
    missing = str(calls / "none.txt")
    kind, text = session(f"error([{str(calls / 'c0.txt')!r}, {missing!r}])")
    assert kind == "FileNotFoundError"
    assert missing in text
    assert session("__import__('socket').gethostname()") in text


def test_what_does_not_fit_is_refused_with_the_figures_of_each_node(session, tmp_path):
    with open(tmp_path / "huge.npy", "wb") as file:  # sparse: nothing of it is ever read
        np.lib.format.write_array_header_2_0(
            file, {"descr": "<f8", "fortran_order": False, "shape": (1 << 40,)}
        )
        file.truncate((1 << 43) + 4096)
    kind, text = session(f"error({str(tmp_path / 'huge.npy')!r})")
    assert kind == "NotEnoughMemoryError"
    assert session("__import__('socket').gethostname()") + ": 8.80 TB needed" in text


def test_arrays_outlive_results_and_results_outlive_arrays(session, calls):
    session(
        f"arrays = shmkit.shared_load({str(calls / '*.txt')!r}, client=client)\n"
        "means = client.map(lambda x: float(x['pct'].mean()), list(arrays))\n"
        "wait(means)\n"
        "arrays.close()\n"
    )
    assert len(session("client.gather(means)")) == 3
    assert "closed" in session("repr(arrays)")
    session("del means")


def test_shmkit_alone_imports_no_dask():
    code = "import sys, shmkit; shmkit.shared_load; print('dask' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "False\n"
