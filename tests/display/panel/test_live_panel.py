"""A panel: a snapshot that stays, and a live widget that is sent what changed."""

import pytest
from frontend import VIEW, displayed, live
from pages import Page

from shmkit._html import Cell
from shmkit.display.panel.live_panel import LivePanel, LiveWidget
from shmkit.display.panel.page import Snapshot

COLUMNS = [Cell("File"), Cell("State")]


def row(name, state):
    return f"<tr><td>{name}</td><td>{state}</td></tr>"


@pytest.fixture
def pressed():
    return []


@pytest.fixture
def panel(shell, pressed):
    snapshot = Snapshot("<p>2 files</p>", [row("a", "ready"), row("b", "loading")], "2 files")
    made = LivePanel(
        snapshot,
        "<p>live</p>",
        [row("a", "ready"), row("b", "loading")],
        COLUMNS,
        "",
        kernel="71",
        on_press=lambda do, what: pressed.append((do, what)),
    )
    yield made
    made.close()


def test_both_are_displayed_the_snapshot_first(panel, shell):
    snapshot, widget = shell.display_pub.outputs
    assert snapshot["data"]["text/plain"] == "2 files"
    page = Page(snapshot["data"]["text/html"])
    assert page.rows[1:] == [["a", "ready"], ["b", "loading"]]
    assert set(widget["data"]) == {VIEW, "text/plain"}
    # By this key the live one finds the snapshot that it hides.
    (key,) = [tag["data-snapshot"] for tag in page.tags("div") if "data-snapshot" in tag]
    assert displayed(shell)["key"] == key
    assert Page(displayed(shell)["table"]).rows == [["File", "State"]]


def test_a_change_sends_the_rows_that_changed(panel, shell):
    panel.change("<p>other</p>", {1: row("b", "ready")})
    assert displayed(shell)["head"] == "<p>other</p>"
    assert displayed(shell)["rows"] == [row("a", "ready"), row("b", "ready")]


def test_what_is_shown_anew_sends_what_differs_and_all_rows_if_their_number_does(
    panel, shell, monkeypatch
):
    sent = []
    monkeypatch.setattr(LiveWidget, "send", lambda _, content, *__: sent.append(content))
    panel.show("<p>same</p>", [row("a", "freed"), row("b", "loading")])
    assert sent == [{"rows": {0: row("a", "freed")}}]
    panel.show("<p>less</p>", [row("b", "loading")])
    assert len(sent) == 1  # the trait carries them
    assert displayed(shell)["rows"] == [row("b", "loading")]


def test_a_button_says_what_it_stands_for(panel, shell, pressed):
    for content in ({"do": "unlink", "what": "a"}, {"do": "gc"}):
        displayed(shell).send({"method": "custom", "content": content})
    assert pressed == [("unlink", "a"), ("gc", "")]


def test_the_kernel_is_named_until_nothing_is_to_be_interrupted(panel, shell):
    assert displayed(shell)["kernel"] == "71"
    panel.end_cancel()
    assert displayed(shell)["kernel"] == ""


def test_what_is_kept_takes_the_place_of_the_first_snapshot(panel, shell):
    panel.keep(Snapshot("<p>done</p>", [], "done", more="and 3 more"))
    first, *_, last = shell.display_pub.outputs
    assert last["update"]
    assert last["transient"] == first["transient"]
    assert "done" in Page(last["data"]["text/html"]).text
    assert not Page(last["data"]["text/html"]).rows


def test_a_closed_one_leaves_the_snapshot_and_no_widget(shell):
    before = live()
    panel = LivePanel(Snapshot("<p>a</p>", [], "a"), "", [], COLUMNS, "")
    assert live() > before
    panel.close()
    assert live() == before
    panel.close()  # once more does nothing
    shown = {out["transient"]["display_id"]: out["data"] for out in shell.display_pub.outputs}
    snapshot, widget = shown.values()
    assert snapshot["text/plain"] == "a"
    assert widget == {"text/html": "", "text/plain": ""}
