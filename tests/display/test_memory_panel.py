"""`shmkit.panel` in a shell that says it is a kernel's: real widgets, real segments."""

import os
import re

import numpy as np
import pytest
from frontend import VIEW, live
from frontend import displayed as buttons

from shmkit import panel, share, shared_load


@pytest.fixture
def notebook(shell):
    """The shell, and what is displayed in it."""
    shell.kernel = None
    before = live()
    yield shell
    if live() != before:
        buttons(shell).click("Close")
    assert live() == before


def said(notebook):
    """What the panel says under its buttons."""
    parts = buttons(notebook).below()
    return next(part["value"] for part in parts if part["_model_name"] == "HTMLModel")


def displayed(notebook):
    """What stands in the outputs now, by their display ids."""
    outputs = notebook.display_pub.outputs
    return {out["transient"]["display_id"]: out["data"] for out in outputs}


def test_unlink_says_who_holds_them_still(notebook, tmp_path):
    np.save(tmp_path / "a.npy", np.ones(3))
    arrays = notebook.user_ns["arrays"] = shared_load(tmp_path / "*.npy", progress=False)
    other = notebook.user_ns["other"] = share([1])
    panel()
    choice = buttons(notebook).find("description", "Segment")
    options = [label.partition(":")[0] for label in choice["_options_labels"]]
    assert sorted(options) == ["arrays", "other"]  # the clock of a file may not tell the older
    choice.change(index=options.index("other"))
    notebook.run_cell("other = other[:]; arrays, more = arrays, arrays")  # who holds them changes
    buttons(notebook).click("Unlink")  # it is still what was chosen
    assert not other.segment.linked
    assert "unlinked 1 segment, 136 B; still held by other" in said(notebook)
    buttons(notebook).click("Unlink")  # the next one is chosen
    assert not arrays[0].segment.linked
    assert arrays[0].sum() == 3
    assert buttons(notebook).find("description", "Unlink all")["disabled"]
    arrays.close()


def test_the_table_follows_the_cells(notebook):
    panel()
    notebook.user_ns["share"] = share
    notebook.run_cell("mine = share([1])")
    table, _ = displayed(notebook).values()
    assert re.search(">mine<.*>this process<", table["text/html"])
    notebook.run_cell("del mine")
    table, _ = displayed(notebook).values()
    assert ">mine<" not in table["text/html"]


def test_remove_orphans_is_there_if_one_is(notebook, orphan, tmp_path):
    with share([1], backing=tmp_path):  # where this process has segments, it looks
        panel()
        buttons(notebook).click("Remove orphans")
        assert re.search(
            "removed (1 segment, 152 B|[0-9]+ segments, )", said(notebook)
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
        buttons(notebook).click("Close")
    assert live() == before
    assert not notebook.events.callbacks["post_run_cell"]
