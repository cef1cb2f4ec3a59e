"""Which loader process read what when: the record of a load that was run."""

import os

import numpy as np

from shmkit import shared_load
from shmkit._timeline import READ


def timeline_of(arrays):
    """What `plot_timeline` draws."""
    return arrays._timeline()  # noqa: SLF001 - it is not public


def test_a_load_tells_each_read_of_each_file_in_the_order_of_their_begin(tmp_path):
    sizes = {"one": 1000, "two": 3000, "three": 10}
    for name, size in sizes.items():
        np.save(tmp_path / f"{name}.npy", np.arange(size, dtype="i4"))
    paths = [tmp_path / f"{name}.npy" for name in sizes]
    with shared_load(paths, processes=2, progress=False) as arrays:
        names, failed, seconds, reads = timeline_of(arrays)
        nbytes = {number: array.segment.nbytes for number, array in enumerate(arrays)}
    assert names == list(sizes)
    assert failed == []
    assert reads.dtype == READ
    assert sorted(reads["file"]) == [0, 1, 2]
    assert dict(zip(reads["file"], reads["nbytes"], strict=True)) == nbytes
    assert np.all(np.diff(reads["start"]) >= 0)
    assert np.all((reads["start"] >= 0) & (reads["start"] <= reads["stop"]))
    assert np.all(reads["stop"] <= seconds + 0.1)
    assert 1 <= len(set(reads["pid"])) <= 2
    assert os.getpid() not in reads["pid"]


def test_what_failed_is_told_by_its_number(tmp_path):
    np.save(tmp_path / "good.npy", np.arange(3))
    (tmp_path / "broken.npy").write_bytes(b"no npy at all")
    paths = [tmp_path / "broken.npy", tmp_path / "good.npy"]
    with shared_load(paths, progress=False, on_error="skip") as arrays:
        found = timeline_of(arrays)
    assert found.failed == [0]
    assert found.names == ["broken", "good"]
