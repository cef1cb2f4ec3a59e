"""Whether an owner lives: a lock that the kernel drops when it ends.

    owner                                        who finds a file of the owner's
    .shmkit-<owner>.lock ──▶ flock LOCK_SH,      .shmkit-<owner>.lock ──▶ flock LOCK_EX | LOCK_NB
                             mapped                  │
        │                                            ├── is refused ──▶ the owner lives
        ✕ exit, exec, SIGKILL:                       ├── is granted ──▶ it has ended: what it left
          the mapping ends, and                      │                  is removed, the lock last
          with it the lock                           └── no such file, no locks here, another
                                                         user's ──▶ cannot be told: it lives

An owner makes one lock file in each directory before its first segment there, and removes it at
its end; the guard does so for an owner that was killed. A file that is being exported is its own
lock: it is open until it has its final name, and no lock file stays beside the user's data.

The lock belongs to the open file, and the kernel keeps a file open as long as it is mapped. So the
mapping holds the lock: no descriptor is needed, and a daemon that closes all descriptors keeps it.
A forked child inherits the mapping, and closes it at once.

What does not work:

- The pid, with or without the time at which that process started. ``kill(pid, 0)`` succeeds for a
  process that /proc hides (hidepid=2, another primary group); in another pid namespace it asks
  about another process; a time namespace shifts the start times; and two computers with one name
  that share a directory have the same pids. In each of these the living are taken for dead. In a
  container that is restarted with its /dev/shm, or after a change of the computer's name, the
  dead are taken for living.
- fcntl's POSIX locks: they are lost as soon as the process closes any descriptor of the file.
- A lock on every segment: it takes a descriptor for each that is not mapped yet, and a look takes
  as long as there are segments.
- Locks in a network's file system: they may hold on one computer only (NFS with ``local_lock``).
  There an owner of another boot is taken for living, whoever has the lock. What was left before a
  reboot stays there, until somebody removes it by hand.

The guard imports this module too: the standard library is all it needs.
"""

from __future__ import annotations

import atexit
import contextlib
import errno
import fcntl
import io
import mmap
import os
import re
import stat
import sys
import threading
import time
from collections.abc import Iterator

from shmkit._descriptors import above_standard, opened
from shmkit.cleanup.owner import Owner, lock_of, lock_path, this_process

__all__ = ["ended", "hold", "locked_directories", "mark"]

_TRIES = 100  # while somebody else looks whether this process lives
_WAIT = 0.001  # seconds between two tries
# File systems that one kernel has to itself, so that all who use a file see its locks.
_LOCAL = frozenset(
    ("bcachefs", "btrfs", "ext2", "ext3", "ext4", "f2fs", "overlay", "ramfs", "tmpfs", "xfs", "zfs")
)


class _Locks:
    """The locks of this process, by their directories."""

    def __init__(self) -> None:
        self._held: dict[str, tuple[str, mmap.mmap]] = {}
        self._lock = threading.RLock()  # a signal's handler may make segments too

    def hold(self, directory: str) -> None:
        """Be seen to live by whoever finds something of this process in `directory`.

        Where that is not possible, nobody can tell that it has ended: only its guard removes what
        it leaves there.
        """
        with self._lock:
            path, _ = self._held.get(directory, ("", None))
            if path and os.path.lexists(path):
                return
            path = path or lock_path(directory, this_process())
            try:
                with above_standard():
                    self._held[directory] = path, _locked(path)
            except BaseException as error:
                # A lock file that nobody holds would tell that its owner has ended.
                with contextlib.suppress(OSError):
                    os.unlink(path)
                if not isinstance(error, OSError):
                    raise

    def release(self) -> None:
        """At the interpreter's exit: remove the lock files."""
        for path, _ in self._held.values():
            with contextlib.suppress(OSError):
                os.unlink(path)

    def forget(self) -> None:
        """In a forked child: they are the parent's."""
        for _, mapped in self._held.values():
            mapped.close()
        self._held, self._lock = {}, threading.RLock()


_locks = _Locks()
hold = _locks.hold
os.register_at_fork(after_in_child=_locks.forget)
atexit.register(_locks.release)


def _locked(path: str) -> mmap.mmap:
    """A mapping that holds the lock as long as it is there."""
    while True:
        with _open(path, os.O_CREAT) as file:
            if not _share(file.fileno()):
                continue
            os.truncate(file.fileno(), 1)  # what is empty cannot be mapped
            if sys.version_info >= (3, 13):
                return mmap.mmap(file.fileno(), 1, prot=mmap.PROT_READ, trackfd=False)
            return mmap.mmap(file.fileno(), 1, prot=mmap.PROT_READ)


def locked_directories() -> list[str]:
    """The directories in which another process, which lives and may be looked at, has a lock."""
    found = set()
    for process in os.scandir("/proc") if os.path.isdir("/proc/self") else ():
        if not process.name.isdigit() or int(process.name) == this_process().pid:
            continue
        with contextlib.suppress(OSError), open(f"{process.path}/maps", "rb") as maps:
            for line in maps:
                if b"/.shmkit-" in line:  # a path is the sixth field of a line, proc_pid_maps(5)
                    path = os.fsdecode(line.split(None, 5)[5].rstrip(b"\n"))
                    if lock_of(path):
                        found.add(os.path.dirname(path))
    return sorted(found)


def mark(file: int) -> bool:
    """Lock a new file, to be exported, as long as it is open; False if it was removed before."""
    try:
        return _share(file)
    except TimeoutError:
        raise
    except OSError:  # no locks in this file system: then nobody else gets one
        return True


def _share(file: int) -> bool:
    """Have a share of the lock of a new file; False if somebody found it free, and removed it."""
    for _ in range(_TRIES):
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return os.fstat(file).st_nlink > 0
        time.sleep(_WAIT)
    raise TimeoutError(errno.ETIMEDOUT, "another process holds its lock, and does not go on")


@contextlib.contextmanager
def ended(path: str, owner: Owner, *, wait: bool = False) -> Iterator[bool]:
    """Whether the owner has ended, who locked this file; True for one process at a time.

    Where it cannot be told it has not. With `wait`, the end of somebody else's look is waited for.
    """
    with contextlib.ExitStack() as stack:
        told = False
        with contextlib.suppress(OSError):
            file = stack.enter_context(_open(path, 0))
            told = owner != this_process() and _told(owner, path) and _free(file, wait=wait)
        yield told


def _told(owner: Owner, path: str) -> bool:
    """Whether the lock of an owner tells the truth here."""
    return owner.of_this_boot or _is_local(os.path.dirname(os.path.realpath(path)))


def _free(file: io.FileIO, *, wait: bool) -> bool:
    """Whether nobody holds the lock, and this process has it now."""
    for _ in range(_TRIES if wait else 1):
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return os.fstat(file.fileno()).st_nlink > 0  # else somebody has just removed it
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return False  # an owner shares it; who looks does not
        time.sleep(_WAIT)
    return False


def _open(path: str, flags: int) -> io.FileIO:
    """Open a file of this user's; raises OSError for any other, and for what is no file."""
    flags |= os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:  # NFS gives LOCK_EX only to who may write
        file = opened(os.open, path, os.O_RDWR | flags, 0o600)
    except PermissionError:
        file = opened(os.open, path, os.O_RDONLY | flags, 0o600)
    status = os.fstat(file.fileno())
    if status.st_uid != os.geteuid() or not stat.S_ISREG(status.st_mode):
        file.close()
        raise PermissionError(path)
    return file


def _is_local(directory: str) -> bool:
    """Whether this kernel alone uses the file system; False also where it cannot be told."""
    kind, longest = "", -1
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as mounts:
            for line in mounts:
                # proc_pid_mountinfo(5); blanks are written as octal numbers.
                first, _, last = line.partition(" - ")
                place = re.sub(r"\\([0-7]{3})", lambda n: chr(int(n[1], 8)), first.split(" ")[4])
                below = os.path.join(place, "")
                if (directory + "/").startswith(below) and len(below) >= longest:
                    kind, longest = last.split(" ")[0], len(below)
    except OSError:
        return False
    return kind in _LOCAL
