"""Boards for panels to show."""

import numpy as np
import pytest
from boards import board_of

from shmkit.display.panel import load_panel
from shmkit.loading.board.record import RECORD, State
from shmkit.readers.base import Plan
from shmkit.segments.backing import choose_backing
from shmkit.segments.segment import Segment
from shmkit.segments.writer import SegmentWriter

CALLS = np.dtype([("chr", "S5"), ("pos", "i8"), ("pct", "f4")])


@pytest.fixture
def make_board():
    """Boards of files in given states, with a real segment where the state has one."""
    boards = []

    def make(*states, names=None, shape=(1000,), dtype=CALLS):
        names = names or [f"file{number}" for number in range(len(states))]
        records = np.zeros(len(states), RECORD)
        records["state"], records["bytes_total"] = states, 2_000_000
        board = board_of(names, records)
        for number, state in enumerate(states):
            board.files[number].plan = Plan(np.dtype(dtype), shape)
            if state in (State.LOADING, State.READY):
                segment = board.files[number].segment = Segment.create(choose_backing("auto", 0))
                with SegmentWriter(segment) as writer:
                    writer.allocate(np.dtype(dtype), shape)
                records["rows"][number] = shape[0]
                records["bytes_done"][number] = 2_000_000 if state == State.READY else 500_000
        boards.append(board)
        return board

    yield make
    for board in boards:
        for segment in filter(None, (file.segment for file in board.files)):
            segment.unlink()


@pytest.fixture(autouse=True)
def panels_of_this_test():
    """A panel of another test is not looked at again."""
    yield
    load_panel.watching.clear()
