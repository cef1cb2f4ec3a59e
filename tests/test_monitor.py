"""Who shows how far some work is: called begin, update, end, close, from the thread that works."""

import threading

import numpy as np
import pytest

from shmkit import LoadError
from shmkit._monitor import NoMonitor
from shmkit.loading.files.inputs import inputs
from shmkit.loading.load import load


class Noted:
    """A monitor that notes what it saw, and in which thread."""

    def __init__(self):
        self.seen = []
        self.threads = set()

    def see(self, call, work):
        self.seen.append((call, work.nbytes_done, work.nbytes_total))
        self.threads.add(threading.get_ident())

    def begin(self, work):
        self.see("begin", work)

    def update(self, work):
        self.see("update", work)

    def end(self, work):
        self.see("end", work)

    def close(self, work):
        self.see("close", work)


def loaded(path, monitor):
    with inputs({"a": str(path)}, None, "auto", skip_failed=False) as found:
        return load(
            *(found,),
            reader=None,
            options={},
            processes=1,
            backing="auto",
            skip_failed=False,
            monitor=monitor,
        )


def test_a_load_begins_ends_and_is_closed_in_this_thread(tmp_path):
    np.save(path := tmp_path / "a.npy", np.arange(1000))
    monitor, nbytes = Noted(), path.stat().st_size
    with loaded(path, monitor):
        assert monitor.seen[0] == ("begin", 0, nbytes)
        assert monitor.seen[-1] == ("end", nbytes, nbytes)
        assert {call for call, *_ in monitor.seen[1:-1]} <= {"update"}
    assert monitor.seen[-1][0] == "close"
    assert monitor.threads == {threading.get_ident()}


def test_a_load_that_fails_ends_all_the_same(tmp_path):
    (path := tmp_path / "a.npy").write_bytes(b"no npy at all")
    monitor = Noted()
    with pytest.raises(LoadError):
        loaded(path, monitor)
    calls = [call for call, *_ in monitor.seen]
    assert (calls[0], calls[-1], calls.count("end")) == ("begin", "end", 1)


def test_nothing_shown_is_a_monitor_too(tmp_path, capfd):
    np.save(path := tmp_path / "a.npy", np.arange(10))
    with loaded(path, NoMonitor()) as arrays:
        assert arrays["a"].sum() == 45
    assert capfd.readouterr() == ("", "")
