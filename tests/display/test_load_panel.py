"""The load panel: its HTML, made from boards over real segments, and its life in a real shell."""

import json
import pathlib
import re
import time
from html.parser import HTMLParser

import numpy as np
import pytest
from boards import board_of
from frontend import VIEW, displayed, live

from shmkit.display import load_html, load_panel
from shmkit.display.load_panel import Panel
from shmkit.errors import LoadError
from shmkit.loading.record import RECORD, State
from shmkit.readers.base import Plan
from shmkit.segments.backing import choose_backing
from shmkit.segments.segment import Segment
from shmkit.segments.writer import SegmentWriter
from shmkit.views.array import view
from shmkit.views.arrays import SharedArrays

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
    load_panel.watching.clear()


def end(board):
    board.ended = time.time()
    board.refresh()


def unlink(board):
    for segment in filter(None, (file.segment for file in board.files)):
        segment.unlink()


class Page(HTMLParser):
    """The elements and the table of a piece of HTML."""

    def __init__(self, page):
        super().__init__()
        self.elements, self.rows, self.text = [], [], ""
        self._style = False
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        self._style = tag == "style"
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_data(self, text):
        if self._style:
            return
        self.text += text
        if self.rows and self.rows[-1]:
            self.rows[-1][-1] += text

    def tags(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


def table(board, held_by=None):
    files = load_html.Files(board)
    order = dict.fromkeys(files.order("loading") + files.order("failed") + files.order())
    return Page(load_html.table(files, [*order], holders=held_by, headings=True))


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
    assert page.tags("progress") == [
        {"max": "2000000", "value": "500000", "aria-label": "file1", "title": "500 kB of 2.00 MB"}
    ]
    assert page.rows[1][:3] == ["file1", "▸loading", " 25\xa0%"]


def test_ready_file_shows_rows_fields_segment_and_memory(make_board):
    board = make_board(State.READY)
    end(board)
    nbytes = board.files[0].segment.nbytes
    assert table(board).rows[1] == [
        "file0",
        "✓ready",
        "2.00 MB",
        "1\u202f000",
        "chr pos pct",
        f"shm {pathlib.Path(board.files[0].segment.path).stem.removeprefix('shmkit-')}",
        f"{nbytes / 1000:.1f} kB",
    ]


def test_plain_array_shows_dtype_and_shape(make_board):
    board = make_board(State.READY, shape=(3, 4, 5), dtype="f4")
    assert table(board).rows[1][4] == "float32 (3, 4, 5)"


def test_file_that_loads_shows_its_plan_and_leaves_the_header_alone(make_board):
    board = make_board(State.LOADING, shape=(1000, 7), dtype="f8")
    segment = board.files[0].segment
    assert table(board).rows[1][4] == "float64 (…, 7)"
    with SegmentWriter(segment) as writer:
        writer.resize((900, 7))
    board.records["state"] = State.READY
    assert table(board).rows[1][4] == "float64 (900, 7)"


def test_failed_file_shows_where_and_why_in_its_own_row(make_board):
    board = make_board(State.FAILED, State.READY)
    board.files[0].error = LoadError(board.files[0].path, 20345, 3, "'n/a' is no <f4>")
    rows = table(board).rows
    assert rows[1][:2] == ["file0", "✕failed"]
    assert rows[2] == ["line 20345, column 3: 'n/a' is no <f4>"]
    assert rows[3][1] == "✓ready"


def test_foreign_error_keeps_its_type(make_board):
    board = make_board(State.FAILED)
    board.files[0].error = PermissionError("not yours")
    assert table(board).rows[2] == ["PermissionError: not yours"]


def test_rows_are_loading_then_failed_then_the_largest(make_board, shell):
    board = make_board(State.READY, State.WAITING, State.FAILED, State.LOADING, State.READY)
    board.records["bytes_total"] = [10, 30, 20, 10, 40]
    panel = Panel()
    panel.begin(board)
    assert names(shell) == ["file3", "file2", "file4", "file1", "file0"]


def test_of_many_files_only_the_pieces_that_changed_are_sent(make_board, shell):
    board = make_board(*[State.WAITING] * 250)
    board.records["bytes_total"] = range(250)
    panel = Panel()
    panel.begin(board)
    assert names(shell) == [f"file{number}" for number in reversed(range(250))]
    before = texts(shell)
    board.records["state"][42] = State.LOADING
    while (after := texts(shell)) == before:  # it changes five times a second
        panel.update(board)
    summary, loading, piece = [text for text in after if text not in before]
    assert "1 loading, 249 waiting" in Page(summary).text
    assert [row[0] for row in Page(loading).rows] == ["file42"]
    assert [row[0] for row in Page(piece).rows] == [f"file{n}" for n in reversed(range(50))]
    assert names(shell)[0] == names(shell)[1 + 249 - 42] == "file42"  # on top, and in its place


def test_of_many_files_a_saved_notebook_has_a_hundred(make_board, shell):
    board = make_board(*[State.FREED] * 700, *[State.WAITING] * 500, State.FAILED)
    board.files[1200].error = LoadError(board.files[1200].path, None, None, "is empty")
    panel = Panel()
    panel.begin(board)
    board.ended = time.time()
    panel.end(board)
    rows = Page(shell.display_pub.outputs[-1]["data"]["text/html"]).rows
    assert len(rows) == 1 + 100 + 1 + 1  # headings, files, the error, the rest
    assert rows[1][:2] == ["file1200", "✕failed"]
    assert rows[-1] == ["and 1\u202f101 more: 500 stopped, 601 freed"]


def test_an_error_is_a_line_and_whole_on_demand(make_board):
    board = make_board(State.FAILED)
    board.files[0].error = LoadError(board.files[0].path, 7, None, "is bad\nand that is why")
    board.files[0].error.add_note("Traceback of the reader")
    page = table(board)
    assert len(page.tags("details")) == len(page.tags("summary")) == 1
    line, whole = page.rows[2][0].split("shmkit.errors.LoadError: ")
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
    assert page.rows[2] == [f"x: {evil}"]


def test_file_name_that_is_no_utf8_does_not_break_the_message(make_board):
    board = make_board(State.READY, names=["caf\udce9.txt"])
    files = load_html.Files(board)
    page = load_html.summary(files, time.time()) + load_html.table(files, [0])
    assert json.dumps(page, ensure_ascii=False).encode()


def test_interrupted_load_says_stopped(make_board):
    board = make_board(State.READY, State.LOADING, State.WAITING)
    unlink(board)
    board.failed = board.cancelled = True
    end(board)
    assert "3 files stopped, nothing kept: 2 stopped, 1 freed" in summary(board).text
    assert [row[1] for row in table(board).rows[1:]] == ["●freed", "■stopped", "■stopped"]


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
    assert page.rows[1][1] == "○unlinked"
    assert page.rows[1][5] == "held by a, Out[3], b and 2 more"
    assert page.rows[2][1:2] + page.rows[2][5:] == ["●freed", "", "0 B"]
    nbytes = board.files[0].segment.nbytes
    assert "closed: 1 unlinked, 1 freed" in summary(board).text
    assert f"{nbytes / 1000:.1f} kB still mapped" in summary(board).text
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
    files = load_html.Files(board)
    shown = load_html.summary(files, time.time()) + load_html.table(files, [0, 1], headings=True)
    page = Page(shown)
    assert [head["scope"] for head in page.tags("th")] == ["col"] * 7 + ["row"] * 2
    assert all(bar["aria-label"] for bar in page.tags("progress"))
    assert sum("aria-live" in attributes for _, attributes in page.elements) == 1


def texts(shell):
    """The pieces of HTML in a live panel."""
    _, *parts = displayed(shell).below()
    return [part["value"] for part in parts if part["_model_name"] == "HTMLModel"]


def names(shell):
    """The files in the rows of a live panel."""
    return [row[0] for text in texts(shell) for row in Page(text).rows if row and row[0] != "File"]


def load(board):
    """Show a finished load; the arrays and the monitor, as shared_load has them."""
    panel = Panel()
    panel.begin(board)
    panel.update(board)
    board.ended = time.time()
    panel.end(board)
    arrays = {file.name: view(file.segment) for file in board.files}

    def close():
        board.closed = True
        panel.close(board)

    return SharedArrays(arrays, on_close=close)


def test_panel_ends_as_plain_html_in_the_same_place(make_board, shell):
    board = make_board(State.LOADING)
    before = live()
    panel = Panel()
    panel.begin(board)
    assert live() > before
    board.records["state"] = State.READY
    board.ended = time.time()
    panel.end(board)
    first, last = shell.display_pub.outputs
    assert VIEW in first["data"]
    assert set(last["data"]) == {"text/html", "text/plain"}
    assert last["update"]
    assert last["transient"] == first["transient"]
    assert last["data"]["text/plain"] == "1 file: 1 ready"
    assert "✓</span>ready" in last["data"]["text/html"]
    assert live() == before


def test_panel_changes_at_most_five_times_a_second(make_board, shell):
    board = make_board(State.LOADING)
    panel, start = Panel(), time.monotonic()
    panel.begin(board)
    drawn = [texts(shell)]
    while len(drawn) < 4:
        board.records["bytes_done"] += 20
        panel.update(board)
        if (now := texts(shell)) != drawn[-1]:
            drawn.append(now)
    assert time.monotonic() - start >= 3 * 0.2
    panel.end(board)


def test_panel_follows_the_memory_from_cell_to_cell(make_board, shell):
    board = make_board(State.READY, State.READY)
    shell.user_ns["arrays"] = load(board)
    outputs = shell.display_pub.outputs
    shown = len(outputs)
    shell.run_cell("a, b = arrays; kept = a[:3]; x = 1")
    assert len(outputs) == shown  # nothing changed
    shell.run_cell("arrays.close()")
    page = Page(outputs[-1]["data"]["text/html"])
    assert [(row[0], row[1], row[5]) for row in page.rows[1:]] == [
        ("file0", "○unlinked", "held by a, kept"),
        ("file1", "○unlinked", "held by b"),
    ]
    shell.run_cell("del a, b")
    page = Page(outputs[-1]["data"]["text/html"])
    assert [(row[0], row[1], row[5], row[6]) for row in page.rows[1:]] == [
        ("file0", "○unlinked", "held by kept", page.rows[1][6]),
        ("file1", "●freed", "", "0 B"),
    ]
    shell.run_cell("kept = None")
    assert outputs[-1]["data"]["text/plain"] == "2 files: 2 freed"
    assert not board.files[0].segment.mapped
    assert len({output["transient"]["display_id"] for output in outputs}) == 1


def test_panel_stops_watching_when_everything_is_freed(make_board, shell):
    board = make_board(State.READY)
    before = list(shell.events.callbacks["post_run_cell"])
    shell.user_ns["arrays"] = load(board)
    assert len(shell.events.callbacks["post_run_cell"]) == len(before) + 1
    shell.run_cell("del arrays")
    assert shell.events.callbacks["post_run_cell"] == before


def test_panel_looks_again_when_a_segment_is_unlinked_between_cells(make_board, shell):
    board = make_board(State.READY, State.READY)
    shell.user_ns["arrays"] = load(board)
    board.files[0].segment.unlink()
    load_panel.look_again()
    page = Page(shell.display_pub.outputs[-1]["data"]["text/html"])
    assert [(row[0], row[1], row[5]) for row in page.rows[1:]] == [
        ("file0", "○unlinked", "held by arrays"),
        ("file1", "✓ready", page.rows[2][5]),
    ]
    shell.run_cell("del arrays")
    assert not load_panel.watching


def test_panel_that_cannot_be_drawn_prints_nothing_into_a_cell(make_board, shell, capsys, caplog):
    board = make_board(State.READY)
    shell.user_ns["arrays"] = load(board)
    board.records = None
    with caplog.at_level("DEBUG", logger="shmkit.display.load_panel"):
        shell.run_cell("array, = arrays; array.close()")
    assert [record.message for record in caplog.records] == ["the load panel stays as it is"]
    assert capsys.readouterr() == ("", "")


def test_only_a_kernel_that_a_server_started_has_a_cancel_button(make_board, shell):
    number = "4a894b4f-40f3-4ee2-9dbe-7e1327364bd0"
    for path, there in ((f"/run/kernel-{number}.json", True), ("/run/kernel-71.json", False)):
        shell.config.IPKernelApp.connection_file = path
        panel = Panel()
        panel.begin(make_board(State.LOADING))
        cancel = displayed(shell).find("_dom_classes", "shmkit-cancel")["value"]
        assert (f"'api/kernels/{number}/interrupt'" in cancel) == there
        assert bool(cancel) == there
