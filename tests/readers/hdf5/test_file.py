"""An HDF5 file, open: kept for the next task, let go of after the last, and errors name it."""

import os

import h5py
import pytest

from shmkit.errors import LoadError
from shmkit.readers.base import Version
from shmkit.readers.hdf5.file import kept, let_go, opened, version_of


@pytest.fixture
def path(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = 1
    yield str(tmp_path / "a.h5")
    let_go()


def test_it_is_open_in_the_block_alone(path):
    with opened(path) as file:
        assert file["x"][()] == 1
        assert version_of(path, file) == Version.of(os.stat(path))
    assert not file
    with h5py.File(path, "r+") as writer:  # nobody holds a lock
        writer["y"] = 2


def test_what_is_kept_is_the_same_file_until_it_is_let_go(path):
    with kept(path) as first:
        pass
    with kept(path) as second:
        assert second is first
    let_go()
    assert not first
    let_go()


def test_of_several_files_the_last_is_kept(path, tmp_path):
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file["x"] = 2
    with kept(path) as first:
        pass
    with kept(str(tmp_path / "b.h5")) as second:
        assert second["x"][()] == 2
        assert not first


def look_for_what_is_gone(path):
    with kept(path) as file:
        file["gone"]


def test_an_error_lets_go_and_names_the_file(path):
    with kept(path) as file:
        pass
    with pytest.raises(LoadError, match=r"a\.h5: its HDF5 data are damaged"):
        look_for_what_is_gone(path)
    assert not file
    with kept(path) as again:
        assert again["x"][()] == 1


def test_what_is_no_hdf5_and_what_is_not_there(tmp_path):
    (tmp_path / "a.h5").write_bytes(b"no HDF5")
    with pytest.raises(LoadError, match="cannot be read as HDF5"), opened(str(tmp_path / "a.h5")):
        pass
    with pytest.raises(FileNotFoundError) as caught, opened(str(tmp_path / "gone.h5")):
        pass
    assert caught.value.filename == str(tmp_path / "gone.h5")
