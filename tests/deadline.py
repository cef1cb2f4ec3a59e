"""Promises of seconds that a busy machine does not break.

A promise such as "2 seconds after its owner's end the guard is gone" is made for a machine that has
a CPU to spare. Where others compute, everything takes longer by some factor, and so does a process
that does nothing: it is started, and its time is compared with the CPU time that it took. While
the promise is kept, nothing is started and nothing measured.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable

_NOTHING = [sys.executable, "-I", "-S", "-c", "pass"]


def kept(seconds: float, wait: Callable[[float], bool]) -> bool:
    """Whether something comes true within `seconds` of a machine that is not busy.

    `wait(timeout)` waits for it, at most so many seconds, and says whether it is true by then.
    """
    start = time.monotonic()
    if wait(seconds):
        return True
    factor = 1.0
    while time.monotonic() - start < seconds * factor:
        factor = max(factor, slowness())
        if wait(0):
            return True
    return False


def slowness() -> float:
    """How many times as long as on a machine of its own a process takes here: 1 or more."""
    start = time.monotonic()
    pid = os.posix_spawn(sys.executable, _NOTHING, os.environ)
    _, _, used = os.wait4(pid, 0)
    return max((time.monotonic() - start) / (used.ru_utime + used.ru_stime), 1)
