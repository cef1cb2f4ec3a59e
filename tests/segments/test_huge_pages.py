"""Huge pages: who gets them, what is in them, and how much memory they take."""

import ctypes
import mmap
import os
import re
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import pytest
from machine import refuse

from shmkit.segments.backing import choose_backing
from shmkit.segments.huge_pages import EXTENT_NBYTES, HugePages
from shmkit.segments.segment import Segment
from shmkit.segments.writer import SegmentWriter

MB = 1 << 20
NBYTES = 9 * MB  # four extents and a half
PIECE = 300_000


@pytest.fixture
def segment(backing):
    made = Segment.create(choose_backing(backing, 0))
    yield made
    made.unlink()


@contextmanager
def mapped(fd):
    """A mapping of a file where huge pages are mapped as such: the mmap it is in, and its start."""
    nbytes = os.fstat(fd).st_size
    libc = ctypes.CDLL(None)
    libc.mmap.restype, libc.mmap.argtypes = ctypes.c_void_p, [ctypes.c_size_t] * 6
    with mmap.mmap(-1, nbytes + 2 * EXTENT_NBYTES) as room:
        start = -ctypes.addressof(ctypes.c_char.from_buffer(room)) % EXTENT_NBYTES
        address = ctypes.addressof(ctypes.c_char.from_buffer(room)) + start
        assert libc.mmap(address, nbytes, 3, mmap.MAP_SHARED | 0x10, fd, 0) == address
        yield room, start


@pytest.fixture(scope="module")
def _there_are_some():
    """Refuses the test where the kernel makes no huge page of shared memory, though asked."""
    fd = os.memfd_create("test")
    os.posix_fallocate(fd, 0, EXTENT_NBYTES)
    try:
        with mapped(fd) as (room, start):
            room.madvise(25, start, EXTENT_NBYTES)
    except OSError as error:
        refuse(f"needs MADV_COLLAPSE, of Linux 6.1: {error}")
    finally:
        os.close(fd)


def in_huge_pages(path):
    """Bytes of a file that are in huge pages."""
    with open(path, "r+b") as file, mapped(file.fileno()) as (room, start):
        for offset in range(0, os.fstat(file.fileno()).st_size, 4096):
            room[start + offset]  # is there from now on
        address = ctypes.addressof(ctypes.c_char.from_buffer(room)) + start
        with open("/proc/self/smaps") as maps:
            _, _, own = maps.read().partition(f"\n{address:x}-")
    return int(re.search(r"ShmemPmdMapped: +(\d+) kB", own)[1]) << 10


def taken(path):
    """Bytes of memory that a file takes."""
    return os.stat(path).st_blocks * 512


def pieces(nbytes=NBYTES):
    data = np.random.default_rng(0).integers(0, 256, nbytes, "u1")
    return data, [(at, data[at : at + PIECE]) for at in range(0, nbytes, PIECE)]


def test_what_is_written_is_what_is_there(segment):
    data, found = pieces()
    with SegmentWriter(segment) as writer:
        writer.declare(data.dtype, data.shape)
        for _, piece in found:
            writer.write(piece)
    assert np.array_equal(np.load(segment.path), data)


@pytest.mark.usefixtures("_there_are_some")
@pytest.mark.parametrize("kind", ["shm", "memfd"])
def test_the_extents_of_a_large_array_get_them(kind):
    data, found = pieces()
    segment = Segment.create(choose_backing(kind, 0))
    try:
        with SegmentWriter(segment) as writer:
            writer.declare(data.dtype, data.shape)
            for at, piece in reversed(found):
                writer.seek(at)
                writer.write(piece)
        assert EXTENT_NBYTES <= in_huge_pages(segment.path) <= 4 * EXTENT_NBYTES  # as there are
        assert np.array_equal(np.load(segment.path), data)
        assert taken(segment.path) <= NBYTES + 8192
    finally:
        segment.unlink()


@pytest.mark.usefixtures("_there_are_some")
def test_so_do_those_of_an_array_that_is_allocated():
    segment = Segment.create(choose_backing("shm", 0))
    try:
        with SegmentWriter(segment) as writer:
            writer.allocate(np.dtype("u1"), (NBYTES,))
        assert EXTENT_NBYTES <= in_huge_pages(segment.path) <= 4 * EXTENT_NBYTES  # as there are
        assert not np.load(segment.path).any()
    finally:
        segment.unlink()


def test_writers_to_one_file_do_not_disturb_one_another(segment):
    """Each writes every other piece, while the other makes huge pages of the same extents."""
    data, found = pieces(4 * NBYTES)
    with SegmentWriter(segment) as writer:
        writer.declare(data.dtype, data.shape)

    def write(which):
        with SegmentWriter(segment) as writer:
            for at, piece in found[which::3]:
                writer.seek(at)
                writer.write(piece)

    for _ in range(3):
        with ThreadPoolExecutor(3) as pool:
            list(pool.map(write, range(3)))
        assert np.array_equal(np.load(segment.path), data)


def test_gaps_take_no_memory(segment):
    data, found = pieces()
    with SegmentWriter(segment) as writer:
        writer.declare(data.dtype, data.shape, gaps=True)
        for at, piece in found[::4]:
            writer.seek(at)
            writer.write(piece)
    assert taken(segment.path) < NBYTES / 3


def test_what_was_declared_beyond_what_came_is_given_back(segment):
    data, found = pieces()
    with SegmentWriter(segment) as writer:
        writer.declare(data.dtype, (64 * NBYTES,))
        for _, piece in found:
            writer.write(piece)
        assert taken(segment.path) <= 64 * MB + 2 * EXTENT_NBYTES
        writer.resize(data.shape)
    assert np.array_equal(np.load(segment.path), data)
    assert taken(segment.path) <= NBYTES + 8192


def test_a_file_that_has_none_stays_as_it_is(tmp_path):
    data, _ = pieces()
    data.tofile(tmp_path / "a")
    with open(tmp_path / "a", "r+b") as file:
        HugePages(file.fileno()).take(0, NBYTES, NBYTES)
    assert np.array_equal(np.fromfile(tmp_path / "a", "u1"), data)
