"""A file whose failed writes HDF5 never sees: the first error is kept until `check`."""

import io
import os

import pytest

from shmkit.hdf5.storage.file import Storage


@pytest.fixture
def storage(tmp_path):
    with Storage(str(tmp_path / "tmp"), "w+b", "results.h5") as file:
        yield file


def test_it_is_a_file(storage):
    assert storage.write(memoryview(b"abcd")) == 4
    storage.write(b"ef")
    storage.write_at(memoryview(b"XY"), 1)
    assert storage.tell() == 6  # as it was: threads write elsewhere
    storage.truncate(5)
    storage.sync()
    storage.check()
    storage.seek(0)
    assert storage.read() == b"aXYde"
    assert storage.written == 8
    storage.write(memoryview(bytearray(range(8))).cast("H"))
    assert os.fstat(storage.fileno()).st_size == 13


@pytest.mark.parametrize(
    ("call", "given"),
    [
        (lambda file: file.write(b"abc"), 3),
        (lambda file: file.write_at(memoryview(b"abc"), 0), None),
        (lambda file: file.truncate(7), 7),
    ],
    ids=["write", "write_at", "truncate"],
)
def test_what_fails_seems_to_succeed_and_is_raised_later(tmp_path, call, given):
    (tmp_path / "tmp").write_bytes(b"12")
    with Storage(str(tmp_path / "tmp"), "rb", "results.h5") as storage:  # may not be written to
        try:
            assert call(storage) == given
        except io.UnsupportedOperation:  # FileIO asks its mode first
            pytest.fail("HDF5 would see it")
        assert isinstance(storage.error, OSError)
        with pytest.raises(OSError, match=r"results\.h5") as caught:
            storage.check()
        assert caught.value.filename == "results.h5"
        first = storage.error
        storage.write(b"more")
        assert storage.error is first


def test_a_full_disk_is_such_an_error():
    with Storage("/dev/full", "r+b", "results.h5") as storage:
        assert storage.write(b"a") == 1
        with pytest.raises(OSError, match="No space left on device"):
            storage.check()
