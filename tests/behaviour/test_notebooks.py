"""The notebooks, run from top to bottom as a user does; nbval compares their outputs besides."""

import pathlib

import nbformat
import pytest
from nbclient import NotebookClient
from processes import left_of, started_by

NOTEBOOKS = sorted((pathlib.Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def notebook(request):
    return request.param


def outputs(notebook):
    return [output for cell in notebook.cells for output in cell.get("outputs", [])]


@pytest.mark.slow
def test_every_cell_runs_none_ends_in_a_usage_error_and_nothing_is_left(notebook, tmp_path):
    # nbval and nbmake let a UsageError pass: IPython prints it and goes on.
    ran = nbformat.read(notebook, as_version=4)
    client = NotebookClient(ran, timeout=120, resources={"metadata": {"path": str(tmp_path)}})
    with client.setup_kernel():
        kernel = client.km.provisioner.pid
        for number, cell in enumerate(ran.cells):
            client.execute_cell(cell, number)
        assert started_by(kernel)
    assert [out["text"] for out in outputs(ran) if out.get("name") == "stderr"] == []
    assert left_of(kernel) == []


def test_it_is_saved_with_outputs_that_need_no_kernel(notebook):
    saved = nbformat.read(notebook, as_version=4)
    nbformat.validate(saved)
    assert all(cell.execution_count for cell in saved.cells if cell.cell_type == "code")
    formats = {name for out in outputs(saved) for name in out.get("data", {})}
    assert {"text/html", "image/png"} & formats
    assert "application/vnd.jupyter.widget-view+json" not in formats


def test_there_are_notebooks():
    assert NOTEBOOKS
