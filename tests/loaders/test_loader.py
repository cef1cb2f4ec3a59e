"""The loader process: what a task may do to it, and what it does with a task's end."""

import os
import sys

import pytest
from processes import end_loaders

from shmkit.loaders.loader import Task
from shmkit.loaders.pool import LoaderPool


def run(tasks, count=2):
    with LoaderPool(count) as pool:
        return dict(pool.run([Task(*task) for task in tasks], lambda: None))


def test_an_exception_is_an_outcome():
    outcomes = run([(int, ("x",)), (int, ("7",))])
    assert isinstance(outcomes[0], ValueError)
    assert outcomes[1] == 7


def test_an_exception_that_does_not_pickle_still_arrives():
    class UnpicklableError(Exception):
        def __reduce__(self):
            raise TypeError("no")

    def fail():
        raise UnpicklableError("what it says")

    assert "what it says" in str(run([(fail, ())])[0])


def test_a_child_that_a_task_forked_does_not_take_part():
    def fork_a_tool(n):
        if os.fork() == 0:
            os.execvp("no-such-tool", ["no-such-tool"])
        return n

    assert run([(fork_a_tool, (n,)) for n in range(4)]) == {n: n for n in range(4)}
    for _ in range(4):
        assert run([(int, (n,)) for n in range(4)]) == {n: n for n in range(4)}


@pytest.mark.parametrize("stdout", ["closed", "another"])
def test_a_task_may_close_or_replace_stdout(stdout):
    def replace():
        if stdout == "closed":
            sys.stdout.close()
        else:
            sys.stdout = object()
        return stdout

    assert run([(replace, ())], count=1) == {0: stdout}
    end_loaders(os.getpid())  # it has none any more
