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


def shown(notebook, number):
    """The panel that is seen in the output of a cell: the live one, or the snapshot."""
    return notebook.output(number).locator(".shmkit-panel:visible")


def table(panel):
    """The cells of a panel's table; of an array the line that does not unfold."""
    return [
        [cell.inner_text().partition("\n")[0].strip() for cell in row.locator("th, td").all()]
        for row in panel.locator("tr:visible").all()
    ]


def layout(panel):
    """Where the columns begin, how they are aligned, and how high the rows are."""
    head, rows = panel.locator("thead th"), panel.locator("tr")
    return (
        head.evaluate_all("cells => cells.map(cell => cell.getBoundingClientRect().left)"),
        head.evaluate_all("cells => cells.map(cell => getComputedStyle(cell).textAlign)"),
        rows.evaluate_all("rows => rows.map(row => Math.round(row.offsetHeight))"),
    )


def cut(panel):
    """The texts of a panel of which some is not seen, as they are wider than their place."""
    return panel.locator("th, td, .shmkit-head, .shmkit-note, .shmkit-room").evaluate_all(
        """cells => cells.filter(cell => cell.scrollWidth > cell.clientWidth + 1
            || cell.getBoundingClientRect().right
                > cell.closest('.shmkit-panel').getBoundingClientRect().right + 1
        ).map(cell => cell.textContent)"""
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
        panel = shown(notebook, 1)
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
        assert table(panel)[1:] == [
            ["one", "✓ ready", "30", "float64 30 \N{MULTIPLICATION SIGN} 2", "480 B"],
            ["two", "✓ ready", "20", "float64 20 \N{MULTIPLICATION SIGN} 2", "320 B"],
            ["three", "✓ ready", "10", "float64 10 \N{MULTIPLICATION SIGN} 2", "160 B"],
        ]
        expect(panel.locator("progress")).to_have_count(0)
        unfolded = panel.locator("details pre").first
        expect(unfolded).not_to_be_visible()
        panel.locator("summary").first.press("Enter")
        expect(unfolded).to_contain_text("/dev/shm/shmkit-")

        notebook.run(2)
        notebook.run(3)
        expect(panel).to_contain_text("closed: 3 unlinked")
        assert [row[3] for row in table(panel)[1:]] == ["held by a", "held by b", "held by c"]
        expect(panel.locator("details pre").first).to_be_visible()  # it is what a person unfolded
        notebook.run(4)
        expect(panel).to_contain_text("closed: 1 unlinked, 2 freed")
        assert [row[1] for row in table(panel)[1:]] == ["● freed", "○ unlinked", "● freed"]
        notebook.run(5)
        expect(panel).to_contain_text("closed: 3 freed")
        assert all(row[4] == "0 B" for row in table(panel)[1:])

        kept, live = notebook.save().cells[1].outputs
        assert set(kept.data) == {"text/html", "text/plain"}
        assert kept.data["text/plain"] == "3 files: 3 freed"
        assert re.search("closed: .*3 freed", kept.data["text/html"])
        assert "".join(live.data.values()) == ""
        assert notebook.errors == []


def test_failed_file_shows_its_error_and_the_others_stay(lab, go):
    go.touch()
    load = "arrays = shared_load(['one.txt', 'bad.txt'], reader=patient, on_error='skip')"
    with lab.open([PRELUDE, load]) as notebook:
        notebook.run(0)
        notebook.start(1)
        notebook.wait()
        panel = shown(notebook, 1)
        expect(panel).to_contain_text("1 ready, 1 failed")
        failed, ready = table(panel)[1:]
        assert failed[:2] == ["bad", "✕ failed"]
        assert "n/a" in failed[2]
        assert ready[:2] == ["one", "✓ ready"]
        # By its state: the other row may hold the three letters in the hex of its segment's name.
        row = panel.locator("tr", has_text="✕ failed")
        whole = row.locator("details pre")
        expect(whole).not_to_be_visible()
        row.locator("summary").press("Enter")
        expect(whole).to_contain_text("Traceback (most recent call last)")
        expect(whole).to_be_visible()


@pytest.mark.parametrize("how", ["stop button", "Cancel"])
def test_interrupted_load_says_that_it_stopped(lab, how):
    with lab.open(
        [PRELUDE, "shared_load(['one.txt', 'two.txt'], reader=patient, processes=2)"]
    ) as notebook:
        notebook.run(0)
        notebook.start(1)
        panel = shown(notebook, 1)
        expect(panel).to_contain_text("2 loading")
        if how == "Cancel":  # by keyboard
            notebook.page.get_by_role("button", name="Cancel").press("Enter")
        else:
            notebook.interrupt()
        notebook.wait()
        assert notebook.errors == []
        expect(panel).to_contain_text("stopped, nothing kept: 2 stopped")
        expect(notebook.output(1).last).to_have_text(
            "KeyboardInterrupt: the load was cancelled; nothing of it was kept"
        )


def test_of_a_thousand_files_each_is_found_by_keyboard(lab, go):
    (lab.folder / "many").mkdir()
    for number in range(1000):
        path = lab.folder / "many" / f"patient_{number:04}_visit_1_batch7.txt"
        path.write_text("1\n" * (2000 - number))
    (lab.folder / "many" / "patient_0500_visit_1_batch7.txt").write_text("n/a\n")
    cells = [
        PRELUDE,
        "arrays = shared_load('many/*.txt', reader=patient, processes=2, on_error='skip')",
        "arrays.close()",
    ]
    with lab.open(cells) as notebook:
        panel, keyboard = shown(notebook, 1), notebook.page.keyboard
        notebook.run(0)
        notebook.start(1)
        expect(panel).to_contain_text("2 loading, 998 waiting")
        expect(panel).to_contain_text("All names: patient_…_visit_1_batch7")
        row = panel.get_by_role("rowheader", name="0999", exact=True)
        expect(row).not_to_be_in_viewport()
        assert notebook.barriers() == []
        panel.locator("[tabindex='0']").press("End")
        expect(row).to_be_in_viewport()
        panel.get_by_label("Filter by state").select_option("loading")
        assert [row[1] for row in table(panel)[1:]] == ["▸ loading 0\xa0%"] * 2
        go.touch()
        notebook.wait()
        expect(panel).to_contain_text("999 ready, 1 failed")
        panel.get_by_label("Filter by state").select_option("")  # there are no such any more
        # Failed ones first, then the order of the files.
        assert panel.locator("tbody th").all_inner_texts()[:3] == ["0500", "0000", "0001"]
        panel.get_by_label("Filter by text").focus()
        keyboard.type("_099")
        assert [row[0] for row in table(panel)[1:]] == [f"099{n}" for n in range(10)]
        panel.get_by_role("button", name="Rows").press("Enter")
        rows = [int(row[2].replace("\u202f", "")) for row in table(panel)[1:]]
        assert rows == sorted(rows)
        assert rows[0] == 1001
        panel.get_by_role("button", name="Rows").press("Enter")
        assert [row[0] for row in table(panel)[1:]] == [f"099{n}" for n in range(10)]
        expect(panel.get_by_role("columnheader", name="Rows")).to_have_attribute(
            "aria-sort", "descending"
        )
        assert notebook.barriers() == []
        notebook.run(2)
        expect(panel).to_contain_text("closed: 1 failed, 999 freed")
        assert notebook.errors == []


@pytest.mark.parametrize("width", [1200, 700])
def test_no_figure_is_ever_cut(lab, width):
    long = "a_name_that_is_far_longer_than_any_column_would_be_" + "x" * 40
    cells = [
        f"""
import pathlib, shmkit, numpy as np
pathlib.Path("wide").mkdir(exist_ok=True)
for name, rows in (("{long}", 12_345_678), ("b", 999_999)):
    np.save(f"wide/{{name}}.npy", np.zeros(rows, "i1, S7"))""",
        "arrays = shmkit.shared_load('wide/*.npy')",
        "a, b = arrays; arrays.close()",
        "del a, b",
    ]
    with lab.open(cells) as notebook:
        notebook.page.set_viewport_size({"width": width, "height": 900})
        for number in range(4):
            notebook.run(number)
            if number:
                panel = shown(notebook, 1)
                expect(panel).to_contain_text(["", "2 ready", "2 unlinked", "2 freed"][number])
                assert cut(panel) == []
                rows = panel.locator("td[data-value='12345678']")
                expect(rows).to_have_text("12.3 M")
                expect(rows).to_have_attribute("title", "12\u202f345\u202f678")
                expect(panel.get_by_role("rowheader", name=long)).to_be_visible()


def test_without_its_kernel_a_panel_shows_its_last_state(lab, go):
    cells = [PRELUDE, "arrays = shared_load(['one.txt', 'two.txt'], reader=patient, processes=2)"]
    with lab.open(cells) as notebook:
        panel = shown(notebook, 1)
        notebook.run(0)
        notebook.start(1)
        expect(panel).to_contain_text("2 loading")
        expect(panel.get_by_role("button", name="Cancel")).to_be_visible()
        notebook.save()  # as JupyterLab does by itself
        notebook.restart()
        expect(panel).to_have_count(1)
        expect(panel).to_contain_text(re.compile("Loading 2 files.* as of 20[0-9-]+ [0-9:]+"))
        expect(panel).not_to_contain_text(" left")
        expect(panel.get_by_role("button")).to_have_count(0)
        notebook.run(0)
        go.touch()
        notebook.run(1)
        expect(panel).to_contain_text("2 ready")
        assert "as of" not in panel.inner_text()
        notebook.save()
        notebook.reopen()
        expect(panel).to_have_count(1)
        expect(panel).to_contain_text(re.compile("2 files.* as of 20"))
        expect(notebook.output(1).last).to_have_text("Error displaying widget: model not found")
        expect(notebook.output(1).last).to_be_hidden()


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
        memory, button = shown(notebook, 2), notebook.page.get_by_role
        expect(memory.locator("tbody tr", has_text="arrays")).to_have_count(2)
        assert [row[0] for row in table(memory)[1:3]] == ["one.txt", "two.txt"]
        assert cut(memory) == []
        button("button", name="Unlink one.txt").press("Enter")
        expect(memory).to_contain_text("unlinked 1 segment, 480 B; still held by arrays")
        expect(shown(notebook, 1)).to_contain_text("1 ready, 1 unlinked")
        button("button", name="Unlink all").press("Enter")
        expect(shown(notebook, 1)).to_contain_text("1 ready, 1 unlinked")  # it asks first
        button("button", name="Unlink 1 segment, 320 B?").press("Enter")
        expect(shown(notebook, 1)).to_contain_text("2 unlinked")
        button("button", name="Close").press("Enter")
        expect(memory.get_by_role("button")).to_have_count(0)
        expect(memory.locator("tbody tr", has_text="unlinked")).to_have_count(2)
        assert notebook.errors == []

        notebook.run(2)
        expect(memory.get_by_role("button", name="Close")).to_be_visible()
        notebook.save()
        notebook.reopen()
        expect(shown(notebook, 1)).to_contain_text("2 unlinked")
        expect(memory.locator("tbody tr", has_text="unlinked")).to_have_count(2)
        expect(memory.get_by_role("button")).to_have_count(0)


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
        panel = shown(notebook, 1)
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
        expect(shown(notebook, 7)).to_contain_text("Unlink all")
        assert notebook.barriers() == []
