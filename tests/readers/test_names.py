"""Which datasets are meant: a name first, a glob else, and an error that offers what is near."""

import pickle

import pytest

from shmkit.errors import LoadError
from shmkit.readers.names import matched

NAMES = ["b", "a", "run/1", "run/2", "x[1]", "x1"]


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        (["*"], NAMES),
        (["a", "b"], ["b", "a"]),  # in the file's order
        (["a", "a", "?"], ["b", "a"]),  # each once
        (["run/*"], ["run/1", "run/2"]),
        (["/run/1"], ["run/1"]),
        (["/run/"], ["run"]),
        (["run"], ["run"]),
        (["r*"], ["run/1", "run/2"]),  # a glob means no link to a group
        (["x[1]"], ["x[1]"]),  # a name is no glob
        (["x[12]"], ["x1"]),
        (["A*", "a"], None),
        ([], []),
    ],
)
def test_names_and_globs(patterns, expected):
    if expected is None:
        with pytest.raises(LoadError, match=r"no dataset matches A\*; it has b, a, run/1"):
            matched("a.h5", patterns, NAMES)
        return
    assert matched("a.h5", patterns, NAMES, ["run"]) == expected


def error(pattern, names):
    with pytest.raises(LoadError) as caught:
        matched("a.h5", [pattern], names)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
    assert caught.value.path == "a.h5"
    return caught.value.reason


def test_the_error_shows_what_there_is():
    assert error("temp", []) == "no dataset matches temp; it has none"
    few = [f"n{i}" for i in range(20)]
    assert error("temp", few).endswith(f"it has {', '.join(few)}")


def test_of_many_it_shows_those_that_are_near():
    many = [f"station{i}/temperature" for i in range(300)]
    assert "near it are station7/temperature" in error("station7/temperatur", many)
    assert error("temp", many) == (
        "no dataset matches temp; near it are station0/temperature, station1/temperature, "
        "station2/temperature, station3/temperature, station4/temperature, of 300 datasets"
    )
    assert error("wind", many).endswith("station19/temperature, and 280 more")
