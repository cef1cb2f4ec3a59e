"""The bar in a terminal: what stays on the screen once a load has ended."""

import re

import numpy as np
import pytest
from boards import board_of

from shmkit import shared_load
from shmkit.display.terminal import LoadBar
from shmkit.loading.board.record import RECORD, State
from shmkit.segments.backing import choose_backing
from shmkit.segments.segment import Segment


@pytest.fixture
def board():
    """Three files of 1 MB that wait, loaded by two processes."""
    records = np.zeros(3, RECORD)
    records["bytes_total"] = 1_000_000
    return board_of("abc", records)


def finish(board, *states):
    board.records["state"] = states
    board.records["bytes_done"] = [1_000_000 if s == State.READY else 300_000 for s in states]
    board.ended = board.started + 2


def screen(text):
    """What a terminal shows after `text`: a carriage return goes back to the line's start."""
    lines = []
    for line in text.split("\n"):
        shown = ""
        for part in line.split("\r"):
            shown = part + shown[len(part) :]
        lines.append(shown.rstrip())
    return "\n".join(lines)


def test_bar_counts_files_and_bytes(board, capsys):
    bar = LoadBar()
    bar.begin(board)
    board.records["state"][0] = State.READY
    board.records["bytes_done"] = [1_000_000, 500_000, 0]
    drawn = ""
    while "50%" not in drawn:  # ten times a second at most
        bar.update(board)
        drawn = screen(capsys.readouterr().err) or drawn
    bar.end(board)
    assert re.match(r"1 of 3 files:  50%\|.*\| 1\.50M/3\.00M \[.*B/s\]$", drawn)


def test_one_line_stays_after_a_load(board, capsys):
    bar = LoadBar()
    bar.begin(board)
    finish(board, State.READY, State.READY, State.READY)
    bar.end(board)
    bar.close(board)
    out, err = capsys.readouterr()
    assert out == ""
    assert screen(err) == "3 files, 3.00 MB in 2.0 s (1.50 MB/s), 2 loader processes\n"


def test_skipped_files_are_not_counted(board, capsys):
    bar = LoadBar()
    bar.begin(board)
    finish(board, State.READY, State.FAILED, State.READY)
    bar.end(board)
    assert screen(capsys.readouterr().err).startswith("2 of 3 files, 2.00 MB in 2.0 s (1.00 MB/s)")


def test_failed_or_interrupted_load_leaves_nothing_on_the_screen(board, capsys):
    bar = LoadBar()
    bar.begin(board)
    segment = board.files[0].segment = Segment.create(choose_backing("auto", 0))
    segment.unlink()
    finish(board, State.READY, State.FAILED, State.LOADING)
    bar.end(board)
    assert screen(capsys.readouterr().err) == ""


def test_another_backing_is_named(tmp_path, capfd):
    np.save(tmp_path / "a.npy", np.ones(2))
    shared_load(tmp_path / "a.npy", backing="memfd", progress=True).close()
    assert screen(capfd.readouterr().err).endswith(", 1 loader process, in a memfd each\n")


def test_in_ipython_it_says_which_variables_keep_memory(tmp_path, run_script):
    for name in ("one", "two"):
        np.save(tmp_path / f"{name}.npy", np.ones(2))
    done = run_script(
        "from IPython.core.interactiveshell import InteractiveShell\n"
        "shell = InteractiveShell.instance()\n"
        "shell.run_cell('from shmkit import shared_load')\n"
        "shell.run_cell('with shared_load(\"*.npy\", progress=True) as arrays:\\n'\n"
        "               '    mean, part = arrays[0].mean(), [arrays[1][:1]]')\n"
    )
    last, said = done.stderr.splitlines()[-2:]
    assert last.startswith("2 files, ")
    assert said == "two: unlinked, still mapped by part"


def test_what_a_terminal_would_obey_in_a_name_is_escaped(tmp_path, run_script):
    np.save(tmp_path / "red\x1b[31m.npy", np.ones(2))
    done = run_script(
        "from IPython.core.interactiveshell import InteractiveShell\n"
        "shell = InteractiveShell.instance()\n"
        "shell.run_cell('from shmkit import shared_load')\n"
        "shell.run_cell('with shared_load(\"*.npy\", progress=True) as arrays:\\n'\n"
        "               '    part = arrays[0][:1]')\n"
    )
    assert done.stderr.splitlines()[-1] == r"red\x1b[31m: unlinked, still mapped by part"


def test_one_file_and_one_loader_are_singular(capsys):
    records = np.zeros(1, RECORD)
    board = board_of("a", records, 1)
    bar = LoadBar()
    bar.begin(board)
    finish(board, State.READY)
    bar.end(board)
    assert screen(capsys.readouterr().err) == (
        "1 file, 1.00 MB in 2.0 s (500 kB/s), 1 loader process\n"
    )
