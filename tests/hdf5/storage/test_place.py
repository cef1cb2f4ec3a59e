"""Where a file may be written."""

import os
from pathlib import Path

import numpy as np
import pytest

from shmkit import attach, shared_load, to_hdf5
from shmkit.hdf5.storage.place import check_path


def test_a_directory_is_not_a_file(tmp_path):
    with pytest.raises(IsADirectoryError, match="give the path of a file in it"):
        check_path(tmp_path)


def test_a_missing_directory_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no directory .*nowhere.*make it first"):
        check_path(tmp_path / "nowhere" / "a.h5")


@pytest.mark.parametrize("mode", ["w", "x", "a"])
def test_a_pipe_or_device_is_not_a_file(fifo, mode):
    for path in (fifo, "/dev/null"):
        before = os.stat(path)
        with pytest.raises(OSError, match="is a device or pipe") as caught:
            check_path(path, mode)
        assert caught.value.filename == path
        assert os.stat(path) == before


def test_an_empty_path_is_an_error():
    with pytest.raises(ValueError, match="the path is empty"):
        check_path("")


def test_a_tilde_is_the_home_directory(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "scratch").mkdir()
    for path in ("~/a.h5", Path("~/b.h5")):
        export = to_hdf5(path, np.arange(3))
        assert export.path == str(tmp_path / os.path.basename(path))
        with shared_load(path, backing="~/scratch") as (array,):
            assert os.path.dirname(array.segment.path) == str(tmp_path / "scratch")
            found = attach(f"~/scratch/{os.path.basename(array.segment.path)}")
            assert found.tolist() == [0, 1, 2]
