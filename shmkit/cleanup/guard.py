"""The guard: a small process that removes what its owner leaves behind when it is killed.

    owner (a kernel)                                guard, in a session of its own
    ┌───────────────────────┐   directories, by    ┌──────────────────────────────┐
    │ segments, loaders     │   a pipe ──────────▶ │ waits for the owner's end    │
    └───────────────────────┘                      └──────────────┬───────────────┘
              ✕ SIGKILL ──▶ the pipe ends, the parent is another  │
                                                                  ▼
                          kills the owner's loaders, unlinks its names in these directories, ends

Jupyter ends a kernel that does not answer by SIGKILL to its whole process group: nothing in that
group can clean up, multiprocessing's resource tracker as little as the kernel. The guard is in no
group of Jupyter's, holds none of its sockets and pipes, and imports neither numpy nor shmkit's
public modules. It runs under the same options of Python as its owner (``-I``, ``-E``, ``-X``, …).
It is the owner's child, so it is told of the owner's end, and needs no lock to believe it. It ends
with its owner, however that ends. Should it be killed as well, the next load and ``shmkit gc`` do
its work.
"""

from __future__ import annotations

import contextlib
import os
import select
import sys
import threading
from typing import IO

from shmkit._descriptors import above_standard
from shmkit._interrupts import uninterrupted
from shmkit.cleanup.orphans import kill_orphaned_loaders, remove_orphans
from shmkit.cleanup.owner import Owner, this_process

__all__ = ["python_options", "serve", "watch"]

_CHECK = 500  # milliseconds between two looks whether the owner lives

_CODE = """
import sys
sys.path.append(sys.argv[1])
from shmkit.cleanup.guard import serve
serve(sys.argv[2], int(sys.argv[3]))
"""


def python_options() -> list[str]:
    """The options of Python's command line that this process was started with.

    Its modules may mean something else under others, and ``-I`` is there for safety.
    """
    import subprocess  # noqa: PLC0415 - loaders import this module, and start nothing

    # Private, but what multiprocessing takes; `sys.flags` alone does not say all of it.
    arguments: list[str] = vars(subprocess)["_args_from_interpreter_flags"]()
    return arguments


class _Guard:
    """The guard of this process, once there is something to guard."""

    def __init__(self) -> None:
        self._pid = 0
        self._pipe: IO[bytes] | None = None
        self._watched: set[str] = set()
        self._lock = threading.RLock()  # a signal's handler may make segments too

    def watch(self, directory: str) -> None:
        """Have what this process names in `directory` removed when it ends, however it ends."""
        with self._lock:
            untold = {directory} - self._watched
            if not self._lives():
                try:
                    uninterrupted(self._start)
                except OSError:  # no more processes: the next load removes what is left
                    return
                untold |= self._watched  # what the guard before was told
            for path in untold:
                with contextlib.suppress(BrokenPipeError):  # killed just now: as above
                    assert self._pipe is not None
                    self._pipe.write(os.fsencode(path) + b"\0")
            self._watched |= untold

    def _lives(self) -> bool:
        try:
            return self._pid != 0 and os.waitpid(self._pid, os.WNOHANG) == (0, 0)
        except ChildProcessError:
            return False

    def _start(self) -> None:
        import subprocess  # noqa: PLC0415 - loaders import this module, and have no guard

        folder = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))  # of shmkit
        with above_standard():
            process = subprocess.Popen(
                [
                    *(sys.executable, *python_options(), "-I", "-S", "-c", _CODE),
                    *(folder, str(this_process()), str(os.getpid())),
                ],
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                start_new_session=True,
            )
        process.returncode = 0  # it stays until this process ends, which is nothing to warn of
        self._close()
        self._pid, self._pipe = process.pid, process.stdin

    def _close(self) -> None:
        if self._pipe is not None:
            self._pipe.close()

    def forget(self) -> None:
        """In a forked child: the guard is the parent's."""
        self._close()
        self._pid, self._pipe, self._watched = 0, None, set()
        self._lock = threading.RLock()


_guard = _Guard()
watch = _guard.watch
os.register_at_fork(after_in_child=_guard.forget)


def serve(identity: str, owner: int) -> None:
    """The guard process: wait for the end of process `owner`, its parent, then clean up."""
    os.set_blocking(0, False)
    poll = select.poll()
    poll.register(0, select.POLLIN)
    told = b""
    wait = _CHECK
    while os.getppid() == owner:
        # The pipe ends a moment before the process does, and not at all while a child that it
        # forked holds it open: so it only says when to look.
        if poll.poll(wait):
            piece = _read()
            told += piece
            wait = _CHECK if piece else 1
            if not piece:
                poll.unregister(0)
        else:
            wait = min(2 * wait, _CHECK)
    while piece := _read():
        told += piece
    kill_orphaned_loaders()
    directories = (os.fsdecode(path) for path in told.split(b"\0") if path)
    remove_orphans(directories, of=Owner.parse(identity))


def _read() -> bytes:
    try:
        return os.read(0, 1 << 16)
    except BlockingIOError:
        return b""
