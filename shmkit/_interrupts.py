"""Calls that no interrupt stops in the middle.

Python runs the handlers of signals in the main thread, between any two bytecodes. So what must not
be left half done, such as a process that is started but not noted, is done in a thread of its own.

The caller looks for interrupts itself, several times a second. To wait without end does not do:
libraries such as polars handle SIGINT so that the kernel goes on with a wait (SA_RESTART), and
Python is told only when that ends.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

__all__ = ["uninterrupted"]

_Result = TypeVar("_Result")
_TICK = 0.05  # seconds between two looks for an interrupt


def uninterrupted(function: Callable[[], _Result]) -> _Result:
    """Call a function to its end, and give what it returns, or raise what it raises.

    If an interrupt comes meanwhile, this call ends by it, and the function goes on alone.
    """
    if threading.current_thread() is not threading.main_thread():
        return function()
    results: list[_Result] = []
    errors: list[BaseException] = []

    def call() -> None:
        try:
            results.append(function())
        except BaseException as error:  # noqa: BLE001 - it is raised below
            errors.append(error)

    thread = threading.Thread(target=call, name="shmkit-uninterrupted")
    try:
        thread.start()
    except RuntimeError:  # at the interpreter's end there are no more threads, nor interrupts
        return function()
    while thread.is_alive():
        thread.join(_TICK)
    if errors:
        raise errors.pop()
    return results.pop()
