"""Whether a first line names the columns: told by kind, or left to the caller."""

import itertools

import numpy as np
import pytest

from shmkit.readers.text.columns import Class, Dialect, facts
from shmkit.readers.text.header import Verdict, class_of, comment_names, distinct, is_header

HEADER, DATA, DOUBT = Verdict


def verdict(*lines):
    """Of lines of a CSV, as the shape of a table asks for it."""
    rows = [line.split(",") for line in lines]
    width = len(rows[0])

    def seen(text):
        return facts(text.encode(), width, Dialect(",")).facts

    first = seen(lines[0] + "\n")
    below = seen("\n".join([*lines[1:], ""]))
    return is_header(rows[0], [class_of(column) for column in first], rows[1:], below)


def test_the_class_of_a_field_is_the_one_that_was_counted():
    found = facts(b"a,1,2.5,,2024-01-01,NA\n", 6, Dialect(",")).facts
    assert [class_of(column) for column in found] == [
        *(Class.TEXT, Class.WHOLE, Class.REAL, Class.EMPTY, Class.DATE, Class.MISSING)
    ]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        # Words above values are names; half of a column is enough.
        (["x,y", "1,2"], HEADER),
        (["x,y", "1,a", ",b"], HEADER),
        (["x,y", "1,a", ",b", ",c"], DATA),
        (["ok,when", "true,2024-01-01", "false,2024-01-02"], HEADER),
        # A missing value names nothing, nor does a number with a sign that makes text of it.
        (["NA,5", "1,6"], DATA),
        (["?,-", "1,6"], DATA),
        (["<0.5,1", "1.5,6"], DATA),
        # A time above times, and truth above truth, is a value.
        (["2024-01-01,x", "2024-01-02,1"], DATA),
        (["true,x", "false,y"], DATA),
        # The only line of a file has names if it is distinct words.
        (["x,y"], HEADER),
        (["x,x"], DATA),
        (["x,1"], DATA),
        # Text above text has to differ from all below it, in each column of a short table.
        (["name,city", "Bob,Rome", "Al,Oslo"], HEADER),
        (["Name,City", "Bob,Rome", "Al,Oslo"], DATA),
        (["name,city", "Bob,Rome"], DATA),  # of one row all is alike
        (["name,City", "Bob,Rome", "Al,Oslo"], DATA),
        (["name,City", *["Bob,Rome"] * 12], HEADER),  # of many rows half is enough
        # Numbers among the names: years, or steps.
        (["code,1960,1961", "a,1.5,2", "b,3,4"], HEADER),
        (["gene,0,15,30", "A,1.5,2.5,3.5", "B,5.5,6.5,7.5"], HEADER),
        (["gene,0,15,30,60", "A,1,4,9,2", "B,5,6,7,8"], DOUBT),
        (["alice,5,6", "bob,9,3"], DOUBT),
        (["1,2,3", "4,5,6"], DATA),
        # The header of an index has an empty name.
        ([",a,b", "0,x,4", "1,y,5"], HEADER),
        ([",5,6", ",7,8"], DATA),
    ],
)
def test_a_first_line_differs_in_kind_from_what_is_below(lines, expected):
    assert verdict(*lines) is expected


def test_a_name_that_is_a_value_below_is_a_value():
    assert verdict("gene,n", "gene,1", "TP53,2") is HEADER  # but not where all are words
    assert verdict("gene,7,n", "gene,1,2", "TP53,2,3") is DATA


@pytest.mark.parametrize(
    ("line", "delimiter", "width", "names"),
    [
        ("#chr start end", "\t", 3, ["chr", "start", "end"]),
        ("##chr\tthe start\tend\n", "\t", 3, ["chr", "the start", "end"]),
        ("# chr start", None, 3, []),
        ("#", "\t", 3, []),
    ],
)
def test_a_comment_names_columns_if_it_has_as_many_words(line, delimiter, width, names):
    assert comment_names(line, delimiter, width) == names


def test_names_become_distinct_and_the_first_of_each_is_kept():
    for names in itertools.product(["", "x", "x ", "x_1", "x_2", "f1"], repeat=4):
        found = distinct(names)
        assert len(set(found)) == len(found) == len(names)
        assert all(name and name == name.strip() for name in found)
        for i, name in enumerate(names):
            if name.strip() and name.strip() not in found[:i]:
                assert found[i] == name.strip()


def test_many_equal_names_are_numbered_in_no_time():
    assert distinct(["x"] * 20_000)[-1] == "x_19999"
    assert np.unique(distinct([""] * 100)).size == 100
