"""Where a file may be written."""

import os

import pytest

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
