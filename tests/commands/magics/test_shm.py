"""``%shm``: what shared memory there is, and which variables hold it."""

import os
import re

import numpy as np
import pytest
from IPython.core.error import UsageError
from IPython.lib.pretty import pretty

from shmkit import panel, share
from shmkit.segments.image import layout


@pytest.fixture(autouse=True)
def extension(shell):
    shell.run_line_magic("load_ext", "shmkit")


def row_of(listing, text):
    """The row of the table that ends in `text`, its cells one space apart."""
    rows = [" ".join(line.split()) for line in str(listing).splitlines()]
    (row,) = [row for row in rows if row.endswith(text)]
    return row


@pytest.mark.slow
def test_it_says_which_variables_hold_what_also_after_it_is_unlinked(shell, backing):
    array = share(np.zeros((20, 30), "f4"), backing=backing)
    shell.user_ns["image"], shell.user_ns["part"] = array, array[3:]
    found = shell.run_line_magic("shm", "")
    row = row_of(found, array.segment.path)
    assert row.startswith("image, part 20 \N{MULTIPLICATION SIGN} 30 float32 2.")
    assert " kB this process " in row
    assert array.segment.path in found._repr_html_()
    assert "/dev/shm: " in str(found)
    del shell.user_ns["image"]
    array.close()
    del array
    found = shell.run_line_magic("shm", "")
    rows = [" ".join(line.split()) for line in str(found).splitlines()]
    (row,) = [row for row in rows if row.startswith("part 20 ")]
    assert row.endswith("kB this process unlinked")
    del shell.user_ns["part"]
    assert "part " not in str(shell.run_line_magic("shm", ""))


def test_a_terminal_shows_the_same_table_as_text(shell):
    with share(np.zeros(3)) as array:
        text = pretty(shell.run_line_magic("shm", ""))
        assert row_of(text, array.segment.path).startswith("3 float64 ")


def test_its_own_come_first_and_what_was_left_last(shell, orphan, tmp_path):
    with share([1], backing=tmp_path) as array:  # where this process has segments, it looks
        listing = shell.run_line_magic("shm", "")
        paths = [found.path for found in listing.found]
        assert paths[0] == array.segment.path
        assert listing.found[paths.index(orphan)].orphan
        assert re.search("^[0-9]+ segments?, .* here · .* left behind$", str(listing), re.MULTILINE)
        assert "left by processes that were killed: shmkit gc, in a notebook %shm gc" in str(
            listing
        )


def test_gc_removes_what_was_left(shell, orphan, tmp_path, capsys):
    with share([1], backing=tmp_path) as array:
        shell.run_line_magic("shm", "gc")
        assert not os.path.exists(orphan)
        assert os.path.exists(array.segment.path)
    assert re.search(
        "removed (1 segment, 24 B|[0-9]+ segments, )", capsys.readouterr().out
    )  # others' too


def test_in_a_terminal_it_is_a_table_of_text(shell, capsys):
    with share([1]) as array:
        shell.run_cell("%shm")
        assert array.segment.path in capsys.readouterr().out
        panel()
        assert array.segment.path in capsys.readouterr().out


def test_any_other_word_is_a_usage_error(shell):
    with pytest.raises(UsageError, match=r"%shm cg: there are %shm, %shm gc and %shm forget"):
        shell.run_line_magic("shm", "cg")


def test_a_table_is_shown_by_its_rows_and_columns(shell, monkeypatch):
    for most in (10**9, 0):  # described in the header, and in the trailer
        monkeypatch.setattr(layout, "_MAX_NBYTES", most)
        with share({"x": np.zeros(2000), "station": ["Oslo"] * 2000}) as table:
            shell.user_ns["t"] = table
            row = row_of(shell.run_line_magic("shm", ""), table.segment.path)
            assert row.startswith("t 2 000 x station 24.")
            del shell.user_ns["t"]
