"""The steps of a load: what a failure in one of them means for the file, and for the others."""

import os
import signal

import numpy as np
import pytest
from machine import own_segments

from shmkit import LoaderDiedError, LoadError, sample, shared_load


def test_failed_files_may_be_skipped(paths):
    def read(path):
        if path == paths[1]:
            raise ValueError("bad")
        if path == paths[2]:
            os.kill(os.getpid(), signal.SIGKILL)
        return np.ones(3)

    with shared_load(paths, reader=read, on_error="skip") as arrays:
        assert arrays.keys() == ["sample1"]
        assert list(arrays.failures) == ["sample2", "sample3"]
        assert isinstance(arrays.failures["sample2"], LoadError)
        assert isinstance(arrays.failures["sample3"], LoaderDiedError)
        with pytest.raises(KeyError, match="could not be loaded"):
            arrays["sample2"]


def test_a_loader_that_dies_while_probing_the_last_file_is_replaced(tmp_path):
    for name, text in (("good", "1 2"), ("bad", "7 2")):
        (tmp_path / f"{name}.txt").write_text(text)
    files = [tmp_path / "good.txt", tmp_path / "bad.txt"]
    converters = {0: lambda text: os._exit(3) if text == "7" else float(text)}
    with shared_load(files, converters=converters, processes=1, on_error="skip") as arrays:
        assert arrays.keys() == ["good"]
        assert isinstance(arrays.failures["bad"], LoaderDiedError)


def test_a_failure_leaves_no_segment_of_the_files_that_were_read_before(paths):
    with open(paths[2], "a") as file:
        file.write("chrX\t7\tn/a\t1\t2\n")
    before = own_segments()
    with pytest.raises(LoadError, match=r"sample3\.txt"):
        shared_load(paths, dtype=sample.METHYLATION, skiprows=1, progress=False)
    assert own_segments() == before


@pytest.mark.parametrize("first", ["small", "odd"])
def test_small_files_of_one_plan_are_read_again_where_a_later_one_belies_it(tmp_path, first):
    """One of them is looked into for all; whichever it is, all have the same types."""
    (tmp_path / "small.csv").write_text("x,y\n1,2\n3,4\n")
    (tmp_path / "odd.csv").write_text("x,y\n1,2.5\n")
    names = sorted(["small", "odd"], key=lambda name: name != first)
    with shared_load([tmp_path / f"{name}.csv" for name in names], progress=False) as arrays:
        assert arrays["small"].dtypes == arrays["odd"].dtypes == {"x": "i8", "y": "f8"}
        assert arrays["small"]["y"].tolist() == [2, 4]
        assert arrays["odd"]["y"].tolist() == [2.5]


def test_categories_have_the_same_code_in_all_files_and_those_that_failed_give_none(tmp_path):
    for name, rows in {"one": "b 1\na 2\n", "bad": "z 1\nz x\n", "two": "c 1\nb 2\n"}.items():
        (tmp_path / f"{name}.txt").write_text(rows)
    files = [tmp_path / f"{name}.txt" for name in ("one", "bad", "two")]
    options = {"dtype": [("k", "S1"), ("n", "i4")], "categories": ["k"]}
    with shared_load(files, **options, on_error="skip", progress=False) as arrays:
        assert arrays.keys() == ["one", "two"]
        codes = [np.asarray(array["k"]).tolist() for array in arrays]
        assert codes == [[0, 1], [2, 0]]
        for array in arrays:
            assert array["k"].categories.tolist() == ["b", "a", "c"]


def test_a_function_that_fails_fails_its_file_and_leaves_what_was_read_of_others(tmp_path):
    for number in range(3):
        np.save(tmp_path / f"a{number}.npy", np.arange(4) + number)

    def halved(array):
        if array[0] == 1:
            raise ValueError("odd")
        return array[::2] / 2

    before = own_segments()
    files = [tmp_path / f"a{number}.npy" for number in range(3)]
    with shared_load(files, transform=halved, on_error="skip", progress=False) as arrays:
        assert {name: array.tolist() for name, array in arrays.items()} == {
            "a0": [0, 1],
            "a2": [1, 2],
        }
        assert "ValueError: odd" in str(arrays.failures["a1"])
        assert len(own_segments()) == len(before) + 2  # what was read is gone
