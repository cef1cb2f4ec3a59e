"""One export: into a new file, one that is there, one that is open, and what is none of HDF5."""

import errno
import os
import subprocess
import sys

import h5py
import numpy as np
import pytest
from dumps import h5dump, read
from processes import Owner

from shmkit import to_hdf5

NOISE = np.random.default_rng(0).random(60_000)


def check_old(path):
    with h5py.File(path) as file:
        np.testing.assert_array_equal(file["group/noise"][:], NOISE)
        assert file["small"][:].tolist() == [0, 1, 2, 3, 4]
        assert file.attrs["title"] == "mine"
        assert file["group/n29"][()] == 29
    assert "(0): 0, 1, 2, 3, 4" in h5dump(path, "-d", "/small")
    assert 'DATASET "n29"' in h5dump(path, "-H")


@pytest.mark.slow
@pytest.mark.parametrize("compression", ["gzip", "lzf", None])
def test_arrays_are_added_to_a_file_that_h5py_wrote(old, compression):
    for number in range(5):
        arrays = {f"new{i}-{number}": NOISE + i for i in range(9)}
        to_hdf5(old, arrays, mode="a", group="group", compression=compression)
        check_old(old)
    with h5py.File(old) as file:
        assert len(file["group"]) == 31 + 45
        for number in range(5):
            np.testing.assert_array_equal(file[f"group/new8-{number}"][:], NOISE + 8)
    assert os.listdir(old.parent) == ["old.h5"]


def test_a_new_file_is_made_where_there_is_none(tmp_path):
    (tmp_path / "link.h5").symlink_to(tmp_path / "a.h5")
    to_hdf5(tmp_path / "link.h5", {"x": NOISE}, mode="a")
    to_hdf5(tmp_path / "link.h5", {"y": NOISE}, mode="a")
    with h5py.File(tmp_path / "a.h5") as file:
        assert set(file) == {"x", "y"}
    assert sorted(os.listdir(tmp_path)) == ["a.h5", "link.h5"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "content", [b"no HDF5 " * 100, b"\x89HDF\r\n\x1a\n", b"\x89HDF\r\n\x1a\n\2"]
)
def test_a_file_that_is_no_hdf5_stays_as_it_is_and_ends_no_process(tmp_path, run_script, content):
    """While the error was kept, as IPython keeps the last one, HDF5 died at exit: SIGSEGV."""
    (tmp_path / "a.h5").write_bytes(content)
    done = run_script("""
import numpy as np
from shmkit import to_hdf5
try:
    to_hdf5("a.h5", np.zeros(3), mode="a")
except OSError as error:
    kept = error
    print(error)
""")
    assert done.stdout.startswith(f"[Errno {errno.EINVAL}] is no HDF5 file to add to: ")
    assert done.stdout.endswith(": 'a.h5'\n")
    assert (tmp_path / "a.h5").read_bytes() == content


HOLD = """
import sys, h5py
with h5py.File(sys.argv[1], sys.argv[2]):
    print("open", flush=True)
    sys.stdin.readline()
"""


@pytest.mark.parametrize("where", ["here", "in another process"])
@pytest.mark.parametrize("mode", ["r", "r+"])
def test_a_file_that_is_open_is_not_written(tmp_path, where, mode):
    path = tmp_path / "a.h5"
    to_hdf5(path, np.arange(3))
    before = path.read_bytes()
    with h5py.File(path, mode) if where == "here" else Owner(HOLD, path, mode) as holder:
        if where != "here":
            assert holder.says() == ["open"]
        message = r"is open, here or in another process; close it there first: .*a\.h5"
        with pytest.raises(BlockingIOError, match=message):
            to_hdf5(path, {"more": NOISE}, mode="a")
        if mode == "r+":
            with pytest.raises(BlockingIOError, match="is open for writing, here or in another"):
                to_hdf5(path, np.arange(4))
            assert path.read_bytes()[200:] == before[200:]
        else:
            to_hdf5(path, np.arange(4))
            if where == "here":
                assert holder["data"][:].tolist() == [0, 1, 2]
    assert len(read(path)) == (3 if mode == "r+" else 4)
    to_hdf5(path, {"more": NOISE}, mode="a")


def test_a_file_system_without_locks_is_no_hindrance(tmp_path):
    """HDF5_USE_FILE_LOCKING=FALSE is how users of such file systems tell HDF5."""
    code = """
import sys, h5py, numpy as np
from shmkit import to_hdf5
for mode in "wa":
    to_hdf5(sys.argv[1], {mode: np.arange(3)}, mode=mode)
with h5py.File(sys.argv[1]) as file:
    print(sorted(file))
"""
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "a.h5"],
        env=os.environ | {"HDF5_USE_FILE_LOCKING": "FALSE"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.stdout, done.stderr) == ("['a', 'w']\n", "")


def test_a_child_that_is_forked_meanwhile_holds_no_lock(tmp_path, run_script):
    done = run_script("""
import os, threading
import h5py, numpy as np
from shmkit import to_hdf5
to_hdf5("a.h5", np.zeros(3))
size = os.path.getsize("a.h5")
noise = np.random.default_rng(0).random((1 << 14, 512))
thread = threading.Thread(target=to_hdf5, args=("a.h5", {"b": noise}), kwargs={"mode": "a"})
thread.start()
while os.path.getsize("a.h5") < size + (1 << 20):
    assert thread.is_alive()
wait, end = os.pipe()
child = os.fork()
if child == 0:
    os.close(end)
    os.read(wait, 1)
    os._exit(0)
thread.join()
with h5py.File("a.h5", "r+") as file:
    print(len(file["b"]))
os.close(end)
print(os.waitpid(child, 0)[1])
""")
    assert done.stdout.split() == ["16384", "0"]


def test_an_existing_file_is_replaced(tmp_path):
    (tmp_path / "a.h5").write_text("old")
    to_hdf5(tmp_path / "a.h5", np.arange(3))
    assert read(tmp_path / "a.h5").tolist() == [0, 1, 2]
    assert os.listdir(tmp_path) == ["a.h5"]


def test_the_file_is_closed_when_the_call_returns(tmp_path):
    to_hdf5(tmp_path / "a.h5", np.arange(3))
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        file["more"] = 1
    open_files = (os.path.realpath(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd"))
    assert str(tmp_path / "a.h5") not in set(open_files)


@pytest.mark.parametrize("options", [{}, {"mode": "a"}, {"mode": "a", "overwrite": True}])
def test_a_file_that_nobody_may_write_to_stays_for_the_superuser_too(tmp_path, options):
    path = tmp_path / "a.h5"
    to_hdf5(path, np.arange(2))
    path.chmod(0o444)
    before = path.read_bytes()
    with pytest.raises(PermissionError, match="read-only"):
        to_hdf5(path, np.arange(3), **options)
    assert path.read_bytes() == before
