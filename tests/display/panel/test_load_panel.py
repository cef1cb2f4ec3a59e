"""The load panel: its life in a real shell, from the first look to the last segment."""

import re
import time

import numpy as np
import pytest
from boards import end
from frontend import VIEW, displayed, live
from pages import Page

import shmkit
from shmkit.display.panel import live_panel, load_panel
from shmkit.display.panel.load_panel import Panel
from shmkit.errors import LoadError
from shmkit.loading.board.record import State
from shmkit.views.array import view
from shmkit.views.arrays import SharedArrays


def test_rows_are_in_the_order_of_the_files_but_for_those_that_failed(make_board, shell):
    board = make_board(State.READY, State.WAITING, State.FAILED, State.LOADING)
    board.records["bytes_total"] = [10, 30, 20, 40]
    panel = Panel()
    panel.begin(board)
    # Live, the front end puts those that failed first: it may have been told another order.
    assert [cells[0] for cells in rows(shell)] == ["file0", "file1", "file2", "file3"]
    assert [row[0] for row in kept(shell).rows[1:]] == ["file2", "file0", "file1", "file3"]


def test_only_the_rows_that_changed_are_sent(make_board, shell, sent):
    board = make_board(*[State.WAITING] * 250)
    panel = Panel()
    panel.begin(board)
    before = rows(shell)
    board.records["state"][42] = State.LOADING
    while not sent:  # it changes five times a second
        panel.update(board)
    (message,) = sent
    assert list(message["rows"]) == [42]
    assert "1 loading, 249 waiting" in Page(displayed(shell)["head"]).text
    changed = [n for n, cells in enumerate(rows(shell)) if cells != before[n]]
    assert changed == [42]  # who opens the page anew gets the newest state


def test_of_many_files_a_saved_notebook_has_a_hundred(make_board, shell):
    board = make_board(*[State.FREED] * 700, *[State.WAITING] * 500, State.FAILED)
    board.files[1200].error = LoadError(board.files[1200].path, None, None, "is empty")
    panel = Panel()
    panel.begin(board)
    board.ended = time.time()
    panel.end(board)
    page = kept(shell)
    assert len(page.rows) == 1 + 100  # headings, files
    assert page.rows[1][:2] == ["file1200", "✕ failed"]
    assert page.text.endswith("and 1\u202f101 more: 500 stopped, 601 freed")


def test_what_is_kept_says_its_time_and_nothing_that_is_over(make_board, shell):
    board = make_board(State.READY, State.LOADING)
    board.started -= 10
    panel = Panel()
    panel.begin(board)
    assert re.search(r"[5-7] s left", Page(displayed(shell)["head"]).text)
    page = kept(shell)
    assert re.search(r"Loading 2 files .* as of \d{4}-\d\d-\d\d \d\d:\d\d:\d\d", page.text)
    assert " left" not in page.text
    assert not page.tags("button")


@pytest.fixture
def sent(monkeypatch):
    """What live panels were sent beside their traits."""
    found = []
    send = live_panel.LiveWidget.send

    def noted(widget, content, buffers=None):
        found.append(content)
        send(widget, content, buffers)

    monkeypatch.setattr(live_panel.LiveWidget, "send", noted)
    return found


def rows(shell):
    """The cells of the rows of a live panel."""
    return [Page(html).rows[0] for html in displayed(shell)["rows"]]


def kept(shell):
    """What the newest panel leaves in a saved notebook."""
    outputs = shell.display_pub.outputs
    found = [out["data"]["text/html"] for out in outputs if out["data"].get("text/html")]
    return Page(found[-1])


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


def test_panel_is_live_as_long_as_there_is_memory_and_then_plain_html(make_board, shell):
    board = make_board(State.READY)
    before = live()
    shell.user_ns["arrays"] = load(board)
    assert live() > before
    first, second, *more = shell.display_pub.outputs
    assert set(first["data"]) == {"text/html", "text/plain"}
    assert first["data"]["text/plain"] == "1 file: 1 ready"
    assert set(second["data"]) == {VIEW, "text/plain"}
    assert all(out["update"] and out["transient"] == first["transient"] for out in more)
    shell.run_cell("del arrays")
    assert live() == before
    final = {out["transient"]["display_id"]: out["data"] for out in shell.display_pub.outputs}
    assert [*final.values()][1] == {"text/html": "", "text/plain": ""}
    assert "1 file 1 freed" in kept(shell).text


def test_panel_changes_at_most_five_times_a_second(make_board, shell, sent):
    board = make_board(State.LOADING)
    panel, start = Panel(), time.monotonic()
    panel.begin(board)
    while len(sent) < 3:
        board.records["bytes_done"] += 20
        panel.update(board)
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
    assert rows(shell) == kept(shell).rows[1:]
    states = [(row[0], row[1], row[3].partition("chr ")[0]) for row in rows(shell)]
    assert states == [
        ("file0", "○ unlinked", "held by a, kept"),
        ("file1", "○ unlinked", "held by b"),
    ]
    shell.run_cell("del a, b")
    states = [(row[0], row[1], row[4]) for row in rows(shell)]
    assert states == [("file0", "○ unlinked", "17.0 kB"), ("file1", "● freed", "0 B")]
    assert rows(shell)[0][3].startswith("held by kept")
    shell.run_cell("kept = None")
    assert "2 files closed: 2 freed" in kept(shell).text
    assert not board.files[0].segment.mapped


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
    assert [row[1] for row in rows(shell)] == ["○ unlinked", "✓ ready"]
    assert rows(shell)[0][3].startswith("held by arrays")
    shell.run_cell("del arrays")
    assert not load_panel.watching


def test_panel_that_cannot_be_drawn_prints_nothing_into_a_cell(make_board, shell, capsys, caplog):
    board = make_board(State.READY)
    shell.user_ns["arrays"] = load(board)
    board.records = None
    with caplog.at_level("DEBUG", logger="shmkit.display.panel.load_panel"):
        shell.run_cell("array, = arrays; array.close()")
    assert [record.message for record in caplog.records] == ["the load panel stays as it is"]
    assert capsys.readouterr() == ("", "")


def test_only_a_kernel_that_a_server_started_has_a_cancel_button(make_board, shell):
    number = "4a894b4f-40f3-4ee2-9dbe-7e1327364bd0"
    for path, there in ((f"/run/kernel-{number}.json", True), ("/run/kernel-71.json", False)):
        shell.config.IPKernelApp.connection_file = path
        panel, board = Panel(), make_board(State.LOADING)
        panel.begin(board)
        assert displayed(shell)["kernel"] == (number if there else "")
        widget = displayed(shell)
        board.records["state"] = State.READY
        end(board)
        panel.end(board)
        assert widget["kernel"] == ""


def test_loading_the_same_files_anew_says_so_until_the_variable_is_bound(tmp_path, shell):
    np.save(tmp_path / "one.npy", np.zeros(100))
    shell.kernel = None  # as a kernel's has one
    shell.user_ns |= {"shared_load": shmkit.shared_load, "path": tmp_path / "one.npy"}
    for _ in range(2):
        before = len(shell.display_pub.outputs)
        shell.run_cell("arrays = shared_load(path)")
    first, *_, last = [
        out["data"]["text/html"]
        for out in shell.display_pub.outputs[before:]
        if "1 file" in out["data"].get("text/html", "")
    ]
    assert "<b>arrays</b> has arrays of these files already, 800 B" in first
    assert "already" not in last
    shell.run_cell("arrays.close()")
