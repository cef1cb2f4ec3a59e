"""Every picture of a test is drawn; a board of a load that has ended."""

import numpy as np
import pytest
from boards import board_of
from matplotlib import pyplot as plt

from shmkit import share
from shmkit.loading.board.record import RECORD, State


@pytest.fixture(autouse=True)
def drawn():
    """Without a screen; every picture is drawn, with no warning, and closed."""
    plt.switch_backend("Agg")
    settings = dict(plt.rcParams)
    yield
    try:
        for number in plt.get_fignums():
            plt.figure(number).canvas.draw()
    finally:
        plt.close("all")
    assert dict(plt.rcParams) == settings


def record(pid, started, ended, rows=0, state=State.READY):
    return state, pid, 0, 0, rows, started, ended


@pytest.fixture
def board():
    """Of four files: read whole, failed, read in parts by two loaders, failed before reading."""
    records = np.array(
        [
            record(11, 100.25, 100.5, 3),
            record(12, 100.25, 100.375, 0, State.FAILED),
            record(11, 100.5, 101, 8),
            record(0, 0, 100.1, 0, State.FAILED),
        ],
        RECORD,
    )
    names = ["whole", "bad", "$^$", "odd"]  # no formula
    board = board_of(names, records)
    board.started, board.ended = 100.0, 101.0
    board.files[1].error, board.files[3].error = ValueError("bad"), ValueError("odd")
    parts = [record(11, 100.5, 101, 6), record(12, 100.375, 100.75, 2)]
    board.files[2].part_records = np.array(parts, RECORD)
    with share(np.zeros(3)) as whole, share(np.zeros(8)) as parts:
        board.files[0].segment, board.files[2].segment = whole.segment, parts.segment
        yield board
