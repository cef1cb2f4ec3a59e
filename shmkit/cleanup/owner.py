"""Who owns a file that shmkit makes: its name says so.

    shmkit-<owner>-<random>            of a memfd
    shmkit-<owner>-<random>.npy        of a segment that is a file
    .shmkit-<owner>-<random>.tmp       of a file that is being exported
    .shmkit-<owner>-<time>.lease       a segment's second name, for who is about to attach to it
    .shmkit-<owner>.lock               held while the owner lives; see `shmkit.cleanup.lock`

    <owner> = <pid>-<boot>-<token>

The token, 64 random bits that each process draws for itself, is the owner's identity: no other
process ever has the same one, whatever becomes of its pid. The pid is there to be shown. The boot
tells owners of this kernel from those of another one, which may share a directory with it. The
random part of each name cannot be guessed, so nobody can take the next names before.

The guard imports this module too: the standard library is all it needs.
"""

from __future__ import annotations

import functools
import os
import re
import zlib
from typing import NamedTuple

__all__ = [
    "NAMES",
    "SHM",
    "Owner",
    "exporter_of",
    "lease_of",
    "lease_path",
    "lease_time",
    "lock_of",
    "lock_path",
    "memfd_name",
    "new_name",
    "owner_of",
    "split_rows",
    "this_process",
]

SHM = "/dev/shm"  # noqa: S108 - files are made there with O_EXCL and O_NOFOLLOW
# Where names lie: elsewhere than on Linux, the page cache of a file serves as shared memory.
NAMES = SHM
if not os.path.isdir(SHM):
    import tempfile

    NAMES = tempfile.gettempdir()

# The lengths are bounded: anybody may give a file a name with a number that no pid can be.
_OWNER = r"([0-9]{1,10}-[0-9a-f]{8}-[0-9a-f]{16})"
_RANDOM = r"[0-9a-f]{1,16}"
_OWNER_TEXT = re.compile(_OWNER)
_FILE = re.compile(rf"shmkit-{_OWNER}-{_RANDOM}\.npy")
_UNFINISHED = re.compile(rf"\.shmkit-{_OWNER}-{_RANDOM}\.tmp")
_LEASE = re.compile(rf"\.shmkit-{_OWNER}-{_RANDOM}\.lease")
_LOCK = re.compile(rf"\.shmkit-{_OWNER}\.lock")
_ROWS = re.compile(r"\[[0-9]+(:[0-9]+)?\]\Z")  # behind a path: which rows of the segment
_MEMFD = re.compile(rf"/memfd:(shmkit-{_OWNER}-{_RANDOM}) \(deleted\)")


class Owner(NamedTuple):
    """One process, told from every other that had or will have its pid."""

    pid: int  # as the /proc that is mounted here counts
    boot: str  # of the kernel; "00000000" where that cannot be told
    token: str

    def __str__(self) -> str:
        return f"{self.pid}-{self.boot}-{self.token}"

    @classmethod
    def parse(cls, text: str) -> Owner:
        """The owner that `str` gave as `text`; raises ValueError for any other."""
        if not _OWNER_TEXT.fullmatch(text):
            raise ValueError(f"{text!r} is no owner")
        pid, boot, token = text.split("-")
        return cls(int(pid), boot, token)

    @property
    def of_this_boot(self) -> bool:
        """Whether the same kernel runs it as this process; False also where it cannot be told."""
        return self.boot == _boot() != _UNKNOWN_BOOT


_UNKNOWN_BOOT = "0" * 8


@functools.cache
def this_process() -> Owner:
    """The identity of the calling process (a forked child's differs from its parent's)."""
    try:  # what /proc calls it: the /proc of another pid namespace may be mounted
        pid = int(os.readlink("/proc/self"))
    except OSError:
        pid = os.getpid()
    return Owner(pid, _boot(), os.urandom(8).hex())


os.register_at_fork(after_in_child=this_process.cache_clear)


@functools.cache
def _boot() -> str:
    try:
        with open("/proc/sys/kernel/random/boot_id", "rb") as file:
            return f"{zlib.crc32(file.read()):08x}"
    except OSError:
        return _UNKNOWN_BOOT


def new_name() -> str:
    """A name for a new segment or file of this process, which nobody can know before."""
    return f"shmkit-{this_process()}-{os.urandom(8).hex()}"


def owner_of(path: str) -> Owner | None:
    """The owner that the name of a segment tells; None if that is no segment's name.

    >>> owner_of("/dev/shm/shmkit-71-0badcafe-0123456789abcdef-3.npy")
    Owner(pid=71, boot='0badcafe', token='0123456789abcdef')
    """
    if path.startswith("/proc/"):
        name = memfd_name(path)
        return Owner.parse(name.removeprefix("shmkit-").rpartition("-")[0]) if name else None
    return _parsed(_FILE, path)


def split_rows(path: str) -> tuple[str, str]:
    """A segment's path, and which of its rows are meant, if the path says that.

    >>> split_rows("/proc/71/fd/5[10:30]"), split_rows("/proc/71/fd/5")
    (('/proc/71/fd/5', '[10:30]'), ('/proc/71/fd/5', ''))
    """
    found = _ROWS.search(path)
    return (path[: found.start()], found[0]) if found else (path, "")


def memfd_name(path: str) -> str | None:
    """The name of the segment whose memfd is at ``/proc/<pid>/fd/<n>``; None if none is seen."""
    try:
        found = _MEMFD.fullmatch(os.readlink(path))
    except OSError:
        return None
    return found[1] if found else None


def exporter_of(path: str) -> Owner | None:
    """The process that the name of an unfinished export tells; None if that is none."""
    return _parsed(_UNFINISHED, path)


def lease_of(path: str) -> Owner | None:
    """The owner of the segment that a lease keeps, told by its name; None if that is no lease's."""
    return _parsed(_LEASE, path)


def lease_path(path: str, time_ns: int) -> str:
    """The name of a lease of this moment, for the segment at `path`."""
    directory, name = os.path.split(path)
    return os.path.join(directory, f".{name.rpartition('-')[0]}-{time_ns:x}.lease")


def lease_time(path: str) -> int:
    """When a lease was given: nanoseconds since the epoch."""
    return int(path.rpartition("-")[2].removesuffix(".lease"), 16)


def lock_of(path: str) -> Owner | None:
    """The process that the name of a lock file tells; None if that is none."""
    return _parsed(_LOCK, path)


def lock_path(directory: str, owner: Owner) -> str:
    """The lock file that speaks for what the owner has in this directory."""
    return os.path.join(directory, f".shmkit-{owner}.lock")


def _parsed(pattern: re.Pattern[str], path: str) -> Owner | None:
    found = pattern.fullmatch(os.path.basename(path))
    return Owner.parse(found[1]) if found else None
