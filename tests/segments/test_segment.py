import os

import numpy as np
import pytest
from machine import refuse

from shmkit import SegmentGoneError, attach, share
from shmkit.cleanup.owner import this_process
from shmkit.segments.backing import Backing, choose_backing
from shmkit.segments.segment import Segment, mapped_here
from shmkit.segments.writer import SegmentWriter


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
    assert found.header == (np.dtype(dtype), shape, fortran, made.header.data_offset, {})
    assert made.header.data_offset % 64 == 0
    assert np.load(made.path).dtype == np.dtype(dtype)
    made.unlink()


def test_the_last_view_takes_the_name_along(backing):
    array = share([1, 2, 3], backing=backing)
    segment, last = array.segment, memoryview(array)
    del array
    assert segment.linked
    assert last[1] == 2
    del last
    assert not segment.linked


def test_a_segment_is_mapped_once_in_a_process(backing):
    array = share([1, 2, 3], backing=backing)
    again = Segment.attach(array.segment.path)
    assert again is array.segment
    assert again.map() is array.segment.map() is array.base
    assert mapped_here().count(again) == 1
    del array
    assert not again.mapped
    assert again not in mapped_here()


def test_a_segment_has_one_mapping_whatever_path_it_was_reached_by():
    array = share([1, 2, 3], backing="memfd")
    other = os.open(array.segment.path, os.O_RDWR)
    try:
        assert Segment.attach(f"/proc/{os.getpid()}/fd/{other}").map() is array.segment.map()
    finally:
        os.close(other)


def test_what_attaches_in_the_owners_process_is_the_owners(backing):
    made = new("f8", (3,), backing)
    before_it_is_mapped = Segment.attach(made.path)
    assert before_it_is_mapped is Segment.attach(made.path, made.identity) is made
    array = attach(made.path)
    array.close()
    assert not made.linked


def test_a_new_file_with_the_identity_of_one_that_is_gone_is_attached(tmp_path):
    gone = Segment.create(Backing("file", str(tmp_path)))
    gone.unlink()
    for number in range(1000):  # until the file system uses the inode again
        path = tmp_path / f"shmkit-{this_process()}-{number + 1_000_000}.npy"
        np.save(path, [number])
        if (os.stat(path).st_dev, os.stat(path).st_ino) == gone.identity:
            break
        path.unlink()
    else:
        refuse("this file system does not use inodes again at once")
    assert attach(path).tolist() == [number]
    path.unlink()


def test_what_is_unlinked_is_not_attached_though_a_view_is_left():
    array = share([1, 2, 3])
    path, identity = array.segment.path, array.segment.identity
    array.close()
    for known in (None, identity):
        with pytest.raises(SegmentGoneError):
            Segment.attach(path, known)
    assert array.tolist() == [1, 2, 3]


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
