"""What all processes of a load take together at most."""

import gzip
import os
import threading

import numpy as np
import pytest
from processes import Owner, names_of, started_by

ROWS, DISTINCT = 3_000_000, 50_000
LOAD = """
import sys
from shmkit import shared_load
(table,) = shared_load(sys.argv[1], progress=False)
print(table.nbytes, table.missing["temp"], table["count"].dtype, flush=True)
input()
"""


@pytest.fixture(scope="module")
def text():
    """Times, stations and numbers, with gaps, which the sample sees."""
    rng = np.random.default_rng(0)
    times = np.datetime64("2024-01-01", "s") + np.arange(DISTINCT) * 60
    columns = [
        times.astype(str),
        np.char.add("STA", rng.integers(100, 160, DISTINCT).astype(str)),
        np.round(rng.normal(12, 8, DISTINCT), 2).astype(str),
        rng.integers(0, 1000, DISTINCT).astype(str),
        rng.integers(0, 100_000, DISTINCT).astype(str),
    ]
    columns[2][::50] = ""
    lines = ["time,station,temp,count,code", *map(",".join, zip(*columns, strict=True))]
    head, _, rest = "\n".join([*lines, ""]).encode().partition(b"\n")
    return head + b"\n" + rest * (ROWS // DISTINCT)


class Peak:
    """Watches a process and all that it starts; a context manager.

    Attributes
    ----------
    nbytes : int
        What they had together at most: their own memory, and the segments, each once.
    """

    def __init__(self, owner):
        self.nbytes = self.looks = 0
        self._owner = owner
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def _watch(self):
        while not self._ended.wait(0.002):
            own = sum(map(_own, [self._owner, *started_by(self._owner)]))
            self.nbytes = max(self.nbytes, own + sum(map(_taken, names_of(self._owner))))
            self.looks += 1

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *error):
        self._ended.set()
        self._thread.join()


def _own(pid):
    """Bytes of a process, shared with others in part, but for shared memory."""
    try:
        with open(f"/proc/{pid}/smaps_rollup") as file:
            sizes = dict(line.split(":") for line in file.read().splitlines()[1:])
    except OSError:  # it has ended
        return 0
    return sum(1024 * int(sizes[name].split()[0]) for name in ("Pss_Anon", "Pss_File"))


def _taken(path):
    """Bytes of memory that a segment takes."""
    try:
        return 512 * os.stat(path).st_blocks
    except OSError:  # it is gone
        return 0


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["plain", "compressed", "belied"])
def test_a_load_of_columns_takes_little_more_than_its_table(tmp_path, text, kind):
    path = tmp_path / ("stations.csv.gz" if kind == "compressed" else "stations.csv")
    if kind == "belied":  # whole numbers are none, as no sample shows: it is read twice
        at = text.index(b"\n", len(text) * 3 // 7) + 1
        text = text[:at] + b"2024-01-01T00:00:00,STA100,1.5,7.5,3\n" + text[at:]
    path.write_bytes(gzip.compress(text, 1) if kind == "compressed" else text)
    with Owner(LOAD, path, options=["-W", "ignore"]) as owner, Peak(owner.pid) as peak:
        nbytes, missing, dtype = owner.says()
    nbytes = int(nbytes)
    assert nbytes > ROWS * 36
    assert int(missing) == ROWS // 50
    assert dtype == ("float64" if kind == "belied" else "int64")
    assert peak.looks > 5
    assert nbytes < peak.nbytes < 1.15 * nbytes + 100_000_000
