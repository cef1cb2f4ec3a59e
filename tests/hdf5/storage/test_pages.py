"""Pages of a file change together, also where the process is killed meanwhile."""

import errno
import fcntl
import os
import random
import time

import pytest
from processes import Owner

from shmkit.hdf5.storage.pages import put

MANY = 20_000  # pages: to write them takes tens of milliseconds


def test_pages_are_put_where_they_start(tmp_path):
    (tmp_path / "a.bin").write_bytes(b"-" * 10_000)
    with open(tmp_path / "a.bin", "r+b") as file:
        put(file.fileno(), [(b"x" * 4096, 4096), (b"y", 0), (b"", 7)])
    assert (tmp_path / "a.bin").read_bytes() == b"y" + b"-" * 4095 + b"x" * 4096 + b"-" * 1808


def test_what_cannot_be_written_is_an_error(tmp_path):
    (tmp_path / "a.bin").write_bytes(b"-")
    raises = pytest.raises(OSError, match="Bad file descriptor")
    with open(tmp_path / "a.bin", "rb") as file, raises as caught:
        put(file.fileno(), [(b"x", 0)])
    assert caught.value.errno == errno.EBADF


KILLED = """
import sys
from shmkit.hdf5.storage.pages import put
file = open(sys.argv[1], "r+b")
import fcntl
fcntl.flock(file, fcntl.LOCK_EX)
pages = [(b"x" * 512, 512 * n) for n in range(int(sys.argv[2]))]
print("begin", flush=True)
put(file.fileno(), pages)
print("end", flush=True)
"""


@pytest.mark.slow
def test_a_process_that_is_killed_leaves_all_old_or_all_new(tmp_path):
    path, seen = tmp_path / "a.bin", set()
    for _ in range(20):
        path.write_bytes(b"-" * 512 * MANY)
        with Owner(KILLED, path, MANY) as owner:
            assert owner.says() == ["begin"]
            time.sleep(random.uniform(0, 0.15))
            owner.end()
        with open(path, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH)  # held by whoever writes still
            assert os.fstat(file.fileno()).st_size == 512 * MANY
            seen.add(frozenset(file.read()))
    assert seen <= {frozenset(b"-"), frozenset(b"x")}
    assert len(seen) == 2
