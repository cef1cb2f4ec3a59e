"""Whose turn it is: one at a time, the others wait, look whether all is kept, or take over."""

import fcntl
import os
import threading
import time

import pytest

from shmkit.cache.turn import turn

KEY = "0" * 40


def never():
    return False


@pytest.fixture
def held(tmp_path):
    """The lock, held by somebody else; gives the open file."""
    file = os.open(tmp_path / f"{KEY}.lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(file, fcntl.LOCK_EX)
    yield file
    os.close(file)


def test_the_first_has_it_at_once_and_leaves_nothing(tmp_path):
    ticks = []
    with turn(str(tmp_path), KEY, never, lambda: ticks.append(1)):
        assert os.listdir(tmp_path) == [f"{KEY}.lock"]
        assert os.stat(tmp_path / f"{KEY}.lock").st_mode & 0o777 == 0o600
    assert os.listdir(tmp_path) == []
    assert not ticks


def test_an_error_in_the_block_gives_it_back(tmp_path):
    with pytest.raises(KeyError), turn(str(tmp_path), KEY, never, never):
        raise KeyError
    assert os.listdir(tmp_path) == []


def test_no_two_are_in_the_block(tmp_path):
    inside, most, done = [], [], []

    def work():
        with turn(str(tmp_path), KEY, never, lambda: None):
            inside.append(1)
            most.append(len(inside))
            time.sleep(0.01)
            inside.pop()
        done.append(1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (most, len(done)) == ([1] * 4, 4)
    assert os.listdir(tmp_path) == []


def test_another_key_has_another_turn(tmp_path, held):
    with turn(str(tmp_path), "1" * 40, never, lambda: pytest.fail("it waits")):
        pass


def test_who_waits_goes_on_when_all_is_kept(tmp_path, held):
    ticks, looks = [], []
    with turn(
        str(tmp_path), KEY, lambda: looks.append(1) or len(looks) == 3, lambda: ticks.append(1)
    ):
        assert (len(looks), len(ticks)) == (3, 3)
    assert os.listdir(tmp_path) == [f"{KEY}.lock"]  # the other one's


def test_who_waits_takes_over_from_one_that_ends(tmp_path, held):
    looks = []

    def kept():
        looks.append(1)
        if len(looks) == 2:
            fcntl.flock(held, fcntl.LOCK_UN)  # as the kernel does
        return False

    with turn(str(tmp_path), KEY, kept, lambda: None):
        assert len(looks) == 2
    assert os.listdir(tmp_path) == []


def test_who_waits_asks_for_the_lock_that_has_the_name_now(tmp_path, held):
    """Who had the removed one would be in the block together with who made a new one."""

    def kept():
        os.unlink(tmp_path / f"{KEY}.lock")
        fcntl.flock(held, fcntl.LOCK_UN)
        return False

    with turn(str(tmp_path), KEY, kept, lambda: None):
        assert os.stat(tmp_path / f"{KEY}.lock").st_ino != os.fstat(held).st_ino


def test_where_no_lock_can_be_each_reads_for_itself(tmp_path):
    with turn(str(tmp_path / "gone"), KEY, never, lambda: pytest.fail("it waits")):
        pass
    os.symlink(tmp_path / "elsewhere", tmp_path / f"{KEY}.lock")  # nobody's file is made there
    with turn(str(tmp_path), KEY, never, lambda: pytest.fail("it waits")):
        pass
    assert not os.path.exists(tmp_path / "elsewhere")
