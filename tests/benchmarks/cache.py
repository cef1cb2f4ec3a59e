"""The second load of files whose arrays are in the cache, beside the first, in fresh processes.

Run with ``python tests/benchmarks/cache.py``, or with the rows of each of two large files. The
first load reads into an empty cache; a line a kind of files, each figure the best of some rounds.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from shmkit.sample import METHYLATION, methylation

ROUNDS = 5
CODE = """
import sys, time
from shmkit import shared_load
pattern, cache, given = sys.argv[1:]
options = {"dtype": eval(given), "skiprows": 1} if given else {}
start = time.perf_counter()
arrays = shared_load(pattern, cache=cache or False, progress=False, **options)
print(time.perf_counter() - start)
"""


def seconds(pattern: Path, cache: str, dtype: str) -> float:
    """How long a load takes in a process of its own."""
    arguments = [sys.executable, "-c", CODE, str(pattern), cache, dtype]
    return float(subprocess.run(arguments, stdout=subprocess.PIPE, check=True).stdout)


def measure(title: str, pattern: Path, cache: Path, dtype: str) -> None:
    """Print the times of loads without a cache, into an empty one, and from it."""
    without, first, second = [], [], []
    for _ in range(ROUNDS):
        without.append(seconds(pattern, "", dtype))
        shutil.rmtree(cache, ignore_errors=True)
        first.append(seconds(pattern, str(cache), dtype))
        second.append(seconds(pattern, str(cache), dtype))
    best = [min(times) for times in (without, first, second)]
    figures = "".join(f"{1e3 * t:>10.0f} ms" for t in best)
    print(f"{title:32}{figures}{best[1] / best[2]:>9.1f}")


def main(rows: int) -> None:
    """Make the files, and print a line for each kind."""
    print(f"{'':32}{'no cache':>13}{'first':>13}{'second':>13}{'ratio':>9}")
    with tempfile.TemporaryDirectory() as folder:
        cache, large, many = (Path(folder, name) for name in ("cache", "large", "many"))
        large.mkdir()
        many.mkdir()
        for n in range(2):
            methylation(large / f"{n}.txt", rows=rows, seed=n)
        for n in range(1000):
            methylation(many / f"{n}.txt", rows=1000, seed=n)
        time.sleep(0.2)
        for dtype, how in ((repr(METHYLATION.descr), "dtype"), ("", "no dtype")):
            measure(f"two files of {rows:,} rows, {how}", large / "*.txt", cache, dtype)
            measure(f"1,000 of 1,000 rows, {how}", many / "*.txt", cache, dtype)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3_000_000)
