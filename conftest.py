"""Examples in docstrings get a folder of their own and leave no figure; benchmarks are no tests.

Each cell of a notebook is a test, and a slow one.
"""

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

collect_ignore = ["tests/benchmarks"]
if importlib.util.find_spec("shmkit.readers.text.parser._parser") is None:  # there was no compiler
    needs_parser = "parser", "table", "test_columns.py", "test_header.py", "test_preamble.py"
    collect_ignore += [f"tests/readers/text/{name}" for name in (*needs_parser, "test_shape.py")]
    collect_ignore.append("tests/loading/files/test_alike.py")
else:
    collect_ignore.append("tests/behaviour/test_uncompiled.py")
if sys.version_info < (3, 13):  # whose headers know nothing of free threads
    collect_ignore.append("tests/test_setup.py")


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
    if isinstance(request.node, pytest.DoctestItem) and "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")
