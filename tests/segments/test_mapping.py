"""The memory that views stand on: found from any of them, unmapped with the last."""

import mmap
import weakref

import numpy as np
import pytest

from shmkit import share
from shmkit.segments.mapping import Mapped, map_file, mapping_of


def map_at(path):
    path.write_bytes(bytes(range(256)) * 64)
    with open(path, "r+b") as file:
        return map_file(file.fileno(), mmap.ACCESS_WRITE)


@pytest.fixture
def mapped(tmp_path):
    return map_at(tmp_path / "a")


def test_every_view_leads_to_the_mapping(mapped):
    array = np.frombuffer(mapped, "u1")
    strided = np.lib.stride_tricks.as_strided(array, (4, 2), (2, 1))
    for view in (array, array[3:], array[::2].reshape(4, -1), strided, memoryview(array)[5:]):
        assert mapping_of(view) is mapped
    assert mapping_of(memoryview(mapped)) is mapped
    assert mapping_of(share(np.arange(3))).segment.linked


def test_what_stands_on_something_else_has_none(mapped, tmp_path):
    released = memoryview(mapped)
    released.release()
    on_a_file = np.memmap(tmp_path / "a", "u1", "r")
    copy = np.frombuffer(mapped, "u1") + 1
    for value in (copy, np.arange(3), on_a_file, memoryview(b"abc"), released, "text", None):
        assert mapping_of(value) is None


def test_it_cannot_be_closed_under_its_views(mapped):
    array = np.frombuffer(mapped, "u1")
    for close in (mapped.close, lambda: mapped.resize(10)):
        with pytest.raises(BufferError, match="unmapped when the last of them is gone"):
            close()
    assert array[7] == 7


def test_it_goes_with_the_last_view(tmp_path):
    mapped = map_at(tmp_path / "a")
    gone = weakref.ref(mapped)
    view = np.frombuffer(mapped, "u1")[5:9]
    del mapped
    assert isinstance(gone(), Mapped)
    assert view.tolist() == [5, 6, 7, 8]
    del view
    assert gone() is None


def test_a_write_is_in_the_file(tmp_path, mapped):
    np.frombuffer(mapped, "u1")[0] = 77
    assert (tmp_path / "a").read_bytes()[0] == 77
