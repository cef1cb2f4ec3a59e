"""A lease: the second name of a segment, by which a reference that is on its way finds it.

    sender                                                          receiver
    array ──▶ /dev/shm/shmkit-<owner>-3.npy ──────────────┐
    lease ──▶ /dev/shm/.shmkit-<owner>-<time>.lease ──▶ memory ◀── 1. maps it by the lease
                          ▲                                        2. ends the lease
                          └─────────────────────────────────────── by unlinking it

`pool.apply_async(f, (share(x),))` lets go of the array as soon as it is pickled, and so does a
``with`` block that ends before the worker has read; the message may still be in a pipe then. The
lease keeps the memory until the receiver has mapped it. It ends with the owner too, whose guard
removes all that has the owner's name. If nobody takes it (a pool was terminated, a message dropped)
it ends after an hour, when the next lease is given there: its time is in its name. Who comes later,
or unpickles a message twice, finds the array by its own name as long as that is there.

A file gets a hard link. A memfd cannot have one: there the sender keeps one more descriptor open,
and the receiver says by a pipe, which it finds in /proc as it does the memfd, that it may be
closed. A thread of the sender's waits for that; it runs only as long as such leases are out.

What does not work:

- To keep the arrays in a table of the sender's: ``close()``, and the end of a ``with`` block,
  unlink the name that the receiver needs.
- `multiprocessing.reduction.DupFd`, for memfds: it asks a thread of the sender's for each
  descriptor, which takes the receiver 230 µs and more, instead of 20, and what nobody asks for is
  never closed.
- No lease where an array is held anyway, as executors hold their arguments: a ``with`` block may
  end before the worker begins.
"""

from __future__ import annotations

import contextlib
import contextvars
import io
import os
import select
import sys
import threading
import time
from collections.abc import Iterator
from typing import NamedTuple

from shmkit import _limits
from shmkit._descriptors import opened, pipe
from shmkit.cleanup.owner import lease_of, lease_path, lease_time, this_process
from shmkit.errors import ShmkitError
from shmkit.segments.segment import Segment

__all__ = ["Lease", "end", "give", "none_given"]

_MAX_SECONDS = 3600  # that a lease lasts
_SWEEP = 60  # seconds between two looks for leases that nobody took
_FD_NBYTES = 4


class Lease(NamedTuple):
    """What the receiver needs of a lease: it is good for one receiver."""

    path: str  # leads to the segment
    answer: str = ""  # for a memfd: the pipe that takes the number of the descriptor


_wanted = contextvars.ContextVar("leases are wanted", default=True)


@contextlib.contextmanager
def none_given() -> Iterator[None]:
    """In this block no lease is given: for a sender who holds what it sends until it is done."""
    before = _wanted.set(False)
    try:
        yield
    finally:
        _wanted.reset(before)


def give(segment: Segment) -> Lease | None:
    """Keep the memory of a linked segment for one receiver; None where that cannot be."""
    if not _wanted.get():
        return None
    with contextlib.suppress(OSError, ShmkitError):  # no hard links there, no more descriptors
        return _memfds.give(segment) if segment.backing == "memfd" else _link(segment.path)
    return None


def end(lease: Lease) -> None:
    """Give back what is mapped by now, or will not be."""
    with contextlib.suppress(OSError):  # the sender has ended, and its leases with it
        if not lease.answer:
            os.unlink(lease.path)
            return
        with opened(os.open, lease.answer, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC) as answer:
            number = int(os.path.basename(lease.path))
            answer.write(number.to_bytes(_FD_NBYTES, sys.byteorder))


def _link(path: str) -> Lease:
    _sweep(os.path.dirname(path))
    while True:
        lease = lease_path(path, time.time_ns())
        try:
            os.link(path, lease, follow_symlinks=False)
        except FileExistsError:  # another process's, of the same nanosecond
            continue
        return Lease(lease)


_swept: dict[str, float] = {}  # when each directory was last looked through


def _sweep(directory: str) -> None:
    """Unlink the leases in a directory that nobody took; now and then."""
    now = time.time()
    if now - _swept.get(directory, -_SWEEP) < _SWEEP:
        return
    _swept[directory] = now
    for entry in list(os.scandir(directory)):
        if lease_of(entry.name) and lease_time(entry.name) < (now - _MAX_SECONDS) * 1e9:
            with contextlib.suppress(OSError):  # another user's, or taken at this moment
                os.unlink(entry.path)


class _Memfds:
    """The descriptors that this process keeps open for receivers."""

    def __init__(self) -> None:
        self._lock = threading.RLock()  # a signal's handler may send arrays too
        self._held: dict[int, tuple[io.FileIO, float]] = {}  # when each is closed at the latest
        self._pipe: tuple[io.FileIO, io.FileIO] | None = None
        self._waits = False  # whether a thread waits for answers

    def give(self, segment: Segment) -> Lease:
        _limits.allow_descriptors(3)
        file = segment.open()
        with self._lock:
            if self._pipe is None:
                self._pipe = pipe()
                os.set_blocking(self._pipe[0].fileno(), False)
            answer = self._pipe[1].fileno()
            held = opened(os.dup, file.fileno())
            fd = held.fileno()
            self._held[fd] = held, time.monotonic() + _MAX_SECONDS
            if not self._waits:
                self._waits = True
                threading.Thread(target=self._wait, name="shmkit-leases", daemon=True).start()
        file.close()
        here = f"/proc/{this_process().pid}/fd"
        return Lease(f"{here}/{fd}", f"{here}/{answer}")

    def _wait(self) -> None:
        """Close what was taken, and what nobody took; until nothing is left."""
        assert self._pipe is not None
        answers = self._pipe[0].fileno()
        poll = select.poll()
        poll.register(answers, select.POLLIN)
        left = True
        while left:
            with self._lock:
                wait = min((end for _, end in self._held.values()), default=0) - time.monotonic()
            taken = b""
            if poll.poll(max(wait, 0) * 1000):
                taken = os.read(answers, 1 << 12)  # each of the numbers is written at once
            fds = memoryview(taken).cast("I").tolist()
            with self._lock:
                late = time.monotonic()
                fds += [fd for fd, (_, latest) in self._held.items() if latest <= late]
                for fd in fds:
                    if fd in self._held:
                        self._held.pop(fd)[0].close()
                left = self._waits = bool(self._held)

    def forget(self) -> None:
        """In a forked child: the leases are the parent's, which may be giving one just now."""
        for file in [*(held for held, _ in self._held.values()), *(self._pipe or ())]:
            file.close()
        self.__init__()  # type: ignore[misc] # the child holds nothing


_memfds = _Memfds()
os.register_at_fork(after_in_child=_memfds.forget)
