"""Files with the same columns agree on one type for each; others keep their own."""

import numpy as np
import pytest
from reading import probe

from shmkit.loading.file import LoadingFile
from shmkit.loading.files.alike import agree
from shmkit.loading.files.peers import Alone


@pytest.fixture
def file(tmp_path):
    def write(name, text):
        (tmp_path / name).write_text(text)
        made = LoadingFile(name, str(tmp_path / name), len(text))
        made.plan = probe(tmp_path / name)
        return made

    return write


def types(file):
    return [dtype.kind for dtype in file.plan.dtypes]


def test_the_wider_type_holds_for_all_of_the_same_columns(file):
    whole = file("a.csv", "x,y\n1,2\n3,4\n")
    real = file("b.csv", "x,y\n1,2.5\n3,4\n")
    gaps = file("c.csv", "x,y\n,2\n3,4\n")
    other = file("d.csv", "x,z\n1,2\n3,4\n")
    assert agree([whole, real, gaps, other], Alone()) == ({whole, real, gaps}, True)
    assert types(whole) == types(real) == types(gaps) == ["f", "f"]
    assert types(other) == ["i", "i"]
    assert agree([whole, real, gaps, other], Alone()) == (set(), False)


def test_files_that_share_a_plan_are_left_alone(file):
    one, two = file("a.csv", "x,y\n1,2\n"), file("b.csv", "x,y\n3,4\n")
    two.plan = plan = one.plan
    assert agree([one, two], Alone()) == (set(), False)
    assert one.plan is two.plan is plan


def test_what_has_no_guess_agrees_with_nothing(file, tmp_path):
    np.save(tmp_path / "a.npy", np.arange(3))
    array = LoadingFile("a", str(tmp_path / "a.npy"), 10)
    array.plan = plan = probe(tmp_path / "a.npy")
    unknown = LoadingFile("b", "b.csv", 10)
    assert agree([array, unknown, file("c.csv", "x,y\n1,2\n")], Alone()) == (set(), False)
    assert array.plan is plan
    assert unknown.plan is None


class Elsewhere(Alone):
    """Another node, which has loaded a file."""

    def __init__(self, file):
        self.plan = file.plan

    def plans(self, own):
        del own
        return [self.plan]


def test_files_of_another_node_count(file):
    here, there = file("a.csv", "x,y\n1,2\n"), file("b.csv", "x,y\n1,2.5\n")
    assert agree([here], Elsewhere(there)) == ({here}, True)
    assert types(here) == ["i", "f"]


def test_a_file_of_another_node_that_is_to_be_read_again_is_told(file):
    here, there = file("a.csv", "x,y\n1,2.5\n"), file("b.csv", "x,y\n1,2\n")
    assert agree([here], Elsewhere(there)) == (set(), True)
    assert types(here) == ["i", "f"]
