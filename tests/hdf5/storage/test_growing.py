"""Rows are added to a copy that takes the file's place: readers see the old ones, or all."""

import fcntl
import os

import h5py
import numpy as np
import pytest

from shmkit.hdf5.storage.growing import growing


@pytest.fixture
def path(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("x", data=np.arange(1000), maxshape=(None,))
    return str(tmp_path / "a.h5")


def test_readers_keep_what_they_see(path):
    with h5py.File(path) as reader:
        with growing(path) as storage, h5py.File(storage, "r+") as file:
            file["x"].resize((1001,))
            file["x"][1000] = 7
            assert len(reader["x"]) == 1000
            with h5py.File(path) as another:
                assert len(another["x"]) == 1000
        assert len(reader["x"]) == 1000
    with h5py.File(path) as file:
        assert file["x"][-1] == 7
    assert os.listdir(os.path.dirname(path)) == ["a.h5"]


def fail_in(path):
    with growing(path) as storage:
        storage.write(b"half")
        raise KeyError


def test_an_error_leaves_it_as_it_was(path):
    before = open_bytes(path)
    with pytest.raises(KeyError):
        fail_in(path)
    assert open_bytes(path) == before
    assert os.listdir(os.path.dirname(path)) == ["a.h5"]


def test_meanwhile_nobody_else_writes_to_it(path):
    with growing(path), pytest.raises(BlockingIOError):
        h5py.File(path, "r+")
    h5py.File(path, "r+").close()


def test_who_is_writing_to_it_keeps_it(path):
    with open(path, "r+b") as writer:
        fcntl.flock(writer, fcntl.LOCK_EX)  # as HDF5 does
        with pytest.raises(OSError, match=r"a\.h5"), growing(path):
            pytest.fail("it is being written to")


def replace_in(path):
    with growing(path):
        with open(f"{path}.new", "wb") as new:
            new.write(b"another")
        os.replace(f"{path}.new", path)


def test_a_file_that_was_replaced_meanwhile_stays_and_is_told(path):
    with pytest.raises(BlockingIOError, match="was replaced while rows were added"):
        replace_in(path)
    assert open_bytes(path) == b"another"


def test_no_file_is_an_error_that_names_it(tmp_path):
    with pytest.raises(FileNotFoundError) as caught, growing(str(tmp_path / "gone.h5")):
        pass
    assert caught.value.filename == str(tmp_path / "gone.h5")


def open_bytes(path):
    with open(path, "rb") as file:
        return file.read()
