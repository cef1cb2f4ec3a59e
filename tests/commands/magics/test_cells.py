"""A cell is run once, and tells which names it assigned, however that is written."""

import pytest

from shmkit.commands.magics.cells import run_cell


@pytest.fixture
def run(shell):
    def run(cell, **variables):
        shell.user_ns.update(variables)
        return run_cell(shell, cell)

    return run


@pytest.mark.parametrize(
    ("cell", "assigned"),
    [
        ("a = 1", ["a"]),
        ("a = b = 1", ["a", "b"]),
        ("(a, *b), c = (1, 2), 3", ["a", "b", "c"]),
        ("total += 1", ["total"]),
        ("x: int = 5", ["x"]),
        ("x: int", []),
        ("if (n := 3): pass", ["n"]),
        ("table['x'] = 5", ["table"]),
        ("if False:\n    a = 1", []),
        ("for i in range(2):\n    a = i", ["a"]),
        ("def f():\n    inner = 1\n    return inner\nb = f()", ["b"]),
        ("b = [y for y in range(3)]", ["b"]),
        ("with open('/dev/null') as file:\n    a = 1", ["a"]),
        ("try:\n    a = 1 / 0\nexcept ZeroDivisionError:\n    b = 2", ["b"]),
        ("5", []),
    ],
)
def test_assignments_that_ran_are_told(run, cell, assigned):
    assert sorted(run(cell, total=1, table={}).assigned) == assigned


def test_the_last_value_is_that_of_the_expression_at_the_end(run, shell):
    assert run("a = 2\na * 3").values == [6]
    assert run("a * 3\nb = 1").values == []
    assert shell.user_ns["a"] == 2


def test_other_bindings_are_told_apart(run):
    ran = run("import math\nfor i in range(3): pass\nif False: old = 2", old=1, kept=object())
    assert ran.assigned == []
    assert {"math", "i", "old"} <= set(ran.others)
    assert "kept" not in ran.others


def test_magics_of_a_line_work(run):
    assert run("a = %pwd\nlen(a) > 0").values == [True]


def test_an_error_goes_through_with_the_line_of_the_cell(run, shell):
    with pytest.raises(ZeroDivisionError) as caught:
        run("a = 1\nb = a / 0")
    lines = []
    trace = caught.tb
    while trace:
        lines.append(trace.tb_lineno)
        trace = trace.tb_next
    assert lines[-1] == 3  # line 1 is the magic's
    assert shell.user_ns["a"] == 1
    assert not [name for name in vars(__import__("builtins")) if "to_hdf5" in name]


def test_a_cell_cannot_wait(run):
    with pytest.raises(SyntaxError, match="a cell under %%to_hdf5 cannot wait"):
        run("import asyncio\nawait asyncio.sleep(0)")
    with pytest.raises(SyntaxError):
        run("a = = 1")
