"""One after another: who adds to a file waits for its turn, or is told who has it."""

import os
import threading
import time

import h5py
import pytest

from shmkit.hdf5.storage.turn import is_taken, turn


@pytest.fixture
def path(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = 1
    return str(tmp_path / "a.h5")


def test_it_is_taken_in_the_block_alone_and_shuts_no_reader_out(path):
    assert not is_taken(path)
    with turn(path, 0):
        assert is_taken(path)
        with h5py.File(path) as file:
            assert file["x"][()] == 1
    assert not is_taken(path)
    assert os.listdir(os.path.dirname(path)) == ["a.h5"]  # no lock file


def test_the_error_says_who_has_it_and_for_how_long(path):
    with turn(path, 0), pytest.raises(BlockingIOError) as caught, turn(path, 0.01):
        pytest.fail("two have it")
    assert caught.value.filename == path
    assert f"by the process {os.getpid()} (" in caught.value.strerror
    assert "longer than timeout=0.01 s" in caught.value.strerror


def test_no_two_have_it_though_the_file_is_replaced_each_time(path):
    inside, most = [], []

    def add(number):
        with turn(path, 30):
            inside.append(1)
            most.append(len(inside))
            with open(f"{path}.{number}", "wb") as new:
                new.write(b"%d" % number)
            time.sleep(0.005)
            inside.pop()
            os.replace(f"{path}.{number}", path)  # from here on the new file has the turn

    threads = [threading.Thread(target=add, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 4


def test_where_there_is_no_file_yet_its_directory_has_the_lock(tmp_path):
    path = str(tmp_path / "new.h5")
    with turn(path, 0):
        assert is_taken(path)
        with pytest.raises(BlockingIOError), turn(path, 0):
            pytest.fail("two have it")
    assert os.listdir(tmp_path) == []
    assert not is_taken(path)
