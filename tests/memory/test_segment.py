import os
import pickle

import numpy as np
import pytest

from shmkit import SegmentGoneError, share
from shmkit.cleanup.owner import this_process
from shmkit.errors import NotEnoughMemoryError
from shmkit.memory.backing import choose_backing
from shmkit.memory.segment import Segment
from shmkit.memory.writer import SegmentWriter


def new(dtype, shape, backing="shm", *, fortran=False):
    segment = Segment.create(choose_backing(backing, 0))
    with SegmentWriter(segment) as writer:
        writer.allocate(np.dtype(dtype), shape, fortran_order=fortran)
    return segment


def test_a_segment_is_a_file_that_plain_numpy_reads(backing):
    array = share(np.arange(12).reshape(3, 4), backing=backing)
    assert np.array_equal(np.load(array.segment.path, mmap_mode="r"), array)


@pytest.mark.parametrize(
    ("dtype", "shape", "fortran"),
    [
        ("f8", (), False),
        (">i2", (0, 3), False),
        ("U7", (5,), False),
        ([("a", "S3"), ("b", "f4", (2, 2))], (4,), False),
        (np.dtype([("a", "i1"), ("b", "f8")], align=True), (2, 2), False),
        ([("größe β", "i4")], (3,), False),
        ("c16", (3, 5, 2), True),
        ("M8[us]", (2,), False),
    ],
)
def test_dtype_and_shape_travel_with_the_data(dtype, shape, fortran):
    made = new(dtype, shape, fortran=fortran)
    found = Segment.attach(made.path)
    assert found.header == (np.dtype(dtype), shape, fortran, made.header.data_offset)
    assert made.header.data_offset % 64 == 0
    assert np.load(made.path).dtype == np.dtype(dtype)
    made.unlink()


def test_its_name_says_who_owns_it():
    path = share([1], backing="shm").segment.path
    assert path.startswith(f"/dev/shm/shmkit-{this_process()}-")


def test_the_last_view_takes_the_name_along(backing):
    array = share([1, 2, 3], backing=backing)
    segment, last = array.segment, memoryview(array)
    del array
    assert segment.linked
    assert last[1] == 2
    del last
    assert not segment.linked


def test_trimming_gives_memory_back_and_keeps_the_rows(backing):
    segment = new("i4", (1_000_000, 2), backing)
    array = np.memmap(segment.path, "i4", "r+", segment.header.data_offset, (1_000_000, 2))
    array[:3] = [[1, 2], [3, 4], [5, 6]]
    del array
    before = os.stat(segment.path).st_blocks
    with SegmentWriter(segment) as writer:
        writer.resize((3, 2))
    assert np.load(segment.path).tolist() == [[1, 2], [3, 4], [5, 6]]
    assert os.stat(segment.path).st_blocks < before / 100
    segment.unlink()


def test_attaching_after_the_end_says_so():
    array = share([1])
    path = array.segment.path
    array.close()
    with pytest.raises(SegmentGoneError, match="keep the with block open"):
        Segment.attach(path)


def test_what_was_put_under_its_name_later_is_left_alone():
    array = share([1])
    os.unlink(array.segment.path)
    with open(array.segment.path, "wb") as file:
        file.write(b"somebody else's")
    array.close()
    assert os.path.exists(array.segment.path)
    os.unlink(array.segment.path)


def test_python_objects_are_refused_and_nothing_is_left(nothing_left):
    with pytest.raises(TypeError, match="Python objects"):
        share(np.array([{}, "x"], dtype=object))


def test_too_little_room_is_an_error_before_anything_is_made(backing):
    with pytest.raises(NotEnoughMemoryError) as caught:
        choose_backing(backing, 1 << 60)
    assert caught.value.need == 1 << 60
    assert isinstance(caught.value, MemoryError)
    assert 0 < caught.value.free <= caught.value.limit


def test_auto_takes_shared_memory():
    assert choose_backing("auto", 1000).kind == "shm"


def test_a_backing_that_is_none_is_an_error():
    with pytest.raises(ValueError, match='neither "auto", "shm", "memfd" nor a directory'):
        choose_backing("shmem", 0)


def test_errors_survive_pickling():
    error = SegmentGoneError("/dev/shm/x.npy", "gone")
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
