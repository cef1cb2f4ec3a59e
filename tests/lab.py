"""A real JupyterLab in a real Chromium, for tests.

    Lab ── starts ──▶ jupyter lab ── starts ──▶ kernel (this interpreter)
     └──── starts ──▶ Chromium ──▶ Page: one notebook; run, look, save, read back

Every folder that Jupyter reads or writes is the test's own. Nothing waits for a time: everything
waits for what it needs to see.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import socket
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import nbformat
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Locator, sync_playwright

import shmkit

_FLAGS = (
    "--no-sandbox",  # root, as in a container, has none
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


class Lab:
    """A JupyterLab server and a browser; a context manager that ends both."""

    def __init__(self, folder: Path, chromium: str) -> None:
        self.folder = folder / "notebooks"
        self.folder.mkdir()
        self._token = secrets.token_hex(16)
        self._stack = contextlib.ExitStack()
        with contextlib.ExitStack() as started:  # what has started ends if the next thing fails
            self._url = self._start_server(folder, started)
            playwright = started.enter_context(sync_playwright())
            self._browser = playwright.chromium.launch(executable_path=chromium, args=_FLAGS)
            started.callback(self._browser.close)
            self._stack = started.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def _start_server(self, folder: Path, started: contextlib.ExitStack) -> str:
        folders = {
            "JUPYTER_CONFIG_DIR": "config",
            "JUPYTER_DATA_DIR": "data",
            "JUPYTER_RUNTIME_DIR": "runtime",
            "JUPYTERLAB_SETTINGS_DIR": "settings",
            "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
            "IPYTHONDIR": "ipython",
        }
        # Colours in the server's log would hide its address.
        environment = {**os.environ, "NO_COLOR": "1"}
        environment |= {name: str(folder / path) for name, path in folders.items()}
        # The kernel is this interpreter, and its shmkit the one under test.
        environment["PYTHONPATH"] = os.path.dirname(os.path.dirname(shmkit.__file__))
        news = folder / "settings" / "@jupyterlab" / "apputils-extension"
        news.mkdir(parents=True)
        (news / "notification.jupyterlab-settings").write_text(
            '{"fetchNews": "false", "checkForUpdates": false}'
        )
        with socket.socket() as probe:  # if somebody takes the port meanwhile, Jupyter tries others
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        server = subprocess.Popen(
            [
                *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"),
                "--expose-app-in-browser",
                f"--ServerApp.root_dir={self.folder}",
                "--ServerApp.ip=127.0.0.1",
                f"--ServerApp.port={port}",
                f"--IdentityProvider.token={self._token}",
            ],
            env=environment,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert server.stderr is not None
        log: list[str] = []
        known = threading.Event()  # the address, or that there will be none
        address = re.compile(r"http://127\.0\.0\.1:\d+(?=/lab\?token=)")

        def read(lines: Iterable[str]) -> None:
            for line in lines:
                log.append(line)
                if address.search(line):
                    known.set()
            known.set()

        # It reads to the end: the server would stop at a full pipe.
        reading = threading.Thread(target=read, args=(server.stderr,))
        reading.start()
        started.enter_context(server.stderr)
        started.callback(reading.join)
        started.callback(_end, server)
        known.wait()
        found = address.search("".join(log))
        assert found, f"jupyter lab did not start:\n{''.join(log)}"
        return found[0]

    @contextlib.contextmanager
    def open(self, cells: Sequence[str], *, scale: float = 1) -> Iterator[Page]:
        """Write a notebook of these code cells and open it, with its kernel running."""
        name = secrets.token_hex(4)
        notebook = nbformat.v4.new_notebook(
            cells=[nbformat.v4.new_code_cell(cell) for cell in cells],
            metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}},
        )
        path = self.folder / f"{name}.ipynb"
        nbformat.write(notebook, path)
        page = self._browser.new_page(
            viewport={"width": 1200, "height": 900}, device_scale_factor=scale
        )
        page.set_default_timeout(60_000)  # ms; a busy machine is no failure
        try:
            # A workspace of its own: else the tabs of the last test come back.
            page.goto(f"{self._url}/lab/workspaces/{name}/tree/{path.name}?token={self._token}")
            yield Page(page, path)
            # A kernel that ends by itself cleans up; the server's own end would kill it.
            page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.shutdown()")
        finally:
            page.close()


class Page:
    """One notebook in the browser.

    Attributes
    ----------
    page : playwright.sync_api.Page
    errors : list of str
        What the browser's console reported as an error.
    """

    def __init__(self, page: Any, path: Path) -> None:
        self.page = page
        self.errors: list[str] = []
        self._path = path
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", lambda m: self.errors.append(m.text) if m.type == "error" else None)
        self._wait_for_kernel()

    def _wait_for_kernel(self) -> None:
        self.page.wait_for_function(
            "() => window.jupyterapp?.shell.currentWidget"
            "?.sessionContext?.session?.kernel?.status === 'idle'"
        )

    def reopen(self) -> None:
        """Open the notebook as it was saved, with another kernel."""
        self.page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.shutdown()")
        self.page.reload()
        self._wait_for_kernel()

    def restart(self) -> None:
        """Restart the kernel, as JupyterLab's command does once it is confirmed."""
        context = "window.jupyterapp.shell.currentWidget.sessionContext"
        self.page.evaluate(f"() => {context}.restartKernel()")
        self._wait_for_kernel()

    def start(self, number: int) -> None:
        """Begin to run a cell."""
        self.page.evaluate(
            """number => {
                const app = window.jupyterapp;
                app.shell.currentWidget.content.activeCellIndex = number;
                window.running = app.commands.execute('notebook:run-cell');
            }""",
            number,
        )

    def wait(self) -> None:
        """Wait for the end of the cell that was started."""
        self.page.evaluate("() => window.running")

    def run(self, number: int) -> None:
        """Run a cell that raises nothing."""
        self.start(number)
        self.wait()
        traceback = self.output(number).filter(has_text="Traceback")
        assert traceback.count() == 0, traceback.all_inner_texts()

    def interrupt(self) -> None:
        """Interrupt the kernel, as the stop button does."""
        self.page.evaluate("() => window.jupyterapp.commands.execute('notebook:interrupt-kernel')")

    def output(self, number: int) -> Locator:
        """Everything that a cell put out."""
        return self.page.locator(".jp-Cell").nth(number).locator(".jp-OutputArea-output")

    def set_theme(self, name: str) -> None:
        """Switch to "JupyterLab Light" or "JupyterLab Dark"."""
        self.page.evaluate(
            "theme => window.jupyterapp.commands.execute('apputils:change-theme', {theme})", name
        )
        color = "white" if name.endswith("Light") else "#111"
        self.page.wait_for_function(
            """([name, color]) => document.body.dataset.jpThemeName === name
                && getComputedStyle(document.body).getPropertyValue('--jp-layout-color0') === color
                && !document.getElementById('jupyterlab-splash')
            """,
            arg=[name, color],
        )

    def barriers(self) -> list[str]:
        """What axe-core finds in the outputs that keeps somebody out: its rule, and the element."""
        # JupyterLab's body has no height, so axe-core takes what is in it for invisible.
        self.page.evaluate("() => { document.body.style.height = '100vh' }")
        judged: set[str] = set()
        while "color-contrast" not in judged:  # it gives up where the page moves meanwhile
            found = Axe().run(self.page, ".jp-OutputArea-output").response
            judged = {rule["id"] for rule in found["passes"] + found["violations"]}
        return [
            f"{rule['id']}: {node['html']}"
            for rule in found["violations"]
            if rule["impact"] in ("serious", "critical")
            for node in rule["nodes"]
        ]

    def save(self) -> nbformat.NotebookNode:
        """Save the notebook and read the file."""
        self.page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")
        return nbformat.read(self._path, as_version=4)


def _end(server: subprocess.Popen[str]) -> None:
    server.terminate()
    try:
        server.wait(timeout=20)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
