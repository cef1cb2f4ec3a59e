"""The key of an entry: other bytes, options or functions have another, and doubt has none."""

import os
import time

import numpy as np
import pytest

from shmkit.cache.keys import file_key, options_key, together

OLD = time.time() - 3600
HOW = "0" * 64


@pytest.fixture
def file(tmp_path):
    def write(text="1 2\n", name="a.txt", ago=3600.5):
        path = tmp_path / name
        path.write_text(text)
        os.utime(path, (OLD, time.time() - ago))
        time.sleep(0.12)  # its inode was changed just now
        return str(path)

    return write


def key(options=None, **functions):
    return options_key("text", options or {}, functions)


def test_a_file_that_rests_has_one_key(file):
    path = file()
    assert file_key(path, HOW) == file_key(path, HOW)
    assert len(file_key(path, HOW)) == 40
    assert file_key(path, "1" * 64) != file_key(path, HOW)


def test_whatever_tells_two_files_apart_gives_another_key(file):
    path = file()
    keys = {file_key(path, HOW), file_key(file(name="b.txt"), HOW), file_key(file("1 2 \n"), HOW)}
    file("1 3 \n", ago=3000.5)  # as long
    keys.add(file_key(path, HOW))
    os.replace(file(name="c.txt"), path)
    time.sleep(0.12)
    keys.add(file_key(path, HOW))
    assert len(keys) == 5
    assert None not in keys


def test_what_may_change_within_a_tick_has_none(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("1\n")
    assert file_key(str(path), HOW) is None
    time.sleep(0.12)
    assert file_key(str(path), HOW) is not None


def test_what_is_no_plain_file_has_none(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path, tmp_path / "fifo", tmp_path / "gone"):
        assert file_key(str(path), HOW) is None


OPTIONS = [
    {},
    {"dtype": np.dtype("i4")},
    {"dtype": np.dtype("u4")},
    {"dtype": np.dtype([("a", "i4")])},
    {"dtype": np.dtype([("b", "i4")])},
    {"skiprows": 1},
    {"skiprows": "1"},
    {"skiprows": True},
    {"skiprows": 1.0},
    {"usecols": [0, 1]},
    {"usecols": [1, 0]},
    {"usecols": {0, 1}},
    {"usecols": range(3)},
    {"select": (slice(0, 9), ...)},
    {"select": (slice(0, 9, 2), ...)},
    {"missing": {"x": ["NA"]}},
    {"missing": {"x": None}},
    {"missing": None},
    {"select": np.array([True, False])},
    {"max_rows": np.int64(7)},
]


def test_each_way_to_read_has_a_key_of_its_own():
    keys = [key(options) for options in OPTIONS]
    assert None not in keys
    assert len(set(keys)) == len(OPTIONS)
    assert options_key("npy", {}, {}) not in keys


def test_the_same_options_have_the_same_key_however_they_are_given():
    assert key({"a": 1, "b": 2}) == key({"b": 2, "a": 1})
    assert key({"usecols": {"x", "y", "z"}}) == key({"usecols": {"z", "y", "x"}})
    assert key({"max_rows": np.int64(7)}) == key({"max_rows": 7})


def test_functions_are_told_by_their_code():
    keys = {key(), key(reader=lambda _: 1), key(reader=lambda _: 2), key(transform=abs)}
    assert len(keys) == 4
    assert key(reader=lambda _: 1) == key(reader=lambda _: 1)
    assert key({"converters": {0: lambda _: 1}}) != key({"converters": {0: lambda _: 2}})


def test_what_cannot_be_told_has_none():
    lock = time.perf_counter, object()  # of which nobody knows what it does
    assert key({"converters": {0: object()}}) is None
    assert key({"a": [1, [2, object()]]}) is None
    assert key(reader=lambda _: lock) is None


def test_several_have_one_key_in_their_order():
    assert together(["a", "b"]) == together(["a", "b"])
    assert len({together(["a", "b"]), together(["b", "a"]), together(["a"]), together([])}) == 4
