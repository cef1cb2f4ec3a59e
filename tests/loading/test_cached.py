"""`cache=`: the next load of an unchanged file takes what the first has kept."""

import os
import signal
import subprocess
import sys
import time

import h5py
import numpy as np
import pytest
from processes import Owner, heard, left_of

from shmkit import SegmentError, SharedArray, SharedTable, attach, shared_load, shared_map

DTYPE = [("chr", "S4"), ("pos", "i4")]


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def log(tmp_path):
    return tmp_path / "log"


@pytest.fixture
def files(tmp_path):
    found = []
    for n in range(3):
        path = tmp_path / f"calls{n}.txt"
        path.write_text("".join(f"chr{i % (n + 2)}\t{i}\n" for i in range(1000)))
        found.append(str(path))
    time.sleep(0.15)  # a file that was written just now is not kept
    return found


@pytest.fixture
def reads(log):
    """A reader that says what it reads, and what it has read so far."""

    def read(path, log=str(log)):
        with open(log, "a") as file:
            file.write(f"{path}\n")
        return np.loadtxt(path, usecols=1)

    def said():
        return log.read_text().split() if log.exists() else []

    return read, said


def load(*files, **options):
    return shared_load(list(files), processes=2, progress=False, **options)


def entries(cache):
    return sorted(name for name in os.listdir(cache) if not name.startswith(("shmkit", ".shmkit")))


def test_the_second_load_reads_nothing(files, cache, reads):
    read, said = reads
    with load(*files, reader=read, cache=cache) as first:
        assert sorted(said()) == files
        expected = [np.array(array) for array in first]
    with load(*files, reader=read, cache=cache) as again:
        assert sorted(said()) == files
        assert again.keys() == ["calls0", "calls1", "calls2"]
        assert all(np.array_equal(a, e) for a, e in zip(again, expected, strict=True))
        assert all(array.segment.linked for array in again)
    assert len(entries(cache)) == 3
    assert not [name for name in os.listdir(cache) if name.startswith("shmkit")]


def test_without_it_nothing_is_kept(files, reads, monkeypatch, tmp_path):
    read, said = reads
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    load(files[0], reader=read).close()
    load(files[0], reader=read, cache=False).close()
    assert len(said()) == 2
    assert not (tmp_path / "home").exists()
    load(files[0], reader=read, cache=True).close()
    assert len(entries(tmp_path / "home" / "shmkit")) == 1


def test_the_variable_says_where(files, reads, monkeypatch, cache):
    read, said = reads
    monkeypatch.setenv("SHMKIT_CACHE", str(cache))
    load(files[0], reader=read).close()
    load(files[0], reader=read).close()
    assert len(said()) == 1
    load(files[0], reader=read, cache=False).close()
    assert len(said()) == 2
    monkeypatch.setenv("SHMKIT_CACHE", "0")
    load(files[0], reader=read).close()
    assert len(said()) == 3


def test_a_changed_file_is_read_again_and_no_other(files, cache, reads):
    read, said = reads
    load(*files, reader=read, cache=cache).close()
    with open(files[1], "r+") as file:
        file.write("chr9\t9")
    time.sleep(0.15)
    with load(*files, reader=read, cache=cache) as arrays:
        assert said()[3:] == [files[1]]
        assert arrays[1][0] == 9


def test_other_options_and_other_code_read_again(files, cache):
    kept = []
    for options in (
        {"dtype": DTYPE},
        {"dtype": DTYPE, "max_rows": 10},
        {"dtype": DTYPE, "transform": lambda t: t[t["pos"] > 5]},
        {"dtype": DTYPE, "transform": lambda t: t[t["pos"] > 6]},
        {},
        {"categories": ["chr"], "dtype": DTYPE},
    ):
        load(*files, cache=cache, **options).close()
        kept.append(len(entries(cache)))
        load(*files, cache=cache, **options).close()
        assert len(entries(cache)) == kept[-1]
    assert kept == [3, 6, 9, 12, 15, 18]


@pytest.mark.slow
def test_every_kind_of_array_is_what_it_was(files, cache, tmp_path):
    with h5py.File(tmp_path / "h.h5", "w") as file:
        file["x"], file["y"] = np.arange(5), np.arange(6.0)
    time.sleep(0.15)
    for paths, options in (
        (files, {}),
        (files, {"dtype": DTYPE, "categories": ["chr"]}),
        (files, {"dtype": DTYPE}),
        ([str(tmp_path / "h.h5")], {}),
    ):
        with (
            load(*paths, cache=cache, **options) as first,
            load(*paths, cache=cache, **options) as second,
        ):
            assert first.keys() == second.keys()
            for a, b in zip(first, second, strict=True):
                assert type(a) is type(b)
                assert a.segment.identity == b.segment.identity
                if isinstance(a, SharedTable):
                    assert a.dtypes == b.dtypes
                    assert all(list(a[name]) == list(b[name]) for name in a)
                else:
                    assert a.dtype == b.dtype
                    assert np.array_equal(a, b)
                if "categories" in options:
                    assert b["chr"].categories.tolist() == a["chr"].categories.tolist()
                assert b.segment.source["file"] in paths
                assert b.segment.source["options"].keys() == a.segment.source["options"].keys()


def test_types_and_codes_that_files_share_are_kept_for_these_files_together(files, cache):
    with load(files[1], dtype=DTYPE, categories=["chr"], cache=cache) as (alone,):
        assert alone["chr"].categories.tolist() == ["chr0", "chr1", "chr2"]
    with load(files[2], files[1], dtype=DTYPE, categories=["chr"], cache=cache) as both:
        names = {tuple(array["chr"].categories) for array in both}
        assert names == {("chr0", "chr1", "chr2", "chr3")}


def test_a_write_stays_in_this_process(files, cache):
    with (
        load(files[0], dtype=DTYPE, cache=cache) as (a,),
        load(files[0], dtype=DTYPE, cache=cache) as (b,),
    ):
        a["pos"][0] = 77
        assert (a["pos"][0], b["pos"][0]) == (77, 0)
        assert read_by_another(b) == 0
        with pytest.raises(SegmentError, match="came from the cache, and was written to"):
            a.reference()
    with load(files[0], dtype=DTYPE, cache=cache) as (again,):
        assert again["pos"][0] == 0


def read_by_another(array):
    code = "import sys, shmkit; print(shmkit.attach(sys.argv[1])['pos'][0])"
    done = subprocess.run(
        [sys.executable, "-c", code, array.segment.path], capture_output=True, text=True, check=True
    )
    return int(done.stdout)


def test_workers_get_it_read_only_or_as_it_is_here(files, cache):
    def look(array):
        kind = type(array).__name__
        try:
            array["pos"][1] = 5
        except ValueError as error:
            return kind, int(array["pos"][0]), str(error)
        return kind, int(array["pos"][0]), ""

    with load(files[0], dtype=DTYPE, cache=cache) as (a,):
        kind, first, error = shared_map(look, [a], progress=False)[0]
        assert (kind, first) == ("SharedArray", 0)
        assert "read-only" in error
        a["pos"][0] = 77
        assert shared_map(look, [a], progress=False) == [("ndarray", 77, "")]
        assert a["pos"][1] == 1


def test_nobody_can_write_to_an_entry(files, cache):
    with load(files[0], dtype=DTYPE, cache=cache) as (a,):
        b = attach(a.segment.path, writable=True)
        assert type(b) is SharedArray
        b["pos"][0] = 77
        assert np.load(cache / entries(cache)[0])["pos"][0] == 0


def test_where_all_is_kept_no_loader_is_started(files, cache, run_script):
    load(*files, dtype=DTYPE, cache=cache).close()
    done = run_script(
        "import os, shmkit\n"
        f"with shmkit.shared_load({files!r}, dtype={DTYPE!r}, cache={str(cache)!r}) as arrays:\n"
        "    print(sum(int(a['pos'].sum()) for a in arrays))\n"
        "    texts = [open(f'/proc/{p}/cmdline').read() for p in os.listdir('/proc') if "
        "p.isdigit()]\n"
        "    print(sum(f'loader-of-{os.getpid()}-' in text for text in texts))\n"
    )
    assert done.stdout == f"{3 * sum(range(1000))}\n0\n"


@pytest.mark.slow
def test_of_many_that_come_at_once_one_reads(files, cache, log):
    code = f"""
import sys, time
import numpy as np
from shmkit import shared_load
log = {str(log)!r}
def read(path):
    with open(log, "a") as file:
        file.write(path + "\\n")
    time.sleep(0.3)
    return np.loadtxt(path, usecols=1)
print("ready", flush=True)
sys.stdin.readline()
with shared_load({files!r}, reader=read, cache={str(cache)!r}, processes=2) as arrays:
    print(sum(float(array.sum()) for array in arrays), flush=True)
"""
    owners = [Owner(code) for _ in range(4)]
    try:
        for owner in owners:
            assert owner.says() == ["ready"]
        for owner in owners:
            owner.hears()
        assert [owner.says() for owner in owners] == [[str(3.0 * sum(range(1000)))]] * 4
    finally:
        for owner in owners:
            owner.__exit__()
    assert sorted(log.read_text().split()) == files


def test_a_killed_reader_leaves_no_entry_and_the_next_one_reads(files, cache, fifo):
    code = f"""
import time
import numpy as np
from shmkit import shared_load
def read(path):
    if path.endswith("1.txt"):
        with open({fifo!r}, "w") as file:
            file.write("1")
        time.sleep(100)
    return np.loadtxt(path, usecols=1)
shared_load({files!r}, reader=read, cache={str(cache)!r}, processes=2)
"""
    with Owner(code) as owner:
        heard(fifo, owner)
        assert [name for name in os.listdir(cache) if name.endswith(".lock")]
        owner.end(signal.SIGKILL, group=True)
        assert left_of(owner.pid, cache) == []
    assert [name for name in entries(cache) if name.endswith(".npy")] == []
    with load(*files, dtype=DTYPE, cache=cache) as arrays:
        assert len(arrays) == 3


def test_a_failed_load_keeps_nothing_of_it(files, cache):
    def check(t):
        if len(t) and t["chr"][-1] == b"chr3":
            raise ValueError("no")
        return t

    with pytest.raises(Exception, match="no"):
        load(*files, dtype=DTYPE, cache=cache, transform=check)
    assert entries(cache) == []
    with load(*files, dtype=DTYPE, cache=cache, transform=check, on_error="skip") as arrays:
        assert len(arrays) == len(entries(cache)) == 2


def test_a_file_that_was_written_just_now_is_not_kept(tmp_path, cache):
    path = tmp_path / "new.txt"
    path.write_text("1\n2\n")
    load(path, dtype="f8", cache=cache).close()
    assert entries(cache) == []


def test_what_a_dataset_has_in_other_files_is_read_anew(tmp_path, cache):
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = np.arange(3)
    with h5py.File(tmp_path / "main.h5", "w") as file:
        file["own"] = np.arange(4)
        file["linked"] = h5py.ExternalLink("other.h5", "x")
        layout = h5py.VirtualLayout((3,), "i8")
        layout[:] = h5py.VirtualSource("other.h5", "x", (3,))
        file.create_virtual_dataset("virtual", layout)
        file.create_dataset("raw", (3,), "i8", external=[(str(tmp_path / "raw"), 0, 24)])[:] = 5
    time.sleep(0.15)
    load(tmp_path / "main.h5", cache=cache).close()
    assert len(entries(cache)) == 1
    with h5py.File(tmp_path / "other.h5", "r+") as file:
        file["x"][:] = 7
    (tmp_path / "raw").write_bytes(np.full(3, 8).tobytes())
    with load(tmp_path / "main.h5", cache=cache) as arrays:
        assert arrays["own"].tolist() == [0, 1, 2, 3]
        assert arrays["linked"].tolist() == arrays["virtual"].tolist() == [7, 7, 7]
        assert arrays["raw"].tolist() == [8, 8, 8]


def test_an_npy_file_is_an_image_already(tmp_path, cache):
    np.save(tmp_path / "a.npy", np.arange(3))
    time.sleep(0.15)
    with load(tmp_path / "a.npy", cache=cache) as (a,):
        assert a.segment.backing == "shm"
    assert entries(cache) == []


def test_a_full_disk_only_means_no_cache(with_mount, files, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    text = f"""
import warnings
from shmkit import shared_load
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    # One loader: two at once may fill the disk with a half of an array each.
    options = dict(dtype="S2000,i4", cache={str(disk)!r}, processes=1)
    with shared_load({files!r}, **options) as arrays:
        print([len(a) for a in arrays], sorted(a.segment.backing for a in arrays))
print(len(caught), str(caught[0].message).split(": ")[1])
"""
    out = with_mount(f"mount -t tmpfs -o size=3m,mode=700 none {disk}", text)
    assert out == "[1000, 1000, 1000] ['file', 'shm', 'shm']\n1 there is no room\n"


def test_a_directory_that_others_may_write_to_is_not_used(files, cache):
    cache.mkdir()
    cache.chmod(0o777)
    with pytest.warns(UserWarning, match="without the cache: .* not trusted"):
        arrays = load(files[0], dtype=DTYPE, cache=cache)
    arrays.close()
    assert os.listdir(cache) == []
