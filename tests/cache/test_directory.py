"""The cache's directory: who is trusted, what goes when it is full, what a crash leaves."""

import json
import os
import threading
import time

import numpy as np
import pytest

from shmkit.cache.directory import CacheDirectory
from shmkit.cache.keys import file_key, options_key
from shmkit.cleanup.owner import this_process
from shmkit.segments.backing import Backing
from shmkit.segments.sealed import seal
from shmkit.segments.segment import Segment
from shmkit.segments.writer import SegmentWriter
from shmkit.views.image import image_of
from shmkit.views.of_segment import view_of

KEYS = [f"{n:040x}" for n in range(4)]


@pytest.fixture
def cache(tmp_path):
    return CacheDirectory(str(tmp_path / "cache"))


def kept(cache, key, array, note=None):
    """Keep an array, as a load does; the path of the entry, once it is on the disk."""
    segment = Segment.create(Backing("file", cache.path))
    with SegmentWriter(segment) as writer:
        image_of(array).write(writer)
        writer.add_note({"file": "/data/a.txt"} if note is None else note)
    seal(segment.path)
    cache.keep([(key, segment)])
    segment.unlink()
    path = os.path.join(cache.path, f"{key}.npy")
    end = time.monotonic() + 20
    while not os.path.exists(path):
        assert time.monotonic() < end
        time.sleep(0.01)
    return path


def taken(cache, key):
    found = cache.take(key)
    if found is None:
        return None
    segment, header, _ = found
    return view_of(segment, header)


def test_what_was_kept_is_taken_as_often_as_one_likes(cache):
    path = kept(cache, KEYS[0], np.arange(5))
    assert os.stat(cache.path).st_mode & 0o777 == 0o700
    assert os.stat(path).st_mode & 0o777 == 0o400
    first, second = taken(cache, KEYS[0]), taken(cache, KEYS[0])
    first[0] = 77
    assert second.tolist() == taken(cache, KEYS[0]).tolist() == np.load(path).tolist()
    assert taken(cache, KEYS[1]) is None


def test_an_entry_that_goes_is_there_for_who_has_it(cache):
    kept(cache, KEYS[0], np.arange(5))
    array = taken(cache, KEYS[0])
    assert len(cache.shrink(0)) == 1
    assert taken(cache, KEYS[0]) is None
    assert array.tolist() == [0, 1, 2, 3, 4]
    path = array.segment.path
    del array
    assert not os.path.exists(path)


def test_the_least_used_go_first_when_it_is_full(cache):
    paths = [kept(cache, key, np.zeros(1000)) for key in KEYS[:3]]
    for used, path in zip([3, 1, 2], paths, strict=True):
        os.utime(path, (used, 1))
    cache.budget = 2 * os.stat(paths[0]).st_size
    assert cache.shrink() == [paths[1]]
    assert taken(cache, KEYS[2]) is not None  # so it is the last used now
    kept(cache, KEYS[3], np.zeros(1000))
    assert not os.path.exists(paths[0])
    assert [os.path.basename(e.path)[:40] for e in cache.entries()] == [KEYS[3], KEYS[2]]


def test_what_is_larger_than_all_that_may_be_kept_is_not(cache):
    cache.budget = 1000
    segment = Segment.create(Backing("file", cache.path))
    with SegmentWriter(segment) as writer:
        image_of(np.zeros(1000)).write(writer)
    seal(segment.path)
    cache.keep([(KEYS[0], segment)])
    segment.unlink()
    assert cache.entries() == []


def test_an_entry_of_another_boot_that_was_not_on_the_disk_is_not_trusted(cache):
    path = kept(cache, KEYS[0], np.arange(5))
    os.rename(path, os.path.join(cache.path, f"{KEYS[0]}-0123abcd.npy"))
    assert taken(cache, KEYS[0]) is None


@pytest.mark.parametrize(
    "harm",
    [
        lambda path: os.chmod(path, 0o600),
        lambda path: os.chmod(path, 0o440),
        lambda path: (os.rename(path, path + "x"), os.symlink(path + "x", path)),
        lambda path: os.truncate(path, 100),
        lambda path: os.truncate(path, os.stat(path).st_size - 5),
        lambda path: (os.unlink(path), np.save(path, np.arange(5)), os.chmod(path, 0o400)),
        lambda path: (os.unlink(path), os.mkdir(path)),
    ],
)
def test_what_is_not_as_it_was_kept_is_not_taken(cache, harm):
    path = kept(cache, KEYS[0], np.arange(5))
    harm(path)
    assert taken(cache, KEYS[0]) is None
    assert [name for name in os.listdir(cache.path) if name.startswith("shmkit")] == []


def test_another_users_entry_is_not_taken(cache, superuser):
    path = kept(cache, KEYS[0], np.arange(5))
    os.chown(path, 1234, 1234)
    assert taken(cache, KEYS[0]) is None


def test_a_directory_of_others_is_not_trusted(tmp_path, superuser):
    path = tmp_path / "cache"
    path.mkdir()
    path.chmod(0o777)
    with pytest.raises(PermissionError, match="not trusted"):
        CacheDirectory(str(path))
    path.chmod(0o700)
    os.chown(path, 1234, 1234)
    with pytest.raises(PermissionError, match="not trusted"):
        CacheDirectory(str(path))


def test_the_budget_is_what_the_variable_says(tmp_path, monkeypatch):
    monkeypatch.setenv("SHMKIT_CACHE_SIZE", "1.5 GB")
    assert CacheDirectory(str(tmp_path)).budget == 1_500_000_000
    monkeypatch.setenv("SHMKIT_CACHE_SIZE", "much")
    with pytest.raises(ValueError, match="SHMKIT_CACHE_SIZE='much' is no size"):
        CacheDirectory(str(tmp_path))


def test_a_note_is_json_and_no_more(cache):
    note = {"file": "/data/é.txt", "options": {"dtype": "f8"}}
    path = kept(cache, KEYS[0], np.arange(5), note)
    with open(path, "rb") as file:
        content = file.read()
    assert json.loads(content[content.index(b"trailer\n") + 8 :])["note"] == note
    assert cache.take(KEYS[0])[2] == note


def test_a_file_has_another_key_when_anything_of_it_changes(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("1 2 3")
    how = options_key("TEXT", {"dtype": np.dtype("f8")}, {"reader": None})
    assert file_key(str(path), how) is None  # it was written just now
    time.sleep(0.15)
    keys = [file_key(str(path), how)]
    assert keys[0] == file_key(str(path), how) is not None
    for change in (
        lambda: os.utime(path, ns=(1, 2)),  # and the time of its inode
        lambda: path.write_text("1 2 4"),
        lambda: (path.rename(tmp_path / "b"), (tmp_path / "a.txt").write_text("1 2 4")),
    ):
        change()
        time.sleep(0.15)
        keys.append(file_key(str(path), how))
    assert len({*keys}) == 4
    assert None not in keys
    assert file_key(str(path), how) != file_key(str(path), how[::-1])


def test_options_have_another_key_when_one_is_another():
    keys = [
        options_key("TEXT", options, functions)
        for options in ({}, {"skiprows": 1}, {"skiprows": 2}, {"dtype": np.dtype("f8,i4")})
        for functions in ({}, {"transform": lambda x: x}, {"transform": lambda x: x + 1})
    ]
    assert None not in keys
    assert len({*keys}) == len(keys)
    converters = [{"converters": {0: f}} for f in (float, lambda text: float(text) / 2)]
    assert len({options_key("TEXT", options, {}) for options in converters}) == 2
    assert options_key("TEXT", {"converters": object()}, {}) is None


def test_an_entry_is_found_while_it_gets_its_name(cache):
    keys = [f"{n:040x}" for n in range(1000)]
    names = [os.path.join(cache.path, key) for key in keys]
    for name in names:
        with open(f"{name}-{this_process().boot}.npy", "w"):
            pass

    def rename():
        for name in names:
            os.rename(f"{name}-{this_process().boot}.npy", f"{name}.npy")

    thread = threading.Thread(target=rename)
    thread.start()
    while thread.is_alive():
        assert all(cache.has(key) for key in keys)
    assert all(cache.has(key) for key in keys)
