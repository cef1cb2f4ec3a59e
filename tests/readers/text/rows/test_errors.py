"""What a row holds that the array cannot: the error names line, column, text and option."""

import re

import numpy as np
import pytest
from reading import CALL, MANY, many, refused

from shmkit._categories import category
from shmkit.readers.text.rows.errors import (
    TextPlan,
    array_can_hold,
    columns,
    explain_row,
    is_category,
    parse_options,
)

# What does not fit


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize(
    ("number", "line", "column", "reason"),
    [
        (87_654, "chr1\tx\t5", 2, "'x' is not an int"),
        (20_000, "chr1\t7\tn/a", 3, "'n/a' is not a float"),
        (20_001, "chr1\t7\t", 3, "'' is not a float"),
        (30_500, "chr1\t2.5\t7", 2, "'2.5' is not an int"),
        (30_501, "chr1\t7", 3, "expected 3 columns, found 2"),
        (30_502, "chr1\t7\t1\t2", 4, "expected 3 columns, found 4"),
        (30_503, "chr1_gl000191_random\t7\t1", 1, "has more characters than S"),
        (MANY, "chr1\t1", 3, "expected 3 columns, found 2"),
    ],
)
def test_late_misfit_is_named(file, end, number, line, column, reason):
    top = f"chr\tpos\tpct{end}# note{end}{end}"
    path = file(top + many({number: line}, end).rstrip(end))
    error = refused(path, dtype=CALL, skiprows=1, delimiter="\t")
    assert (error.line, error.column) == (number + 3, column)
    assert reason in error.reason
    assert error.__cause__ is None


def test_reason_names_field_type_and_option(file):
    error = refused(file("chr1 5 n/a\n"), dtype=CALL)
    assert str(error) == (
        f"{error.path}, line 1, column 3: 'n/a' is not a float32 (field \"pct\"); "
        "give converters={2: ...} or another dtype=, or skiprows=1 if this line is a header"
    )


def test_header_line_under_a_given_dtype_asks_for_skiprows(file):
    error = refused(file("# v2\nchr pos pct\nchr1 5 1\n"), dtype=CALL)
    assert (error.line, error.column) == (2, 2)
    assert "skiprows=2 if this line is a header" in error.reason


def test_wrong_number_of_columns_shows_the_line_and_the_options(file):
    error = refused(file("chr1 5 1\nchr1 5\n"), dtype=CALL)
    assert str(error) == (
        f"{error.path}, line 2, column 3: expected 3 columns, found 2 in 'chr1 5'; give "
        "delimiter=, comments= or quotechar= if it is split wrongly, usecols= for fewer columns"
    )
    error = refused(file("a title line of words\nchr1,5,2\n"), dtype=CALL, delimiter=",")
    assert "skiprows=1" in error.reason


def test_width_that_changes_at_a_block_is_an_error(file):
    path = file("1 2\n" * 20_000 + "\n# note\n" + "1 2 3\n" * 5)
    error = refused(path, dtype=float)
    assert (error.line, error.column) == (20_003, 3)
    assert "expected 2 columns, found 3" in error.reason


def test_usecols_beyond_the_line_is_named(file):
    error = refused(file("1 2 3\n1 2\n"), dtype=float, usecols=(0, 2))
    assert (error.line, error.column) == (2, 3)
    assert "expected 3 columns, found 2" in error.reason
    error = refused(file("a b\n"), usecols=7, dtype=str)
    assert (error.line, error.column) == (1, 3)


@pytest.mark.parametrize(
    "dtype", ["S3", "U3", [("a", "S3"), ("b", "i4")], [("a", "U0"), ("b", "i4")]]
)
def test_given_text_width_never_cuts(file, dtype):
    path = file("ab 1\nabc 2\nabcd 3\n")
    options = {"usecols": 0} if isinstance(dtype, str) else {}
    error = refused(path, dtype=dtype, **options)
    assert error.column == 1
    assert "has more characters than" in error.reason


def test_text_in_nested_fields_never_cuts(file):
    nested = np.dtype([("a", "i4"), ("b", [("c", "S2", (2,))])])
    error = refused(file("1 aa bb\n2 aa bbb\n"), dtype=nested)
    assert (error.line, error.column) == (2, 3)
    assert 'field "b.c"' in error.reason


def test_text_beyond_latin_1_in_given_bytes_is_named(file):
    error = refused(file("a 1\n日 2\n"), dtype="S3,i4")
    assert (error.line, error.column) == (2, 1)
    assert "more than one byte" in error.reason


def test_misfit_after_quoted_line_ends_names_the_first_line_of_its_row(file):
    path = file('"a\nb",1\n\n# note\n"c\nd",x\n')
    error = refused(path, dtype="U9,i4", delimiter=",", quotechar='"')
    assert (error.line, error.column) == (5, 2)


def parse_percent(cell):
    return float(cell.removesuffix("%"))


def test_an_open_quote_that_takes_the_last_line_end_is_named_where_it_begins(file):
    error = refused(file("'a\nb\n"), dtype="S1", quotechar="'")
    assert (error.line, error.column) == (1, 1)
    assert error.reason.startswith("'a\\nb\\n' has more characters than S1 holds; give dtype=")


def test_converter_that_raises_is_named_with_its_error(file):
    path = file("chr1 5%\nchr2 bad\n")
    error = refused(path, converters={1: parse_percent}, dtype="S4,f4")
    assert (error.line, error.column) == (2, 2)
    assert "'bad' makes its converter fail (ValueError(" in error.reason


@pytest.mark.parametrize("raised", [OSError("disk"), EOFError("end"), KeyError("k")])
def test_converters_may_raise_anything(file, raised):
    def fail(_):
        raise raised

    error = refused(file("1 2\n"), dtype=float, converters={1: fail})
    assert (error.line, error.column) == (1, 2)
    assert repr(raised) in error.reason


def test_converter_that_gives_what_does_not_fit_is_named(file):
    error = refused(file("1\n2\n"), dtype=int, converters={0: lambda s: "?" if s == "2" else s})
    assert (error.line, error.column) == (2, 1)
    assert "'2' makes its converter fail (ValueError" in error.reason
    error = refused(file("1\n"), dtype="S2", converters={0: lambda s: s * 3})
    assert (
        "'1' has more characters than S2 holds; correct the text or the converter" in error.reason
    )


# Without a reader


def planned(dtype, shape=(9,), **options):
    return TextPlan(np.dtype(dtype), shape, options={"encoding": "utf-8", **options})


def test_columns_are_those_of_the_file_in_their_order():
    nested = np.dtype([("a", "i4"), ("b", [("c", "S2", (2,)), ("d", "f8")])], align=True)
    found = [(name, dtype.str, offset) for name, dtype, offset in columns(nested)]
    assert found == [
        ("a", "<i4", 0),
        ("b.c", "|S2", nested.fields["b"][1]),
        ("b.c", "|S2", nested.fields["b"][1] + 2),
        ("b.d", "<f8", nested.fields["b"][1] + nested["b"].fields["d"][1]),
    ]
    assert [tuple(column) for column in columns(np.dtype("f4"))] == [("", np.dtype("f4"), 0)]


def test_text_is_parsed_with_room_for_one_character_more():
    options = parse_options(planned([("a", "S3"), ("b", "U4"), ("c", category([])), ("d", "i4")]))
    assert [options["dtype"][i].str for i in range(4)] == ["|S4", "<U5", "|O", "<i4"]
    assert options["ndmin"] == 1
    assert parse_options(planned("f4", usecols=[1], delimiter=",")) == {
        "dtype": np.dtype("f4"),
        "ndmin": 2,
        "usecols": [1],
        "delimiter": ",",
    }


def test_only_names_that_are_to_come_make_a_category():
    assert is_category(category([]))
    assert not is_category(category(["chr1"]))
    assert not is_category(np.dtype("u2"))


@pytest.mark.parametrize(
    ("text", "fits"), [("abc", True), ("abcd", False), ("", True), ("\0\0\0d", False)]
)
def test_what_the_array_would_cut_does_not_fit(text, fits):
    for kind in "SU":
        assert array_can_hold(np.array([["a"], [text]], f"{kind}4"), planned(f"{kind}3")) is fits


def test_a_category_holds_no_nul_and_no_long_text():
    plan = planned([("a", category([]))])
    for text, fits in [("é" * 127, True), ("é" * 128, False), ("a\0", False)]:
        assert array_can_hold(np.array([(text,)], [("f0", "O")]), plan) is fits


@pytest.mark.parametrize(
    ("ndmin", "rows", "shape"),
    [(0, 1, ()), (0, 5, (5,)), (1, 1, (1,)), (2, 1, (1, 1)), (2, 5, (5, 1)), (0, 0, (0,))],
)
def test_the_final_shape_is_that_of_loadtxt(ndmin, rows, shape):
    assert planned("f8", (9, 1), ndmin=ndmin).final_shape(rows) == shape
    if rows:
        assert np.loadtxt(["7"] * rows, ndmin=ndmin).shape == shape


def test_the_first_wrong_row_is_explained_by_its_line_in_the_file():
    lines = ["a 1\n", "\n", "# no\n", "b x\n", "c y\n"]
    error = explain_row("calls.txt", planned("S1,i4"), lines, 100, first=True)
    assert (error.path, error.line, error.column) == ("calls.txt", 104, 2)
    assert re.match("'x' is not an int32", error.reason)
    assert "skiprows" not in error.reason
    assert explain_row("calls.txt", planned("S1,i4"), lines[:3], 100, first=True) is None


def test_only_the_first_row_of_a_file_may_be_a_header():
    for first in (True, False):
        error = explain_row("calls.txt", planned("S1,i4"), ["b x\n"], 7, first=first)
        assert ("skiprows=8 if this line is a header" in error.reason) is first
