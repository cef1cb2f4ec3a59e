"""The loader process: runs the tasks that its owner sends, until the owner lets go of it.

    tasks from one pipe ──▶ serve(): call the function of each in turn ──▶ outcomes to another

1. `LoaderPool` starts it by exec, with the ends of two pipes and the pid of the owner. The import
   path comes by the pipe, before the first import.
2. It takes a message, which holds several tasks and the place where they are to run: the working
   directory and the import path of the owner, and its environment where that has changed.
3. It calls the function of each, and sends back what it returned or raised at once.
4. It ends when the owner closes the pipe of the tasks, or ends; in mid-task too, for which a thread
   watches the owner.

It imports numpy while its owner imports what a load needs. What few tasks need, such as h5py, comes
with the first one that does.
"""

from __future__ import annotations

import contextlib
import gc
import os
import pickle
import select
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO, NamedTuple

from shmkit import _limits
from shmkit.loaders.pickling import dumps
from shmkit.readers.choose import let_go

__all__ = ["LENGTH_NBYTES", "Task", "serve"]

LENGTH_NBYTES = 8  # before each outcome
_MARGIN = 50  # thousandths of the memory, in which an owner may grow between two looks
_ORPHAN_CHECK = 0.5  # seconds between two looks whether the owner lives


class Task(NamedTuple):
    """One function call for a loader process."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...]


def serve(messages: BinaryIO, outcomes_fd: int, owner: int) -> None:
    """The loader process: run tasks from one pipe until the owner closes it or ends."""
    gc.enable()  # off until now: imports make no garbage, and to look for some takes its time
    _take_standard()
    for stop in (signal.SIGTTOU, signal.SIGTTIN):
        # In a group of its own it is in the background: what it prints would stop it for ever where
        # the terminal has tostop, and so would a look at the terminal.
        signal.signal(stop, signal.SIG_IGN)
    threading.Thread(target=_exit_with_owner, args=(messages.fileno(), owner), daemon=True).start()
    here = os.getpid()
    # Both stay open when a reader calls sys.exit(). Else the owner would see their end and close
    # its own, and the thread would end this process before it exits with the reader's code.
    answers = open(outcomes_fd, "wb", closefd=False)  # noqa: SIM115 - see above
    while True:
        try:
            message = pickle.load(messages)  # noqa: S301 - our owner's
        except (EOFError, OSError, pickle.UnpicklingError):  # it ended, in mid-message perhaps
            os._exit(0)
        directory, sys.path[:], environment, count, pickled = message
        if environment is not None:
            _adopt(environment)
        tasks = _tasks(count, pickled)
        while tasks:
            failed, outcome = _outcome(directory, *tasks.popleft())
            if os.getpid() != here:  # a child that the reader forked, and that came back
                os._exit(1)
            with contextlib.suppress(Exception):  # the reader may have closed or replaced it
                sys.stdout.flush()  # what it printed
            if not tasks:
                let_go()  # before the owner knows of the last outcome: it may write to the file
            if failed:  # the traceback is in a cycle with its frames, which hold the segment
                gc.collect()
            try:
                answers.write(len(outcome).to_bytes(LENGTH_NBYTES, "little") + outcome)
                answers.flush()
            except OSError:  # the owner ended in the middle of the task
                os._exit(0)


def _take_standard() -> None:
    """Open what of 0, 1 and 2 the owner had closed: else a file takes what is printed."""
    while (fd := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(fd, True)
    os.close(fd)


def _adopt(environment: Mapping[str, str]) -> None:
    """Have the environment of the owner as it is now."""
    for name in os.environ.keys() - environment.keys():
        del os.environ[name]
    os.environ.update(environment)
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as at the start (process)
    time.tzset()


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
        return False, dumps(function(*arguments))
    except Exception as error:  # noqa: BLE001 - it is the owner's to handle
        try:
            pickled = dumps(error)
            pickle.loads(pickled)  # noqa: S301 - some exceptions pickle and do not come back
        except Exception:  # noqa: BLE001 - an exception of a reader's may hold anything
            import traceback  # noqa: PLC0415 - only for these

            text = "".join(traceback.format_exception_only(error)).strip()
            other = RuntimeError(text)
            for note in getattr(error, "__notes__", ()):
                other.add_note(str(note))
            pickled = pickle.dumps(other)
        return True, pickled


def _exit_with_owner(fd: int, owner: int) -> None:
    """End this process when its owner ends, also in the middle of a task.

    A child that the owner forked may hold the other end of the pipe open, so the end of file is
    not enough: the parent is looked at too.
    """
    poll = select.poll()
    poll.register(fd, select.POLLHUP)
    while os.getppid() == owner and not poll.poll(_ORPHAN_CHECK * 1000):
        with contextlib.suppress(OSError, ValueError):  # no /proc
            _go_before(owner)
    os._exit(1)


def _go_before(owner: int) -> None:
    """Have the kernel end this process before its owner when memory runs out.

    But before no others: with 1000, it would end for whatever process of the machine takes the
    memory. The kernel adds this number, in thousandths of the memory there is, to what a process
    takes itself; so it is what the owner has, and what that takes.
    """
    with open(f"/proc/{owner}/oom_score_adj") as file:
        own = int(file.read())
    with open(f"/proc/{owner}/statm") as file:
        taken = int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")
    more = 1000 * taken // max(_limits.memory().limit, 1) + _MARGIN
    with open("/proc/self/oom_score_adj", "w") as file:
        file.write(str(min(own + more, 1000)))
