"""What loaders write: records that lie aligned in shared memory, states in the order of a life."""

import numpy as np
import pytest

from shmkit import share
from shmkit.loading.board.record import RECORD, State


def test_a_field_can_be_stored_in_one_step():
    assert RECORD.isalignedstruct
    for dtype, offset in RECORD.fields.values():
        assert offset % dtype.itemsize == 0


def test_a_new_record_waits():
    record = np.zeros(1, RECORD)[0]
    assert State(record["state"]) is State.WAITING
    assert record["started"] == record["ended"] == 0


def test_states_come_in_the_order_of_a_life():
    assert sorted(State) == list(State)
    assert [state.word for state in State] == [
        *("waiting", "loading", "ready", "failed", "unlinked", "freed")
    ]
    assert max(State) <= np.iinfo(RECORD["state"]).max


def test_it_is_seen_by_all_who_map_it():
    records = share(np.zeros(3, RECORD))
    records["state"][1] = State.READY
    seen = np.load(records.segment.path, mmap_mode="r")
    assert seen["state"].tolist() == [0, 2, 0]
    with pytest.raises(ValueError, match="7 is not a valid State"):
        State(7)
