"""Promises of seconds that a busy machine does not break.

A promise such as "2 seconds after its owner's end the guard is gone" is made for a machine that has
a CPU to spare. Where others compute, everything takes longer by some factor, and so does a process
that only starts: its time is compared with the CPU time that it took. It imports numpy, as a loader
does: a shorter one would get a CPU at once where a longer one has to wait for it again and again.
While the promise is kept, nothing is started and nothing measured.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable

_START = [sys.executable, "-c", "import numpy"]


def kept(seconds: float, wait: Callable[[float], bool]) -> bool:
    """Whether something comes true within `seconds` of a machine that is not busy.

    `wait(timeout)` waits for it, at most so many seconds, and says whether it is true by then.
    """
    start = time.monotonic()
    if wait(seconds):
        return True
    factor = slowness()
    while time.monotonic() - start < seconds * factor:
        if wait(0):
            return True
        factor = max(factor, slowness())
    return False


def slowness() -> float:
    """How many times as long as on a machine of its own a process takes here: 1 or more."""
    start = time.monotonic()
    pid = os.posix_spawn(sys.executable, _START, os.environ)
    _, _, used = os.wait4(pid, 0)
    return max((time.monotonic() - start) / (used.ru_utime + used.ru_stime), 1)
