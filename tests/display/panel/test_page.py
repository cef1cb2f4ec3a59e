"""What panels are made of: heads, cells, bars, and a snapshot that stays in a notebook."""

import pytest
from pages import Page

from shmkit._html import Cell
from shmkit.display.panel.page import (
    MARKS,
    Snapshot,
    count_cell,
    head,
    nbytes_cell,
    progress_bar,
    snapshot_html,
    state_cell,
    table_html,
    unfolding,
)

EVIL = '<img src=x onerror="alert(1)">'


def test_a_head_says_title_state_and_figures():
    assert Page(head("Loading", "2 ready ", ["5 MB", "3 s"], "<p>below</p>")).text == (
        "Loading 2 ready 5 MB · 3 sbelow"
    )


@pytest.mark.parametrize(("done", "total", "most"), [(5, 10, "10"), (0, 0, "1")])
def test_a_bar_has_a_length_and_a_label(done, total, most):
    (bar,) = Page(progress_bar(EVIL, done, total)).tags("progress")
    assert bar == {"max": most, "value": str(done), "aria-label": EVIL}


def test_figures_can_be_sorted_by_their_values():
    html = table_html([Cell("a")], "", [f"<tr><td {count_cell(12_000_000).attributes}></td></tr>"])
    (cell,) = Page(html).tags("td")
    assert cell["data-value"] == "12000000"
    assert cell["title"] == "12\u202f000\u202f000"
    assert nbytes_cell(1500).html == "1.50 kB"
    assert 'data-value="1500"' in nbytes_cell(1500).attributes


@pytest.mark.parametrize("word", MARKS)
def test_a_state_is_told_by_a_mark_and_its_word(word):
    cell = state_cell(word)
    assert cell.html == f"{MARKS[word]} {word}"
    assert " " not in cell.attributes.partition("=")[2]  # one class


def test_what_unfolds_is_text():
    assert EVIL in Page(unfolding("more", EVIL)).text
    assert Page(unfolding("more", EVIL)).tags("img") == []


def test_a_snapshot_brings_its_style_and_says_what_is_left_out():
    rows = ["<tr><td>one</td></tr>"]
    html = snapshot_html(Snapshot("<b>head</b>", rows, "", EVIL), [Cell("File")], "<col>", "key")
    page = Page(html)
    assert page.rows == [["File"], [f"one{EVIL}"]]  # behind the last row: it is text
    assert page.tags("div")[0]["data-snapshot"] == "key"
    assert page.tags("img") == []
    assert "<style>" in html
    empty = Page(snapshot_html(Snapshot("<b>head</b>", [], ""), [Cell("File")], "<col>"))
    assert empty.tags("table") == []
