"""Many small files of a load: their arrays share segments, and each has its own life."""

import gc
import multiprocessing
import os
import signal
import time

import h5py
import numpy as np
import pandas as pd
import pytest
from deadline import kept
from machine import own_segments
from processes import Owner, living

from shmkit import LoadError, attach, shared_load, to_hdf5
from shmkit.display.listing import list_segments

FILES = 40
DTYPE = [("file", "i4"), ("row", "i4"), ("text", "U2")]
OPTIONS = {"dtype": DTYPE, "delimiter": ",", "skiprows": 1}


@pytest.fixture(params=["tables", "records"])
def options(request):
    return {} if request.param == "tables" else OPTIONS


def load(folder, **options):
    return shared_load(folder / "*.csv", processes=2, progress=False, **options)


def check(array, n):
    array = array if array.shape else array.reshape(1)
    _check(array, n)


def _check(array, n):
    assert array["file"].tolist() == [n] * (n + 1)
    assert array["row"].tolist() == list(range(n + 1))
    assert list(array["text"]) == [f"s{n % 7}"] * (n + 1)


def rows_of(array):
    """Whatever it is, with one axis."""
    return array.reshape(-1) if isinstance(array, np.ndarray) else array


def test_they_are_in_a_few_segments_and_each_is_as_if_alone(folder, options):
    with load(folder, **options) as arrays:
        assert 1 < len(own_segments()) <= 8
        for n, array in enumerate(arrays):
            path = str(folder / f"f{n:02}.csv")
            _check(rows_of(array), n)
            assert array.segment.source["file"] == path
            with shared_load(path, progress=False, **options) as (alone,):
                assert type(array) is type(alone)
                if options:
                    assert (array.dtype, array.shape) == (alone.dtype, alone.shape)
                    assert array.segment.nbytes == alone.nbytes
                else:
                    assert array.columns == alone.columns
                    assert array["row"].dtype == alone["row"].dtype
    assert own_segments() == []


@pytest.mark.parametrize("ndmin", [0, 1, 2])
@pytest.mark.parametrize("columns", [1, 3])
def test_arrays_have_the_shape_that_loadtxt_gives(tmp_path, columns, ndmin):
    paths = []
    for n in range(20):
        paths.append(tmp_path / f"f{n:02}.csv")
        np.savetxt(paths[-1], np.arange((n % 3 + 1) * columns).reshape(-1, columns), fmt="%d")
    for dtype in (int, [(name, "i8") for name in "xyz"[:columns]]):
        with load(tmp_path, dtype=dtype, ndmin=ndmin) as arrays:
            for path, array in zip(paths, arrays, strict=True):
                expected = np.loadtxt(path, dtype=dtype, ndmin=ndmin)
                assert array.shape == expected.shape
                assert np.array_equal(array, expected)
                assert np.array_equal(attach(array.segment.path), expected)


def test_files_without_rows_and_of_another_kind_are_read_alone(folder, options):
    (folder / "f05.csv").write_text("file,row,text\n")
    (folder / "f06.csv").write_text("file,row,text\n" + "6,0,sechs\n")
    (folder / "f07.csv").write_text("file,row,text\n" + "7,0,7\n")
    options = {**options, "dtype": [*DTYPE[:2], ("text", "U5")]} if options else {}
    with load(folder, **options) as arrays:
        assert len(rows_of(arrays["f05"])) == 0
        assert list(rows_of(arrays["f06"])["text"]) == ["sechs"]
        assert list(rows_of(arrays["f07"])["text"]) == ["7"]
        for n in {*range(FILES)} - {5, 6, 7}:
            _check(rows_of(arrays[n]), n)


def test_a_value_that_belies_the_types_of_all(folder):
    path = folder / "f33.csv"
    path.write_text(path.read_text().replace("33,33,s5", "33,33.5,s5"))
    with load(folder) as arrays:
        assert {array["row"].dtype for array in arrays} == {np.dtype(float)}
        assert any("'33.5' in line 35" in note for note in arrays["f33"].notes)
        assert arrays["f33"]["row"][-1] == 33.5
        _check(arrays["f32"], 32)
    assert own_segments() == []


def test_types_are_the_same_in_all_lots_where_the_first_file_gives_none(folder):
    (folder / "f00.csv").write_bytes(b"file,row,text\n\0\0\n")
    for n in range(20, FILES):
        path = folder / f"f{n:02}.csv"
        path.write_text(path.read_text().replace(f"\n{n},0,", f"\n{n},0.0,"))
    with load(folder, on_error="skip") as arrays:
        assert list(arrays.failures) == ["f00"]
        assert {array["row"].dtype for array in arrays} == {np.dtype(float)}
        for n, array in enumerate(arrays, 1):
            _check(array, n)


def test_a_bad_line_names_its_file_or_the_file_is_left_out(folder, options):
    path = folder / "f20.csv"
    path.write_text(path.read_text() + "20,21\n")
    with pytest.raises(LoadError, match="line 23") as caught:
        load(folder, **options)
    assert caught.value.path == str(path)
    assert own_segments() == []
    with load(folder, on_error="skip", **options) as arrays:
        assert list(arrays.failures) == ["f20"]
        _check(rows_of(arrays["f21"]), 21)


def test_missing_values_are_counted_for_each(folder):
    (folder / "f30.csv").write_text("file,row,text\n" + "30,1.5,a\n30,NA,b\n30,,c\n")
    with load(folder) as arrays:
        assert [t.missing["row"] for t in arrays[29:32]] == [0, 2, 0]
        assert any("missing" in note for note in arrays["f30"].notes)
        assert not any("missing" in note for note in arrays["f31"].notes)


def test_categories_are_the_same_in_all(folder):
    with load(folder, categories="text", **OPTIONS) as arrays:
        assert len({tuple(rows_of(a)["text"].categories) for a in arrays}) == 1


def test_closing_one_leaves_the_others(folder, options):
    arrays = load(folder, **options)
    kept = {array.segment.whole.path for array in arrays[1:]}
    arrays[0].close()
    assert not arrays[0].segment.linked
    assert all(array.segment.linked for array in arrays[1:])
    assert all(os.path.exists(path) for path in kept)
    _check(rows_of(arrays[0]), 0)
    arrays.close()
    assert own_segments() == []


def test_the_memory_is_back_when_all_that_share_it_are_gone(folder, options):
    arrays = load(folder, **options)
    wholes = {array.segment.whole for array in arrays}
    column = np.asarray(rows_of(arrays["f39"])["row"])
    last, first = arrays["f39"].segment, arrays["f00"].segment
    arrays.close()
    del arrays
    gc.collect()
    assert (first.mapped, last.mapped) == (False, True)
    assert [whole for whole in wholes if whole.mapped] == [last.whole]
    assert column.tolist() == list(range(40))
    del column
    assert not any(whole.mapped for whole in wholes)


def test_an_array_that_is_kept_without_the_others_keeps_its_segment(folder):
    kept = load(folder)["f39"]
    gc.collect()
    assert len(own_segments()) == 1
    _check(kept, 39)
    assert attach(kept.segment.path)["row"].tolist() == list(range(40))
    kept.close()
    assert own_segments() == []


def _total(array):
    return int(array["row"].sum())


def test_workers_get_them_as_references(folder, options):
    with multiprocessing.get_context("fork").Pool(2) as pool, load(folder, **options) as arrays:
        assert pool.map(_total, arrays) == [n * (n + 1) // 2 for n in range(FILES)]


def test_each_is_saved_with_what_is_known_of_it(folder, tmp_path_factory):
    path = tmp_path_factory.mktemp("out") / "all.h5"
    with load(folder) as arrays:
        to_hdf5(path, arrays)
        assert arrays["f07"].to_pandas()["row"].tolist() == list(range(8))
        assert isinstance(arrays["f07"].to_pandas(), pd.DataFrame)
    with h5py.File(path) as file:
        assert file["f07/row"][:].tolist() == list(range(8))
        assert file["f07/row"].attrs["source_file"] == str(folder / "f07.csv")


def test_the_listing_has_the_segments_and_who_holds_them(folder):
    with load(folder) as arrays:
        found = list_segments(variables={"arrays": arrays}).found
        mine = [one for one in found if "arrays" in one.holders]
        assert {one.path for one in mine} == {a.segment.whole.path for a in arrays}
        assert sum(one.header.nbytes for one in mine) >= arrays.nbytes
        assert {one.file for one in mine} == {"5 files"}
        np.load(mine[0].path, mmap_mode="r")["row"]  # the rows of all


def test_more_files_than_descriptors(folder):
    """Before Python 3.13 a mapping has a descriptor."""
    code = """
import resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
from shmkit import shared_load
with shared_load(sys.argv[1] + "/*.csv", processes=2, progress=False) as arrays:
    print(len(arrays), flush=True)
"""
    with Owner(code, folder) as owner:
        assert owner.says() == [str(FILES)]


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_notebook_leaves_nothing(folder, ending):
    code = """
import os, sys
from shmkit import shared_load
arrays = shared_load(sys.argv[1] + "/*.csv", processes=2, progress=False)
print(os.getpid(), *{array.segment.whole.path for array in arrays}, flush=True)
sys.stdin.read()
"""
    with Owner(code, folder) as owner:
        pid, *paths = owner.says()
        assert all(map(os.path.exists, paths))
        owner.end(ending, group=True)
        assert not living([int(pid)])

        def gone(timeout):
            end = time.monotonic() + timeout
            while any(map(os.path.exists, paths)) and time.monotonic() < end:
                time.sleep(0.01)
            return not any(map(os.path.exists, paths))

        assert kept(5, gone)


def test_a_killed_loader_costs_nothing_but_time(folder, tmp_path_factory):
    mark = tmp_path_factory.mktemp("mark") / "killed"

    def convert(text):
        if text == "35" and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return int(text)

    with load(folder, converters={"row": convert}) as arrays:
        for n, array in enumerate(arrays):
            _check(array, n)
    assert mark.exists()
