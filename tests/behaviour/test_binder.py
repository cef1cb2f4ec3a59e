"""Binder: what repo2docker makes of binder/, and where the README's badges lead.

The step "Binder" of .ci/run installs the same, and runs the notebooks there in as little memory.
"""

import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]
NOTEBOOKS = {path.name for path in (ROOT / "notebooks").glob("*.ipynb")}


@pytest.fixture(scope="module")
def dockerfile():
    command = [sys.executable, "-m", "repo2docker", "--no-build", "--debug", ROOT]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout + done.stderr  # it goes to its log


def test_the_environment_is_of_the_python_that_runtime_txt_names(dockerfile):
    # Without the file it is repo2docker's default, which is another.
    (minor,) = set(re.findall(r"-2fenvironment-2epy-2d3-2e(\d+)-", dockerfile))
    assert (ROOT / "binder/runtime.txt").read_text().strip() == f"python-3.{minor}"


def test_it_installs_shmkit_with_all_that_the_notebooks_need(dockerfile):
    installs = re.findall(r"^RUN .*pip install .*$", dockerfile, re.MULTILINE)
    (line,) = installs
    options = line.partition("pip install ")[2]
    assert options == '--no-cache-dir -r "binder/requirements.txt"'
    assert f".venv/binder/bin/pip install -q {options} " in (ROOT / ".ci/run").read_text()
    assert "COPY --chown=0:0 src/ ${REPO_DIR}/\n" in dockerfile[: dockerfile.index(line)]
    assert (ROOT / "binder/requirements.txt").read_text() == ".[jupyter]\n"


def test_the_readme_has_each_notebook_and_a_badge_that_opens_it():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    badge = r"\(https://mybinder\.org/v2/gh/shmkit/shmkit/HEAD\?urlpath=lab/tree/notebooks/(.*?)\)"
    assert set(re.findall(r"\(notebooks/(.*?ipynb)\)", readme)) == NOTEBOOKS
    assert sorted(re.findall(badge, readme)) == sorted(NOTEBOOKS)
