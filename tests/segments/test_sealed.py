"""A sealed file is read-only, and a write to a view of it stays in this process, and is seen."""

import mmap
import os
from pathlib import Path

import numpy as np
import pytest

from shmkit.segments.sealed import changed, is_sealed, seal

NBYTES = 5 * mmap.PAGESIZE - 7


@pytest.fixture
def path(tmp_path):
    (tmp_path / "a").write_bytes(b"\1" * NBYTES)
    return str(tmp_path / "a")


def mapped(path, access=mmap.ACCESS_COPY):
    with open(path, "rb") as file:
        return mmap.mmap(file.fileno(), 0, access=access)


def test_a_file_is_sealed_or_not(path):
    assert not is_sealed(path)
    seal(path)
    assert is_sealed(path)
    assert os.stat(path).st_mode & 0o777 == 0o400
    assert not is_sealed(f"{path}-gone")


@pytest.mark.parametrize("place", [0, mmap.PAGESIZE, NBYTES - 1])
def test_a_write_to_any_page_is_seen(path, place):
    memory = mapped(path)
    view = np.frombuffer(memory, np.uint8)
    assert not changed(memory)
    assert view.sum() == NBYTES  # to read changes nothing
    assert not changed(memory)
    view[place] = 1  # the same value: it is a page of its own all the same
    assert changed(memory)
    view[place] = 2
    assert Path(path).read_bytes() == b"\1" * NBYTES
    assert not changed(mapped(path))


def test_who_reads_alone_changes_nothing(path):
    memory = mapped(path, mmap.ACCESS_READ)
    np.frombuffer(memory, np.uint8).sum()
    assert not changed(memory)
