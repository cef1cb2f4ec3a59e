import importlib.util
import os
import subprocess
import sys

import numpy as np
import pytest

from shmkit import share


def shmkit(*arguments):
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "shmkit", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_the_demo_compares_and_leaves_nothing():
    done = shmkit("demo", "--rows", "20000")
    assert done.returncode == 0, done.stderr
    assert "read back with h5py: equal" in done.stdout
    assert done.stdout.endswith("segments left: 0\n")
    assert "np.loadtxt + h5py" in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize("rows", ["0", "-3", "many"])
def test_a_bad_number_of_rows_is_an_error(rows):
    done = shmkit("demo", "--rows", rows)
    assert done.returncode == 2
    assert "--rows" in done.stderr


def test_no_command_says_what_there_is():
    done = shmkit()
    assert done.returncode == 2
    assert "usage: shmkit" in done.stderr


@pytest.fixture
def orphan(tmp_path):
    """A segment in a directory, whose owner was killed together with its guard."""
    code = (
        "import os, shmkit\n"
        "from shmkit import _guard\n"
        f"array = shmkit.share([1, 2, 3], backing={str(tmp_path)!r})\n"
        "os.kill(_guard._guard._pid, 9)\n"
        "print(array.segment.path, flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    path = done.stdout.strip()
    assert os.path.exists(path)
    return path


def test_ls_says_what_is_in_each_segment_and_whose_it_is(tmp_path, orphan):
    table = share(np.zeros(4, [("chr", "S5"), ("pos", "i8")]), backing=tmp_path)
    image = share(np.zeros((20, 30), "f4"), backing="memfd")
    image.publish("image")
    done = shmkit("ls", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    lines = {line.split()[0]: " ".join(line.split()[1:]) for line in done.stdout.splitlines()}
    pid = os.getpid()
    assert lines["SEGMENT"] == "NAME BYTES DTYPE SHAPE OWNER AGE"
    assert lines[table.segment.path].startswith(f"180 B chr pos (4,) {pid} alive ")
    assert lines[image.segment.path].startswith(f"image 2.53 kB float32 (20, 30) {pid} alive ")
    assert lines[orphan].startswith("152 B int64 (3,) ")
    assert " ended " in lines[orphan]
    assert "1 segment, 152 B, left by processes that were killed: shmkit gc" in done.stdout


def test_gc_removes_what_was_left_and_nothing_else(tmp_path, orphan):
    mine = share([1], backing=tmp_path)
    done = shmkit("gc", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{orphan}\nremoved 1 segment, 152 B\n"
    assert os.listdir(tmp_path) == [os.path.basename(mine.segment.path)]


def test_a_segment_that_was_closed_is_not_listed(tmp_path):
    array = share([1], backing=tmp_path)
    assert str(tmp_path) in shmkit("ls", tmp_path).stdout
    array.close()
    assert str(tmp_path) not in shmkit("ls", tmp_path).stdout


def test_a_directory_that_is_none_is_an_error(tmp_path):
    done = shmkit("gc", tmp_path / "nowhere")
    assert done.returncode == 2
    assert "nowhere is not a directory" in done.stderr


def test_info_says_which_parser_is_in_use():
    done = shmkit("info")
    assert (done.returncode, done.stderr) == (0, "")
    compiled = importlib.util.find_spec("shmkit.readers._parser") is not None
    assert ("text parser       compiled\n" in done.stdout) == compiled
    assert ("text parser       np.loadtxt" in done.stdout) != compiled
    assert "/dev/shm          " in done.stdout
