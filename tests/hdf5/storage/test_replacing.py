"""A file that is changed whole or not at all."""

import errno
import os
import pickle
import stat
import struct
import subprocess
import sys

import numpy as np
import pytest
from machine import refuse

from shmkit import to_hdf5
from shmkit.hdf5.storage.replacing import replacing


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
from shmkit import to_hdf5
from shmkit.hdf5.storage.replacing import replacing
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


def test_a_failed_sync_is_kept_for_the_end(tmp_path):
    """The disk tells an error once: the sync at the end would know nothing of it."""

    def fail():
        with replacing(str(tmp_path / "a.h5")) as storage:
            file = os.dup(storage.fileno())
            read_end, write_end = os.pipe()
            os.dup2(read_end, storage.fileno())  # a pipe cannot be brought to the disk
            storage.sync()
            os.dup2(file, storage.fileno())
            for fd in (file, read_end, write_end):
                os.close(fd)

    with pytest.raises(OSError, match=r"cannot be written: Invalid argument: .*a\.h5"):
        fail()
    assert os.listdir(tmp_path) == []


MODES = [0o600, 0o640, 0o644, 0o400, 0o660, 0o666]


@pytest.mark.parametrize("mode", MODES, ids=oct)
def test_nobody_reads_it_meanwhile_who_may_not_read_the_old_one(tmp_path, mode):
    path = tmp_path / "a.h5"
    path.touch()
    path.chmod(mode)
    seen = []

    def look():
        (name,) = set(os.listdir(tmp_path)) - {"a.h5"}
        seen.append(stat.S_IMODE((tmp_path / name).stat().st_mode))

    before = os.umask(0)
    try:
        with replacing(str(path)) as storage:
            look()  # before the first byte
            storage.write(b"new")
            look()
    finally:
        os.umask(before)
    assert seen == [mode, mode]
    assert stat.S_IMODE(path.stat().st_mode) == mode
    assert path.read_bytes() == b"new"


def test_a_mode_that_is_changed_meanwhile_is_the_last_word(tmp_path):
    path = tmp_path / "a.h5"
    path.touch()
    path.chmod(0o644)
    with replacing(str(path)) as storage:
        storage.write(b"new")
        path.chmod(0o600)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_owner_and_group_are_kept_where_that_is_allowed(superuser, tmp_path):
    path = tmp_path / "a.h5"
    path.touch()
    path.chmod(0o640)
    os.chown(path, 65534, 65533)
    write(path)
    status = path.stat()
    assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (65534, 65533, 0o640)


def test_another_group_is_given_nothing(superuser, run_script):
    """Its members might be others than those of the group that could read the old file."""
    done = run_script("""
import os, stat, tempfile
from shmkit import to_hdf5
from shmkit.hdf5.storage.replacing import replacing
def access(status):
    return status.st_gid, oct(stat.S_IMODE(status.st_mode))
with tempfile.TemporaryDirectory(dir="/dev/shm") as folder, open(f"{folder}/a.h5", "w") as old:
    os.fchmod(old.fileno(), 0o664)
    os.chown(old.name, 65534, 65533)
    os.chmod(folder, 0o777)
    with replacing(f"{folder}/b.h5"):  # imports what this user may not read
        pass
    os.setegid(65534); os.seteuid(65534)
    os.chdir(folder)
    with replacing(old.name) as storage:
        print(*access(os.fstat(storage.fileno())))
        storage.write(b"new")
    print(*access(os.stat(old.name)))
    os.seteuid(0)
""")
    assert done.stdout.split() == ["65534", "0o604"] * 2


def acl(*entries):
    """A POSIX ACL as its extended attribute has it: version 2; then tag, permissions and id."""
    everybody = 0xFFFFFFFF
    return struct.pack("<I", 2) + b"".join(
        struct.pack("<HHI", tag, allowed, everybody if who is None else who)
        for tag, allowed, who in entries
    )


OWNER, USER, GROUP, MASK, OTHER = 1, 2, 4, 16, 32
ACCESS = acl(
    (OWNER, 6, None), (USER, 4, 65534), (GROUP, 0, None), (MASK, 4, None), (OTHER, 0, None)
)


def acl_of(file):
    name = "system.posix_acl_access"
    return os.getxattr(file, name) if name in os.listxattr(file) else None


@pytest.fixture
def with_acls(tmp_path):
    try:
        os.setxattr(tmp_path, "system.posix_acl_default", ACCESS)
    except OSError as error:
        refuse(f"no ACLs here: {error}")
    return tmp_path


def test_an_acl_is_kept_from_the_first_byte_on(with_acls):
    """By its mode alone the group could read it, which the ACL does not allow."""
    path = with_acls / "a.h5"
    path.touch()
    os.setxattr(path, "system.posix_acl_access", ACCESS)
    with replacing(str(path)) as storage:
        assert acl_of(storage.fileno()) == ACCESS
        storage.write(b"new")
    assert acl_of(path) == ACCESS


def test_a_file_without_an_acl_gets_none_from_its_directory(with_acls):
    path = with_acls / "a.h5"
    path.touch()
    os.removexattr(path, "system.posix_acl_access")
    path.chmod(0o640)
    with replacing(str(path)) as storage:
        assert acl_of(storage.fileno()) is None
        storage.write(b"new")
    assert acl_of(path) is None
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_it_is_no_orphan_until_it_has_its_name(tmp_path):
    with replacing(str(tmp_path / "a.h5")) as storage:
        storage.write(b"new")
        look = "import sys; from shmkit.cleanup.orphans import remove_orphans as r; r(sys.argv[1:])"
        subprocess.run([sys.executable, "-c", look, tmp_path], check=True)
    assert os.listdir(tmp_path) == ["a.h5"]
    assert (tmp_path / "a.h5").read_bytes() == b"new"


def test_a_directory_without_permission_is_named():
    # /sys takes no files, not from root either.
    with pytest.raises(PermissionError, match="cannot be written") as caught:
        write("/sys/a.h5")
    assert caught.value.filename == "/sys/a.h5"
    assert pickle.loads(pickle.dumps(caught.value)).errno == errno.EACCES


def test_extended_attributes_are_kept(tmp_path):
    (tmp_path / "a.h5").write_text("old")
    os.setxattr(tmp_path / "a.h5", "user.note", b"mine")
    os.setxattr(tmp_path / "a.h5", "user.more", bytes(range(100)))
    write(tmp_path / "a.h5")
    names = ("user.note", "user.more")
    assert [os.getxattr(tmp_path / "a.h5", n) for n in names] == [b"mine", bytes(range(100))]


def test_other_names_of_the_old_file_are_said(tmp_path):
    to_hdf5(tmp_path / "a.h5", np.arange(3))
    before = (tmp_path / "a.h5").read_bytes()
    for name in ("b.h5", "c.h5"):
        os.link(tmp_path / "a.h5", tmp_path / name)
    message = r"a\.h5 had 2 other names \(hard links\), which keep the old content"
    with pytest.warns(UserWarning, match=message) as caught:
        to_hdf5(tmp_path / "a.h5", np.arange(4))
    assert caught[0].filename == __file__
    assert (tmp_path / "b.h5").read_bytes() == before
    to_hdf5(tmp_path / "a.h5", np.arange(5))  # it has no other name now
