"""The README's example does what it says, as it stands there."""

import pathlib
import re

import h5py
import numpy as np
import pytest
import xarray as xr
from IPython.core.interactiveshell import InteractiveShell
from scipy import sparse

from shmkit import sample, shared_load

README = (pathlib.Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


def blocks():
    return re.findall(r"```python\n(.*?)```", README, re.DOTALL)


@pytest.fixture
def shell():
    shell = InteractiveShell.instance()
    yield shell
    shell.reset()
    shell.restore_sys_module_state()
    InteractiveShell.clear_instance()


@pytest.mark.slow
def test_the_ten_lines_run(shell, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for number in (1, 2):
        sample.methylation(f"data{number}.txt", rows=1000, seed=number)
    first, second, *_ = blocks()
    shell.run_cell("def f(array):\n    return array['pct'].max()").raise_error()
    shell.run_cell(first).raise_error()
    shell.run_cell(second).raise_error()
    assert h5py.File("results.h5")["means"].shape == (2,)
    assert "error" not in capsys.readouterr().err.lower()


def test_datasets_of_xarray_and_cells_of_anndata_load(shell, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    dataset = xr.Dataset({"t": ("time", [20.0, 21.5])})
    dataset.to_netcdf("days.nc", engine="h5netcdf")
    genes = sparse.random(30, 20, 0.1, "csr", random_state=1)
    with h5py.File("cells.h5ad", "w") as file:  # as AnnData's specification says
        group = file.create_group("X")
        group.attrs["encoding-type"], group.attrs["shape"] = "csr_matrix", genes.shape
        for name in ("data", "indices", "indptr"):
            group.create_dataset(name, data=getattr(genes, name), compression="gzip")
        file["var/_index"] = [f"gene{n}" for n in range(20)]
    (block,) = (block for block in blocks() if "engine=" in block)
    shell.push({"xr": xr, "shared_load": shared_load, "csr_matrix": sparse.csr_matrix})
    shell.run_cell(block).raise_error()
    xr.testing.assert_identical(shell.user_ns["days"], dataset)
    counts, x = shell.user_ns["counts"], shell.user_ns["x"]
    assert (counts != genes).nnz == 0
    assert counts.shape == genes.shape
    assert all(np.shares_memory(getattr(counts, n), x[f"X/{n}"]) for n in ("data", "indices"))
    x.close()


def test_its_links_lead_somewhere():
    root = pathlib.Path(__file__).parents[2]
    for link in re.findall(r"\]\((?!http)([^)]+)\)|(?:src|srcset)=\"([^\"]+)\"", README):
        assert (root / (link[0] or link[1])).exists(), link
