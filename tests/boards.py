"""Boards of loads that never ran, for what shows them."""

import time

import numpy as np

from shmkit.loading.board.board import Board
from shmkit.loading.board.record import RECORD
from shmkit.loading.file import LoadingFile


def board_of(names, records, processes=2):
    """The board of files called so, with these records."""
    records = np.asarray(records, RECORD)
    sizes = records["bytes_total"].tolist()
    pairs = zip(names, sizes, strict=True)
    files = [LoadingFile(name, f"/data/{name}.txt", nbytes) for name, nbytes in pairs]
    return Board(files, records, processes)


def end(board):
    """Its load has ended."""
    board.ended = time.time()
    board.refresh()
