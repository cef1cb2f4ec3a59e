"""A real kernel, started and ended as Jupyter does it."""

import os
import random
import threading

import numpy as np
import pytest
from jupyter_client.manager import KernelManager
from processes import at_work, guards_of, heard, left_of, loaders_of


@pytest.fixture
def kernel(tmp_path, monkeypatch):
    """A running kernel in a folder with two files, and a client of it."""
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    for name in "ab":
        np.save(tmp_path / f"{name}.npy", np.ones(1000))
    manager = KernelManager(kernel_name="python3", shutdown_wait_time=60)  # a busy machine
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
    "arrays = shared_load(['a.npy', 'b.npy'], processes=2)\n"
    "print(*[array.segment.path for array in arrays])\n"
)


@pytest.mark.slow
@pytest.mark.parametrize("restart", [False, True])
def test_a_kernel_that_ends_leaves_nothing(kernel, restart):
    manager, client = kernel
    pid = manager.provisioner.pid
    left = [*run(client, LOAD), *(f"/proc/{loader}" for loader in loaders_of(pid))]
    assert len(left) == 4
    assert all(map(os.path.exists, left))
    assert len(guards_of(pid)) == 1
    if restart:
        manager.restart_kernel()
        client.wait_for_ready(timeout=60)
    else:
        manager.shutdown_kernel()
    # A kernel that does not end by itself in time is killed, and would leave what it has.
    assert [path for path in left if os.path.exists(path)] == []
    assert left_of(pid) == []


@pytest.mark.slow
def test_the_same_cell_run_again_gives_its_memory_back(kernel):
    manager, client = kernel
    first = run(client, LOAD)
    loaders = loaders_of(manager.provisioner.pid)
    second = run(client, LOAD)
    assert [os.path.exists(path) for path in first] == [False, False]
    assert loaders_of(manager.provisioner.pid) == loaders
    assert all(map(os.path.exists, second))


# What a kernel is doing when it is killed: each cell says so through the FIFO, at a moment of its
# own, or is killed at a drawn one.
PRELUDE = """
import os, signal, threading
import numpy as np
from shmkit import attach, share, shared_load

files = [f"{n}.txt" for n in range(4)]

def say():
    with open("fifo", "w") as file:
        file.write(str(os.getpid()))

def stop_at(moment):
    def number(text):
        if text == moment:
            say()
            signal.pause()
        return float(text)
    return {"dtype": "f8", "converters": {0: number}, "processes": 2}

def stuck(path):
    say()
    return 10 ** (10**8)

def fail(path):
    raise ValueError

"""
MOMENTS = [
    "say()",
    "shared_load(files, **stop_at('0'))",  # the first row: in the probe
    "shared_load(files, **stop_at('1'))",
    "shared_load(files, **stop_at('39999'))",  # the last row of the last file
    "shared_load(files, **stop_at('1'), backing='memfd')",
    "shared_load(files, **stop_at('1'), backing='.')",
    "shared_load(files[0], reader=stuck)",
    "arrays = shared_load(files); shared_load(files, **stop_at('1'))",
    "threading.Thread(target=shared_load, args=[files], kwargs=stop_at('1')).start()",
    "arrays = shared_load(files); say()",
    "shared_load(files, backing='.')[0].publish(f'kernel-{os.getpid()}'); say()",
    "arrays = shared_load(files); arrays.close(); say()",
]
DRAWN = 8


@pytest.mark.slow
def test_a_kernel_that_is_killed_leaves_nothing_whatever_it_was_doing(kernel, tmp_path):
    """As Jupyter kills one that does not answer: SIGKILL to its whole process group."""
    manager, client = kernel
    for n in range(4):
        np.savetxt(tmp_path / f"{n}.txt", np.arange(10_000 * n, 10_000 * (n + 1)), "%d")
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    draw = random.Random(3)
    for moment in [*MOMENTS, *["arrays = shared_load(files)"] * DRAWN]:
        pid = manager.provisioner.pid
        client.execute(PRELUDE + moment)
        if moment in MOMENTS:
            heard(fifo)
        else:
            threading.Event().wait(draw.uniform(0.1, 0.8))
        manager.restart_kernel(now=True)
        assert left_of(pid, tmp_path) == [], moment
        client.wait_for_ready(timeout=60)


@pytest.mark.slow
def test_the_guard_holds_nothing_of_the_kernels(kernel):
    manager, client = kernel
    run(client, LOAD)
    (guard,) = guards_of(manager.provisioner.pid)
    folder = f"/proc/{at_work(guard)}/fd"
    held = [os.readlink(f"{folder}/{number}") for number in sorted(os.listdir(folder))]
    assert held[0].startswith("pipe:")
    assert held[1:] == ["/dev/null", "/dev/null"]
    assert os.getsid(guard) == guard
