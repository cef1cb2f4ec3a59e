"""What every test shares: a look at what is left behind, and what must be there in CI."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from IPython.core.displaypub import CapturingDisplayPublisher
from IPython.core.interactiveshell import InteractiveShell
from machine import own_segments, refuse, tool
from processes import Owner, guards_of, living
from traitlets.config import Config

from shmkit import sample, shared_load

# Nor is a busy machine a failure, nor a fixture for all examples of a test. (In CI the examples are
# the same each time: Hypothesis sees to that.)
settings.register_profile(
    "shmkit",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("shmkit")


@pytest.fixture
def superuser() -> None:
    """For what only root can set up; without it the test is refused."""
    if os.geteuid() != 0:
        refuse("only root can act as two users")


@pytest.fixture(autouse=True, scope="session")
def own_ipython(tmp_path_factory: pytest.TempPathFactory) -> None:
    """No history that other processes write, no start-up files of the user's."""
    os.environ["IPYTHONDIR"] = str(tmp_path_factory.mktemp("ipython"))


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """No test may leave a segment's name behind."""
    before = own_segments()
    yield
    assert own_segments() == before


@pytest.fixture(params=["shm", "memfd", "directory"])
def backing(request: pytest.FixtureRequest, tmp_path: Path) -> str | Path:
    """What `backing=` takes: each kind in turn."""
    return tmp_path if request.param == "directory" else request.param


@pytest.fixture
def paths(tmp_path: Path) -> list[str]:
    """Three files of methylation calls, of different lengths."""
    return [
        sample.methylation(str(tmp_path / f"sample{n}.txt"), rows=100 * n, seed=n)
        for n in (1, 2, 3)
    ]


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
        )

    return run


@pytest.fixture
def with_mount(tmp_path: Path) -> Callable[..., str]:
    """Run a text as a script in a mount namespace, once a shell has mounted something there."""
    unshare = tool("unshare")
    user = [] if os.geteuid() == 0 else ["--map-root-user"]

    def run(mount: str, text: str, then: str = 'exec "$@"') -> str:
        (tmp_path / "script.py").write_text(text)
        command = f'cd "$0" && {{ {mount}; }} || exit 77; {then}'
        done = subprocess.run(
            [
                *(unshare, "--mount", *user, "sh", "-c", command, tmp_path),
                *(sys.executable, "-W", "error", "script.py"),
            ],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        if done.returncode == 77 or done.stderr.startswith("unshare:"):
            refuse(f"no mount namespace can be made: {done.stderr}")
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    return run


@pytest.fixture
def orphan(tmp_path: Path) -> str:
    """A segment in a directory, whose owner was killed together with its guard."""
    code = (
        "import sys, shmkit\n"
        "array = shmkit.share([1, 2, 3], backing=sys.argv[1])\n"
        "print(array.segment.path, flush=True)\n"
        "sys.stdin.read()"
    )
    with Owner(code, tmp_path) as owner:
        (path,) = owner.says()
        for pid in (*guards_of(owner.pid), owner.pid):
            os.kill(pid, signal.SIGKILL)
            assert not living([pid])
    assert os.path.exists(path)
    return path


@pytest.fixture
def shell() -> Iterator[InteractiveShell]:
    """A real IPython shell that keeps what is displayed."""
    config = Config({"HistoryManager": {"enabled": False}})
    shell = InteractiveShell.instance(
        config=config,
        user_module=types.ModuleType("notebook"),
        display_pub_class=CapturingDisplayPublisher,
    )
    yield shell
    shell.restore_sys_module_state()
    InteractiveShell.clear_instance()
