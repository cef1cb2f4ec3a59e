"""A file that changes while it is read gives one of its versions, or an error."""

import gzip
import os
import shutil

import h5py
import numpy as np
import pytest
from bgzip import bgzip

from shmkit import LoadError, shared_load
from shmkit._monitor import NoMonitor
from shmkit.loading.files.inputs import Input
from shmkit.loading.load import load
from shmkit.readers.formats import format_of

ROWS = 1 << 20
CHANGED = "changed while it was read; load it again"


def text(number):
    return f"1{number:014d}\n".encode() * ROWS


def npy(path, number):
    np.save(path, np.full(ROWS, number, np.int64))


def hdf5(path, number):
    with h5py.File(path, "w") as file:
        for name in "ab":
            file[name] = np.full(2 * ROWS, number)


WRITERS = {
    "text": ("x.txt", lambda path, number: path.write_bytes(text(number))),
    "bgzip": ("x.txt.gz", lambda path, number: path.write_bytes(bgzip(text(number)))),
    "gzip": (
        "x.gz",
        lambda path, number: path.write_bytes(gzip.compress(text(number), compresslevel=1)),
    ),
    "npy": ("x.npy", npy),
    "hdf5": ("x.h5", hdf5),
}


def replaced(path, other):
    os.replace(other, path)


def rewritten(path, other):
    with open(path, "r+b") as file:
        file.write(other.read_bytes())
        file.truncate()


CHANGES = [replaced, rewritten]


class _Changing(NoMonitor):
    """Changes the file when the load says for the n-th time how far it is, or has a plan of it."""

    def __init__(self, when, change):
        self.when, self.change, self.updates = when, change, 0

    def begin(self, board):
        self.update(board)

    def update(self, board):
        self.updates += 1
        if self.when == self.updates or (
            self.when == "planned" and board.files[0].version is not None
        ):
            self.when = None
            self.change()


@pytest.fixture
def versions(request, tmp_path):
    """A file, and another that is to come into its place."""
    name, write = WRITERS[request.param]
    for folder, number in (("old", 1), ("new", 2)):
        (tmp_path / folder).mkdir()
        write(tmp_path / folder / name, number)
    return tmp_path / "old" / name, tmp_path / "new" / name


@pytest.mark.slow
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("versions", WRITERS, indirect=True)
def test_no_array_has_values_of_two_versions(versions, change, tmp_path):
    path, new = versions
    for when in ("planned", 1, 2, 3, 4):
        copy, other = tmp_path / path.name, tmp_path / f"other-{path.name}"
        shutil.copy(path, copy)
        shutil.copy(new, other)
        monitor = _Changing(when, lambda copy=copy, other=other: change(copy, other))
        try:
            with load_one(copy, monitor) as arrays:
                values = {value for array in arrays for value in np.unique(array).tolist()}
        except LoadError as error:
            refused = error
        else:
            refused = None
            assert len(values) == 1
        assert refused is None or (refused.path, refused.line) == (str(copy), None)
        assert refused is None or CHANGED in refused.reason
        if when == "planned" and path.suffix in (".txt", ".h5"):  # most tasks are still to come
            assert refused is not None


def load_one(path, monitor):
    return load(
        {"x": Input(str(path), str(path), path.stat().st_size, format_of(str(path), None))},
        reader=None,
        options={},
        processes=2,
        backing="auto",
        skip_failed=False,
        monitor=monitor,
    )


def test_a_reader_whose_file_changes_meanwhile_is_an_error(tmp_path):
    path = tmp_path / "x.bin"

    def read(name):
        data = np.fromfile(name, "i8")
        with open(name, "ab") as file:  # as a logger does
            file.write(b"12345678")
        return data

    path.write_bytes(bytes(80))
    with pytest.raises(LoadError, match=CHANGED):
        shared_load(path, reader=read, progress=False)
    with shared_load(path, reader=lambda name: np.fromfile(name, "i8"), progress=False) as (data,):
        assert len(data) == 11


def test_a_reader_may_put_files_into_its_directory(tmp_path):
    (tmp_path / "images").mkdir()

    def read(folder):
        with open(os.path.join(folder, "index"), "w") as file:
            file.write("1")
        return np.arange(3)

    with shared_load(tmp_path / "images", reader=read, progress=False) as (array,):
        assert array.tolist() == [0, 1, 2]


@pytest.mark.parametrize("at", [3, 9000])
def test_a_text_that_grows_in_the_middle_of_its_only_task_is_an_error(tmp_path, at):
    path = tmp_path / "x.txt"
    path.write_text("".join(f"{n}\n" for n in range(10_000)))

    def number(word, path=str(path)):
        if word == str(at):
            with open(path, "a") as file:
                file.write("no number, whatever else is wrong\n")
        return float(word)

    with pytest.raises(LoadError, match=CHANGED):
        shared_load(path, dtype=float, converters=number, progress=False)
