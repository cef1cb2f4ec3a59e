"""One loader process, as its owner sees it: started, sent tasks, asked for outcomes, ended.

    start ──▶ Loader ──send──▶ tasks ─────pipe────▶ process
                    ◀─receive─ outcomes ◀─pipe──────┘
                │
                ✕ nobody holds it any more ──▶ end_lost: killed, waited for, its pipes closed

1. A thread starts the process and notes it in `_started`: an interrupt may come at any time, but
   only in the main thread, so no process is started that is not noted.
2. `end` can be called again where an interrupt stopped it. Only when it is done, the note goes.
3. Whatever an interrupt left without a `Loader` is ended when that is gone, or by the next load.

The environment goes with the tasks if it is another than the process was told last. What a process
has from its start, and keeps, is its `origin`: a loader of another one is of no use.
"""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import pickle
import re
import select
import signal
import sys
import time
import weakref
from collections.abc import Iterable, Mapping, Sequence
from importlib.machinery import ModuleSpec
from typing import Any, NamedTuple

from shmkit._descriptors import above_standard, opened, pipe
from shmkit._interrupts import uninterrupted
from shmkit.cleanup import guard as _guard
from shmkit.cleanup.orphans import loader_mark
from shmkit.loaders.loader import LENGTH_NBYTES, Task
from shmkit.loaders.pickling import dumps

__all__ = ["Died", "Loader", "end_lost", "forget_all", "origin", "readable", "start"]

_RECEIVE_NBYTES = 1 << 16
# Variables that the dynamic linker, Python and libraries read once, when they are loaded.
_READ_ONCE = re.compile(r"LD_\w+|PYTHON\w+|MALLOC_\w+|GLIBC_TUNABLES|HDF5_\w+|\w+_NUM_THREADS")


class Died(NamedTuple):
    """The outcome of a task whose loader process ended in the middle of it."""

    exitcode: int


class _Process:
    """What there is of a process that was started, until it is given back."""

    def __init__(self, pid: int, tasks: io.FileIO, outcomes: io.FileIO) -> None:
        self.pid = pid
        self.tasks = tasks
        self.outcomes = outcomes
        self.exitcode: int | None = None

    def poll(self) -> int | None:
        """How it ended; None if it has not."""
        if self.exitcode is None:
            try:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
            except ChildProcessError:  # somebody else has waited for it: nobody knows
                self.exitcode = 0
            else:
                if pid:
                    self.exitcode = os.waitstatus_to_exitcode(status)
        return self.exitcode

    def kill(self) -> bool:
        """Kill it, and no other that has its pid by now; False if this user may not (any more)."""
        try:
            if sys.platform == "linux":
                with opened(os.pidfd_open, self.pid) as process:
                    if self.poll() is None:
                        signal.pidfd_send_signal(process.fileno(), signal.SIGKILL)
            elif self.poll() is None:
                os.kill(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            return True
        except PermissionError:
            return False
        return True

    def end(self) -> bool:
        """End it; False if that takes a while: who may not be killed ends with its pipe."""
        killed = self.kill()
        self.tasks.close()
        self.outcomes.close()
        while killed and self.poll() is None:
            time.sleep(0.0005)
        return self.poll() is not None


class Loader:
    """One loader process, and the owner's ends of its pipes.

    Attributes
    ----------
    origin
        What it has from its start.
    specs
        Those of the user's modules when it first ran functions of the user's; it may have imported
        them.
    outcomes
        The descriptor on which they come.
    """

    def __init__(self, process: _Process, environment: Mapping[str, str]) -> None:
        self.origin = origin(environment)
        self.specs: dict[str, ModuleSpec | None] | None = None
        self.outcomes = process.outcomes.fileno()
        self._process = process
        self._environment = environment  # as it was told
        self._received = bytearray()
        self._pipe_nbytes = _pipe_nbytes(process.tasks.fileno())

    def poll(self) -> int | None:
        """How the process ended; None if it has not."""
        return self._process.poll()

    def send(self, tasks: Sequence[Task], environment: Mapping[str, str]) -> None:
        """Send tasks to a loader that has none: it takes them as they come."""
        self._write(self._message(tasks, environment))

    def send_ahead(self, tasks: Sequence[Task], environment: Mapping[str, str]) -> bool:
        """Send tasks to a loader that has some, if the empty pipe takes them; says whether."""
        message = self._message(tasks, environment)
        fits = len(message) <= self._pipe_nbytes
        if fits:
            self._write(message)
        return fits

    def _message(self, tasks: Sequence[Task], environment: Mapping[str, str]) -> bytes:
        # With the place they are to run in: the notebook may have moved since the loader was
        # started.
        new = None if environment == self._environment else environment
        self._environment = environment
        return pickle.dumps((_directory(), _import_path(), new, len(tasks), dumps(tasks)))

    def _write(self, message: bytes) -> None:
        with contextlib.suppress(OSError):  # it has ended: receive() says how
            while message:
                message = message[self._process.tasks.write(message) :]

    def receive(self) -> list[Any]:
        """The outcomes that have come: values and exceptions, or `Died` if no more will."""
        piece = b"" if self.ended() else os.read(self.outcomes, _RECEIVE_NBYTES)
        if not piece:
            while (exitcode := self.poll()) is None:  # it has closed its end, and is ending
                time.sleep(0.0005)
            self.end()
            return [Died(exitcode)]
        self._received += piece
        start, begin, outcomes = 0, LENGTH_NBYTES, []
        while len(self._received) >= begin:
            end = begin + int.from_bytes(self._received[start:begin], "little")
            if end > len(self._received):
                break
            pickled = self._received[begin:end]
            outcomes.append(pickle.loads(pickled))  # noqa: S301 - our own process wrote it
            start, begin = end, end + LENGTH_NBYTES
        del self._received[:start]
        return outcomes

    def ended(self) -> bool:
        """Whether the process has ended, with nothing left to receive."""
        return self.poll() is not None and not readable([self.outcomes], 0)

    def kill(self) -> None:
        """Kill it; `end` waits for that."""
        self._process.kill()

    def end(self) -> None:
        """End the process, and give back what it takes; a second time is fine."""
        if self._process.end():
            _started.pop(self._process.pid, None)


# By pid: whose it is, which may be nobody's any more.
_started: dict[int, tuple[weakref.ref[Loader], _Process]] = {}


def start(environment: Mapping[str, str]) -> Loader:
    """Start a loader process with this environment."""
    return uninterrupted(lambda: _start(environment))


def _start(environment: Mapping[str, str]) -> Loader:
    import subprocess  # noqa: PLC0415 - where loaders are warm, none is started

    with contextlib.ExitStack() as ours, contextlib.ExitStack() as theirs, above_standard():
        tasks, ours_tasks = pipe()
        theirs.enter_context(tasks)
        ours.enter_context(ours_tasks)
        ours_outcomes, outcomes = pipe()
        ours.enter_context(ours_outcomes)
        theirs.enter_context(outcomes)
        # The path must be as it is here (a notebook's folder, an editable install) before the
        # first import there. By the pipe: an argument has 128 kB at most (MAX_ARG_STRLEN).
        code = (
            f"import gc, sys; gc.disable(); tasks = open({tasks.fileno()}, 'rb', closefd=False); "
            "sys.path[:] = eval(tasks.readline()); from shmkit.loaders.loader import serve; "
            f"serve(tasks, {outcomes.fileno()}, {os.getpid()})"
        )
        # In a process group of its own: the stop button's SIGINT, sent to the kernel's group,
        # does not reach it, and a kernel that shuts down does not wait for it (ipykernel waits
        # for all of its group, in vain, and is then killed).
        started = subprocess.Popen(
            [sys.executable, *_guard.python_options(), "-c", code, loader_mark()],
            stdin=subprocess.DEVNULL,
            pass_fds=[tasks.fileno(), outcomes.fileno()],
            # One thread is enough where there is a loader for each CPU, and takes no start.
            env={"OPENBLAS_NUM_THREADS": "1", **environment},
            cwd=_directory(),
            process_group=0,
        )
        started.returncode = 0  # it is waited for here
        ours.pop_all()  # they stay open
    process = _Process(started.pid, ours_tasks, ours_outcomes)
    loader = Loader(process, environment)
    _started[process.pid] = weakref.ref(loader, lambda _: end_lost()), process
    with contextlib.suppress(OSError):  # it has ended: receive() says how
        ours_tasks.write(f"{_import_path()!a}\n".encode())
    return loader


def end_lost() -> None:
    """End the processes that nobody holds any more."""
    for pid, (loader, process) in list(_started.items()):
        if loader() is None and process.end():
            _started.pop(pid, None)


def forget_all() -> None:
    """In a forked child: the processes are its parent's, as are their pipes."""
    for _, process in _started.values():
        process.tasks.close()
        process.outcomes.close()
        process.exitcode = 0  # not our child: nothing to kill, nothing to wait for
    _started.clear()


def origin(environment: Mapping[str, str]) -> tuple[Any, ...]:
    """What a process that is started now has, and keeps: who it is, what paths lead to.

    And the variables that are read once.
    """
    root = os.stat("/")
    variables = sorted(item for item in environment.items() if _READ_ONCE.fullmatch(item[0]))
    who = os.getuid(), os.geteuid(), os.getgid(), os.getegid(), os.getgroups()
    return *who, (root.st_dev, root.st_ino), variables


def readable(descriptors: Iterable[int], timeout: float) -> set[int]:
    """Those from which something can be read, its end too, within `timeout` seconds."""
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    return {descriptor for descriptor, _ in poll.poll(timeout * 1000)}


def _pipe_nbytes(fd: int) -> int:
    """Bytes that the pipe holds."""
    return fcntl.fcntl(fd, fcntl.F_GETPIPE_SZ) if sys.platform == "linux" else select.PIPE_BUF


def _directory() -> str:
    try:
        return os.getcwd()
    except FileNotFoundError:  # it was removed; the paths of files are absolute
        return "/"


def _import_path() -> list[str]:
    return [entry for entry in sys.path if isinstance(entry, str)]
