"""`shmkit.panel` in a shell that says it is a kernel's: real widgets, real segments."""

import os
import re

import numpy as np
import pytest
from frontend import VIEW, live
from frontend import displayed as live_panel

from shmkit import panel, share, shared_load


@pytest.fixture
def notebook(shell):
    """The shell, and what is displayed in it."""
    shell.kernel = None
    before = live()
    yield shell
    if live() != before:
        press(shell, "close")
    assert live() == before


def press(notebook, action, what=""):
    """Press a button of the panel, as the browser does."""
    content = {"do": action, "what": what}
    live_panel(notebook).send({"method": "custom", "content": content})


def said(notebook):
    """What the panel says under its buttons."""
    return re.search('role="status">(.*?)</div>', live_panel(notebook)["head"])[1]


def displayed(notebook):
    """What stands in the outputs now, by their display ids."""
    outputs = notebook.display_pub.outputs
    return {out["transient"]["display_id"]: out["data"] for out in outputs}


def test_unlink_says_who_holds_them_still(notebook, tmp_path):
    np.save(tmp_path / "a.npy", np.ones(3))
    arrays = notebook.user_ns["arrays"] = shared_load(tmp_path / "*.npy", progress=False)
    other = notebook.user_ns["other"] = share([1])
    panel()
    rows = [row for row in live_panel(notebook)["rows"] if "data-what" in row]
    paths = [re.search('data-what="(.*?)"', row)[1] for row in rows]
    assert paths == [arrays[0].segment.path, other.segment.path]  # in the order of the variables
    assert 'title="' + str(tmp_path / "a.npy") + '">a.npy</th>' in rows[0]
    press(notebook, "unlink", other.segment.path)
    assert not other.segment.linked
    assert said(notebook) == "unlinked 1 segment, 8 B; still held by other"
    assert 'data-ask="Unlink 1 segment, 24 B?"' in live_panel(notebook)["head"]
    press(notebook, "unlink")
    assert not arrays[0].segment.linked
    assert arrays[0].sum() == 3
    assert "Unlink all" not in live_panel(notebook)["head"]
    arrays.close()


def test_outputs_are_forgotten_and_nothing_else(notebook):
    notebook.user_ns["share"] = share
    panel()
    for cell in ("a = share([1.0] * 1000)", "a[:3]", "[a, a]", "41 + 1"):
        notebook.run_cell(cell, store_history=True)
    segment = notebook.user_ns["a"].segment
    assert "Forget outputs" in live_panel(notebook)["head"]
    press(notebook, "forget")
    assert said(notebook) == "forgot 2 outputs"
    assert "Forget outputs" not in live_panel(notebook)["head"]
    assert [*notebook.user_ns["Out"].values()] == [42]
    assert notebook.user_ns.get("_", 42) == 42  # IPython sets none where builtins has one
    assert segment.mapped  # by the person's own variable
    notebook.run_cell("a.close(); del a")
    assert not segment.mapped


def test_the_table_follows_the_cells(notebook):
    panel()
    notebook.user_ns["share"] = share
    notebook.run_cell("mine = share([1])")
    table, _ = displayed(notebook).values()
    assert ">mine</summary>" in table["text/html"]
    notebook.run_cell("del mine")
    table, _ = displayed(notebook).values()
    assert "mine" not in table["text/html"]


def test_remove_orphans_is_there_if_one_is(notebook, orphan, tmp_path):
    with share([1], backing=tmp_path):  # where this process has segments, it looks
        panel()
        press(notebook, "gc")
        assert re.search(
            "removed (1 segment, 24 B|[0-9]+ segments, )", said(notebook)
        )  # others' too
        assert not os.path.exists(orphan)


def test_a_second_panel_leaves_of_the_first_the_table_alone(notebook):
    before = live()
    with share([1]) as array:
        panel()
        panel()
        first, gone, *second = displayed(notebook).values()
        assert array.segment.path in first["text/plain"]
        assert "".join(gone.values()) == ""
        assert [VIEW in data for data in second] == [False, True]
        press(notebook, "close")
    assert live() == before
    assert not notebook.events.callbacks["post_run_cell"]
