"""Descriptors of shmkit are 3 and above in a process whose 0, 1 and 2 are closed."""

import os

import pytest

from shmkit import SegmentGoneError
from shmkit._descriptors import opened
from shmkit.segments.files import open_file

# A daemon, as it does with descriptors: closed, and nothing in their place.
DAEMON = """
import os, sys
import numpy as np
from shmkit import share, shared_load, to_hdf5
said = os.dup(2)
os.chdir(os.path.dirname(os.path.abspath(__file__)))
np.save("x.npy", np.arange(1000))
for fd in CLOSED:
    os.close(fd)
BACKING = "shm"
"""
CHECK = """
def noise():
    # Whatever has a standard descriptor, it is none of ours: nothing can be written there.
    for fd in CLOSED:
        try:
            os.write(fd, b"spoilt" * 100)
        except OSError:
            continue
        raise AssertionError(f"{fd} leads to {os.readlink(f'/proc/self/fd/{fd}')}")

with shared_load("x.npy", backing=BACKING, progress=False) as (array,):
    noise()
    assert (array == np.arange(1000)).all()
    own = share(array, backing=BACKING)
    noise()
    assert (own == np.arange(1000)).all()
    import pickle
    from multiprocessing.reduction import ForkingPickler
    message = bytes(ForkingPickler.dumps(own))  # with a lease
    noise()
    assert (pickle.loads(message) == np.arange(1000)).all()
    export = to_hdf5("x.h5", own)
    noise()
with shared_load("x.h5", backing=BACKING, progress=False) as (array,):
    noise()
    assert (array == np.arange(1000)).all()
os.write(said, b"right")
"""


@pytest.mark.slow
@pytest.mark.parametrize("backing", ["shm", "memfd", "directory"])
@pytest.mark.parametrize("closed", [(0, 1, 2), (1,), (0, 2)])
def test_no_descriptor_takes_the_place_of_a_closed_one(run_script, tmp_path, closed, backing):
    place = str(tmp_path / "place") if backing == "directory" else backing
    (tmp_path / "place").mkdir()
    script = DAEMON.replace("CLOSED", str(closed)).replace('"shm"', repr(place))
    done = run_script(script + CHECK.replace("CLOSED", str(closed)))
    assert done.stderr == "right"


@pytest.mark.slow
def test_who_prints_while_rows_are_added_spoils_no_file(run_script):
    done = run_script(
        DAEMON.replace("CLOSED", "(0, 1, 2)")
        + """
import contextlib, threading
added = threading.Event()

def noise():
    while not added.is_set():
        for fd in (0, 1, 2):
            with contextlib.suppress(OSError):
                os.write(fd, b"spoilt")

printing = threading.Thread(target=noise)
printing.start()
rows = np.arange(1000)
for mode in "wa", "a", "a":
    to_hdf5("rows.h5", [rows], mode=mode[0], concat=True)
added.set()
printing.join()
with shared_load("rows.h5", dataset="data", progress=False) as (array,):
    assert (array == np.concatenate([rows] * 3)).all()
os.write(said, b"right")
"""
    )
    assert done.stderr == "right"


def test_what_a_reader_prints_spoils_no_array_of_a_daemons_loader(run_script):
    done = run_script(
        DAEMON.replace("CLOSED", "(0, 1, 2)")
        + """
def read(path):
    array = np.load(path)
    held = [open(path) for _ in range(3)]  # with numbers of their own
    assert min(file.fileno() for file in held) > 2
    for fd in (1, 2):
        os.write(fd, b"spoilt" * 1000)
    return array

with shared_load("x.npy", reader=read, progress=False) as (array,):
    assert (array == np.arange(1000)).all()
os.write(said, b"right")
"""
    )
    assert done.stderr == "right"


MAKERS = {
    "pipe": "_descriptors.pipe",
    "file": "lambda: _descriptors.opened(os.dup, 0)",
    "lock": "lambda: ended('lock', other).__enter__()",
    "link that leads nowhere": "lambda: (os.symlink('gone.npy', link()), remove_link(link()))",
    "header": "lambda: _header('x.npy')",
    "turn": "lambda: turn('lock', 1).__enter__()",
    "turn of a new file": "lambda: turn('new.h5', 1).__enter__()",
    "turn that is asked for": "lambda: is_taken('lock')",
    "cache": "lambda: cache_turn('.', 'key', lambda: False, lambda: None).__enter__()",
    "name on the disk": "lambda: uninterrupted(lambda: _sync('.'))",
    "new file": "lambda: _new_like('lock', 'new', 'lock')",
}


@pytest.mark.slow
@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_an_interrupt_loses_no_descriptor(run_script, make):
    """One at each line and call of what makes them."""
    done = run_script(
        """
import contextlib, gc, itertools, os, sys, threading, warnings
warnings.simplefilter("ignore")
import numpy as np
import shmkit
from shmkit import _descriptors
from shmkit._interrupts import uninterrupted
from shmkit.cache.turn import turn as cache_turn
from shmkit.cleanup.lock import ended
from shmkit.cleanup.orphans import remove_link
from shmkit.cleanup.owner import Owner, this_process
from shmkit.display.listing import _header
from shmkit.hdf5.storage.replacing import _new_like, _sync
from shmkit.hdf5.storage.turn import is_taken, turn

OURS = os.path.dirname(shmkit.__file__)
other = this_process()._replace(pid=1)
open("lock", "w").close()
np.save("x.npy", np.arange(10))

def link():
    return f"{os.getcwd()}/shmkit.{os.getuid()}.name"

def count():
    for thread in threading.enumerate()[1:]:  # what goes on alone
        thread.join()
    gc.collect()
    return len(os.listdir("/proc/self/fd"))

def opcodes(frame, event, argument):
    frame.f_trace_opcodes = True

sys.settrace(opcodes)  # Python 3.12 tells them only to who traces after they were asked for
count()
sys.settrace(None)
make = MAKE
for at in itertools.count():
    left = at
    def trace(frame, event, argument):
        global left
        if frame.f_code.co_filename.startswith(OURS):
            frame.f_trace_opcodes = True
            left -= event == "opcode"
            if left < 0:
                sys.settrace(None)
                raise KeyboardInterrupt
        return trace
    for path in ("new", link()):
        with contextlib.suppress(OSError):
            os.unlink(path)
    before = count()
    sys.settrace(trace)
    try:
        made = make()
    except KeyboardInterrupt:
        pass
    else:
        break
    finally:
        sys.settrace(None)
    assert count() == before, at
assert at > 5
print("none")
""".replace("MAKE", make)
    )
    assert done.stdout == "none\n"


def test_a_directory_that_is_refused_is_closed(tmp_path):
    before = os.listdir("/proc/self/fd")
    with pytest.raises(IsADirectoryError):
        opened(os.open, tmp_path, os.O_RDONLY)
    assert os.listdir("/proc/self/fd") == before
    held = os.open(tmp_path, os.O_RDONLY)
    try:  # a memfd's number that is a directory's by now
        with pytest.raises(SegmentGoneError):
            open_file(f"/proc/{os.getpid()}/fd/{held}", writable=False)
    finally:
        os.close(held)
    assert os.listdir("/proc/self/fd") == before


def test_this_process_has_its_standard_descriptors():
    """Else these tests tell nothing."""
    assert all(os.path.exists(f"/proc/self/fd/{fd}") for fd in (0, 1, 2))
