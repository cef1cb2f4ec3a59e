"""Every view arrives as it is, whatever pool it goes to; and what goes to no pool is data."""

import io
import multiprocessing
import os
import pickle
import shelve
import subprocess
import sys
import warnings
from concurrent.futures import ProcessPoolExecutor
from copy import copy, deepcopy

import cloudpickle
import joblib
import loky
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from kinds import FLOATS, GRID, SLOW, VIEWS, itself, kind_of, poke, read, views

from shmkit import SharedArray, SharedArrays, attach, share
from shmkit.pools.reducers import ForwardReducers

EXPECTED = {kind: read(view) for kind, view in views(FLOATS, GRID).items()}
BACKINGS = ("shm", "memfd", "directory")


def check(run, folder, *, without=SLOW):
    """Have `run` read every view in other processes, for every backing."""
    shared, sent = [], []
    for backing in BACKINGS:
        place = folder if backing == "directory" else backing
        shared += [share(FLOATS, backing=place), share(GRID, backing=place)]
        made = views(*shared[-2:]).items()
        sent.append({kind: view for kind, view in made if not kind.startswith(without)})
    got = run([view for made in sent for view in made.values()])
    names = [(backing, kind) for backing in BACKINGS for kind in sent[0]]
    wrong = [n for n, item in zip(names, got, strict=True) if item != EXPECTED[n[1]]]
    assert wrong == []


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_views_through_multiprocessing(method, tmp_path):
    context = multiprocessing.get_context(method)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of fork beside pytest's threads
        with context.Pool(1) as pool:
            check(lambda sent: pool.map(read, sent), tmp_path)
        with ProcessPoolExecutor(1, mp_context=context) as executor:
            check(lambda sent: list(executor.map(read, sent, chunksize=50)), tmp_path)


def test_views_through_loky(tmp_path):
    executor = loky.get_reusable_executor(max_workers=1)
    try:
        check(lambda sent: list(executor.map(read, sent, chunksize=50)), tmp_path)
    finally:
        executor.shutdown()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backend", "options"),
    [
        ("loky", {}),
        ("loky", {"max_nbytes": 0}),  # every plain array as a large one
        ("multiprocessing", {}),
        ("multiprocessing", {"max_nbytes": 0}),
        ("threading", {}),
    ],
)
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_views_through_joblib(backend, options, tmp_path):
    parallel = joblib.Parallel(2, backend=backend, batch_size=50, **options)
    without = SLOW if backend == "multiprocessing" else ()
    check(
        lambda sent: parallel(joblib.delayed(read)(view) for view in sent),
        tmp_path,
        without=without,
    )


@pytest.fixture(scope="module", autouse=True)
def no_workers_left():
    yield
    joblib.externals.loky.get_reusable_executor().shutdown()


@pytest.mark.parametrize("backend", ["loky", "multiprocessing"])
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_joblib_maps_large_plain_views_where_they_lie(backend, tmp_path):
    # Longer than max_nbytes: with a copy there were a file.
    with share(np.ones((400, 500))) as array:
        plain = [np.asarray(array), np.asarray(array).T, np.asarray(array)[::-1], array[1:]]
        parallel = joblib.Parallel(2, backend=backend, temp_folder=str(tmp_path))
        got = parallel(joblib.delayed(kind_of)(view) for view in plain)
        assert got == [("ndarray", False, True)] * 3 + [("SharedArray", True, True)]
        assert list(tmp_path.rglob("*.pkl")) == []
        assert all(
            "read-only" in said or "WRITEABLE" in said
            for said in parallel(joblib.delayed(poke)(view) for view in plain[:3])
        )
        assert array.sum() == array.size


def test_joblib_keeps_its_workers():
    pids = [set(joblib.Parallel(2)(joblib.delayed(os.getpid)() for _ in range(9))) for _ in "ab"]
    assert pids[0] & pids[1]
    assert ForwardReducers(1e6) == ForwardReducers(1e6)


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["loky", "multiprocessing"])
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_an_array_closed_before_joblib_sends_it_is_copied(backend):
    with share(np.ones((400, 500))) as array:
        pass
    sent = [array, array.T, np.asarray(array), np.asarray(array)[::-1, 1:]]
    got = joblib.Parallel(2, backend=backend)(joblib.delayed(np.sum)(view) for view in sent)
    assert got == [view.sum() for view in sent]


@pytest.mark.parametrize("method", ["spawn", "fork"])
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_read_only_is_read_only_in_a_worker(method, backing):
    with share(np.arange(4), backing=backing) as array:
        array.publish(f"pools-{os.getpid()}")
        sent = [array.readonly(), attach(array.segment.path), attach(f"pools-{os.getpid()}")[1:]]
        with multiprocessing.get_context(method).Pool(1) as pool:
            assert all("cannot set WRITEABLE" in said for said in pool.map(poke, sent))
            assert array.tolist() == [0, 1, 2, 3]
            assert pool.map(poke, [array[:1]]) == ["written"]
        assert array.tolist() == [7, 1, 2, 3]


def test_what_is_attached_cannot_be_written_by_any_means(run_script):
    with share(np.arange(4)) as array:
        done = run_script(
            "import ctypes, signal, numpy, shmkit\n"
            f"array = shmkit.attach({array.segment.path!r})\n"
            "try:\n"
            "    array.flags.writeable = True\n"
            "except ValueError as error:\n"
            "    print(error, flush=True)\n"
            "signal.signal(signal.SIGSEGV, signal.SIG_DFL)\n"
            "ctypes.memset(array.ctypes.data, 1, 8)\n",
            check=False,
        )
        assert "cannot set WRITEABLE" in done.stdout
        assert done.returncode == -11  # it did not get through
        assert array.tolist() == [0, 1, 2, 3]


def ways_of_pickling(folder):
    """How an array goes to disk, or to who is not known, and comes back."""

    def through_joblib(a):
        joblib.dump(a, folder / "a.joblib")
        return joblib.load(folder / "a.joblib")

    def mapped_by_joblib(a):
        joblib.dump(a, folder / "b.joblib")
        return joblib.load(folder / "b.joblib", mmap_mode="r")

    def through_memory(a):
        remembered = joblib.Memory(folder / "memory", verbose=0).cache(itself)
        remembered(a)
        return joblib.Memory(folder / "memory", verbose=0).cache(itself)(a)

    def through_shelve(a):
        with shelve.open(folder / "shelf") as shelf:
            shelf["a"] = a
        with shelve.open(folder / "shelf") as shelf:
            return shelf["a"]

    def out_of_band(a):
        buffers = []
        packed = pickle.dumps(a, protocol=5, buffer_callback=buffers.append)
        return np.array(pickle.loads(packed, buffers=buffers))

    def saved(a):
        file = io.BytesIO()
        np.save(file, a)
        return np.load(io.BytesIO(file.getvalue()))

    return {
        **{f"pickle {n}": lambda a, n=n: pickle.loads(pickle.dumps(a, n)) for n in range(6)},
        "cloudpickle": lambda a: pickle.loads(cloudpickle.dumps(a)),
        "joblib.dump": through_joblib,
        "joblib.load mapped": mapped_by_joblib,
        "joblib.Memory": through_memory,
        "shelve": through_shelve,
        "out of band": out_of_band,
        "np.save": saved,
        "ndarray.dumps": lambda a: pickle.loads(a.dumps()),
        "copy": copy,
        "deepcopy": deepcopy,
        "xarray": lambda a: pickle.loads(pickle.dumps(xr.DataArray(a))).to_numpy(),
        "pandas": lambda a: pickle.loads(pickle.dumps(pd.DataFrame(a, copy=False))).to_numpy(),
        "arrays": lambda a: pickle.loads(pickle.dumps(SharedArrays({"a": a})))["a"],
    }


def test_whatever_is_no_pool_gets_the_data(backing, tmp_path):
    for name, way in ways_of_pickling(tmp_path).items():
        for kind in ("whole", "transpose", "both reversed", "windows"):
            if kind == "windows" and name == "pandas":
                continue  # no DataFrame has three axes
            with share(FLOATS, backing=backing) as array:
                view = VIEWS[kind](array)
                got = way(view)
                view.flags.writeable and view.fill(-1)
            assert type(got) in (np.ndarray, np.memmap), name
            assert np.array_equal(got, VIEWS[kind](FLOATS)), (name, kind)


def test_what_was_saved_is_there_in_the_next_session(tmp_path):
    with share(FLOATS) as array:
        joblib.dump(array, tmp_path / "a.joblib")
        (tmp_path / "a.pickle").write_bytes(pickle.dumps({"a": array.T}))
    code = (  # without shmkit
        "import joblib, pickle, sys\n"
        "print(joblib.load('a.joblib').sum(), pickle.load(open('a.pickle', 'rb'))['a'].sum())\n"
        "print('shmkit' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True
    )
    assert (done.stdout, done.stderr) == ("276.0 276.0\nFalse\n", "")


def test_the_result_of_a_worker_is_a_reference_too():
    with share(FLOATS) as array, multiprocessing.get_context("spawn").Pool(1) as pool:
        got = pool.apply(itself, (array.T,))
        assert type(got) is SharedArray
        assert np.shares_memory(got, array)
        with joblib.parallel_config("loky", n_jobs=2):
            (got,) = joblib.Parallel()(joblib.delayed(itself)(a) for a in [array[::-1]])
        assert np.shares_memory(got, array)
        assert np.array_equal(got, FLOATS[::-1])
