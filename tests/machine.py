"""What a test needs of the machine, and what it may have left on it."""

from __future__ import annotations

import ctypes
import os
import shutil
from typing import NoReturn

import pytest

from shmkit.cleanup.owner import this_process

# Of <linux/sched.h> and <linux/mount.h>
_CLONE_NEWNS = 0x00020000
_MS_NOSUID, _MS_NODEV, _MS_REC, _MS_PRIVATE = 2, 4, 0x4000, 1 << 18


def own_segments() -> list[str]:
    """The names in /dev/shm that belong to this process."""
    return [name for name in os.listdir("/dev/shm") if name.startswith(f"shmkit-{this_process()}-")]


def own_shared_memory() -> None:
    """Give this process, and those that it starts, a /dev/shm that no other process sees.

    Orphans are removed under locks that lie there. A test that holds such a lock for long, or looks
    for what it has left there itself, would fail a test of another process at the same moment.
    Where no file system can be mounted, all share one.
    """
    room = os.statvfs("/dev/shm")
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNS) == 0:
        libc.mount(None, b"/", None, _MS_REC | _MS_PRIVATE, None)
        size = f"mode=1777,size={room.f_blocks * room.f_frsize}".encode()
        libc.mount(b"tmpfs", b"/dev/shm", b"tmpfs", _MS_NOSUID | _MS_NODEV, size)


def refuse(reason: str) -> NoReturn:
    """Skip the test, for a reason that lies in the machine; in CI fail it."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def tool(name: str) -> str:
    """The path of a program that a test needs; without it the test is refused."""
    path = shutil.which(name)
    if path is None:
        refuse(f"{name} is not installed")
    return path
