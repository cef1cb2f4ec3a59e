"""Which files are meant, and what each is called."""

import os
from pathlib import Path

import pytest

from shmkit.loading.files.paths import named_paths


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["a.txt", "b.csv.gz"], ["a", "b"]),
        (["a.txt", "a.csv"], ["a.txt", "a.csv"]),
        (["a.txt", "a.txt.gz"], ["a.txt", "a.txt.gz"]),
        (["x/a.txt", "y/a.txt"], ["x-a", "y-a"]),
        (["x/a.txt", "y/a.txt", "y/a.csv"], ["x-a.txt", "y-a.txt", "y-a.csv"]),
        (["p/x/a.txt", "q/x/a.txt", "b.txt"], ["p-x-a", "q-x-a", "b"]),
        (["a.txt", "a.txt", "a.txt"], ["a", "a-2", "a-3"]),
        ([Path("v1.2/calls.v2.txt")], ["calls.v2"]),
    ],
)
def test_names_are_as_short_as_they_tell_files_apart(here, paths, names):
    found = named_paths(paths)
    assert list(found) == names
    assert list(found.values()) == [str(here / path) for path in paths]


def test_globs_are_sorted_and_go_down(here):
    for name in ("b.txt", "a.txt", "sub/c.txt", "d.csv"):
        (here / name).parent.mkdir(exist_ok=True)
        (here / name).touch()
    assert list(named_paths("*.txt")) == ["a", "b"]
    assert list(named_paths("~/**/*.txt")) == ["a", "b", "c"]
    assert list(named_paths(["d.csv", "*.txt"])) == ["d", "a", "b"]
    with pytest.raises(FileNotFoundError, match=r"no file matches '\*\.xyz'"):
        named_paths(["a.txt", "*.xyz"])


def test_a_file_that_is_there_is_no_glob(here):
    (here / "run[1].txt").touch()
    (here / "run1.txt").touch()
    assert list(named_paths("run[1].txt")) == ["run[1]"]


def test_names_that_are_given_are_kept_in_their_order(here):
    found = named_paths({"z": "a.txt", 7: Path("~/b.txt")})
    assert found == {"z": str(here / "a.txt"), "7": os.path.join(here, "b.txt")}
    with pytest.raises(ValueError, match="two of the names are the same text"):
        named_paths({7: "a", "7": "b"})


@pytest.mark.parametrize("nothing", [[], {}, ()])
def test_no_files_are_an_error(nothing):
    with pytest.raises(ValueError, match="no files given"):
        named_paths(nothing)
