"""The loader processes: started once, warm between calls, gone with their owner.

    notebook's process                                  loader process (one of N)
    ┌──────────────────────────┐     socketpair       ┌────────────────────────────┐
    │ run(tasks) ── tasks ─────┼────────────────────▶ │ serve(): call the function │
    │     ▲                    │                      │   │      of one by one     │
    │     └──── outcome ◀──────┼──────────────────────┼───┘                        │
    └──────────────────────────┘                      └────────────────────────────┘
         the only end open    ── end of file ──▶       exits at once, in mid-task too

No queue, no thread, no lock and no named semaphore stand between the two, so there is nothing to
leak and nothing to hang on: a loader that ends, for whatever reason, closes its socket, and the
calling thread, which waits on all of them, knows at once which task it had (or at the next tick,
if a process that a reader forked keeps the socket open). Loaders are started
by exec, not by fork (unsafe in a threaded kernel), and never import ``__main__``: a script needs
no guard, and functions defined in a cell travel by cloudpickle.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import os
import pickle
import select
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any, NamedTuple, Self

import cloudpickle

from shmkit import _guard
from shmkit._backing import NAMES
from shmkit._orphans import loader_mark

__all__ = ["Died", "Loaders", "Task", "serve"]

_TICK = 0.1  # seconds between two looks at the board
_SHARES = 8  # of what waits, for each loader: a message costs as much as a small file
_MOST_TASKS = 64  # in one message
_ORPHAN_CHECK = 0.5  # seconds between two looks whether the owner lives
_idle: list[_Loader] = []
_idle_lock = threading.Lock()


class Task(NamedTuple):
    """One function call for a loader process."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...]


class Died(NamedTuple):
    """The outcome of a task whose loader process ended in the middle of it."""

    exitcode: int


class _Loader:
    """One loader process, and the owner's end of its socket."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        # The path must be as it is here (a notebook's folder, an editable install) before the first
        # import there.
        code = (
            f"import sys; sys.path[:] = {_import_path()!r}; "
            f"from shmkit._workers import serve; serve({theirs.fileno()}, {os.getpid()})"
        )
        try:
            with theirs:
                # In a process group of its own: the stop button's SIGINT, sent to the kernel's
                # group, does not reach it, and a kernel that shuts down does not wait for it
                # (ipykernel waits for all of its group, in vain, and is then killed).
                self.process = subprocess.Popen(
                    [sys.executable, "-c", code, loader_mark()],
                    stdin=subprocess.DEVNULL,
                    pass_fds=[theirs.fileno()],
                    cwd=_directory(),
                    process_group=0,
                )
        except BaseException:
            ours.close()
            raise
        self.connection = Connection(ours.detach())

    def send(self, tasks: Sequence[Task]) -> None:
        # With the place they are to run in: the notebook may have moved since it was started.
        message = _directory(), _import_path(), len(tasks), cloudpickle.dumps(tasks)
        with contextlib.suppress(OSError):  # it has ended: receive() says how
            self.connection.send_bytes(pickle.dumps(message))

    def receive(self) -> Any:
        """The outcome of the next of its tasks: a value, an exception, or `Died`."""
        try:
            if self.ended():
                raise EOFError
            message = self.connection.recv_bytes()
        except (EOFError, OSError):
            self.connection.close()
            return Died(self.process.wait())
        return pickle.loads(message)  # noqa: S301 - our own process wrote it

    def ended(self) -> bool:
        """Whether the process has ended, with nothing left to receive."""
        return self.process.poll() is not None and not self.connection.poll()

    def close(self) -> None:
        """Wait for the end of a process that was killed."""
        self.process.wait()
        self.connection.close()


def _directory() -> str:
    try:
        return os.getcwd()
    except FileNotFoundError:  # it was removed; the paths of files are absolute
        return "/"


def _import_path() -> list[str]:
    return [entry for entry in sys.path if isinstance(entry, str)]


class Loaders:
    """Loader processes lent to one load: `with Loaders(n) as loaders`.

    They come from those that are idle, or are started; at the end those that are not in the middle
    of a task go back, the others are killed. So two threads may load at once, and an error or an
    interrupt ends every read that is under way.
    """

    def __init__(self, count: int) -> None:
        self._free: list[_Loader] = []
        self._busy: dict[Connection, tuple[_Loader, deque[int]]] = {}
        _guard.watch(NAMES)  # it ends a loader whose reader holds the interpreter's lock
        with _idle_lock:
            while _idle and len(self._free) < count:
                loader = _idle.pop()
                if loader.process.poll() is None:
                    self._free.append(loader)
        try:
            while len(self._free) < count:
                self._free.append(_Loader())
        except BaseException:
            self.__exit__()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        with _idle_lock:
            _idle.extend(self._free)
        self._free = []
        busy = [loader for loader, _ in self._busy.values()]
        for loader in busy:  # all of them before any is waited for: an interrupt may come
            loader.process.kill()
        for loader in busy:
            loader.close()
        self._busy.clear()

    def run(self, tasks: Sequence[Task], tick: Callable[[], None]) -> Iterator[tuple[int, Any]]:
        """Run the tasks in their order, each on the next free loader.

        Yields (number of the task, its outcome) as they end; an outcome is what the function
        returned, the exception it raised, or `Died`. A loader that died is replaced. `tick` is
        called about ten times a second, in the calling thread.
        """
        waiting = list(enumerate(tasks))[::-1]
        next_tick = time.monotonic()
        while waiting or self._busy:
            if not self._free and not self._busy:  # all have died
                self._free.append(_Loader())
            while waiting and self._free:
                loader = self._free[-1]
                share = len(waiting) // (_SHARES * (len(self._free) + len(self._busy)))
                lot = [waiting.pop() for _ in range(min(max(share, 1), _MOST_TASKS))]
                numbers = deque(number for number, _ in lot)
                self._busy[loader.connection] = loader, numbers  # first: an interrupt may come
                self._free.pop()
                loader.send([task for _, task in lot])
            ready = set(wait(list(self._busy), max(next_tick - time.monotonic(), 0)))
            if time.monotonic() >= next_tick:
                next_tick = time.monotonic() + _TICK
                tick()
                # A process that a reader forked may keep the socket of a dead loader open.
                ready |= {c for c, (loader, _) in self._busy.items() if loader.ended()}
            for connection in ready:
                assert isinstance(connection, Connection)
                loader, numbers = self._busy[connection]
                outcome = loader.receive()
                number = numbers.popleft()
                if isinstance(outcome, Died):
                    waiting += [(number, tasks[number]) for number in reversed(numbers)]
                    numbers.clear()
                if not numbers:
                    del self._busy[connection]
                    if not isinstance(outcome, Died):
                        self._free.append(loader)
                    elif waiting:
                        self._free.append(_Loader())
                yield number, outcome


def _forget() -> None:
    """In a forked child: the loaders are the parent's, and so is their socket."""
    global _idle, _idle_lock
    for loader in _idle:
        loader.connection.close()
        loader.process.returncode = 0  # not our child: nothing to wait for, nothing to warn of
    _idle, _idle_lock = [], threading.Lock()


def _end() -> None:
    """At the interpreter's exit: end what is idle, so that nothing is left running."""
    for loader in _idle:
        loader.process.kill()
    for loader in _idle:
        loader.close()
    _idle.clear()


os.register_at_fork(after_in_child=_forget)
atexit.register(_end)


def serve(fd: int, owner: int) -> None:
    """The loader process: run tasks from the socket until the owner closes it or ends."""
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write("1000")  # when memory runs out, this process ends, and not the notebook's
    # A duplicate: when a reader calls sys.exit(), the connection is closed before the process ends.
    threading.Thread(target=_exit_with_owner, args=(os.dup(fd), owner), daemon=True).start()
    connection = Connection(fd)
    while True:
        try:
            message = connection.recv_bytes()
        except (EOFError, OSError):
            os._exit(0)
        directory, sys.path[:], count, pickled = pickle.loads(message)  # noqa: S301 - our owner's
        tasks = _tasks(count, pickled)
        while tasks:
            failed, outcome = _outcome(directory, *tasks.popleft())
            if sys.stdout is not None:
                sys.stdout.flush()  # what a reader printed
            if failed:  # the frames of a traceback, in a cycle with it, hold the segment's memory
                gc.collect()
            try:
                connection.send_bytes(outcome)
            except OSError:  # the owner ended in the middle of the task
                os._exit(0)


def _tasks(count: int, pickled: bytes) -> deque[Task]:
    try:
        return deque(pickle.loads(pickled))  # noqa: S301 - our owner's
    except Exception as error:  # noqa: BLE001 - a module of the user's fails to import
        return deque([Task(_fail, (error,))] * count)


def _fail(error: Exception) -> None:
    raise error


def _outcome(
    directory: str, function: Callable[..., Any], arguments: tuple[Any, ...]
) -> tuple[bool, bytes]:
    """Whether the task has failed, and the value or the exception."""
    try:
        os.chdir(directory)
        return False, cloudpickle.dumps(function(*arguments))
    except Exception as error:  # noqa: BLE001 - it is the owner's to handle
        try:
            pickled = cloudpickle.dumps(error)
            pickle.loads(pickled)  # noqa: S301 - some exceptions pickle and do not come back
        except Exception:  # noqa: BLE001 - an exception of a reader's may hold anything
            text = "".join(traceback.format_exception_only(error)).strip()
            pickled = pickle.dumps(RuntimeError(text))
        return True, pickled


def _exit_with_owner(fd: int, owner: int) -> None:
    """End this process when its owner ends, also in the middle of a task.

    A child that the owner forked may hold the other end of the socket open, so the end of file is
    not enough: the parent is looked at too.
    """
    poll = select.poll()
    poll.register(fd, select.POLLHUP)
    while os.getppid() == owner and not poll.poll(_ORPHAN_CHECK * 1000):
        pass
    os._exit(1)
