"""The notebooks, run from top to bottom as a user does; nbval compares their outputs besides."""

import pathlib
import shutil

import nbclient
import nbformat
import pytest

NOTEBOOKS = sorted((pathlib.Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def notebook(request):
    return request.param


def outputs(notebook):
    return [output for cell in notebook.cells for output in cell.get("outputs", [])]


def test_every_cell_runs_and_none_ends_in_a_usage_error(notebook, tmp_path):
    # nbval and nbmake let a UsageError pass: IPython prints it and goes on.
    copy = shutil.copy(notebook, tmp_path)
    ran = nbclient.execute(nbformat.read(copy, as_version=4), cwd=tmp_path, timeout=120)
    said = [out["text"] for out in outputs(ran) if out.get("name") == "stderr"]
    assert said == []


def test_it_is_saved_with_outputs_that_need_no_kernel(notebook):
    saved = nbformat.read(notebook, as_version=4)
    nbformat.validate(saved)
    assert all(cell.execution_count for cell in saved.cells if cell.cell_type == "code")
    formats = {name for out in outputs(saved) for name in out.get("data", {})}
    assert {"text/html", "image/png"} & formats
    assert "application/vnd.jupyter.widget-view+json" not in formats


def test_there_are_notebooks():
    assert NOTEBOOKS
