"""What a person sees: the load panel in a real JupyterLab, in a real browser."""

import re

import pytest
from lab import Lab
from machine import tool
from playwright.sync_api import expect

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

expect.set_options(timeout=30_000)  # ms; a busy machine is no failure

# A reader of the notebook's own: it loads until the file "go" is there.
PRELUDE = """
import os, time
import numpy as np
from shmkit import shared_load

def patient(path):
    while not os.path.exists("go"):
        time.sleep(0.01)
    return np.loadtxt(path)
"""


@pytest.fixture(scope="session")
def lab(tmp_path_factory):
    with Lab(tmp_path_factory.mktemp("jupyterlab"), tool("chromium")) as lab:
        for name, rows in (("one", 30), ("two", 20), ("three", 10)):
            text = "".join(f"{row} {row * row}\n" for row in range(rows))
            (lab.folder / f"{name}.txt").write_text(text)
        (lab.folder / "bad.txt").write_text("0 1\n2 n/a\n")
        yield lab


@pytest.fixture
def go(lab):
    """The file that lets the patient reader go on."""
    path = lab.folder / "go"
    yield path
    path.unlink(missing_ok=True)


def table(output):
    """The cells of the panel's table."""
    return [
        [cell.strip() for cell in row.locator("th, td").all_inner_texts()]
        for row in output.locator("tr").all()
    ]


def layout(output):
    """How the columns are aligned and how high the rows are."""
    head, rows = output.locator("thead th"), output.locator("tr")
    return (
        head.evaluate_all("cells => cells.map(cell => getComputedStyle(cell).textAlign)"),
        rows.evaluate_all("rows => rows.map(row => Math.round(row.offsetHeight))"),
    )


def test_panel_from_the_first_file_to_the_last_byte(lab, go):
    cells = [
        PRELUDE,
        "arrays = shared_load(['one.txt', 'two.txt', 'three.txt'], reader=patient, processes=2)",
        "a, b, c = arrays",
        "arrays.close()",
        "del a, c",
        "b = None",
    ]
    with lab.open(cells) as notebook:
        panel = notebook.output(1)
        notebook.run(0)
        notebook.start(1)
        expect(panel).to_contain_text("Loading 3 files")
        expect(panel.locator("td progress")).to_have_count(2)
        expect(panel).to_contain_text("2 loading, 1 waiting")
        live = layout(panel)
        go.touch()
        notebook.wait()
        expect(panel).to_contain_text("3 ready")
        assert layout(panel) == live
        rows = table(panel)
        assert [(row[0], row[1][-5:], row[4]) for row in rows[1:]] == [
            ("one", "ready", "float64 (30, 2)"),
            ("two", "ready", "float64 (20, 2)"),
            ("three", "ready", "float64 (10, 2)"),
        ]
        expect(panel.locator("progress")).to_have_count(0)

        notebook.run(2)
        notebook.run(3)
        expect(panel).to_contain_text("closed: 3 unlinked")
        assert [row[5] for row in table(panel)[1:]] == ["held by a", "held by b", "held by c"]
        notebook.run(4)
        expect(panel).to_contain_text("closed: 1 unlinked, 2 freed")
        assert [row[5] for row in table(panel)[1:]] == ["held by b", "", ""]
        notebook.run(5)
        expect(panel).to_contain_text("closed: 3 freed")
        assert all(row[6] == "0 B" for row in table(panel)[1:])

        (saved,) = notebook.save().cells[1].outputs
        assert set(saved.data) == {"text/html", "text/plain"}
        assert saved.data["text/plain"] == "3 files: 3 freed"
        assert re.search("closed: .*3 freed", saved.data["text/html"])
        assert notebook.errors == []


def test_failed_file_shows_its_error_and_the_others_stay(lab, go):
    go.touch()
    load = "arrays = shared_load(['one.txt', 'bad.txt'], reader=patient, on_error='skip')"
    with lab.open([PRELUDE, load]) as notebook:
        notebook.run(0)
        notebook.start(1)
        notebook.wait()
        panel = notebook.output(1)
        expect(panel).to_contain_text("1 ready, 1 failed")
        whole = panel.locator("details pre")
        expect(whole).not_to_be_visible()
        panel.locator("summary").press("Enter")
        expect(whole).to_contain_text("Traceback (most recent call last)")
        expect(whole).to_be_visible()
        rows = table(panel)
        assert [rows[1][0], rows[1][1][-6:]] == ["bad", "failed"]
        assert "n/a" in rows[2][0]
        assert [rows[3][0], rows[3][1][-5:]] == ["one", "ready"]


@pytest.mark.parametrize("how", ["stop button", "Cancel"])
def test_interrupted_load_says_that_it_stopped(lab, how):
    with lab.open(
        [PRELUDE, "shared_load(['one.txt', 'two.txt'], reader=patient, processes=2)"]
    ) as notebook:
        notebook.run(0)
        notebook.start(1)
        panel = notebook.output(1).first
        expect(panel).to_contain_text("2 loading")
        if how == "Cancel":  # by keyboard
            notebook.page.get_by_role("button", name="Cancel").press("Enter")
        else:
            notebook.interrupt()
        notebook.wait()
        assert notebook.errors == []
        expect(panel).to_contain_text("stopped, nothing kept: 2 stopped")
        expect(notebook.output(1).last).to_contain_text("KeyboardInterrupt")


def test_of_a_thousand_files_every_row_can_be_reached(lab, go):
    (lab.folder / "many").mkdir()
    for number in range(1000):
        (lab.folder / "many" / f"{number:03}.txt").write_text("1\n" * (2000 - number))
    cells = [
        PRELUDE,
        "arrays = shared_load('many/*.txt', reader=patient, processes=2)",
        "arrays.close()",
    ]
    with lab.open(cells) as notebook:
        panel = notebook.output(1)
        notebook.run(0)
        notebook.start(1)
        expect(panel).to_contain_text("2 loading, 998 waiting")
        rows = panel.locator(".shmkit-pieces")
        last = rows.get_by_role("rowheader", name="999", exact=True)
        expect(last).not_to_be_in_viewport()
        assert notebook.barriers() == []
        rows.locator("[tabindex='0']").press("End")
        expect(last).to_be_in_viewport()
        go.touch()
        notebook.wait()
        expect(panel).to_contain_text("1\u202f000 ready")
        expect(panel).to_contain_text("and 900 more: 900 ready")
        notebook.run(2)
        expect(panel).to_contain_text("closed: 1\u202f000 freed")
        assert notebook.errors == []


def test_buttons_between_cells_and_tables_that_stay(lab, go):
    go.touch()
    cells = [
        PRELUDE + "import shmkit",
        "arrays = shared_load(['one.txt', 'two.txt'], reader=patient)",
        "shmkit.panel()",
    ]
    with lab.open(cells) as notebook:
        for number in range(3):
            notebook.run(number)
        memory, button = notebook.output(2), notebook.page.get_by_role
        expect(memory.locator("tbody tr", has_text="arrays")).to_have_count(2)
        nbytes = table(memory)[1][3]  # of the older one, which is either
        notebook.page.get_by_role("combobox", name="Segment").focus()
        reached = []
        while "Close" not in reached:
            notebook.page.keyboard.press("Tab")
            reached.append(notebook.page.evaluate("() => document.activeElement.textContent"))
        assert [name for name in reached if name != "Remove orphans"] == [
            *("Unlink", "Unlink all", "Refresh", "Close")
        ]
        button("button", name="Unlink", exact=True).press("Enter")
        expect(memory.last).to_contain_text(f"unlinked 1 segment, {nbytes}; still held by arrays")
        expect(notebook.output(1)).to_contain_text("1 ready, 1 unlinked")
        button("button", name="Unlink all").press("Enter")
        expect(notebook.output(1)).to_contain_text("2 unlinked")
        button("button", name="Close").press("Enter")
        expect(button("button", name="Unlink all")).to_have_count(0)
        expect(memory.locator("tbody tr", has_text="unlinked")).to_have_count(2)
        assert all(
            set(o.data) == {"text/html", "text/plain"} for o in notebook.save().cells[2].outputs
        )
        assert notebook.errors == []

        notebook.run(2)
        expect(button("button", name="Close")).to_be_visible()
        notebook.save()
        notebook.reopen()
        expect(notebook.output(1)).to_contain_text("2 unlinked")
        expect(memory.locator("tbody tr", has_text="unlinked")).to_have_count(2)
        expect(memory.last).to_have_text("Error displaying widget: model not found")
        expect(memory.last).to_be_hidden()


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
def test_nothing_keeps_anybody_out_of_the_outputs(lab, go, theme):
    files = ["one.txt", "two.txt", "bad.txt"]
    cells = [
        PRELUDE + "import shmkit\n%load_ext shmkit",
        f"arrays = shared_load({files}, reader=patient, processes=2, on_error='skip')",
        "%%to_hdf5 out.h5\nmeans = np.ones(3)",
        "one = arrays['one']; arrays.close(); arrays",
        "shmkit.share(np.zeros(9, 'i4, S3'))",
        "shmkit.share(np.zeros((2, 3)))",
        "%shm",
        "shmkit.panel()",
    ]
    with lab.open(cells) as notebook:
        notebook.set_theme(theme)
        notebook.page.set_viewport_size({"width": 1200, "height": 2500})  # all in sight
        panel = notebook.output(1)
        notebook.run(0)
        notebook.start(1)
        expect(panel).to_contain_text("1 waiting")
        assert notebook.barriers() == []
        go.touch()
        notebook.wait()
        expect(panel).to_contain_text("2 ready, 1 failed")
        for number in range(2, len(cells)):
            notebook.run(number)
        expect(notebook.output(2)).to_contain_text("means")
        expect(notebook.output(7).last).to_contain_text("Unlink all")
        assert notebook.barriers() == []
