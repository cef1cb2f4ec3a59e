"""A real kernel, started and ended as Jupyter does it."""

import os

import numpy as np
import pytest
from jupyter_client.manager import KernelManager


@pytest.fixture
def kernel(tmp_path, monkeypatch):
    """A running kernel in a folder with two files, and a client of it."""
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    for name in "ab":
        np.save(tmp_path / f"{name}.npy", np.ones(1000))
    manager = KernelManager(kernel_name="python3")
    manager.start_kernel(cwd=str(tmp_path))
    client = manager.client()
    client.start_channels()
    client.wait_for_ready(timeout=60)
    yield manager, client
    client.stop_channels()
    if manager.has_kernel:
        manager.shutdown_kernel()  # not now=True: a killed kernel would leave its segments
    manager.cleanup_resources()


def run(client, code):
    """What a cell prints; it must raise nothing."""
    printed = []

    def output(message):
        if message["msg_type"] == "stream" and message["content"]["name"] == "stdout":
            printed.append(message["content"]["text"])

    reply = client.execute_interactive(code, timeout=60, output_hook=output, allow_stdin=False)
    assert reply["content"]["status"] == "ok", reply["content"]
    return "".join(printed).split()


LOAD = (
    "from shmkit import shared_load\n"
    "from shmkit._workers import _idle\n"
    "arrays = shared_load(['a.npy', 'b.npy'], processes=2)\n"
    "print(*[a.segment.path for a in arrays], *[f'/proc/{x.process.pid}' for x in _idle])\n"
)


@pytest.mark.parametrize("restart", [False, True])
def test_a_kernel_that_ends_leaves_nothing(kernel, restart):
    manager, client = kernel
    left = run(client, LOAD)
    assert len(left) == 4
    assert all(map(os.path.exists, left))
    if restart:
        manager.restart_kernel()
        client.wait_for_ready(timeout=60)
    else:
        manager.shutdown_kernel()
    # A kernel that does not end by itself in time is killed, and would leave what it has.
    assert [path for path in left if os.path.exists(path)] == []


def test_the_same_cell_run_again_gives_its_memory_back(kernel):
    _, client = kernel
    first = run(client, LOAD)
    second = run(client, LOAD)
    assert [os.path.exists(path) for path in first[:2]] == [False, False]
    assert set(first[2:]) == set(second[2:])
    assert all(map(os.path.exists, second))
