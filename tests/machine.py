"""What a test needs of the machine, and what it may have left on it."""

from __future__ import annotations

import os
import shutil
from typing import NoReturn

import pytest

from shmkit.cleanup.owner import this_process


def own_segments() -> list[str]:
    """The names in /dev/shm that belong to this process."""
    return [name for name in os.listdir("/dev/shm") if name.startswith(f"shmkit-{this_process()}-")]


def refuse(reason: str) -> NoReturn:
    """Skip the test, for a reason that lies in the machine; in CI fail it."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def tool(name: str) -> str:
    """The path of a program that a test needs; without it the test is refused."""
    path = shutil.which(name)
    if path is None:
        refuse(f"{name} is not installed")
    return path
