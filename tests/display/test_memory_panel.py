"""`shmkit.panel` in a shell that says it is a kernel's: real widgets, real segments."""

import os
import re

import numpy as np
import pytest
from ipywidgets.widgets.widget import _instances

from shmkit import panel, share, shared_load
from shmkit.display import memory_panel


@pytest.fixture
def notebook(shell):
    """The shell, and what is displayed in it."""
    shell.kernel = None
    yield shell
    while memory_panel._shown:
        memory_panel._shown.pop().close()


def shown():
    (one,) = memory_panel._shown
    return one


def displayed(notebook):
    """What stands in the outputs now, by their display ids."""
    outputs = notebook.display_pub.outputs
    return {out["transient"]["display_id"]: out["data"] for out in outputs}


def test_unlink_says_who_holds_them_still(notebook, tmp_path):
    np.save(tmp_path / "a.npy", np.ones(3))
    arrays = notebook.user_ns["arrays"] = shared_load(tmp_path / "*.npy", progress=False)
    other = notebook.user_ns["other"] = share([1])
    panel()
    options = [label.partition(":")[0] for label, _ in shown()._segment.options]
    assert sorted(options) == ["arrays", "other"]  # the clock of a file may not tell the older
    shown()._segment.value = other.segment.path
    notebook.run_cell("other = other[:]; arrays, more = arrays, arrays")  # who holds them changes
    shown()._unlink.click()  # it is still what was chosen
    assert not other.segment.linked
    assert "unlinked 1 segment, 136 B; still held by other" in shown()._said.value
    shown()._unlink.click()  # the next one is chosen
    assert not arrays[0].segment.linked
    assert arrays[0].sum() == 3
    assert shown()._all.disabled
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
        shown()._gc.click()
        assert re.search(
            "removed (1 segment, 152 B|[0-9]+ segments, )", shown()._said.value
        )  # others' too
        assert not os.path.exists(orphan)


def test_a_second_panel_leaves_of_the_first_the_table_alone(notebook):
    before = len(_instances)
    with share([1]) as array:
        panel()
        panel()
        first, buttons, *second = displayed(notebook).values()
        assert array.segment.path in first["text/plain"]
        assert "".join(buttons.values()) == ""
        assert ["application/vnd.jupyter.widget-view+json" in data for data in second] == [
            False,
            True,
        ]
        memory_panel._shown[0].close()
    assert len(_instances) == before
    assert not notebook.events.callbacks["post_run_cell"]
