"""What is to be read: a plain file as it is, all else from a copy of what comes out of it.

    /data/a.csv ───────────────────────────────────────▶ itself
    /dev/stdin < a.csv, /dev/fd/3, /proc/self/… ───────▶ /proc/<pid>/…
    a pipe: /dev/stdin, <(zcat a.gz), a FIFO ──copied──▶ unnamed file ──▶ /proc/<pid>/fd/<n>
    a device, or a file of /proc without a size ───────▶ the same

A loader process has another standard input, and other descriptors, and what one process has read
from a pipe no other gets. So the notebook's process opens what only it can open, and the loaders
open the copy by its path, as often as there are parts. To the user it has the name that was given.

The copy lies in memory, or in the directory of ``backing=``, and ends with the load. It takes room
beside the arrays, which is looked at every 64 MB.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import re
import stat
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from shmkit import _descriptors as descriptors
from shmkit import _limits
from shmkit._format import printable
from shmkit.cleanup.owner import this_process
from shmkit.readers.formats import Format, format_of
from shmkit.segments.backing import choose_backing

__all__ = ["Input", "inputs"]

_STEP_NBYTES = 1 << 26  # between two looks at the room that is left
_PIECE_NBYTES = 1 << 18
_BEGIN_NBYTES = 8
_NO_ROOM = frozenset([errno.ENOSPC, errno.EDQUOT, errno.EFBIG])


class Input(NamedTuple):
    """One file to be loaded.

    Attributes
    ----------
    path
        As it was named.
    opened
        What loader processes open.
    nbytes
        How many bytes it has.
    form
        As what it is read.
    error
        Why it cannot be.
    """

    path: str
    opened: str
    nbytes: int
    form: Format
    error: OSError | None = None


@contextlib.contextmanager
def inputs(
    named: Mapping[str, str],
    reader: Callable[[str], Any] | None,
    backing: str | os.PathLike[str],
    *,
    skip_failed: bool,
) -> Iterator[dict[str, Input]]:
    """What is to be read of these files (name -> absolute path); copies end with the block.

    Raises
    ------
    OSError
        If a file is missing or cannot be opened here, unless failed ones are to be skipped.
    NotEnoughMemoryError
        If there is no room for a copy.
    """
    copies: dict[tuple[int, int], io.FileIO] = {}
    found = {}
    with contextlib.ExitStack() as stack:
        for name, path in named.items():
            try:
                found[name] = _input(path, reader, backing, copies, stack)
            except OSError as error:
                if not skip_failed:
                    raise
                found[name] = Input(path, path, 0, Format.TEXT, error)
        yield found


def _input(
    path: str,
    reader: Callable[[str], Any] | None,
    backing: str | os.PathLike[str],
    copies: dict[tuple[int, int], io.FileIO],
    stack: contextlib.ExitStack,
) -> Input:
    opened, status = _seen_by_all(path), os.stat(path)
    if stat.S_ISDIR(status.st_mode) and reader is None:
        files = os.path.join(printable(path), "*")
        raise IsADirectoryError(errno.EISDIR, f"Is a directory; give its files as {files!r}", path)
    if _is_plain(opened, status):
        return Input(path, opened, status.st_size, format_of(path, reader, opened=opened))
    # By identity: a pipe that is named twice gives what it has only once.
    identity = status.st_dev, status.st_ino
    copy = copies.get(identity)
    if copy is None:
        copy = copies[identity] = stack.enter_context(_unnamed(backing))
        with _source(opened, path) as source:
            _copy(source, copy, backing)
    opened = f"/proc/{this_process().pid}/fd/{copy.fileno()}"
    form = format_of(path, reader, opened=opened)
    return Input(path, opened, os.fstat(copy.fileno()).st_size, form)


def _seen_by_all(path: str) -> str:
    """The path by which other processes open what it is here: /proc/self is another's there."""
    at = path
    for _ in range(40):  # as many links as the kernel follows
        if at.startswith(("/proc/", "/dev/")):
            folder = os.path.realpath(os.path.dirname(at))
            at = os.path.join(folder, os.path.basename(at))
            if folder.startswith(f"/proc/{this_process().pid}/"):
                return at
        if not os.path.islink(at):
            break
        at = os.path.normpath(os.path.join(os.path.dirname(at), os.readlink(at)))
    return path


def _is_plain(path: str, status: os.stat_result) -> bool:
    """Whether every process may read it, as often as it likes, and it says how long it is."""
    if stat.S_ISDIR(status.st_mode):  # a function may read one
        return True
    if not stat.S_ISREG(status.st_mode):
        return False
    if status.st_size:
        return True
    try:
        return not _begin(path)
    except OSError:  # the loader says why
        return True


def _begin(path: str) -> bytes:
    with open(path, "rb", buffering=0) as file:
        return file.read(_BEGIN_NBYTES)


def _source(opened: str, path: str) -> io.FileIO:
    """The open pipe or device."""
    try:
        return open(opened, "rb", buffering=0)
    except OSError as error:
        own = re.fullmatch(rf"/proc/{this_process().pid}/fd/(\d+)", opened)
        if error.errno == errno.ENXIO and own:  # a socket cannot be opened anew
            return descriptors.opened(os.dup, int(own[1]))
        raise type(error)(error.errno, error.strerror, path) from None


def _unnamed(backing: str | os.PathLike[str]) -> io.FileIO:
    """A new file without a name."""
    _limits.allow_descriptors(2)
    chosen = choose_backing(backing, 0)
    if sys.platform != "linux":
        raise OSError(errno.ENOTSUP, "pipes and devices can be read on Linux only")
    if chosen.kind == "file":
        flags = os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC
        return descriptors.opened(os.open, chosen.directory, flags, 0o600)
    return descriptors.opened(os.memfd_create, "shmkit-input", os.MFD_CLOEXEC)


def _copy(source: io.FileIO, copy: io.FileIO, backing: str | os.PathLike[str]) -> None:
    """Copy all that comes; raises NotEnoughMemoryError where there is no more room."""
    chosen = choose_backing(backing, 0)
    checked = done = 0
    while piece := source.read(_PIECE_NBYTES):
        if done >= checked:
            in_memory = chosen.kind != "file"
            room = _limits.memory() if in_memory else _limits.room_in(chosen.directory)
            room.check(_STEP_NBYTES)
            checked += _STEP_NBYTES
        left = memoryview(piece)
        try:
            while left:
                left = left[copy.write(left) :]
        except OSError as error:
            if error.errno not in _NO_ROOM:
                raise
            raise room.shortage(done + len(piece)) from None
        done += len(piece)
