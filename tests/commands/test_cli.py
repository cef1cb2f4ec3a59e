import importlib.metadata
import importlib.util
import os
import re
import subprocess
import sys
import time

import numpy as np
import pytest

from shmkit import __version__, share, shared_load
from shmkit.cleanup.owner import lock_path, this_process


def shmkit(*arguments):
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "shmkit", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_no_command_says_what_there_is():
    done = shmkit()
    assert done.returncode == 2
    assert "usage: shmkit" in done.stderr


def test_the_version_is_told():
    done = shmkit("--version")
    assert done.stdout == f"shmkit {__version__}\n"
    assert __version__ == importlib.metadata.version("shmkit")


def test_ls_says_what_is_in_each_segment_and_whose_it_is(tmp_path, orphan):
    table = share(np.zeros(4, [("chr", "S5"), ("pos", "i8")]), backing=tmp_path)
    image = share(np.zeros((20, 30), "f4"), backing="memfd")
    image.publish("image")
    done = shmkit("ls", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    lines = {line.split()[-1]: " ".join(line.split()[:-1]) for line in done.stdout.splitlines()}
    pid = os.getpid()
    assert lines["Segment"] == "Shape Array Memory Owner Age Name"
    assert lines[table.segment.path].startswith(f"4 chr pos 52 B {pid} ")
    assert lines[image.segment.path].startswith(
        f"20 \N{MULTIPLICATION SIGN} 30 float32 2.40 kB {pid} "
    )
    assert lines[image.segment.path].endswith(" image")
    assert lines[orphan].startswith("3 int64 24 B ")
    assert ", ended" in lines[orphan]
    # Or more: processes of other tests may have left some in /dev/shm.
    left = "(1 segment, 24 B|[0-9]+ segments, .*), left by processes that were killed: "
    assert re.search(left, done.stdout)
    assert ": shmkit gc, " in done.stdout
    assert re.search(r"/dev/shm: .* free of ", done.stdout)


def test_gc_removes_what_was_left_and_nothing_else(tmp_path, orphan):
    mine = share([1], backing=tmp_path)
    done = shmkit("gc", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    *removed, summary = done.stdout.splitlines()
    assert orphan in removed  # and what other tests' processes left where this one has a lock
    if removed == [orphan]:
        assert summary == "removed 1 segment, 24 B"
    else:
        assert summary.startswith(f"removed {len(removed)} segments, ")
    left = lock_path(str(tmp_path), this_process()), mine.segment.path
    assert sorted(os.listdir(tmp_path)) == sorted(map(os.path.basename, left))


def test_what_a_terminal_would_obey_is_escaped(tmp_path):
    """Names of fields are from the files of anybody, for root of any user."""
    dtype = [("\x1b]0;owned\x07", "i4"), ("\x9b2J", "i4"), ("\u202egpj", "i4"), ("größe", "i4")]
    with share(np.zeros(2, dtype), backing=tmp_path):
        done = shmkit("ls", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert r"\x1b]0;owned\x07 \x9b2J \u202egpj" in done.stdout
    assert not set(done.stdout) & set("\x1b\x07\x9b\u202e")


def test_a_segment_that_was_closed_is_not_listed(tmp_path):
    array = share([1], backing=tmp_path)
    path = array.segment.path
    assert path in shmkit("ls").stdout  # its owner lives, and so tells the directory
    array.close()
    assert path not in shmkit("ls", tmp_path).stdout


def test_a_directory_that_is_none_is_an_error(tmp_path):
    done = shmkit("gc", tmp_path / "nowhere")
    assert done.returncode == 2
    assert "nowhere is not a directory" in done.stderr


def test_info_says_which_parser_is_in_use():
    done = shmkit("info")
    assert (done.returncode, done.stderr) == (0, "")
    compiled = importlib.util.find_spec("shmkit.readers.text.parser._parser") is not None
    assert ("text parser       compiled" in done.stdout) == compiled
    with open("/proc/cpuinfo") as file:
        flags = file.read()
    avx2, avx512 = " avx2 " in flags, " avx512_vbmi2 " in flags
    assert ("compiled, for AVX-512\n" in done.stdout) == (compiled and avx512)
    assert ("compiled, for AVX2\n" in done.stdout) == (compiled and avx2 and not avx512)
    assert ("text parser       np.loadtxt" in done.stdout) != compiled
    assert "/dev/shm          " in done.stdout


@pytest.mark.slow
def test_cache_lists_what_is_kept_and_clears_it(tmp_path):
    path, cache = tmp_path / "calls.txt", tmp_path / "cache"
    assert "there is no cache" in shmkit("cache", "ls", cache).stdout
    path.write_text("1\n2\n")
    time.sleep(0.15)  # a file that was written just now is not kept
    with shared_load(path, dtype="f8", cache=cache, progress=False) as (array,):
        listed = shmkit("cache", "ls", cache)
        assert (listed.returncode, listed.stderr) == (0, "")
        assert str(path) in listed.stdout
        assert re.search(rf"{cache}: 1 entry, .* of ", listed.stdout)
        cleared = shmkit("cache", "clear", cache)
        assert f"{cache}: 1 entry removed" in cleared.stdout
        assert array.tolist() == [1, 2]
    assert ": 0 entries, " in shmkit("cache", "ls", cache).stdout


def test_a_cache_of_others_is_no_cache(tmp_path):
    tmp_path.chmod(0o777)
    done = shmkit("cache", "ls", tmp_path)
    assert done.returncode == 1
    assert "not trusted" in done.stderr
