"""Make the README's pictures of the load panel: ``python tests/picture.py``.

A real load in a real JupyterLab, caught when some files are ready, some are loading, and one, with
a bad row, has failed.
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import numpy as np
from lab import Lab
from playwright.sync_api import expect

from conftest import tool
from shmkit import sample

LOAD = """
from shmkit import sample, shared_load
files = ["grid_2024.npy", "sample0*.txt"]
arrays = shared_load(files, on_error="skip")
"""
HERE = Path(__file__).parents[1] / "notebooks"


def main() -> None:
    """Write notebooks/panel-light.png and notebooks/panel-dark.png."""
    with tempfile.TemporaryDirectory() as name, Lab(Path(name), tool("chromium")) as lab:
        np.save(lab.folder / "grid_2024.npy", sample.climate(steps=100))
        for number in range(1, 9):
            rows = {2: 1_600_000, 4: 300_000, 8: 300_000}.get(number, 1_500_000)
            sample.methylation(lab.folder / f"sample{number:02}.txt", rows, number)
        with open(lab.folder / "sample02.txt", "a", encoding="utf-8") as file:
            file.write("chr7\t1042\tn/a\t3\t1\n")
        for theme in ("Light", "Dark"):
            with lab.open([LOAD], scale=2) as notebook:
                notebook.set_theme(f"JupyterLab {theme}")
                notebook.start(0)
                panel = notebook.output(0)
                caught = re.compile(r"ready, \d loading, .*1 failed")
                expect(panel).to_contain_text(caught, timeout=60_000)
                panel.screenshot(path=HERE / f"panel-{theme.lower()}.png")
                notebook.wait()


if __name__ == "__main__":
    main()
