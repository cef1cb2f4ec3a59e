"""shmkit demo: both ways, compared."""

import subprocess
import sys

import pytest


def demo(*arguments):
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "shmkit", "demo", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_the_demo_compares_and_leaves_nothing():
    done = demo("--rows", "20000")
    assert done.returncode == 0, done.stderr
    assert "read back with h5py: equal" in done.stdout
    assert done.stdout.endswith("segments left: 0\n")
    assert "np.loadtxt + h5py" in done.stdout
    assert done.stderr == ""


@pytest.mark.slow
@pytest.mark.parametrize("rows", ["0", "-3", "many"])
def test_a_bad_number_of_rows_is_an_error(rows):
    done = demo("--rows", rows)
    assert done.returncode == 2
    assert "--rows" in done.stderr
