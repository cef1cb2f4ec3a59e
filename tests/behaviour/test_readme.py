"""The README's example does what it says, as it stands there."""

import pathlib
import re

import h5py
import pytest
from IPython.core.interactiveshell import InteractiveShell

from shmkit import sample

README = (pathlib.Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


@pytest.fixture
def shell():
    shell = InteractiveShell.instance()
    yield shell
    shell.reset()
    shell.restore_sys_module_state()
    InteractiveShell.clear_instance()


def test_the_ten_lines_run(shell, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for number in (1, 2):
        sample.methylation(f"data{number}.txt", rows=1000, seed=number)
    first, second = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    shell.run_cell("def f(array):\n    return array['pct'].max()").raise_error()
    shell.run_cell(first).raise_error()
    shell.run_cell(second).raise_error()
    assert h5py.File("results.h5")["means"].shape == (2,)
    assert "error" not in capsys.readouterr().err.lower()


def test_its_links_lead_somewhere():
    root = pathlib.Path(__file__).parents[2]
    for link in re.findall(r"\]\((?!http)([^)]+)\)|(?:src|srcset)=\"([^\"]+)\"", README):
        assert (root / (link[0] or link[1])).exists(), link
