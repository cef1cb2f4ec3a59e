"""A new file that takes the place of an old one: it is changed whole or not at all.

    write ──▶ .shmkit-….tmp ──fsync──▶ ──rename──▶ results.h5 ──▶ fsync of the directory
                 │
                 └─ a failure ──▶ unlink: results.h5 is what it was, or is not there

The new file lies in the directory of the old one: only there is a rename one step. Its name says
whose it is, so that it is removed when its owner is killed: by the guard, or the next export.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import stat
import sys
import warnings
from collections.abc import Iterator

from shmkit import _descriptors as descriptors
from shmkit._format import counted
from shmkit._interrupts import uninterrupted
from shmkit.cleanup import guard
from shmkit.cleanup.lock import mark
from shmkit.cleanup.orphans import remove_orphans
from shmkit.cleanup.owner import new_name
from shmkit.hdf5.storage.file import Storage
from shmkit.hdf5.storage.place import naming

__all__ = ["replacing"]

_ACL = "system.posix_acl_access"
_CALLER = 7  # frames up: through `contextlib` and `writing` to who has called `to_hdf5`


@contextlib.contextmanager
def replacing(path: str, *, exclusive: bool = False) -> Iterator[Storage]:
    """A new file that takes the place of `path` after the block, or is removed if that fails."""
    target = os.path.realpath(path)  # a symbolic link stays one
    directory = os.path.dirname(target)
    guard.watch(directory)
    remove_orphans([directory])  # of processes whose guard was killed too
    temporary = os.path.join(directory, f".{new_name()}.tmp")
    with naming(path):
        storage = _new_like(target, temporary, path)
    try:
        # Open, and so locked, until it has its final name: nobody takes it for an orphan.
        with storage:
            yield storage
            storage.sync()
            storage.check()
            with naming(path):
                _copy_access(storage.fileno(), target)  # which was changed meanwhile, perhaps
                others = _other_names(target)
                if exclusive:
                    os.link(temporary, target)  # fails if it is there by now
                else:
                    os.replace(temporary, target)
                uninterrupted(lambda: _sync(directory))
            if others:
                names = counted(others, "other name", "other names")
                warnings.warn(
                    f"{path} had {names} (hard links), which keep the old content; copy it there",
                    stacklevel=_CALLER,
                )
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)


def _new_like(target: str, temporary: str, path: str) -> Storage:
    """A new file that from its first moment on nobody may read who may not `target`.

    Where there is no `target`, it is a new file like any other.
    """
    while True:
        mode = 0o600 if os.path.exists(target) else 0o666
        storage = Storage(temporary, "x+", path, functools.partial(os.open, mode=mode))
        try:
            if mark(storage.fileno()):
                _copy_access(storage.fileno(), target)
                return storage
        except BaseException:
            storage.close()
            os.unlink(temporary)
            raise
        storage.close()


def _copy_access(file: int, target: str) -> None:
    """Give a new file the owner, group, mode, ACL and attributes of the one that it replaces.

    There may be none. Where it cannot have the same group or ACL, its group gets nothing: it may be
    another one.
    """
    try:
        status = os.stat(target)
    except FileNotFoundError:
        return
    mode = stat.S_IMODE(status.st_mode) & 0o777
    try:
        _copy_group(file, status)
        _copy_acl(file, target)
    except OSError:
        mode &= ~stat.S_IRWXG
    os.fchmod(file, mode)
    _copy_attributes(file, target)


def _copy_group(file: int, status: os.stat_result) -> None:
    """Give it the owner as well, if this process may; raise OSError if not even the group."""
    now = os.fstat(file)
    if now.st_uid != status.st_uid:
        with contextlib.suppress(PermissionError):  # only root may
            os.fchown(file, status.st_uid, status.st_gid)
            return
    if now.st_gid != status.st_gid:
        os.fchown(file, -1, status.st_gid)


def _copy_acl(file: int, target: str) -> None:
    """Give it the same ACL, or none: the directory may have given it one (acl(5))."""
    if sys.platform != "linux":
        return
    try:
        acl = os.getxattr(target, _ACL)
    except OSError as error:
        if error.errno not in (errno.ENODATA, errno.EOPNOTSUPP):
            raise
        with contextlib.suppress(OSError):  # it has none
            os.removexattr(file, _ACL)
    else:
        os.setxattr(file, _ACL, acl)


def _copy_attributes(file: int, target: str) -> None:
    """Give it the same extended attributes (xattr(7)), without those that the system keeps."""
    if sys.platform != "linux":
        return
    try:
        names = os.listxattr(target)
    except OSError as error:
        if error.errno != errno.EOPNOTSUPP:
            raise
        return
    for name in names:
        if name.startswith("user."):
            os.setxattr(file, name, os.getxattr(target, name))
        elif not name.startswith("system."):  # security.selinux: only who may
            with contextlib.suppress(OSError):
                os.setxattr(file, name, os.getxattr(target, name))


def _other_names(target: str) -> int:
    """Hard links: they stay with the old content."""
    try:
        return os.stat(target).st_nlink - 1
    except FileNotFoundError:
        return 0


def _sync(directory: str) -> None:
    """Bring the new name to the disk too; the file's own fsync does not, says fsync(2)."""
    with (
        contextlib.suppress(OSError),  # not every file system can, and the new file is in place
        descriptors.directory(directory) as number,
    ):
        os.fsync(number)
