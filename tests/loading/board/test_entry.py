"""A row of a board: at the end it keeps what is shown, and lets go of shared memory."""

import weakref

import numpy as np

from shmkit import share
from shmkit.loading.board.entry import Entry
from shmkit.loading.board.record import RECORD


def test_entries_are_told_apart_by_themselves():
    one, two = Entry("a", "/a", 5), Entry("a", "/a", 5)
    assert one != two
    assert len({one, two, one}) == 2
    one.notes.append("said")
    assert two.notes == []


def test_at_the_end_it_holds_no_shared_memory():
    entry, records = Entry("a", "/a", 5), share(np.zeros(3, RECORD))
    records["rows"] = [1, 2, 3]
    entry.record, entry.part_records = records[0], records[1:]
    gone = weakref.ref(records)
    entry.end(np.array(records)[0])
    del records
    assert gone() is None
    assert entry.record["rows"] == 1
    assert entry.part_records["rows"].tolist() == [2, 3]
