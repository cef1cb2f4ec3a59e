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
