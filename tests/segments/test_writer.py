"""The writer: headers, items piece by piece, the length in the end, and too little memory."""

import os

import numpy as np
import pytest

from shmkit import NotEnoughMemoryError, SegmentError, SegmentGoneError
from shmkit._categories import category, enum_of
from shmkit.loading.board.record import RECORD
from shmkit.segments.backing import choose_backing
from shmkit.segments.segment import Segment
from shmkit.segments.writer import SegmentWriter
from shmkit.views.array import view

MB = 1 << 20


@pytest.fixture
def segment(backing):
    made = Segment.create(choose_backing(backing, 0))
    yield made
    made.unlink()


def taken(segment):
    """Bytes of memory, or of the disk, that the segment takes."""
    return os.stat(segment.path).st_blocks * 512


def test_declaring_takes_no_memory_and_allocating_takes_all_of_it(segment):
    with SegmentWriter(segment) as writer:
        writer.declare(np.dtype("u1"), (10 * MB,))
        assert taken(segment) < MB
        assert os.stat(segment.path).st_size >= 10 * MB
        writer.allocate(np.dtype("u1"), (10 * MB,))
        assert taken(segment) >= 10 * MB
    assert not np.load(segment.path, mmap_mode="r").any()


@pytest.mark.parametrize("shape", [(7,), (7, 3), (7, 0), (7, 2, 5)])
def test_pieces_are_put_one_behind_the_other(segment, shape):
    expected = np.arange(np.prod(shape)).reshape(shape)
    with SegmentWriter(segment) as writer:
        writer.declare(expected.dtype, shape)
        for piece in np.array_split(expected, 3):
            writer.write(np.ascontiguousarray(piece))
    assert np.array_equal(np.load(segment.path), expected)


def test_by_columns_the_items_are_those_of_the_transpose(segment):
    expected = np.asfortranarray(np.arange(12.0).reshape(3, 4))
    with SegmentWriter(segment) as writer:
        writer.allocate(expected.dtype, expected.shape, fortran_order=True)
        writer.write(expected.T[:1])
        writer.write(expected.T[1:])
    found = np.load(segment.path)
    assert found.flags.f_contiguous
    assert np.array_equal(found, expected)


@pytest.mark.parametrize("guess", [1, 1000, 1500, 10**7])
def test_a_wrong_guess_of_the_length_is_put_right(segment, guess):
    rows = np.arange(3000, dtype="i4").reshape(1000, 3)
    with SegmentWriter(segment) as writer:
        writer.declare(rows.dtype, (guess, 3))
        for piece in np.array_split(rows, 7):
            writer.write(piece)
        writer.resize(rows.shape)
    assert np.array_equal(np.load(segment.path), rows)
    assert os.stat(segment.path).st_size < rows.nbytes + 1000


def test_resizing_gives_memory_back_and_keeps_the_rows(segment):
    with SegmentWriter(segment) as writer:
        writer.allocate(np.dtype("i4"), (MB, 2))
        writer.write(np.array([[1, 2], [3, 4], [5, 6]], "i4"))
        before = taken(segment)
        writer.resize((3, 2))
    assert taken(segment) < before / 100
    assert np.load(segment.path).tolist() == [[1, 2], [3, 4], [5, 6]]


def test_several_writers_fill_their_own_rows(segment):
    with SegmentWriter(segment) as writer:
        writer.declare(np.dtype("i8"), (1000,))
    for start in (600, 0, 300):
        with SegmentWriter(segment) as writer:
            writer.seek(start * 8)
            writer.write(np.arange(start, start + (400 if start else 300)))
    assert np.load(segment.path).tolist() == list(range(1000))


@pytest.mark.parametrize("gap", [1, 3, 1000, 3 * MB])
def test_rows_are_closed_up_where_both_places_overlap(segment, gap):
    rows = np.random.default_rng(0).integers(0, 255, 10 * MB, "u1")  # several steps
    with SegmentWriter(segment) as writer:
        writer.declare(rows.dtype, rows.shape)
        writer.write(rows)
        writer.move(gap, len(rows) - gap, 0)
        writer.resize((len(rows) - gap,))
    assert np.array_equal(np.load(segment.path), rows[gap:])


def test_what_a_reader_says_of_its_progress_is_in_the_record(segment):
    records = np.zeros(3, RECORD)
    with SegmentWriter(segment, records[1:2]) as writer:
        writer.advance(bytes_done=12, rows=3)
        writer.advance(bytes_done=24, rows=5)
    assert records["bytes_done"].tolist() == [0, 24, 0]
    assert records["rows"].tolist() == [0, 5, 0]


def test_names_of_codes_are_given_when_all_are_known(segment):
    with SegmentWriter(segment) as writer:
        writer.declare(np.dtype("u2"), (3,))
        writer.write(np.array([0, 1, 0], "u2"))
    assert enum_of(segment.dtype) is None
    with SegmentWriter(segment) as writer:
        writer.set_dtype(category(["chr1", "chrX"]))
    assert enum_of(Segment.attach(segment.path).dtype) == {"chr1": 0, "chrX": 1}
    assert view(segment).categories.tolist() == ["chr1", "chrX"]


def test_a_segment_shows_what_is_written_until_it_is_mapped(segment):
    with pytest.raises(SegmentError, match="is not a segment, or is damaged"):
        _ = segment.header
    with SegmentWriter(segment) as writer:
        writer.declare(np.dtype("f8"), (1000,))
        assert segment.shape == (1000,)
    with SegmentWriter(Segment.attach(segment.path)) as writer:  # as a loader process does
        writer.write(np.arange(3.0))
        writer.resize((3,))
    assert segment.header == writer.header
    assert segment.shape == (3,)
    array = view(segment)
    segment.unlink()
    assert segment.shape == array.shape == (3,)
    del array
    assert not segment.mapped
    assert segment.shape == (3,)  # what the panel shows of an array that is freed


def test_python_objects_and_dtypes_without_a_description_are_refused(segment):
    overlapping = np.dtype({"names": ["a", "b"], "formats": ["i4", "i4"], "offsets": [0, 2]})
    with SegmentWriter(segment) as writer:
        with pytest.raises(TypeError, match="an array of Python objects"):
            writer.declare(np.dtype(object), (3,))
        with pytest.raises(TypeError, match="repack_fields"):
            writer.allocate(overlapping, (3,))
    assert os.stat(segment.path).st_size == 0


def test_more_memory_than_there_is_is_an_error_with_figures(segment):
    with SegmentWriter(segment) as writer:
        if segment.backing == "file":
            writer.check_memory(1 << 60)  # only its file system counts
            return
        with pytest.raises(NotEnoughMemoryError) as caught:
            writer.check_memory(1 << 60)
    assert caught.value.need == 1 << 60 > caught.value.limit >= caught.value.free > 0


@pytest.mark.parametrize("backing", ["shm", "memfd"])
def test_allocating_more_than_there_is_takes_nothing(segment, backing):
    with SegmentWriter(segment) as writer, pytest.raises(NotEnoughMemoryError):
        writer.allocate(np.dtype("u1"), (1 << 50,))
    assert taken(segment) < MB


def test_a_segment_that_is_unlinked_has_no_writer(backing):
    segment = Segment.create(choose_backing(backing, 0))
    segment.unlink()
    with pytest.raises(SegmentGoneError):
        SegmentWriter(segment)


def test_a_writer_keeps_no_file_open(segment):
    before = len(os.listdir("/proc/self/fd"))
    with SegmentWriter(segment) as writer:
        writer.allocate(np.dtype("f8"), (3,))
        assert len(os.listdir("/proc/self/fd")) == before + 1
    assert len(os.listdir("/proc/self/fd")) == before
