"""Make the README's pictures, of the load panel and of the plots: ``python tests/picture.py``.

The panel: a real load in a real JupyterLab, as soon as one file, with a bad row, has failed: then
its loaders are stopped for as long as the picture takes.
"""

from __future__ import annotations

import os
import signal
import tempfile
from pathlib import Path

import numpy as np
from lab import Lab
from machine import tool
from processes import loaders_of

import shmkit
from shmkit import sample

LOAD = """
import os, pathlib
pathlib.Path("pid").write_text(str(os.getpid()))
from shmkit import sample, shared_load
files = ["grid_*.npy", "sample*.txt"]
arrays = shared_load(files, on_error="skip")
"""
HERE = Path(__file__).parents[1] / "notebooks"


def main() -> None:
    """Write notebooks/panel-light.png, panel-dark.png, preview.png, timeline.png and memory.png."""
    plots()
    with tempfile.TemporaryDirectory() as name, Lab(Path(name), tool("chromium")) as lab:
        for year in (2023, 2024):  # larger than the texts, so they are loaded first
            np.save(lab.folder / f"grid_{year}.npy", sample.climate(steps=200))
        for number in range(1, 8):
            rows = {2: 1_600_000, 4: 300_000}.get(number, 1_500_000)
            sample.methylation(lab.folder / f"sample{number:02}.txt", rows, number)
        with open(lab.folder / "sample02.txt", "a", encoding="utf-8") as file:
            file.write("chr7\t1042\t0.5\n")
        for theme in ("Light", "Dark"):
            with lab.open([LOAD], scale=2) as notebook:
                notebook.set_theme(f"JupyterLab {theme}")
                notebook.start(0)
                panel = notebook.output(0).locator(".shmkit-live")
                notebook.page.wait_for_function(  # looks at each frame
                    """() => /1 failed/.test(
                        document.querySelector('.shmkit-live')?.textContent)"""
                )
                loaders = loaders_of(int((lab.folder / "pid").read_text()))
                for loader in loaders:
                    os.kill(loader, signal.SIGSTOP)
                panel.screenshot(path=HERE / f"panel-{theme.lower()}.png")
                for loader in loaders:
                    os.kill(loader, signal.SIGCONT)
                notebook.wait()


def plots() -> None:
    """Write a picture of each plot; they are transparent, so one does for light and dark."""
    with tempfile.TemporaryDirectory() as name:
        paths = [
            sample.methylation(os.path.join(name, f"sample{number:02}.txt"), 700_000, number)
            for number in range(1, 8)
        ]
        shmkit.shared_load(paths, processes=2, progress=False).close()  # its loaders stay
        with shmkit.shared_load(paths, processes=2, progress=False) as arrays:
            drawn = {
                "preview": shmkit.preview(arrays[0])[0],
                "timeline": arrays.plot_timeline(),
                "memory": arrays.plot_memory(),
            }
            for what, ax in drawn.items():
                ax.figure.savefig(HERE / f"{what}.png", dpi=110)


if __name__ == "__main__":
    main()
