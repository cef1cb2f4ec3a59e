"""A file that is changed whole or not at all.

Replacing a file
----------------
    write ──▶ .shmkit-….tmp ──fsync──▶ ──rename──▶ results.h5 ──▶ fsync of the directory
                 │
                 └─ a failure ──▶ unlink: results.h5 is what it was, or is not there

The new file lies in the directory of the old one: only there is a rename one step. Its name says
whose it is, so that it is removed when its owner is killed: by the guard, or the next export.

Adding to an HDF5 file
----------------------
    results.h5   [ superblock │ old data │ names of a group │ old data ]end
                       │                        │                      └──▶ new data │ new end
                       ▼                        ▼
    in memory    [ page 0 ]                [ page 7 ]        as HDF5 has changed them

HDF5 writes new data behind the end of the file. But it also changes a little of what was there:
tables of names in groups, and the superblock, the first bytes of the file, which say where it ends.

1. `begin` finds out where the content ends: the superblock says so. What lies behind that is left
   of a process that was killed, and is overwritten.
2. What HDF5 writes behind that end goes into the file. No reader looks there yet.
3. What it writes before the end goes into copies of the pages that it falls into. They are
   kept in memory; what HDF5 reads again is read from them.
4. `commit` brings the new data to the disk, then puts the pages in their places. Page 0, with the
   superblock, is the last. Then these go to the disk.
5. `rollback` puts back the pages that `commit` has replaced, and cuts the file off at its old end.

So a process that is killed in steps 1 to 3 leaves the old file, with something behind its end. Only
in the moment of step 4, when a few pages are written, can it leave some new and some old ones.

Data of the old file are never overwritten, as HDF5 puts something new only where it has freed room
since it opened the file. That is why a dataset that is replaced is renamed first, and deleted when
all else is written (`hdf5.writer`).

What does not work:

- To add to a copy, and rename that: an array of 1 MB added to a file of 100 GB takes 100 GB more.
- HDF5's core driver, which keeps changes in memory: it keeps the whole file there, and writes it in
  place when it is closed.
- HDF5's SWMR mode, made for readers beside a writer: no datasets can be created in it.
- A log of the old pages on the disk, to undo step 4: h5py and every other reader would open the
  file without a look at it.
- To let HDF5 know that a write failed: see `Storage`.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import io
import mmap
import os
import stat
import sys
import threading
from collections.abc import Callable, Iterator
from typing import IO, Any

from shmkit.cleanup import guard
from shmkit.cleanup.lock import mark
from shmkit.cleanup.orphans import remove_orphans
from shmkit.cleanup.owner import new_name

__all__ = ["Storage", "appending", "check_path", "replacing"]

_ACL = "system.posix_acl_access"


def check_path(path: str | os.PathLike[str], mode: str = "w") -> str:
    """The path as a string; an `OSError` if no file can be written there, before any work is done.

    Modes are those of `shmkit.to_hdf5`.
    """
    text = os.fsdecode(path)
    if not text:
        raise ValueError("the path is empty")
    exists = os.path.exists(text)
    if os.path.isdir(text):
        raise IsADirectoryError(errno.EISDIR, "is a directory; give the path of a file in it", text)
    if exists and not os.path.isfile(text):  # a FIFO would block, /dev/null be replaced
        raise OSError(errno.EINVAL, "is a device or pipe; give the path of a file", text)
    directory = os.path.dirname(os.path.realpath(text))
    if not os.path.isdir(directory):
        raise FileNotFoundError(
            errno.ENOENT, f"there is no directory {directory!r}; make it first", text
        )
    if exists and mode == "x":
        raise FileExistsError(errno.EEXIST, 'is there already; mode="w" replaces it', text)
    places = [text] if exists else []
    if mode != "a" or not exists:  # a new file is made in it
        places.insert(0, directory)
    for place in places:
        if not os.access(place, os.W_OK):
            reason = f"cannot be written: {place!r} is read-only here"
            raise PermissionError(errno.EACCES, reason, text)
    if exists:
        kind = fcntl.LOCK_EX if mode == "a" else fcntl.LOCK_SH
        with open(text, "r+b" if mode == "a" else "rb") as file, _locked(file, text, kind):
            pass
    return text


@contextlib.contextmanager
def _locked(file: IO[bytes] | io.FileIO, path: str, kind: int) -> Iterator[None]:
    """Lock a file as HDF5 does; an error if somebody holds it open who minds."""
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        how = "" if kind == fcntl.LOCK_EX else " for writing"
        reason = f"is open{how}, here or in another process; close it there first"
        raise BlockingIOError(errno.EWOULDBLOCK, reason, path) from None
    except OSError:  # no locks in this file system
        pass
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            fcntl.flock(
                file, fcntl.LOCK_UN
            )  # closing it does not unlock while a forked child has it


@contextlib.contextmanager
def _naming(path: str) -> Iterator[None]:
    """Have an error say which file cannot be written."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, f"cannot be written: {error.strerror}", path) from None


class Storage(io.FileIO):
    """A file for HDF5, which must never learn of a failed write.

    After a write that failed HDF5 cannot close the file, and the interpreter dies later (h5py#914,
    h5py#1775). So each write seems to succeed, and the error is kept here. `check` raises it, which
    is called between two calls of HDF5.

    Attributes
    ----------
    error : BaseException or None
        What went wrong.
    path : str
        Of the file that is meant, as the user gave it.
    written : int
        Bytes, about: threads add to it at the same time.
    """

    def __init__(
        self, file: str, mode: str, path: str, opener: Callable[[str, int], int] | None = None
    ) -> None:
        super().__init__(file, mode, opener=opener)
        self.error: BaseException | None = None
        self.written = 0
        self.path = path

    def write(self, data: Any) -> int:
        """Write all of it, or keep the error."""
        view = memoryview(data).cast("B")
        start = self.tell()
        self.write_at(view, start)
        self.seek(start + len(view))
        return len(view)

    def write_at(self, data: memoryview, start: int) -> None:
        """Write all of it there, or keep the error; any thread may."""
        with self._keeping_error():
            while data:
                count = os.pwrite(self.fileno(), data, start)
                data, start = data[count:], start + count
                self.written += count

    def truncate(self, size: int | None = None) -> int:
        """Change the file's length, or keep the error."""
        with self._keeping_error():
            return super().truncate(size)
        return size or 0

    @contextlib.contextmanager
    def _keeping_error(self) -> Iterator[None]:
        try:
            with _naming(self.path):
                yield
        except OSError as error:
            self.error = self.error or error

    def sync(self) -> None:
        """Bring to the disk what was written, or keep the error: the disk tells it only once."""
        with self._keeping_error():
            os.fdatasync(self.fileno())

    def check(self) -> None:
        """Raise the error that was kept."""
        if self.error is not None:
            raise self.error


@contextlib.contextmanager
def replacing(path: str, *, exclusive: bool = False) -> Iterator[Storage]:
    """A new file that takes the place of `path` after the block, or is removed if that fails."""
    target = os.path.realpath(path)  # a symbolic link stays one
    directory = os.path.dirname(target)
    guard.watch(directory)
    remove_orphans([directory])  # of processes whose guard was killed too
    temporary = os.path.join(directory, f".{new_name()}.tmp")
    with _naming(path):
        storage = Storage(temporary, "x+", path, _opener_like(target))
    try:
        # Open, and so locked, until it has its final name: nobody takes it for an orphan.
        with storage:
            yield storage
            storage.sync()
            storage.check()
            with _naming(path):
                _copy_access(storage.fileno(), target)  # which was changed meanwhile, perhaps
                if exclusive:
                    os.link(temporary, target)  # fails if it is there by now
                else:
                    os.replace(temporary, target)
                _sync(directory)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)


def _opener_like(target: str) -> Callable[[str, int], int]:
    """An opener of a new file that from its first moment on nobody may read who may not `target`.

    Where there is no `target`, it is a new file like any other.
    """

    def opener(path: str, flags: int) -> int:
        while True:
            mode = 0o600 if os.path.exists(target) else 0o666
            fd = os.open(path, flags | os.O_NOFOLLOW, mode)
            try:
                if mark(fd):
                    _copy_access(fd, target)
                    return fd
            except BaseException:
                os.close(fd)
                os.unlink(path)
                raise
            os.close(fd)

    return opener


def _copy_access(file: int, target: str) -> None:
    """Give a new file the owner, group, ACL and mode of the one that it replaces, if there is one.

    Where it cannot have the same group or ACL, its group gets nothing: it may be another one.
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


def _sync(directory: str) -> None:
    """Bring the new name to the disk too; the file's own fsync does not, says fsync(2)."""
    with contextlib.suppress(OSError):  # not every file system can, and the new file is in place
        fd = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


class _Appended(Storage):
    """An existing file, whose content stays as it is until `commit`; see the top of the module."""

    def __init__(self, path: str) -> None:
        super().__init__(path, "r+", path)
        self._pages: dict[int, bytearray] = {}
        self._replaced: list[tuple[bytes, int]] = []  # by `commit`: what was where
        self._lock = threading.Lock()

    def begin(self) -> None:
        """Note how long it is; before it is locked, somebody may be adding to it."""
        self._nbytes = os.fstat(self.fileno()).st_size
        self._end = _end_of_content(self.fileno()) or self._nbytes

    def readinto(self, buffer: Any) -> int:
        """Read what was written, wherever it is."""
        view = memoryview(buffer).cast("B")
        start = self.tell()
        count = super().readinto(view) or 0
        for number in range(start // mmap.PAGESIZE, -(-(start + count) // mmap.PAGESIZE)):
            if (page := self._pages.get(number)) is not None:
                first = number * mmap.PAGESIZE
                begin = max(start, first)
                end = max(min(start + count, first + mmap.PAGESIZE, self._end), begin)
                view[begin - start : end - start] = page[begin - first : end - first]
        return count

    def write_at(self, data: memoryview, start: int) -> None:
        """Write it behind the end of what was there; keep the rest apart."""
        with self._lock:
            while data and start < self._end:
                number, offset = divmod(start, mmap.PAGESIZE)
                count = min(mmap.PAGESIZE - offset, self._end - start, len(data))
                page = self._pages.get(number)
                if page is None:
                    old = os.pread(self.fileno(), mmap.PAGESIZE, number * mmap.PAGESIZE)
                    page = self._pages[number] = bytearray(old.ljust(mmap.PAGESIZE, b"\0"))
                page[offset : offset + count] = data[:count]
                data, start = data[count:], start + count
        super().write_at(data, start)

    def truncate(self, size: int | None = None) -> int:
        """Change the length, but leave what was there."""
        return super().truncate(None if size is None else max(size, self._end))

    def commit(self) -> None:
        """Put in their place the pages that were kept; the first, which names the end, last."""
        self.sync()
        self.check()
        for number in sorted(self._pages, reverse=True):
            start = number * mmap.PAGESIZE
            page = memoryview(self._pages[number])[: self._end - start]
            self._replaced.append((os.pread(self.fileno(), len(page), start), start))
            super().write_at(page, start)
        self.sync()
        self.check()

    def rollback(self) -> None:
        """Cut off what was added; put back what `commit` has replaced."""
        for old, start in self._replaced:
            super().write_at(memoryview(old), start)
        os.ftruncate(self.fileno(), self._nbytes)


def _end_of_content(file: int) -> int:
    """Where an HDF5 file says that its content ends; 0 if that cannot be told.

    Behind it is what a killed process wrote. See "Disk Format: Level 0A", HDF5 File Format
    Specification 3.0.
    """
    place = 0
    while not (superblock := os.pread(file, 64, place)).startswith(b"\x89HDF\r\n\x1a\n"):
        if not superblock:
            return 0
        place = max(2 * place, 512)  # a user block comes before it
    superblock = superblock.ljust(64, b"\0")
    start, sizes = {0: (40, 13), 1: (44, 13)}.get(superblock[8], (28, 9))
    if superblock[sizes] != 8:
        return 0
    return int.from_bytes(superblock[start : start + 8], "little")


@contextlib.contextmanager
def appending(path: str) -> Iterator[Storage]:
    """The file, with what is added to it in the block; as it was before if that fails."""
    with _naming(path):
        storage = _Appended(path)
    with storage, _locked(storage, path, fcntl.LOCK_EX):
        storage.begin()
        try:
            yield storage
            storage.commit()
        except BaseException:
            storage.rollback()
            raise
