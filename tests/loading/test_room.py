"""Where arrays find room before they are read: by what they need, as far as that is known."""

import numpy as np
import pytest

from shmkit import NotEnoughMemoryError
from shmkit.loading.file import LoadingFile
from shmkit.loading.files.peers import Alone
from shmkit.loading.room import has_room, places_of
from shmkit.readers.base import Plan

HUGE = 1 << 60  # more bytes than any machine has


def file(nbytes):
    return LoadingFile("a", "a.npy", nbytes, plan=Plan(np.dtype("u1"), (nbytes,)))


def kinds(places):
    return [[backing.kind for backing in backings] for _, backings in places]


def test_what_finds_no_room_in_shm_goes_to_a_memfd_unless_shm_was_asked_for(tmp_path):
    files = [file(100)]
    assert kinds(places_of(files, "auto", None, None, Alone())) == [["shm", "memfd"]]
    assert kinds(places_of(files, "shm", None, None, Alone())) == [["shm"]]
    assert kinds(places_of(files, tmp_path, None, None, Alone())) == [["file"]]


def test_more_than_a_stream_may_have_is_refused_with_figures():
    assert places_of([file(100)], "auto", None, 1_000_000, Alone())
    with pytest.raises(NotEnoughMemoryError, match="memory= of this stream") as caught:
        places_of([file(600_000), file(600_000)], "auto", None, 1_000_000, Alone())
    assert caught.value.need > 1_200_000
    assert caught.value.free == 1_000_000


@pytest.mark.parametrize("backing", ["auto", "shm", "memfd"])
def test_more_than_there_is_is_refused(backing):
    assert has_room(backing, [file(100)])
    assert not has_room(backing, [file(100), file(HUGE)])
    with pytest.raises(NotEnoughMemoryError):
        places_of([file(HUGE)], backing, None, None, Alone())


def test_what_is_not_known_yet_needs_nothing():
    assert has_room("auto", [LoadingFile("a", "a.bin", HUGE)])
