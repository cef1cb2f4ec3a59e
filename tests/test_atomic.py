"""A file that is replaced whole or not at all."""

import errno
import os
import pickle
import stat

import pytest

from shmkit._atomic import check_path, replacing


def write(path, data=b"new"):
    with replacing(os.fspath(path)) as storage:
        storage.write(data)


def test_the_new_file_takes_the_place_of_the_old_one_when_it_is_complete(tmp_path):
    path = tmp_path / "a.h5"
    path.write_text("old")
    with replacing(str(path)) as storage:
        storage.write(b"new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert os.listdir(tmp_path) == ["a.h5"]
    assert storage.closed


def test_an_error_leaves_the_old_file(tmp_path):
    (tmp_path / "a.h5").write_text("old")
    with pytest.raises(TypeError):
        write(tmp_path / "a.h5", "text")
    assert (tmp_path / "a.h5").read_text() == "old"
    assert os.listdir(tmp_path) == ["a.h5"]


def test_an_existing_file_keeps_its_permissions(tmp_path):
    path = tmp_path / "a.h5"
    path.touch()
    path.chmod(0o640)
    write(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_new_file_has_the_permissions_of_any_new_file(tmp_path):
    write(tmp_path / "a.h5")
    (tmp_path / "plain").touch()
    assert (tmp_path / "a.h5").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_symbolic_link_stays_one(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "a.h5").symlink_to(tmp_path / "disk" / "real.h5")
    write(tmp_path / "a.h5")
    assert (tmp_path / "a.h5").is_symlink()
    assert (tmp_path / "disk" / "real.h5").read_text() == "new"


def test_a_path_relative_to_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write("a.h5")
    assert (tmp_path / "a.h5").read_text() == "new"


def test_a_failed_write_is_kept_for_the_end(tmp_path, run_script):
    done = run_script("""
import resource
from shmkit._atomic import replacing
resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))
try:
    with replacing("a.h5") as storage:
        print(storage.write(b"x" * 100), storage.write(b"y"), storage.truncate(50))
except OSError as error:
    print(error)
""")
    assert done.stdout.splitlines() == [
        "100 1 50",
        f"[Errno {errno.EFBIG}] cannot be written: File too large: 'a.h5'",
    ]
    assert not (tmp_path / "a.h5").exists()


def test_an_error_of_the_block_stays_as_it_is(tmp_path):
    with (
        pytest.raises(OSError, match=r"^\[Errno 5\] elsewhere: 'b.txt'$"),
        replacing(str(tmp_path / "a.h5")),
    ):
        raise OSError(errno.EIO, "elsewhere", "b.txt")


def test_a_directory_without_permission_is_named():
    # /sys takes no files, not from root either.
    with pytest.raises(PermissionError, match="cannot be written") as caught:
        write("/sys/a.h5")
    assert caught.value.filename == "/sys/a.h5"
    assert pickle.loads(pickle.dumps(caught.value)).errno == errno.EACCES


def test_a_directory_is_not_a_file(tmp_path):
    with pytest.raises(IsADirectoryError, match="give the path of a file in it"):
        check_path(tmp_path)


def test_a_missing_directory_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no directory .*nowhere.*make it first"):
        check_path(tmp_path / "nowhere" / "a.h5")


def test_an_empty_path_is_an_error():
    with pytest.raises(ValueError, match="the path is empty"):
        check_path("")
