"""Errors go from process to process as they are."""

import pickle

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
