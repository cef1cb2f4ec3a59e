"""Who shows how far a load or an export is."""

import contextlib
import os
import pty
import re
import subprocess
import sys
import termios

import numpy as np
import pytest
from IPython.core.interactiveshell import InteractiveShell

from shmkit import shared_load
from shmkit._monitor import NoMonitor
from shmkit.display import terminal as in_terminal
from shmkit.display.progress import export_monitor, load_monitor


class Half:
    """Work that is half done."""

    nbytes_done, nbytes_total = 50_000_000, 100_000_000


@pytest.fixture
def kernel():
    """A shell that says it is a kernel's."""
    shell = InteractiveShell.instance()
    shell.kernel = None
    yield shell
    shell.restore_sys_module_state()
    InteractiveShell.clear_instance()


@contextlib.contextmanager
def terminal():
    """stderr is a terminal; gives a function that reads what was written there."""
    there, here = pty.openpty()
    os.set_blocking(there, False)
    termios.tcsetwinsize(here, (24, 80))
    with (
        open(there, "rb", buffering=0) as screen,
        open(here, "w") as stderr,
        contextlib.redirect_stderr(stderr),
    ):

        def written():
            return (screen.read(10_000) or b"").decode()

        yield written


@pytest.mark.parametrize(
    ("variable", "progress", "kind"),
    [
        ("", None, "NoMonitor"),
        ("auto", None, "NoMonitor"),
        ("auto", True, "bar"),
        ("widget", None, "NoMonitor"),  # there is no notebook that could show one
        ("widget", True, "bar"),
        ("tqdm", None, "bar"),
        ("plain", None, "line"),
        ("off", None, "NoMonitor"),
        ("off", True, "bar"),  # the call says more than the environment
        ("widget", False, "NoMonitor"),
    ],
)
def test_the_call_then_the_variable_then_the_place_decide(monkeypatch, variable, progress, kind):
    monkeypatch.setenv("SHMKIT_PROGRESS", variable)
    monitor = load_monitor(progress)
    found = type(monitor).__name__
    if isinstance(monitor, in_terminal.LoadBar):
        found = "line" if monitor.plain else "bar"
    assert found == kind


def test_a_terminal_gets_a_bar_and_a_notebook_the_panel(request):
    with terminal():
        assert isinstance(load_monitor(None), in_terminal.LoadBar)
        request.getfixturevalue("kernel")
        assert type(load_monitor(None)).__name__ == "Panel"
        assert isinstance(load_monitor(False), NoMonitor)


def test_an_unknown_value_is_an_error_that_names_the_variable(monkeypatch, calls):
    monkeypatch.setenv("SHMKIT_PROGRESS", "loud")
    with pytest.raises(ValueError, match=r"variable SHMKIT_PROGRESS='loud' is none of .*'plain'"):
        shared_load(calls)


def test_plain_is_one_line_at_the_end(monkeypatch, capfd, tmp_path):
    np.save(tmp_path / "a.npy", np.ones(2))
    monkeypatch.setenv("SHMKIT_PROGRESS", "plain")
    shared_load(tmp_path / "a.npy").close()
    out, err = capfd.readouterr()
    assert out == ""
    assert re.fullmatch(r"1 file, 144 B in .* \(.*/s\), 1 loader process\n", err)


def test_an_export_in_a_terminal_has_a_bar_that_goes(monkeypatch):
    monkeypatch.setattr(in_terminal, "_PATIENCE", 0)
    drawn = ""
    with terminal() as written:
        bar = export_monitor(None)
        bar.begin(Half())
        while not re.search(r" 50%\|.*\| 50\.0M/100M ", drawn):  # ten times a second at most
            bar.update(Half())
            drawn += written()
        bar.end(Half())
        left = ""
        while not left.endswith(" \r"):  # a terminal takes a moment to pass it on
            left += written()
        assert re.fullmatch(r"\r +\r", left)


@pytest.mark.parametrize("kind", ["plain", "off"])
def test_a_quiet_export_says_nothing(monkeypatch, capfd, kind):
    monkeypatch.setenv("SHMKIT_PROGRESS", kind)
    monitor = export_monitor(None)
    monitor.begin(Half())
    monitor.update(Half())
    monitor.end(Half())
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("variable", ["auto", "widget"])
def test_a_kernel_shows_a_widget(monkeypatch, kernel, variable):
    monkeypatch.setenv("SHMKIT_PROGRESS", variable)
    assert type(load_monitor(None)).__name__ == "Panel"


def test_widgets_asked_for_in_a_script_lose_no_arrays(run_script):
    done = run_script("""
import os
os.environ["SHMKIT_PROGRESS"] = "widget"
import numpy as np, shmkit
np.save("x.npy", np.arange(3))
with shmkit.shared_load("x.npy") as (x,):
    shmkit.to_hdf5("x.h5", x)
    print(x.tolist())
""")
    assert (done.stdout, done.stderr) == ("[0, 1, 2]\n", "")


@pytest.mark.slow
def test_marimo_shows_a_line_of_a_load_and_the_table_of_panel(tmp_path):
    np.save(tmp_path / "one.npy", np.zeros(100))
    (tmp_path / "app.py").write_text(
        "import marimo\n"
        "app = marimo.App()\n"
        "@app.cell\n"
        "def _():\n"
        "    import shmkit\n"
        f"    arrays = shmkit.shared_load({str(tmp_path / 'one.npy')!r})\n"
        "    shmkit.panel()\n"
        "    return\n"
    )
    command = [sys.executable, "-m", "marimo", "export", "html", "app.py", "-o", "app.html"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=50)
    page = (tmp_path / "app.html").read_text()
    assert re.search(r"1 file, 928 B in .* 1 loader process", page)
    assert "1 segment, 800 B here" in page
