"""A plan of a table is a guess: types follow from all that was seen, and from what was said."""

import pickle

import numpy as np
import pytest
from reading import probe

from shmkit.readers.text.columns import Dialect, facts
from shmkit.readers.text.table.plan import Belied, merged


@pytest.fixture
def plan(tmp_path):
    def of(text, **options):
        (tmp_path / "a.csv").write_text(text)
        return probe(tmp_path / "a.csv", **options)

    return of


def kinds(plan):
    return "".join(dtype.kind for dtype in plan.dtypes)


def seen(text, fields=2):
    return facts(text.encode(), fields, Dialect(",")).facts


def test_a_plan_travels(plan):
    made = plan("x,y\n1,a\n")
    found = pickle.loads(pickle.dumps(made))
    assert (found.types, found.dtype, found.shape) == (made.types, made.dtype, made.shape)


def test_numbers_alone_without_a_header_are_a_matrix(plan):
    assert plan("1,2\n3,4\n").form == "matrix"
    assert plan("1,2\n3,4\n").dtype == np.dtype("f8")
    assert plan("x,y\n1,2\n").form == "columns"
    assert plan("1,a\n2,b\n").form == "columns"
    assert plan("1,2\n3,4\n", layout="columns").form == "columns"


@pytest.mark.parametrize("odd", ["2.5,1", ",1", "word,1", "7,2024-01-01", "99999999999999999999,1"])
def test_what_belies_it_widens_the_type_that_it_must(plan, odd):
    made = plan("x,y\n1,2\n3,4\n")
    assert kinds(made) == "ii"
    wider = made.widened([Belied(facts=seen(odd + "\n"))])
    assert not wider.same_types(made)
    assert wider.same_types(plan(f"x,y\n1,2\n3,4\n{odd}\n"))


def test_a_type_does_not_depend_on_where_the_odd_value_stands(plan):
    first, last = plan("x,y\n2.5,a\n1,b\n"), plan("x,y\n1,b\n").widened([Belied(seen("2.5,a\n"))])
    assert last.same_types(first)


def test_what_widens_nothing_is_no_reason_to_read_again(plan):
    with pytest.raises(RuntimeError, match="widens no type"):
        plan("x,y\n1,2\n").widened([Belied(facts=seen("5,6\n"))])


def test_more_rows_than_there_is_room_for_are_a_reason(plan):
    assert plan("x,y\n1,2\n").widened([Belied(room=50)]).shape == (50,)


def test_text_of_a_file_that_was_not_seen_whole_may_be_longer(plan):
    made = plan("x,y\n1,abc\n")
    assert made.types[1].dtype == np.dtype("S3")
    assert made.shared().types[1].dtype == np.dtype("S8")
    assert made.same_types(made.shared())


def test_plans_of_one_key_agree(plan):
    one, two = plan("x,y\n1,2\n"), plan("x,y\n1.5,\n")
    assert one.key == two.key
    assert kinds(one.agreed([one, two])) == kinds(two.agreed([one, two])) == "ff"
    assert plan("x,z\n1,2\n").key != one.key
    assert plan("x,y\n1,2\n", missing="-").key != one.key


def test_facts_of_several_samples_are_those_of_all_together():
    one, two = seen("1,a\n2.5,\n"), seen("NA,größe\n")
    both = seen("1,a\n2.5,\nNA,größe\n")
    for name in ("count", "nbytes", "not_ascii", "words"):
        np.testing.assert_array_equal(merged([one, two])[name], both[name])
    assert one["count"].sum() == 4  # it is as it was
