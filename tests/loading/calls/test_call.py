"""A batch of items, as a loader process calls the function on them."""

import os
import pickle

import numpy as np
import pytest

from shmkit import share
from shmkit.loaders.pickling import pickled_by_value
from shmkit.loading.board.record import RECORD, State
from shmkit.loading.calls.call import Result, Slot, call, is_data
from shmkit.segments.backing import choose_backing
from shmkit.segments.segment import Segment
from shmkit.views.of_segment import view_of

STORED = Result.STORED


@pytest.fixture
def slots():
    segments = [Segment.create(choose_backing("auto", 0)) for _ in range(2)]
    yield [Slot(segment.path, segment.identity) for segment in segments]
    for segment in segments:
        segment.unlink()


def called(function, items, records, slots=(), out=None, first=1):
    names = [f"item {number}" for number in range(first, first + len(items))]
    pickled = pickled_by_value(function, [function])
    return call(pickled, names, pickle.dumps(items), first, records, slots, out)


def records(count=3):
    made = np.zeros(count, RECORD)
    made["bytes_total"] = 10
    return made


def test_values_come_back_and_each_item_is_noted():
    noted = records()
    assert called(lambda x, y: x + y, [(1, 2), (3, 4)], noted) == [3, 7]
    assert noted["state"].tolist() == [0, State.LOADING, State.LOADING]  # the owner says READY
    assert noted["pid"].tolist() == [0, os.getpid(), os.getpid()]
    assert noted["bytes_done"].tolist() == [0, 10, 10]
    assert (noted["ended"][1:] >= noted["started"][1:]).all()
    assert (noted["started"][1:] > 0).all()


def test_arrays_and_tables_go_into_their_slots(slots):
    made = [np.arange(3), np.asfortranarray(np.ones((2, 2)))]
    assert called(lambda n: made[n], [(0,), (1,)], records(), slots) == [STORED, STORED]
    for slot, expected in zip(slots, made, strict=True):
        found = view_of(Segment.attach(*slot))
        np.testing.assert_array_equal(found, expected)
        assert found.flags.f_contiguous == expected.flags.f_contiguous


def test_what_is_no_data_and_what_has_no_slot_is_a_value(slots):
    assert called(lambda n: f"text {n}", [(0,)], records(), slots) == ["text 0"]
    (value,) = called(np.arange, [(3,)], records())
    assert value.tolist() == [0, 1, 2]


def test_rows_of_out_are_written_in_place():
    out = share(np.zeros((3, 2)))
    assert called(lambda n: [n, -n], [(5,), (6,)], records(), out=out) == [STORED, STORED]
    assert out.tolist() == [[0, 0], [5, -5], [6, -6]]


def test_an_error_ends_the_batch_and_says_of_which_item():
    noted = records()
    with pytest.raises(ZeroDivisionError) as caught:
        called(lambda n: 1 / n, [(1,), (0,)], noted)
    (note,) = caught.value.__notes__
    assert note.startswith("raised for item 2, in a loader process:\n")
    assert "1 / n" in note
    assert "shmkit/loading" not in note  # of the traceback the user's part alone
    assert noted["ended"].all() == 0
    assert noted["bytes_done"].tolist() == [0, 10, 0]


def test_data_are_arrays_and_tables_outside_of_shared_memory():
    assert is_data(np.arange(3))
    assert is_data(np.array(["a"]))
    assert not is_data(np.array([object()]))
    assert not is_data(share(np.arange(3)))
    assert is_data(share(np.arange(3)) + 1)
    assert not is_data([1, 2])
