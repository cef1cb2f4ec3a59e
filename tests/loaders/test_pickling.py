"""What travels to loaders: by pickle where that does, by value what a cell or the user defines."""

import contextlib
import pickle
import subprocess
import sys

import numpy as np
import pytest

from shmkit import share
from shmkit.loaders.pickling import (
    Pickled,
    dumps,
    pickled_by_value,
    pickled_opener,
    users_modules,
)
from shmkit.readers.choose import opener
from shmkit.readers.formats import Format


def elsewhere(data):
    """What another Python, which knows no test, makes of it."""
    code = "import pickle, sys; print(pickle.loads(sys.stdin.buffer.read())(4))"
    done = subprocess.run([sys.executable, "-c", code], input=data, capture_output=True)
    return done.stdout.decode().strip() or done.stderr.decode()


def test_plain_values_go_by_pickle_and_arrays_by_reference():
    assert pickle.loads(dumps({"a": [1, None]})) == {"a": [1, None]}
    array = share(np.arange(100_000))
    data = dumps(array)
    assert len(data) < 1000
    found = pickle.loads(data)
    found[0] = 77
    assert array[0] == 77


def test_what_pickle_does_not_take_goes_by_value():
    factor = 3
    assert pickle.loads(dumps(lambda x: x * factor))(4) == 12


def test_a_users_module_goes_as_it_is_now(tmp_path, monkeypatch):
    (tmp_path / "my_reading.py").write_text("FACTOR = 2\ndef scaled(x):\n    return x * FACTOR\n")
    monkeypatch.syspath_prepend(tmp_path)
    import my_reading

    monkeypatch.setattr(my_reading, "FACTOR", 10)
    assert "my_reading" in users_modules()
    assert not {"numpy", "shmkit", "os", "__main__"} & set(users_modules())
    pickled = pickled_by_value(my_reading.scaled, [my_reading.scaled])
    assert not pickled.plain
    import binascii

    assert elsewhere(binascii.a2b_base64(pickled.data)) == "40"
    del sys.modules["my_reading"]


def test_an_opener_without_functions_is_the_same_object_each_time():
    pickled = pickled_opener(opener(Format.TEXT, None, {"dtype": "f4"}))
    assert pickled.plain
    assert pickled.load() is pickled.load()
    assert pickled.load() == opener(Format.TEXT, None, {"dtype": "f4"})


def test_functions_are_new_each_time():
    """They may change what they hold."""
    made = opener(
        Format.TEXT, None, {"dtype": "f4", "converters": {0: lambda text: float(text) + 1}}
    )
    pickled = pickled_opener(made)
    assert not pickled.plain
    first, second = pickled.load(), pickled.load()
    assert first.options["converters"][0] is not second.options["converters"][0]
    assert first.options["converters"][0]("2.5") == 3.5
    assert b"__main__" not in pickled.data


@pytest.mark.parametrize(("nbytes", "is_shared"), [(100, False), (50_000, True)])
def test_what_is_large_goes_once_in_shared_memory(nbytes, is_shared):
    text = "x" * nbytes
    pickled = pickled_by_value(text, [])
    with contextlib.ExitStack() as stack:
        shared = pickled.shared(stack)
        assert len(dumps(shared)) < 2000
        assert isinstance(shared.data, bytes) is not is_shared
        assert shared.load() == text
        assert shared.shared(stack) is shared
    assert isinstance(shared, Pickled)
