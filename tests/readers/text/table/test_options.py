"""The options of a table: each in one form, and what no file satisfies is refused at once."""

import numpy as np
import pytest

from shmkit.readers.text.table.options import MissingWords, checked, is_table, text_kind


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, True),
        ({"dtype": {"x": "f4"}}, True),
        ({"dtype": "f4"}, False),
        ({"dtype": "f4", "layout": "rows"}, False),
        ({"layout": "rows"}, True),
    ],
)
def test_a_dtype_of_whole_rows_is_no_table(options, expected):
    assert is_table(options) is expected


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"layout": "wide"}, ValueError),
        ({"dtype": "f4", "layout": "columns"}, TypeError),
        ({"dtype": "f4", "header": True}, TypeError),
        ({"dtype": "f4", "missing": "NA"}, TypeError),
    ],
)
def test_options_that_contradict_each_other_are_refused(options, error):
    with pytest.raises(error, match="|".join(options)):
        is_table(options)


@pytest.mark.parametrize(
    ("option", "given", "expected"),
    [
        ("usecols", 2, [2]),
        ("usecols", ("a", np.int64(1)), ["a", 1]),
        ("usecols", "name", ["name"]),
        ("comments", "#", ["#"]),
        ("comments", [b"#", "//"], ["#", "//"]),
        ("missing", "-", MissingWords(("-",))),
        ("missing", ["-", " x "], MissingWords(("-", "x"))),
        ("missing", {"b", "a"}, MissingWords(("a", "b"), only=True)),
        ("missing", {"x": -9}, {"x": MissingWords(("-9",))}),
        ("widths", [3, 2], [slice(0, 3), slice(3, 5)]),
        ("dtype", {"x": ">i4", 1: str}, {"x": np.dtype("i4"), 1: np.dtype("U")}),
        ("header", ("a", "b"), ["a", "b"]),
        ("header", True, True),
    ],
)
def test_each_option_has_one_form(option, given, expected):
    assert checked({option: given}) == {option: expected}


def test_what_is_not_given_is_left_out_but_for_signs_whose_none_means_none():
    given = {"encoding": None, "usecols": None, "delimiter": None, "quotechar": None}
    assert checked(given) == {"delimiter": None, "quotechar": None}
    assert checked({"comments": None}) == {"comments": []}


@pytest.mark.parametrize(
    "options",
    [
        {"delimiter": ",,"},
        {"quotechar": "«"},
        {"decimal": ";"},
        {"skiprows": -1},
        {"max_rows": 2.5},
        {"ndmin": 3},
        {"comments": ""},
        {"header": "a"},
        {"header": ["a", "a"]},
        {"header": ["a", ""]},
        {"usecols": [1.5]},
        {"missing": "a\nb"},
        {"widths": [3]},
        {"widths": [3, 0]},
        {"dtype": {"x": "c16"}},
        {"dtype": {"x": "M8"}},
        {"dtype": {"x": "f2"}},
        {"converters": {"x": 5}},
        {"encoding": "bytes"},
    ],
    ids=str,
)
def test_what_no_file_satisfies_is_refused_by_its_name(options):
    (name,) = options
    with pytest.raises((TypeError, ValueError), match=f"{name}="):
        checked(options)


def test_text_of_whatever_length_is_told():
    assert [text_kind(np.dtype(t)) for t in ("U", "U5", "S", "S5", "f4")] == [
        *(True, True, True, False, False)
    ]
