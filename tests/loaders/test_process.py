"""One loader process: started, sent tasks, asked for outcomes, and ended, however it goes."""

import os

import pytest
from processes import gone, living

from shmkit.loaders.loader import Task
from shmkit.loaders.process import Died, end_lost, origin, readable, start


@pytest.fixture(scope="module")
def loader():
    made = start(dict(os.environ))
    yield made
    made.end()


def outcomes(loader, count):
    found = []
    while len(found) < count:
        assert readable([loader.outcomes], 20)
        found += loader.receive()
    return found


def test_tasks_are_done_in_order_in_a_process_of_its_own(loader, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    environment = {**os.environ, "SAID": "here"}
    tasks = [Task(os.getpid, ()), Task(os.getcwd, ()), Task(os.getenv, ("SAID",))]
    loader.send(tasks, environment)
    pid, directory, said = outcomes(loader, 3)
    assert pid != os.getpid()
    assert (directory, said) == (str(tmp_path), "here")
    assert loader.poll() is None


def test_an_error_is_an_outcome(loader):
    loader.send([Task(os.stat, ("/gone",)), Task(abs, (-1,))], dict(os.environ))
    error, value = outcomes(loader, 2)
    assert isinstance(error, FileNotFoundError)
    assert value == 1


def test_what_the_pipe_does_not_take_is_not_sent_ahead(loader):
    assert loader.send_ahead([Task(len, (b"a",))], dict(os.environ))
    assert outcomes(loader, 1) == [1]
    assert not loader.send_ahead([Task(len, (bytes(1 << 21),))], dict(os.environ))


def test_who_dies_is_told_once_and_ended():
    loader = start(dict(os.environ))
    loader.send([Task(os.kill, (0, 0)), Task(os._exit, (7,))], dict(os.environ))
    assert outcomes(loader, 2)[1] == Died(7)
    loader.end()
    loader.end()


def test_a_loader_that_nobody_holds_is_ended():
    loader = start(dict(os.environ))
    loader.send([Task(os.getpid, ())], dict(os.environ))
    (pid,) = outcomes(loader, 1)
    assert not gone(pid)
    del loader
    end_lost()
    assert not living([pid])


def test_what_a_process_keeps_from_its_start_is_its_origin():
    here = origin({"A": "1", "LD_PRELOAD": "x"})
    assert here == origin({"A": "2", "LD_PRELOAD": "x"})
    for name in ("LD_PRELOAD", "PYTHONPATH", "MKL_NUM_THREADS", "HDF5_PLUGIN_PATH"):
        assert here != origin({"A": "1", "LD_PRELOAD": "x", name: "other"})
