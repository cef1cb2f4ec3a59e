"""What every test shares: a look at what is left behind, and tools that must be there in CI."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from shmkit import shared_load
from shmkit._owner import this_process


def own_segments() -> list[str]:
    """The names in /dev/shm that belong to this process."""
    return [name for name in os.listdir("/dev/shm") if name.startswith(f"shmkit-{this_process()}-")]


def tool(name: str) -> str:
    """The path of a program that a test needs; without it the test is skipped, in CI it fails."""
    path = shutil.which(name)
    if path is None:
        reason = f"{name} is not installed"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return path


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """No test may leave a segment's name behind."""
    before = own_segments()
    yield
    assert own_segments() == before


@pytest.fixture
def fifo(tmp_path: Path) -> str:
    """A named pipe, on which a process says that it has come so far."""
    path = tmp_path / "fifo"
    os.mkfifo(path)
    return str(path)


@pytest.fixture
def calls(tmp_path: Path) -> Path:
    """A small text file with a header."""
    path = tmp_path / "calls.txt"
    path.write_text("chr\tpos\tpct\nchr1\t10\t25.0\nchrX\t20\t75.0\n")
    return path


@pytest.fixture
def two_arrays(tmp_path: Path):
    """Two arrays as `shared_load` returns them."""
    for number, name in enumerate(["one", "two"]):
        np.save(tmp_path / f"{name}.npy", np.arange(3) + number)
    with shared_load([tmp_path / "one.npy", tmp_path / "two.npy"], progress=False) as arrays:
        yield arrays


@pytest.fixture
def run_script(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a text as a script in a Python of its own, and say what it printed."""

    def run(text: str, *, check: bool = True) -> subprocess.CompletedProcess[str]:
        script = tmp_path / "script.py"
        script.write_text(text)
        return subprocess.run(
            [sys.executable, "-W", "error", script],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=check,
            timeout=60,
        )

    return run
