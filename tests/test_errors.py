"""Errors go from process to process as they are."""

import pickle
import re

import pytest

import shmkit
from shmkit import errors


@pytest.mark.parametrize(
    "error",
    [
        errors.LoadError("x.txt", 3, 2, "why"),
        errors.LoadError("x.txt", None, None, "why"),
        errors.LoaderDiedError("x.txt", -9),
        errors.LoaderDiedError("x.txt", 3),
        errors.LoaderDiedError("x.txt", -64),
        errors.NotEnoughMemoryError(3, 2, 1, "/dev/shm"),
        errors.SegmentError("x.npy", "why"),
        errors.SegmentGoneError("x.npy", "why"),
        errors.SegmentExistsError("x.npy", "why"),
        errors.TooManySegmentsError(1024, "RLIMIT_NOFILE"),
    ],
)
def test_errors_survive_pickling(error):
    error.add_note("a note")
    type(error).__new__(type(error))  # as tblib makes one, which Dask brings
    got = pickle.loads(pickle.dumps(error))
    assert (type(got), str(got), got.__dict__) == (type(error), str(error), error.__dict__)
    assert isinstance(got, shmkit.ShmkitError)


def test_ipython_shows_the_message_and_the_users_own_line(shell, tmp_path, capsys):
    path = tmp_path / "bad.txt"
    path.write_text("1\nn/a\n")
    shell.user_ns |= {"shared_load": shmkit.shared_load, "path": str(path)}
    shell.run_cell("x = 1\narrays = shared_load(path, dtype='f8', progress=False)")
    said = re.sub("\x1b\\[[0-9]*m", "", capsys.readouterr().out)
    first, where, code, _, last = said.strip().splitlines()
    assert first == last
    assert first.startswith(f"LoadError: {path}, line 2, column 1: ")
    assert where == "this cell, line 2"
    assert code == "----> 2 arrays = shared_load(path, dtype='f8', progress=False)"


def test_ipython_shows_what_is_noted_on_an_error_once(shell, capsys):
    error = shmkit.LoadError("a.txt", None, None, "is bad")
    error.add_note("as the loader said")
    shell.user_ns["error"] = error
    shell.run_cell("raise error")
    said = capsys.readouterr().out
    assert said.count("is bad") == 2
    assert said.count("as the loader said") == 1


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ("shared_load('gone.csv')", "FileNotFoundError: .*No such file.*gone.csv'"),
        ("shared_load('none_*.csv')", "FileNotFoundError: no file matches 'none_.*"),
        ("shared_load('/')", "IsADirectoryError: .*Is a directory; give its files as '/[*]': '/'"),
        ("shared_load('a.csv', on_error='?')", "ValueError: on_error='[?]' is neither .*"),
        ("to_hdf5('/none/x.h5', [1])", "FileNotFoundError: .*"),
        ("share([1], backing='/none')", "ValueError: backing='/none' is neither .*"),
        ("shared_empty(-1, 'f8')", "ValueError: .*"),
        ("attach('../..')", "SegmentError: .*"),
        ("attach('?')", "ValueError: .*"),
        ("with share([1, 2]) as a: a.publish('a b')", "ValueError: .*'a b'.*"),
        ("with share([1, 2]) as a: a[1:].publish('a')", "ValueError: only the whole array .*"),
        ("with share({'x': [1]}) as a: a[1:].publish('a')", "ValueError: only the whole table .*"),
        ("shared_map(len, [], processes=0)", "ValueError: processes=0 must be at least 1"),
        ("shared_map(int, ['one'], progress=False)", "ValueError: invalid literal for int.*"),
        ("next(shared_stream('gone.csv'))", "FileNotFoundError: .*No such file.*gone.csv'"),
        ("shared_stream('gone.csv', memory='?')", "ValueError: memory='[?]' is no number .*"),
    ],
)
def test_ipython_shows_builtin_errors_of_a_call_without_frames_of_shmkit(shell, capsys, call, said):
    shell.user_ns |= {name: getattr(shmkit, name) for name in shmkit.__all__}
    shell.run_cell(f"x = 1\n{call}")
    first, where, code, _, last, *_ = (  # and what is noted, such as the traceback in a loader
        re.sub("\x1b\\[[0-9]*m", "", capsys.readouterr().out).strip().splitlines()
    )
    assert re.fullmatch(said, first)
    assert (first, where, code) == (last, "this cell, line 2", f"----> 2 {call}")
