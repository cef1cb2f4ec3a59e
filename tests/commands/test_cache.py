"""`shmkit cache`: what is kept, the last used first, and how it goes."""

import os
import time

import numpy as np
import pytest

from shmkit.cache.directory import CacheDirectory
from shmkit.commands.cache import clear_cache, list_cache
from shmkit.segments.backing import Backing
from shmkit.segments.sealed import seal
from shmkit.segments.segment import Segment
from shmkit.segments.writer import SegmentWriter
from shmkit.views.image import image_of


@pytest.fixture
def cache(tmp_path):
    """With an entry of an hour ago, and one of just now."""
    cache = CacheDirectory(str(tmp_path / "cache"))
    for number, (file, ago) in enumerate([("/data/old\n.txt", 3600), ("/data/new.txt", 0)]):
        segment = Segment.create(Backing("file", cache.path))
        with SegmentWriter(segment) as writer:
            image_of(np.arange(1000)).write(writer)
            writer.add_note({"file": file})
        seal(segment.path)
        path = os.path.join(cache.path, f"{number:040x}.npy")
        os.rename(segment.path, path)
        segment.unlink()
        os.utime(path, (time.time() - ago, time.time() - 7200))
    return cache


def test_entries_are_listed_the_last_used_first(cache):
    lines = list_cache(cache).split("\n")
    assert lines[0].split() == ["File", "Bytes", "Used"]
    assert lines[1].startswith("/data/new.txt")
    assert lines[2].startswith(r"/data/old\n.txt")
    assert lines[2].endswith("1 h 0 min ago")
    assert lines[3].startswith(f"{cache.path}: 2 entries, ")
    assert list_cache(cache).split("\n")[2] == lines[2]  # to look at an entry is no use of it


def test_what_is_removed_is_told(cache):
    nbytes = sum(entry.nbytes for entry in cache.entries())
    assert clear_cache(cache) == f"{cache.path}: 2 entries removed, {nbytes / 1000:.1f} kB"
    assert list_cache(cache).startswith(f"{cache.path}: 0 entries, 0 B of ")
    assert clear_cache(cache) == f"{cache.path}: 0 entries removed, 0 B"
