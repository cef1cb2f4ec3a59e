"""Descriptors of shmkit are 3 and above in a process whose 0, 1 and 2 are closed."""

import os

import pytest

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


@pytest.mark.parametrize("backing", ["shm", "memfd", "directory"])
@pytest.mark.parametrize("closed", [(0, 1, 2), (1,), (0, 2)])
def test_no_descriptor_takes_the_place_of_a_closed_one(run_script, tmp_path, closed, backing):
    place = str(tmp_path / "place") if backing == "directory" else backing
    (tmp_path / "place").mkdir()
    script = DAEMON.replace("CLOSED", str(closed)).replace('"shm"', repr(place))
    done = run_script(script + CHECK.replace("CLOSED", str(closed)))
    assert done.stderr == "right"


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


def test_an_interrupt_loses_no_descriptor(run_script):
    """One at each line and call of what makes them."""
    done = run_script(
        """
import itertools, os, sys
from shmkit import _descriptors

def count():
    return len(os.listdir("/proc/self/fd"))

for make in (_descriptors.pipe, lambda: _descriptors.opened(os.dup, 0)):
    for at in itertools.count():
        left = at
        def trace(frame, event, argument):
            global left
            if frame.f_code.co_filename == _descriptors.__file__:
                frame.f_trace_opcodes = True
                left -= event == "opcode"
                if left < 0:
                    sys.settrace(None)
                    raise KeyboardInterrupt
            return trace
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
    del made
print("none")
""".replace(
            "import itertools", "import warnings; warnings.simplefilter('ignore')\nimport itertools"
        )
    )
    assert (done.stdout, done.stderr) == ("none\n", "")


def test_this_process_has_its_standard_descriptors():
    """Else these tests tell nothing."""
    assert all(os.path.exists(f"/proc/self/fd/{fd}") for fd in (0, 1, 2))
