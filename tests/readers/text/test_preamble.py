"""Where a table begins below lines that are none of it: only where all behind it is alike."""

import numpy as np
import pytest

from shmkit.readers.text.columns import FACTS, Dialect, facts
from shmkit.readers.text.preamble import last_words, plain_begin, ragged_begin, seem_names


@pytest.mark.parametrize(
    ("widths", "begin"),
    [
        ([3, 3, 3], 0),
        ([1, 2, 3, 3, 3], 2),
        ([1, 1, 3, 3], 0),  # too few rows, which are alike by chance
        ([1, 2, 3, 3, 3, 2, 3], 0),  # not all alike
        ([2, 3, 3, 3], 0),  # a header of R's, one name less
        ([4, 3, 3, 3], 0),  # or one with a delimiter at its end
        ([1, 3, 3, 3], 1),
        ([3, 1, 1, 1], 0),  # lines of one field are no table
        ([3], 0),
    ],
)
def test_a_preamble_ends_where_all_behind_is_as_wide(widths, begin):
    assert plain_begin(widths) == begin


@pytest.mark.parametrize(
    ("widths", "begin"),
    [
        ([3, 3, 3, 2], 0),
        ([1, 3, 3, 3, 2, 3], 1),
        ([1, 3, 2, 3, 3, 3], 3),  # where three follow each other
        ([2, 3, 3, 3], 0),
        ([1, 2, 3, 4], 0),  # none is the width of most
        ([5, 1, 1, 1, 1], 0),
        ([1, 3, 1, 3, 1, 3, 3], 0),
    ],
)
def test_most_rows_tell_where_a_ragged_table_may_begin(widths, begin):
    assert ragged_begin(widths) == begin


def test_the_last_row_of_words_alone_is_found_but_among_the_last_few():
    rows = [["a", "b"], ["1", "2"], ["time", ""], ["1", "x"], ["1", "2"], ["1", "2"]]
    assert last_words(rows) == 2
    assert last_words(rows[:5]) == 0
    assert last_words(rows[:3]) == -1
    assert last_words([["1", "2"]] * 6) == -1


def seem(above, behind, *, header_above=False):
    def seen(*lines):
        return facts("\n".join([*lines, ""]).encode(), 2, Dialect(",")).facts

    return seem_names([seen(line) for line in above], seen(*behind), header_above=header_above)


ROWS = ["1,2.5", "2,NA", "3,4"]


@pytest.mark.parametrize(
    ("above", "behind", "expected"),
    [
        (["Oslo,roof", "x,y"], ROWS, False),  # two rows of words may be names and units
        (["Oslo,roof", "Jane,Doe", "x,y"], ROWS, True),
        (["Oslo,9", "x,y"], ROWS, True),
        (["1,9", "x,y"], ROWS, False),  # a row of numbers before is one of the table
        (["Oslo,9", "x,7"], ROWS, False),  # no names
        (["Oslo,9", "x,y"], ["a,b", "c,d"], False),  # above text anything may be a value
        (["9,9", "Oslo,9", "x,7"], ["1,b", "2,d"], False),
        (["Jane,9", "Oslo,9", "x,7"], ["1,b", "2,d"], True),  # but above numbers
    ],
)
def test_words_above_numbers_seem_to_be_names(above, behind, expected):
    assert seem(above, behind) is expected


def test_below_a_header_two_rows_of_words_are_enough():
    assert seem(["Oslo,roof", "x,y"], ROWS, header_above=True)
    assert not seem_names([], np.zeros(0, FACTS), header_above=True)
