"""What a load panel says of each state of a load: its HTML, made from boards over real segments."""

import json
import re
import time

import numpy as np
import pytest
from boards import end
from pages import Page

from shmkit.display.panel import load_html, page
from shmkit.errors import LoadError
from shmkit.loading.board.record import State
from shmkit.segments.backing import choose_backing
from shmkit.segments.segment import Segment
from shmkit.segments.writer import SegmentWriter
from shmkit.views.array import view

CALLS = np.dtype([("chr", "S5"), ("pos", "i8"), ("pct", "f4")])


def unlink(board):
    for segment in filter(None, (file.segment for file in board.files)):
        segment.unlink()


def table(board, held_by=None):
    files = load_html.Files(board)
    rows = [load_html.row(files, n, (held_by or {}).get(n, ())) for n in files.order()]
    return Page(page.table_html(*load_html.columns(files), rows))


def summary(board):
    return Page(load_html.summary(load_html.Files(board), board.ended or board.started + 2))


def test_running_load_says_what_is_done_and_what_is_left(make_board):
    board = make_board(State.READY, State.LOADING, State.WAITING)
    page = summary(board)
    assert "Loading 3 files 1 ready, 1 loading, 1 waiting" in page.text
    assert "2.50 MB of 6.00 MB · 1.25 MB/s · 3 s left" in page.text


def test_only_a_loading_file_has_a_bar(make_board):
    board = make_board(State.READY, State.LOADING, State.WAITING)
    page = table(board)
    assert page.tags("progress") == [{"max": "2000000", "value": "500000", "aria-label": "file1"}]
    assert [row[1] for row in page.rows[1:]] == ["✓ ready", "▸ loading 25\xa0%", "· waiting"]


def test_ready_file_shows_rows_columns_and_memory_and_unfolds_the_rest(make_board):
    board = make_board(State.READY)
    board.files[0].notes = ["pct: 3 <missing>"]
    end(board)
    segment = board.files[0].segment
    name, state, rows, array, memory = table(board).rows[1]
    assert (name, state, rows, memory) == ("file0", "✓ ready", "1\u202f000", "17.0 kB")
    assert segment.header.nbytes == 17_000  # as the array's own nbytes, wherever it is shown
    assert array.split("\n") == [
        *("chr pos pctchr  S5", "pos  int64", "pct  float32", ""),
        "file     /data/file0.txt, 2.00 MB",
        f"segment  {segment.path}pct: 3 <missing>",
    ]


def test_a_count_is_never_longer_than_its_column(make_board):
    board = make_board(State.READY, State.READY)
    board.records["rows"] = [12_000_000, 999_999]
    page = table(board)
    assert [row[2] for row in page.rows[1:]] == ["12.0 M", "999\u202f999"]
    whole = [cell["title"] for cell in page.tags("td") if "title" in cell]
    assert whole == ["12\u202f000\u202f000", "999\u202f999"]


def test_of_names_only_what_differs_is_in_the_rows(make_board):
    names = [f"patient_{n:04}_visit_batch7" for n in range(3)]
    board = make_board(*[State.WAITING] * 3, names=names)
    page = table(board)
    assert [row[0] for row in page.rows[1:]] == ["0000", "0001", "0002"]
    assert [cell["title"] for cell in page.tags("th")[5:]] == [f"/data/{n}.txt" for n in names]
    assert "All names: patient_…_visit_batch7" in summary(board).text


@pytest.mark.parametrize(
    ("names", "shown", "common"),
    [
        (["patient_10_x", "patient_11_x"], ["10", "11"], "patient_…_x"),  # whole words
        (["north", "south"], ["north", "south"], ""),
        (["a_1", "a_2"], ["a_1", "a_2"], ""),  # too little to be worth it
        (["station_1", "station_"], ["station_1", "station_"], ""),  # else one would have none
        (["run-7/x", "run-7/y", "run-7/x-z"], ["x", "y", "x-z"], "run-7/…"),
        (["only_one_file"], ["only_one_file"], ""),
        (["series_a_a_end", "series_a_end"], ["a_end", "end"], "series_a_…"),
        ([], [], ""),
    ],
)
def test_what_names_have_in_common(make_board, names, shown, common):
    files = load_html.Files(make_board(*[State.WAITING] * len(names), names=names))
    assert (files.names, files.common) == (shown, common)


def test_files_that_differ_in_type_are_told(make_board):
    board = make_board(*[State.READY] * 5)
    other = make_board(State.READY, dtype=[("chr", "S9"), ("pos", "f8"), ("more", "i1")])
    board.files[3].segment = other.files[0].segment
    assert "differs" not in summary(board).text  # while more may come
    end(board)
    assert "pos differs: int64 in 4 files; float64 in file3" in summary(board).text
    assert "chr differs" not in summary(board).text


def test_plain_array_shows_dtype_and_shape(make_board):
    board = make_board(State.READY, shape=(3, 4, 5), dtype="f4")
    assert table(board).rows[1][3].startswith("float32 3 \N{MULTIPLICATION SIGN} 4")


def test_file_that_loads_shows_its_plan_and_leaves_the_header_alone(make_board):
    board = make_board(State.LOADING, shape=(1000, 7), dtype="f8")
    segment = board.files[0].segment
    assert table(board).rows[1][3].startswith("float64 … \N{MULTIPLICATION SIGN} 7")
    with SegmentWriter(segment) as writer:
        writer.resize((900, 7))
    board.records["state"] = State.READY
    assert table(board).rows[1][3].startswith("float64 900 \N{MULTIPLICATION SIGN} 7")


def test_failed_file_shows_where_and_why_in_its_own_row(make_board):
    board = make_board(State.READY, State.FAILED)
    board.files[1].error = LoadError(board.files[1].path, 20345, 3, "'n/a' is no <f4>")
    rows = table(board).rows
    assert rows[1] == ["file1", "✕ failed", "line 20345, column 3: 'n/a' is no <f4>"]
    assert rows[2][:2] == ["file0", "✓ ready"]


def test_foreign_error_keeps_its_type(make_board):
    board = make_board(State.FAILED)
    board.files[0].error = PermissionError("not yours")
    assert table(board).rows[1][2] == "PermissionError: not yours"


def test_an_error_is_a_line_and_whole_on_demand(make_board):
    board = make_board(State.FAILED)
    board.files[0].error = LoadError(board.files[0].path, 7, None, "is bad\nand that is why")
    board.files[0].error.add_note("Traceback of the reader")
    page = table(board)
    assert len(page.tags("details")) == len(page.tags("summary")) == 1
    line, whole = page.rows[1][2].split("shmkit.errors.LoadError: ")
    assert line == "line 7: is bad"
    assert (
        whole == f"{board.files[0].path}, line 7: is bad\nand that is why\nTraceback of the reader"
    )


def test_names_and_errors_cannot_inject_html(make_board):
    evil = '<script>alert("1")</script>&amp;'
    board = make_board(State.FAILED, names=[evil])
    board.files[0].error = LoadError("x", None, None, evil)
    page = table(board)
    assert not page.tags("script")
    assert page.rows[1][0] == evil
    assert page.rows[1][2] == f"x: {evil}"


def test_file_name_that_is_no_utf8_does_not_break_the_message(make_board):
    board = make_board(State.READY, names=["caf\udce9.txt"])
    files = load_html.Files(board)
    page = load_html.summary(files, time.time()) + load_html.row(files, 0)
    assert json.dumps(page, ensure_ascii=False).encode()


def test_interrupted_load_says_stopped(make_board):
    board = make_board(State.READY, State.LOADING, State.WAITING)
    unlink(board)
    board.failed = board.cancelled = True
    end(board)
    assert "3 files stopped, nothing kept: 2 stopped, 1 freed" in summary(board).text
    assert [row[1] for row in table(board).rows[1:]] == ["● freed", "■ stopped", "■ stopped"]


def test_failed_load_says_that_nothing_was_kept(make_board):
    board = make_board(State.READY, State.FAILED)
    board.files[1].error = LoadError(board.files[1].path, 1, 1, "bad")
    unlink(board)
    board.failed = True
    end(board)
    assert "2 files load failed, nothing kept: 1 failed, 1 freed" in summary(board).text


def test_load_that_skips_a_failed_file_keeps_the_others(make_board):
    board = make_board(State.READY, State.FAILED)
    board.files[1].error = LoadError(board.files[1].path, 1, 1, "bad")
    end(board)
    assert "2 files 1 ready, 1 failed" in summary(board).text


def test_closed_arrays_show_who_holds_memory_and_what_is_freed(make_board):
    board = make_board(State.READY, State.READY)
    held = view(board.files[0].segment)[5:10]
    unlink(board)
    board.closed = True
    end(board)
    page = table(board, {0: ["a", "Out[3]", "b", "c", "d"]})
    assert page.rows[1][1] == "○ unlinked"
    assert page.rows[1][3].startswith("held by a, Out[3], b and 2 more")
    assert (page.rows[2][1], page.rows[2][4]) == ("● freed", "0 B")
    assert "closed: 1 unlinked, 1 freed" in summary(board).text
    assert "17.0 kB still mapped" in summary(board).text
    assert held.shape == (5,)


@pytest.mark.parametrize("backing", ["shm", "memfd", "directory"])
def test_memory_line_says_where_the_segments_live(make_board, tmp_path, backing):
    board = make_board(State.READY)
    board.files[0].segment.unlink()
    board.files[0].segment = Segment.create(
        choose_backing(tmp_path if backing == "directory" else backing, 0)
    )
    with SegmentWriter(board.files[0].segment) as writer:
        writer.allocate(CALLS, (1000,))
    where = {"shm": "/dev/shm", "memfd": "memory", "directory": str(tmp_path)}[backing]
    assert re.search(rf"{where} .*kB these arrays · .* others · .* free", summary(board).text)


def test_page_can_be_read_without_eyes(make_board):
    board = make_board(State.READY, State.LOADING)
    page = table(board)
    assert [head["scope"] for head in page.tags("th")] == ["col"] * 5 + ["row"] * 2
    elements = page.elements + summary(board).elements
    assert all(attributes["aria-label"] for tag, attributes in elements if tag == "progress")
    assert sum("aria-live" in attributes for _, attributes in elements) == 1


def test_files_that_a_variable_has_already_are_told_with_both_sizes(make_board):
    board = make_board(State.READY)
    end(board)
    page = Page(load_html.summary(load_html.Files(board, {"<old>": 3_000}), board.ended))
    assert (
        "<old> has arrays of these files already, 3.00 kB; with those of this load 20.0 kB. "
        "<old>.close() before a load gives them back first"
    ) in page.text


@pytest.mark.parametrize("count", [12, 13])
def test_many_rows_scroll_in_a_box_of_their_own_in_a_saved_notebook_too(make_board, count):
    files = load_html.Files(make_board(*[State.WAITING] * count))
    rows = [load_html.row(files, number) for number in range(count)]
    kept = page.snapshot_html(page.Snapshot("", rows, ""), *load_html.columns(files))
    boxes = [box for box in Page(kept).tags("div") if box.get("class") == "shmkit-many"]
    assert boxes == [
        {"class": "shmkit-many", "role": "group", "aria-label": "File", "tabindex": "0"}
    ] * (count > 12)
