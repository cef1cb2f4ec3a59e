"""What no interrupt stops in the middle: it goes on alone, and the caller gets the interrupt."""

import os
import signal
import sys
import threading
import traceback

import pytest

from shmkit._interrupts import uninterrupted


def test_it_gives_what_the_function_gives_or_raises():
    assert uninterrupted(lambda: 5) == 5
    with pytest.raises(KeyError, match="no such"):
        uninterrupted(lambda: {}["no such"])


@pytest.fixture(params=["Python's handler", "a handler as polars has it"])
def handler(request):
    signal.siginterrupt(signal.SIGINT, request.param.startswith("Python"))
    yield
    signal.signal(signal.SIGINT, signal.getsignal(signal.SIGINT))


def called_by_main_thread():
    frame = sys._current_frames()[threading.main_thread().ident]  # noqa: SLF001 - it is documented
    return [call.name for call in traceback.extract_stack(frame)]


def test_an_interrupt_ends_the_call_and_not_the_function(handler):
    begun, go_on, done = threading.Event(), threading.Event(), threading.Event()

    def half_done():
        begun.set()
        go_on.wait(20)
        done.set()

    def interrupt():
        begun.wait(20)
        while "join" not in called_by_main_thread():
            pass
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    try:
        with pytest.raises(KeyboardInterrupt):
            uninterrupted(half_done)
        assert begun.is_set()
        assert not done.is_set()
    finally:
        go_on.set()
    assert done.wait(20)


def test_in_another_thread_there_are_none_and_no_thread_is_needed():
    where = []
    thread = threading.Thread(
        target=lambda: where.append((uninterrupted(threading.current_thread), thread))
    )
    thread.start()
    thread.join()
    ((ran_in, called_in),) = where
    assert ran_in is called_in
    assert uninterrupted(threading.current_thread) is not threading.main_thread()


def test_where_no_thread_can_be_started_it_is_done_all_the_same():
    before = threading.stack_size(1 << 46)  # more than an address space has
    try:
        with pytest.raises(RuntimeError, match="can't start new thread"):
            threading.Thread(target=print).start()
        assert uninterrupted(threading.current_thread) is threading.main_thread()
    finally:
        threading.stack_size(before)
