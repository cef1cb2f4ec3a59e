"""Without a compiler np.loadtxt reads rows of a given dtype, and tables say what they need."""

import numpy as np
import pytest

from shmkit import LoadError, shared_load, to_hdf5

CALLS = np.dtype([("chr", "S5"), ("pos", "i4"), ("pct", "f4")])


@pytest.fixture
def files(tmp_path):
    paths = [tmp_path / f"{n}.txt" for n in range(3)]
    for n, path in enumerate(paths):
        path.write_text("".join(f"chr{i % 9}\t{i + n}\t{i / 8}\n" for i in range(2000)))
    return paths


def test_rows_are_what_loadtxt_gives(files):
    with shared_load(files, dtype=CALLS, processes=2, progress=False) as arrays:
        for path, array in zip(files, arrays, strict=True):
            assert array.tobytes() == np.loadtxt(path, dtype=CALLS).tobytes()
            assert array.dtype == CALLS


def test_a_value_that_does_not_fit_is_named(files):
    with files[1].open("a") as file:
        file.write("chr1\tx\t1\n")
    with pytest.raises(LoadError, match="line 2001, column 2") as caught:
        shared_load(files, dtype=CALLS, progress=False)
    assert caught.value.path == str(files[1])


def test_a_table_says_what_it_needs_and_what_else_to_give(files):
    with pytest.raises(LoadError, match=r"the compiled parser, .* or give dtype="):
        shared_load(files[0], progress=False)


def test_other_formats_do_without(files, tmp_path):
    rows = np.loadtxt(files[0], dtype=CALLS)
    np.save(tmp_path / "rows.npy", rows)
    to_hdf5(tmp_path / "rows.h5", {"rows": rows}, progress=False)
    paths = [tmp_path / "rows.npy", tmp_path / "rows.h5"]
    with shared_load(paths, progress=False) as arrays:
        for array in arrays:
            assert array["pos"].tolist() == rows["pos"].tolist()
