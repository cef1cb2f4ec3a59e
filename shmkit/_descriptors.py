"""Descriptors that shmkit opens: none is 0, 1 or 2, and no interrupt loses one.

    0, 1, 2, if closed: held ──▶ os.open, os.dup, os.pipe, … ──▶ 3 or more ──▶ file object
                        closed again ◀──────────────────────────────┘

1. A daemon closes 0, 1 and 2, and a new descriptor gets the lowest free number. As number 1 it
   would take what `print` writes: into an array, or to a loader process that expects tasks. So
   whoever makes descriptors does so in a `with above_standard()` block.
2. KeyboardInterrupt may come between any two bytecodes: also when a call has returned a number that
   no variable has yet. So `opened` and `pipe` make the file object, which closes the descriptor
   when nobody holds it any more, without a bytecode between: ``map`` calls both in C.
3. No file object takes a directory. An interrupt that comes when `directory` is about to close one
   loses it: so what is done with one at once is done where none comes (`shmkit._interrupts`).

What does not work: to move a descriptor up once it is there (``F_DUPFD``). In between it has the
low number, and others, such as that of an `mmap` before Python 3.13, cannot be moved. Nor does a
function as the `opener` of `open`: the interrupt may come when it returns.
"""

from __future__ import annotations

import contextlib
import fcntl
import io
import itertools
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

__all__ = ["above_standard", "directory", "opened", "pipe"]

_STANDARD = range(3)  # input, output, errors


class _Standard:
    """What holds 0, 1 and 2 for all blocks: to one of another thread they look open."""

    def __init__(self) -> None:
        self._held: list[io.FileIO] = []
        self._blocks: set[object] = set()
        self._lock = threading.RLock()  # a signal's handler may open files too

    def hold(self, block: object) -> None:
        with self._lock:
            if self._blocks or not all(map(_is_open, _STANDARD)):
                self._blocks.add(block)
                while not self._held or self._held[-1].fileno() in _STANDARD:
                    self._held.append(io.FileIO(os.devnull, "r+"))

    def release(self, block: object) -> None:
        with self._lock:
            self._blocks.discard(block)
            while self._held and not self._blocks:
                self._held.pop().close()

    def forget(self) -> None:
        """In a forked child: the blocks of other threads never end there."""
        for file in self._held:
            file.close()
        self._held, self._blocks, self._lock = [], set(), threading.RLock()


_standard = _Standard()
os.register_at_fork(after_in_child=_standard.forget)


@contextlib.contextmanager
def above_standard() -> Iterator[None]:
    """In this block no new descriptor is 0, 1 or 2."""
    block = object()
    try:
        _standard.hold(block)
        yield
    finally:
        _standard.release(block)


def opened(make: Callable[..., int], *arguments: Any) -> io.FileIO:
    """The descriptor that a call makes, as a file object; not of a directory: IsADirectoryError."""
    with above_standard():
        made, left = itertools.tee(map(make, *([value] for value in arguments)))
        try:
            return next(map(io.FileIO, made, ["r+"]))
        except IsADirectoryError:
            for descriptor in left:  # which the file object has refused, and left open
                os.close(descriptor)
            raise


@contextlib.contextmanager
def directory(path: str) -> Iterator[int]:
    """The descriptor of a directory, in this block."""
    made: list[int] = []
    try:
        with above_standard():
            made.extend(map(os.open, [path], [os.O_RDONLY | os.O_CLOEXEC]))  # in C, as above
        yield made[0]
    finally:
        for descriptor in made:
            os.close(descriptor)


def pipe() -> tuple[io.FileIO, io.FileIO]:
    """A pipe: the end to read from, and the end to write to."""
    with above_standard():
        ends = itertools.chain.from_iterable(iter(os.pipe, None))
        reading, writing = itertools.islice(map(io.FileIO, ends, ["r", "w"]), 2)
    return reading, writing


def _is_open(descriptor: int) -> bool:
    try:
        fcntl.fcntl(descriptor, fcntl.F_GETFD)
    except OSError:
        return False
    return True
