"""`shared_stream`: what the call says, checked before a file is read (see loading/test_stream)."""

import numpy as np
import pytest

from shmkit import LoadError, NotEnoughMemoryError, shared_stream


@pytest.fixture
def paths(tmp_path):
    for number in range(3):
        np.save(tmp_path / f"part{number}.npy", np.full(1000, number))
    return tmp_path / "part*.npy"


@pytest.mark.parametrize("memory", [100_000, " 0.1 mb ", "1t"])
def test_memory_is_a_number_or_a_size(paths, memory):
    names = []
    for name, array in shared_stream(paths, memory=memory):
        assert array.tolist() == [len(names)] * 1000
        names.append(name)
        del array
    assert names == ["part0", "part1", "part2"]


@pytest.mark.parametrize("memory", [0, -5, "", "4 XB", "much", "0 GB", "1.2.3 GB", ".", "4 GB 5"])
def test_what_is_no_size_is_told_at_once(paths, memory):
    with pytest.raises(ValueError, match='is no number of bytes above 0, such as "4 GB"'):
        shared_stream(paths, memory=memory)


def test_too_little_memory_is_an_error_when_a_file_has_none(paths):
    with pytest.raises(NotEnoughMemoryError):
        next(shared_stream(paths, memory="1 kB", select=slice(None)))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"progress": True}, TypeError, "shared_stream has no progress="),
        ({"nonsense": 1}, TypeError, "nonsense"),
        ({"processes": 0}, ValueError, "processes=0 must be at least 1"),
        ({"on_error": "ignore"}, ValueError, "on_error='ignore' is neither"),
    ],
)
def test_options_are_checked_by_the_call(paths, options, error, message):
    with pytest.raises(error, match=message):
        shared_stream(paths, **options)


def test_files_are_looked_for_by_the_call(tmp_path):
    with pytest.raises(FileNotFoundError, match="no file matches"):
        shared_stream(tmp_path / "*.npy")


def test_an_option_of_no_use_is_an_error_of_the_first_step(paths):
    stream = shared_stream(paths, dtype="f4")
    with pytest.raises(TypeError, match="dtype: for text"):
        next(stream)


def test_an_error_comes_in_the_turn_of_its_file(paths):
    (paths.parent / "part1.npy").write_bytes(b"no npy")
    stream = shared_stream(paths, memory="100 kB")
    assert next(stream)[0] == "part0"
    with pytest.raises(LoadError, match=r"part1\.npy"):
        next(stream)
