"""The digest of a function: the same in every process, another one for other code."""

import functools
import subprocess
import sys
import threading

import numpy as np
import pytest

from shmkit.cache.code import code_digest

FACTOR = 2


def scaled(x):
    return x * FACTOR


def recursive(n):
    return n and recursive(n - 1)


CODE = """
from shmkit.cache.code import code_digest
import numpy as np
text = '''
def read(path):
    import json
    def inner(x):
        return x in {"a", "b", "c", 1, 2} and factor
    return np.loadtxt(path), inner, lambda: limits
'''
factor, limits = 3, {"low": 1.5, "high": (2, None)}
exec(compile(text, FILE, "exec"))
print(code_digest(read))
"""


def digest_of(code):
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()


def test_a_cell_of_another_kernel_has_the_same():
    first = digest_of(CODE.replace("FILE", "'/tmp/ipykernel_1/123.py'"))
    assert len(first) == 64
    assert digest_of(CODE.replace("FILE", "'/tmp/ipykernel_2/456.py'")) == first


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("factor, limits = 3", "factor, limits = 4"),
        ("1.5", "1.25"),
        ('"c"', '"d"'),
        ("np.loadtxt", "np.genfromtxt"),
        ("import json", "import csv"),
        ("lambda: limits", "lambda x=1: limits"),
    ],
)
def test_other_code_or_other_values_have_another(old, new):
    code = CODE.replace("FILE", "'cell'")
    assert old in code
    assert digest_of(code) != digest_of(code.replace(old, new))


def test_what_a_function_holds_counts():
    def add(n):
        return lambda x: x + n

    assert code_digest(add(1)) == code_digest(add(1)) != code_digest(add(2))
    assert code_digest(functools.partial(pow, 2)) != code_digest(functools.partial(pow, 3))
    arrays = [np.arange(3), np.arange(4), np.arange(3.0)]
    assert len({code_digest(add(array)) for array in arrays}) == 3


def test_what_is_set_on_a_function_counts_and_an_empty_closure_is_not_told():
    def counted():
        return counted.limit

    counted.limit = 1
    first = code_digest(counted)
    counted.limit = 2
    assert None is not first != code_digest(counted)

    def early():
        return later

    assert code_digest(early) is None
    later = 1
    assert code_digest(early) is not None
    assert early() == later


def test_functions_of_packages_are_told_by_their_names():
    assert None is not code_digest(np.load) != code_digest(np.loadtxt) is not None
    assert code_digest(len) is not None


def test_a_function_that_calls_itself_has_one():
    assert code_digest(recursive) is not None


def test_what_cannot_be_told_has_none(tmp_path, monkeypatch):
    lock = threading.Lock()
    assert code_digest(lambda: lock) is None
    assert code_digest(lambda: undefined) is None  # noqa: F821
    (tmp_path / "users_own.py").write_text("value = 1\ndef f(x):\n    return value\n")
    monkeypatch.syspath_prepend(tmp_path)
    import users_own  # ty: ignore

    def by_module(x):
        return users_own.value

    def by_import(x):
        import users_other

        return users_other

    (tmp_path / "users_other.py").write_text("")
    assert code_digest(by_module) is None  # anybody may set what is in it
    assert code_digest(by_import) is None
    first = code_digest(users_own.f)
    monkeypatch.setattr(users_own, "value", 2)
    assert None is not first != code_digest(users_own.f)
