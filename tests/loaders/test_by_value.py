"""A failing reader's own traceback, whatever it is defined in and however deep."""

import functools
import importlib
import linecache

import pytest

from shmkit import LoadError, shared_load

CELL = """
import functools

class Plate:
    def __init__(self, path):
        self.path = path
    def read(self):
        raise ValueError("in a method")

def method(path):
    return Plate(path).read()

def nested(path):
    def inner():
        raise ValueError("in a function of a function")
    return inner()

def generator(path):
    return [*(1 / 0 for _ in "a")]

unnamed = lambda path: {}["in a lambda"]

class Reader:
    def __call__(self, path):
        raise ValueError("in an object that is called")

called = Reader()

def wrapped(function):
    @functools.wraps(function)
    def wrapper(path):
        return function(path)
    return wrapper

@wrapped
def decorated(path):
    raise ValueError("in what is decorated")
"""
# What is read with, and the line that raises.
READERS = {
    "method": 'raise ValueError("in a method")',
    "nested": 'raise ValueError("in a function of a function")',
    "generator": 'return [*(1 / 0 for _ in "a")]',
    "unnamed": 'unnamed = lambda path: {}["in a lambda"]',
    "called": 'raise ValueError("in an object that is called")',
    "decorated": 'raise ValueError("in what is decorated")',
}


@pytest.fixture
def run_cell(shell):
    """Run a cell as a kernel does; gives what it has defined."""
    shell.user_ns["__name__"] = "__main__"

    def run(text):
        shell.run_cell(text).raise_error()
        return shell.user_ns

    return run


def traceback_of(reader, path):
    """What the error of a failed load shows of the reader."""
    with pytest.raises(LoadError) as caught:
        shared_load(path, reader=reader, progress=False)
    (note,) = caught.value.__notes__
    return note


@pytest.mark.parametrize("name", READERS)
def test_the_line_of_a_cell_that_raised(run_cell, calls, name):
    defined = run_cell(CELL)
    note = traceback_of(defined[name], calls)
    assert READERS[name] in note
    assert f'File "{defined["method"].__code__.co_filename}", line ' in note


def test_of_two_versions_of_a_cell_each_shows_its_own_line(run_cell, calls):
    for text in ("first", "second"):
        read = run_cell(f"def read(path):\n    raise ValueError('the {text}')")["read"]
        assert f"raise ValueError('the {text}')" in traceback_of(read, calls)


def test_the_line_of_a_module_that_was_edited(calls, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    for text in ("first", "and longer"):
        (tmp_path / "plates.py").write_text(f"def read(path):\n    raise ValueError('{text}')\n")
        importlib.invalidate_caches()
        module = importlib.reload(importlib.import_module("plates"))
        note = traceback_of(module.read, calls)
        assert f"raise ValueError('{text}')" in note
        assert f'File "{tmp_path / "plates.py"}", line 2, in read' in note


def test_code_that_has_no_source_anywhere_still_says_where_it_raised(calls):
    names = {}
    exec("def read(path):\n    raise ValueError('nowhere')", names)
    assert 'File "<string>", line 2, in read' in traceback_of(names["read"], calls)


def test_the_lines_that_a_loader_knows_stay_when_files_are_looked_at_again(run_cell, calls):
    bad = run_cell("def bad(path):\n    raise ValueError('it stays')")["bad"]

    def read(path, bad):
        linecache.checkcache()  # as the traceback module does for each traceback
        return bad(path)

    note = traceback_of(functools.partial(read, bad=bad), calls)
    assert "raise ValueError('it stays')" in note
