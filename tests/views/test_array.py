import copy
import multiprocessing
import os
import pickle
import warnings
from concurrent.futures import ProcessPoolExecutor

import joblib
import numpy as np
import pytest
from kinds import message_of

import shmkit
from shmkit import SharedArray, share

RECORDS = np.dtype([("chr", "S5"), ("pos", "i4"), ("pct", "f4")])


@pytest.fixture(params=["shm", "memfd"])
def shared(request):
    with share(np.arange(24.0).reshape(4, 6), backing=request.param) as array:
        yield array


def views_of(array):
    """Every kind of view that users make."""
    return {
        "whole": array,
        "slice": array[1:3],
        "steps": array[::2, ::-1],
        "transpose": array.T,
        "reshaped": array.reshape(6, 4)[1:],
        "row": array[2],
        "item type": array.view("i8")[:, 1:],
    }


def double(array):
    array *= 2
    return float(array.sum())


@pytest.mark.parametrize("kind", views_of(np.zeros((4, 6))))
def test_a_view_sent_to_a_pool_is_a_reference_to_the_same_memory(shared, kind):
    sent = views_of(shared)[kind]
    message = message_of(sent)
    got = pickle.loads(message)
    assert len(message) < 400
    assert type(got) is SharedArray
    assert np.shares_memory(got, shared)
    assert (got.dtype, got.shape, got.strides) == (sent.dtype, sent.shape, sent.strides)
    assert np.array_equal(got, sent)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_write_in_a_pool_is_seen_here(shared, method):
    with multiprocessing.get_context(method).Pool(2) as pool:
        sums = pool.map(double, [shared[:2], shared[2:].T])
    assert sums == [132.0, 420.0]
    assert shared.sum() == 552.0


@pytest.mark.slow
def test_a_write_in_an_executor_is_seen_here(shared):
    context = multiprocessing.get_context("forkserver")
    with ProcessPoolExecutor(1, mp_context=context) as executor:
        assert executor.submit(double, shared).result() == 552.0
    assert shared.sum() == 552.0


@pytest.mark.slow
def test_joblib_workers_get_the_same_memory(shared):
    with joblib.parallel_config("loky", n_jobs=2):
        sums = joblib.Parallel()(joblib.delayed(double)(row) for row in shared)
        plain = joblib.Parallel()(joblib.delayed(double)(np.asarray(shared)) for _ in range(1))
    assert sum(sums) == 552.0
    assert plain == [1104.0]
    assert shared.sum() == 552.0  # as small plain arrays do, it went as data


def test_a_field_of_a_structured_array_is_a_view():
    array = share(np.zeros(5, RECORDS))
    field = pickle.loads(message_of(array["pct"]))
    field[:] = 7
    assert array["pct"].tolist() == [7] * 5


def test_a_read_only_view_arrives_read_only(shared):
    shared.flags.writeable = False
    assert not pickle.loads(message_of(shared)).flags.writeable


def test_after_unlinking_a_copy_is_sent(shared):
    shared.close()
    got = pickle.loads(message_of(shared.T))
    assert type(got) is np.ndarray
    assert np.array_equal(got, shared.T)


@pytest.mark.parametrize("kind", views_of(np.zeros((4, 6))))
def test_every_view_outlives_close(shared, kind):
    view = views_of(shared)[kind]
    expected = np.array(view)
    segment = shared.segment
    shared.close()
    del shared
    assert np.array_equal(view, expected)
    assert segment.mapped


def test_results_are_plain_arrays_and_scalars(shared):
    plain = [
        shared + 1,
        np.sqrt(shared),
        shared.sum(0),
        shared[shared > 3],
        shared[[0, 1]],
        shared.copy(),
        shared.astype("f4"),
        np.sort(shared.copy()),
        np.concatenate([shared, shared]),
    ]
    assert {type(result) for result in plain} == {np.ndarray}
    assert type(shared.sum()) is np.float64
    assert type(shared[0, 0]) is np.float64


def test_in_place_results_stay_shared(shared):
    before = shared
    shared += 1
    assert shared is before
    assert np.add(shared, 1, out=shared) is before
    assert shared.segment is not None


def test_a_deep_copy_is_no_view(shared):
    copied = copy.deepcopy(shared)
    copied[:] = 0
    assert shared.sum() == 276.0


@pytest.mark.slow
def test_a_worker_that_exits_does_not_harm_the_owner(shared):
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        pool.map(double, [shared])
    assert shared.segment.linked
    assert shared.sum() == 552.0


def test_a_workers_close_does_not_unlink(shared):
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        pool.map(shmkit.SharedArray.close, [shared])
    assert shared.segment.linked


def make_in_a_worker(number):
    return share(np.full(3, number))


def test_what_a_worker_shares_and_returns_arrives_as_a_copy():
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        got = pool.map(make_in_a_worker, [3, 4])
    assert [array.tolist() for array in got] == [[3, 3, 3], [4, 4, 4]]


def keep_and_say_where(queue):
    global kept  # noqa: PLW0603 - as in a script
    kept = share([1, 2, 3])
    queue.put(kept.segment.path)


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_child_process_that_ends_leaves_nothing(method):
    context = multiprocessing.get_context(method)
    queue = context.SimpleQueue()
    child = context.Process(target=keep_and_say_where, args=(queue,))
    child.start()
    path = queue.get()
    child.join()
    assert child.exitcode == 0
    assert not os.path.exists(path)


def itself(array):
    return array


@pytest.mark.slow
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_what_a_worker_returns_of_its_owners_is_a_reference(method):
    context = multiprocessing.get_context(method)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of fork beside pytest's threads
        with share(np.zeros(3)) as array, context.Pool(1) as pool:
            returned = pool.apply(itself, (array,))
            returned[0] = 5
            assert array.tolist() == [5, 0, 0]
