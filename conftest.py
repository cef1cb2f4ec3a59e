"""Examples in docstrings get a folder of their own and leave nothing; benchmarks are no tests.

Each cell of a notebook is a test, and a slow one.
"""

import builtins
import contextlib
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from xdist.scheduler import LoadFileScheduling

# Tests of what killed processes have left. Who lists that, or removes it, finds it in whatever
# directory a living process uses, so that one of these files would spoil another at the same time.
ALL_IN_ONE_PROCESS = (
    "tests/cleanup/",
    "tests/commands/test_cli.py",
    "tests/commands/magics/test_shm.py",
    "tests/display/test_listing.py",
    "tests/display/test_memory_panel.py",
)

collect_ignore = ["tests/benchmarks"]
if importlib.util.find_spec("shmkit.readers.text.parser._parser") is None:  # there was no compiler
    needs_parser = "parser", "table", "test_columns.py", "test_header.py", "test_preamble.py"
    collect_ignore += [f"tests/readers/text/{name}" for name in (*needs_parser, "test_shape.py")]
    collect_ignore.append("tests/loading/files/test_alike.py")
else:
    collect_ignore.append("tests/behaviour/test_uncompiled.py")
if sys.version_info < (3, 13):  # whose headers know nothing of free threads
    collect_ignore.append("tests/test_setup.py")


class Scheduling(LoadFileScheduling):
    """Which tests run in one process: those of a file, and of files that spoil one another."""

    def _split_scope(self, nodeid: str) -> str:
        if nodeid.startswith(ALL_IN_ONE_PROCESS):
            return "what is left"
        return str(super()._split_scope(nodeid))


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> Scheduling:
    """Have it used where there are several processes."""
    return Scheduling(config, log)


def pytest_configure(config: pytest.Config) -> None:
    """Have tests that run at the same time not see each other's shared memory."""
    if hasattr(config, "workerinput"):  # one of several processes
        from machine import own_shared_memory  # noqa: PLC0415 - its folder is known by now

        own_shared_memory()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what no decorator can be written beside."""
    for item in items:
        if item.path.suffix == ".ipynb":
            item.add_marker(pytest.mark.slow)


@pytest.fixture(autouse=True)
def _examples_in_their_own_folder(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    if isinstance(request.node, pytest.DoctestItem):
        monkeypatch.chdir(tmp_path)
    yield
    if isinstance(request.node, pytest.DoctestItem):
        with contextlib.suppress(AttributeError):  # the last value shown, and its shared memory
            del builtins._  # type: ignore[attr-defined]
        if "matplotlib.pyplot" in sys.modules:
            sys.modules["matplotlib.pyplot"].close("all")
