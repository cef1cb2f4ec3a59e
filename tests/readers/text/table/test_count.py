"""Lines of a part, counted both ways: as if it began outside of quotes, and as if inside."""

import io

import pytest
from reading import probe

from shmkit.readers.text.table.count import counted

TEXT = 'a,b\n1,"x\ny"\n\n2,"z"\n3,w\n'


@pytest.fixture
def plan(tmp_path):
    (tmp_path / "a.csv").write_text(TEXT)
    return probe(tmp_path / "a.csv")


def count(plan, text, start=0, stop=None):
    data = io.BytesIO(text.encode())
    return counted(data, start, len(text) if stop is None else stop, plan)


def test_a_line_end_in_quotes_is_none(plan):
    found = count(plan, TEXT, 4)
    lines, empty, strays, first = found.outside
    assert (lines, empty, strays) == (4, 1, 0)
    assert TEXT[4 + first] == "\n"
    assert 4 + first == TEXT.index('y"\n') + 2
    assert not found.other_side
    assert (found.start, found.stop) == (4, len(TEXT))


@pytest.mark.parametrize("cut", range(4, len(TEXT) + 1))
def test_wherever_it_is_cut_the_parts_have_all_lines(plan, cut):
    whole = count(plan, TEXT, 4)
    one, two = count(plan, TEXT, 4, cut), count(plan, TEXT, cut)
    second = two.inside if one.other_side else two.outside
    assert one.outside[0] + second[0] == whole.outside[0]
    assert one.other_side ^ two.other_side == whole.other_side


def test_many_pieces_are_counted_as_one(plan):
    text = '1,"x\n"\n' * 100_000
    found = count(plan, text)
    assert found.outside == (100_000, 0, 0, 6)
    assert not found.other_side
    assert count(plan, text[:-2]).other_side


def test_a_part_without_a_line_end_has_none(plan):
    assert count(plan, "1,2").outside == (0, 0, 0, -1)
    assert count(plan, "").outside == (0, 0, 0, -1)
