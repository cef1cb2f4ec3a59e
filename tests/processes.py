"""Processes that a test starts in order to kill them, and what is left of them."""

from __future__ import annotations

import array
import contextlib
import fcntl
import os
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterable
from typing import Self

from deadline import kept

SECONDS = 2  # this long after the end of an owner nothing of it is left (#3)
PATIENCE = 20  # seconds for what a process is about to do


class Owner:
    """A process that owns segments: a script, in a session of its own as a kernel is.

    It writes to `says` and reads `hears`; at the end of the `with` block whatever is left of it is
    killed.
    """

    def __init__(
        self,
        code: str,
        *arguments: object,
        under: Iterable[str] = (),
        options: Iterable[str] = ("-W", "error"),
    ) -> None:
        self.process = subprocess.Popen(
            [*under, sys.executable, *options, "-c", code, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            text=True,
        )
        self.pid = self.process.pid

    def says(self) -> list[str]:
        """The words of the next line that it prints."""
        line = self.process.stdout.readline()
        if not line:  # its end has a reason
            self.kill()
            raise EOFError(self.complaints())
        return line.split()

    def hears(self, line: str = "") -> None:
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def end(self, ending: signal.Signals = signal.SIGKILL, *, group: bool = False) -> None:
        """Send it a signal and wait for its end; it is a zombie then."""
        (os.killpg if group else os.kill)(self.pid, ending)
        assert not living([self.pid])

    def ended(self) -> int:
        """How it ends, by itself, within `SECONDS`."""
        assert not living([self.pid])
        return self.process.wait()

    def kill(self) -> None:
        """Kill whatever is left of it, forked children too."""
        left = list(started_by(self.pid))
        if self.process.returncode is None:  # else its pid may be another's by now
            os.killpg(self.pid, signal.SIGKILL)
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def complaints(self) -> str:
        """What it and its loaders wrote to stderr; they must have ended."""
        return self.process.stderr.read()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            pipe.close()


def heard(fifo: str, owner: Owner | None = None) -> int:
    """The pid that a process writes to a FIFO; waits for it, and not beyond the owner's end."""
    deadline = time.monotonic() + PATIENCE
    with contextlib.ExitStack() as stack:
        pipe = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
        stack.callback(os.close, pipe)
        poll = select.poll()
        poll.register(pipe, select.POLLIN)
        if owner is not None:
            ended = os.pidfd_open(owner.pid)
            stack.callback(os.close, ended)
            poll.register(ended, select.POLLIN)
        text = b""
        while events := poll.poll(max(deadline - time.monotonic(), 0) * 1000):
            if pipe not in dict(events):
                break
            piece = os.read(pipe, 100)
            if not piece:  # the writer has closed it
                return int(text)
            text += piece
    if owner is not None:
        owner.kill()  # whoever is left would hold its stderr open
    raise EOFError(f"nothing came: {'' if owner is None else owner.complaints()}")


def gone(pid: int) -> bool:
    """Whether the process has ended (it may still be a zombie of somebody else's)."""
    return state(pid) in ("", "Z")


def state(pid: int) -> str:
    """The state of a process as ps shows it; "" if there is none."""
    try:
        return stat(pid)[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def stat(pid: int) -> list[str]:
    """What proc_pid_stat(5) lists from the third field on: state, parent, group, session, …"""
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()


def children() -> set[int]:
    """The child processes of this one, zombies too."""
    found = set()
    for pid in _all():
        try:
            if int(stat(pid)[1]) == os.getpid():
                found.add(pid)
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def started_by(owner: int) -> dict[int, str]:
    """The processes that shmkit started for this one: which is a "loader", which a "guard"."""
    found = {}
    for pid in _all():
        *first, last = ["", *_command(pid)]
        if last.startswith(f"shmkit-loader-of-{owner}-"):
            found[pid] = "loader"
        elif last == str(owner) and any("shmkit.cleanup.guard" in argument for argument in first):
            found[pid] = "guard"
    return found


def guards_of(owner: int) -> list[int]:
    return [pid for pid, kind in started_by(owner).items() if kind == "guard"]


def at_work(guard: int) -> int:
    """The guard, once it has been told what to watch: until then it is still importing."""
    with open(f"/proc/{guard}/fd/0", "rb", buffering=0) as pipe:
        unread = array.array("i", [1])
        deadline = time.monotonic() + PATIENCE
        while unread[0]:
            assert time.monotonic() < deadline
            fcntl.ioctl(pipe, termios.FIONREAD, unread)
            os.sched_yield()
    return guard


def loaders_of(owner: int) -> list[int]:
    return [pid for pid, kind in started_by(owner).items() if kind == "loader"]


def end_loaders(owner: int) -> None:
    """Kill the loaders of a process, which are idle, and wait for their end."""
    loaders = loaders_of(owner)
    for pid in loaders:
        os.kill(pid, signal.SIGKILL)
    assert not living(loaders)


def names_of(owner: int, *directories: object, locks: bool = False) -> list[str]:
    """The segments' names and the published names in /dev/shm and `directories` that are its."""
    marks = f"shmkit-{owner}-", f"/proc/{owner}/fd/"
    found = []
    for directory in map(str, ("/dev/shm", *directories)):
        for name in os.listdir(directory):
            path = os.path.join(directory, name)
            try:
                target = os.readlink(path)
            except OSError:
                target = path
            if any(mark in target for mark in marks) and (locks or not name.endswith(".lock")):
                found.append(path)
    return found


def living(pids: Iterable[int], seconds: float = SECONDS) -> list[int]:
    """Those of these processes that have not ended `seconds` from now, on a machine at rest."""
    left = list(pids)

    def ended(timeout: float) -> bool:
        left[:] = _living(left, timeout)
        return not left

    kept(seconds, ended)
    return left


def left_of(owner: int, *directories: object) -> list[str]:
    """What is left of a process that has ended, `SECONDS` later: of its processes, its names."""
    left: list[str] = []

    def ended(timeout: float) -> bool:
        end = time.monotonic() + timeout
        while found := started_by(owner):  # again: one of them may just have been started
            pids = _living(found, end - time.monotonic())
            left[:] = [f"{found[pid]} {pid}" for pid in pids]
            if left:
                return False
        left.clear()
        return True

    # The guard removes the names before it ends.
    return names_of(owner, *directories, locks=True) if kept(SECONDS, ended) else left


def _living(pids: Iterable[int], timeout: float) -> list[int]:
    deadline = time.monotonic() + timeout
    left = []
    for pid in pids:
        try:
            watched = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        poll = select.poll()
        poll.register(watched, select.POLLIN)
        if not poll.poll(max(deadline - time.monotonic(), 0) * 1000):
            left.append(pid)
        os.close(watched)
    return left


def _command(pid: int) -> list[str]:
    """The command line of a process; none if it has ended."""
    try:
        while True:
            with open(f"/proc/{pid}/cmdline") as file:
                command = file.read().split("\0")[:-1]
            state, parent = stat(pid)[:2]
            # A process in the middle of exec has none either, for a moment: look again then.
            if command or state in "ZX" or parent in ("0", "2"):  # the kernel's own never have
                return command
    except (FileNotFoundError, ProcessLookupError):
        return []


def _all() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]
