"""The owner's part of a map: batches that grow, segments for arrays alone, and none left over."""

import os

import numpy as np
import pytest

from shmkit import share
from shmkit._monitor import NoMonitor
from shmkit.loading.board.record import State
from shmkit.loading.calls.map import map_items


class Kept(NoMonitor):
    """Keeps the board."""

    def end(self, board):
        self.board = board


def mapped(function, items, processes=1):
    monitor = Kept()
    names = [f"item {number}" for number in range(len(items))]
    results = map_items(*(function, names, items), processes=processes, out=None, monitor=monitor)
    return results, monitor.board


def test_short_items_travel_together():
    results, board = mapped(lambda n: n * n, [(n,) for n in range(500)])
    assert results == [n * n for n in range(500)]
    assert (board.records["state"] == State.READY).all()
    assert all(file.segment is None for file in board.files)
    assert set(board.records["pid"]) != {os.getpid()}


def test_arrays_and_other_results_may_come_in_any_order():
    results, board = mapped(lambda n: np.full(3, n) if n % 3 else n, [(n,) for n in range(30)])
    assert [np.sum(one) for one in results] == [3 * n if n % 3 else n for n in range(30)]
    for number, one in enumerate(results):
        assert (board.files[number].segment is not None) == bool(number % 3)
        assert hasattr(one, "segment") == bool(number % 3)


def test_work_is_the_bytes_of_the_arguments():
    _, board = mapped(lambda a: a.sum(), [(share(np.zeros(10)),), (share(np.zeros(3)),)])
    assert board.records["bytes_total"].tolist() == [80, 24]


def test_an_error_keeps_nothing_and_names_the_item():
    with pytest.raises(ZeroDivisionError) as caught:
        mapped(lambda n: np.ones(3) / (3 - n) if n != 3 else 1 // 0, [(n,) for n in range(9)])
    assert "raised for item 3" in caught.value.__notes__[0]


def test_no_items_are_no_results():
    assert mapped(abs, [])[0] == []
