"""A reader of the user's: what the function returns is written, once it was called."""

import os

import numpy as np
import pytest

from shmkit.loading.board.record import RECORD
from shmkit.readers.base import WHOLE, Version
from shmkit.readers.custom import CustomReader
from shmkit.segments.backing import choose_backing
from shmkit.segments.segment import Segment
from shmkit.segments.writer import SegmentWriter
from shmkit.views.array import view


@pytest.fixture
def read():
    """What a loader does: the array, its plan, and the rows that were said to be in it."""
    segment, record = Segment.create(choose_backing("auto", 0)), np.zeros(1, RECORD)

    def read(path, function):
        with CustomReader.open(path, function) as reader:
            plan = reader.probe()
            with SegmentWriter(segment, record) as writer:
                piece = reader.read(plan, WHOLE, writer)
        assert record["rows"] == [piece.rows]
        return view(segment), plan, piece.rows

    yield read
    segment.unlink()


@pytest.mark.parametrize(
    "made",
    [
        np.arange(6).reshape(2, 3),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.arange(20)[::-3],
        np.zeros((0, 3), "i2"),
        np.array([("a", 1)], "U3,i4"),
        [[1, 2], [3, 4]],
    ],
    ids=["c", "fortran", "reversed", "empty", "records", "list"],
)
def test_what_the_function_returns_is_the_array(read, made):
    array, plan, rows = read("a.xyz", lambda _: made)
    expected = np.asarray(made)
    assert np.array_equal(array, expected)
    assert (
        (array.dtype, array.shape) == (plan.dtype, plan.shape) == (expected.dtype, expected.shape)
    )
    assert plan.fortran_order == (expected.flags.f_contiguous and not expected.flags.c_contiguous)
    assert rows == len(expected)


def test_a_number_is_an_array_of_one(read):
    array, _, rows = read("a.xyz", lambda _: 2.5)
    assert (array[()], array.shape, rows) == (2.5, (), 1)


def test_it_is_called_once_with_the_path(read):
    calls = []
    read("a.xyz", lambda path: calls.append(path) or np.arange(3))
    assert calls == ["a.xyz"]


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (np.ma.masked_array([1, 2], [True, False]), r"mask would be lost; return result.filled"),
        (np.array([object()]), "Python objects"),
        (None, "Python objects"),
    ],
)
def test_what_no_segment_holds_is_an_error(read, made, message):
    with pytest.raises(TypeError, match=message):
        read("a.xyz", lambda _: made)


def test_its_own_errors_pass_as_they_are(read):
    def fail(path):
        raise OSError(5, "bad disk", path)

    with pytest.raises(OSError, match="bad disk"):
        read("a.xyz", fail)


def test_a_file_has_a_version_and_a_directory_none(tmp_path):
    (tmp_path / "a").write_text("1")
    reader = CustomReader(str(tmp_path / "a"), print)
    assert reader.version() == Version.of(os.stat(tmp_path / "a"))
    assert CustomReader(str(tmp_path), print).version() is None
    with pytest.raises(FileNotFoundError):
        CustomReader(str(tmp_path / "gone"), print).version()
