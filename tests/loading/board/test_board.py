"""The board: what monitors add up, and what becomes of its segments."""

import numpy as np
import pytest
from boards import board_of

from shmkit import share
from shmkit._monitor import NoMonitor
from shmkit.loading.board.board import FILES, ITEMS
from shmkit.loading.board.record import State


def board(*records):
    names = [f"file{n}" for n in range(len(records))]
    return board_of(names, [(s, 7, 100, done, rows, 5.0, 6.0) for s, done, rows in records])


class Ends(NoMonitor):
    """Counts how often the end was shown."""

    def __init__(self):
        self.count = 0

    def end(self, _):
        self.count += 1


def test_bytes_are_those_of_all_files():
    made = board((State.LOADING, 40, 1), (State.WAITING, 0, 0), (State.READY, 100, 9))
    assert (made.nbytes_done, made.nbytes_total) == (140, 300)
    assert [file.number for file in made.files] == [0, 1, 2]
    made.records["bytes_done"][1] = 5  # as a loader does
    assert made.nbytes_done == 145
    assert made.files[1].record["bytes_done"] == 5


def test_at_the_end_the_records_are_its_own():
    made = board((State.LOADING, 40, 1))
    before = made.records
    assert made.ended == 0
    made.end()
    before["bytes_done"] = 0
    assert made.ended >= made.started
    assert made.nbytes_done == made.files[0].record["bytes_done"] == 40


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt()])
def test_a_load_that_fails_unlinks_all_and_is_shown_once(error):
    made, arrays, monitor = board((2, 0, 0), (2, 0, 0)), [share([1]), share([2])], Ends()
    for file, array in zip(made.files, arrays, strict=True):
        file.segment = array.segment
    made.fail(error, monitor)
    assert [array.segment.linked for array in arrays] == [False, False]
    assert (made.failed, made.cancelled) == (True, isinstance(error, KeyboardInterrupt))
    made.fail(error, monitor)
    assert monitor.count == 1


def test_what_became_of_the_segments_is_looked_up():
    made, arrays = board((State.READY, 0, 0), (State.READY, 0, 0)), [share([1]), share([2])]
    for file, array in zip(made.files, arrays, strict=True):
        file.segment = array.segment
    arrays[0].close()
    made.refresh()
    assert made.records["state"].tolist() == [State.UNLINKED, State.READY]
    del arrays[0]
    array = arrays[0]  # the last variable that held the other
    made.refresh()
    assert made.records["state"].tolist() == [State.FREED, State.READY]


def test_its_entries_have_words():
    assert (FILES.counted(1), FILES.counted(2)) == ("1 file", "2 files")
    assert ITEMS.counted(1000) == "1\u202f000 items"


def test_a_timeline_shares_the_bytes_of_a_file_among_its_parts():
    made = board((State.READY, 100, 4), (State.WAITING, 0, 0))
    made.started = 4.0
    made.files[0].part_records = np.concatenate([made.records[:1]] * 2)
    made.files[0].part_records["rows"] = [3, 1]
    made.files[0].part_records["started"] = [5.5, 5.0]
    made.records["started"][1] = 0  # it never began
    array = share(np.arange(4))
    made.files[0].segment = array.segment
    made.end()
    reads = made.timeline().reads
    assert reads["file"].tolist() == [0, 0]
    assert reads["start"].tolist() == [1.0, 1.5]
    nbytes = array.segment.nbytes
    assert reads["nbytes"].tolist() == [nbytes / 4, nbytes * 3 / 4]
