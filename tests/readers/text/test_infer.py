"""What np.loadtxt must be told is found in a sample."""

import datetime as dt
import io
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shmkit.errors import LoadError
from shmkit.readers.text.infer import Sample, infer, is_number, take_sample

CALLS = "chr1\t10469\t87.5\nchr1\t10471\t100\nchrX\t3\t0\n"


def inferred(text, *, spread="", whole=True, **options):
    lines = text.splitlines(keepends=True)[options.get("skiprows", 0) :]
    return infer("calls.txt", Sample(lines, spread.splitlines(), whole), options)


def found(text, **options):
    return inferred(text, **options).options


def dtype(text, **options):
    return found(text, **options)["dtype"]


# Delimiter


@pytest.mark.parametrize(
    ("text", "delimiter", "columns"),
    [
        ("a b\t1\nc\t2\n", "\t", 2),
        ("1,5;x\n2,5;y\n", ";", 2),
        ("x,1\ny,2\n", ",", 2),
        ("a 1\n  b   2\n", None, 2),
        ("1,5 x,1\n2 y\n", None, 2),
        ("word\nother\n", None, 1),
        ("2020-01-01 12:00,5\n2020-01-02 12:00,6\n", ",", 2),
        ("a,b\tc\nd\te\n", "\t", 2),
    ],
)
def test_delimiter_is_the_first_that_splits_all_lines_alike(text, delimiter, columns):
    assert found(text)["delimiter"] == delimiter
    assert len(dtype(text)) == columns


def test_delimiter_given_is_kept():
    options = found("1,2 a\n3,4 b\n", delimiter=None)
    assert "delimiter" not in options
    assert options["dtype"] == np.dtype([("f0", "S3"), ("f1", "S1")])


def test_delimiter_of_most_lines_where_one_is_ragged():
    assert found("a,1\nb,2\nc\nd,4\n")["delimiter"] == ","


# Quotes


def test_quotes_are_seen_and_protect_the_delimiter():
    options = found('"a, b",1\n"c",2\n')
    assert options["quotechar"] == '"'
    assert options["dtype"] == np.dtype([("f0", "S4"), ("f1", "i8")])


def test_doubled_quotes_are_seen():
    assert found('"a""b",1\n')["quotechar"] == '"'


def test_inches_are_no_quotes():
    assert "quotechar" not in found('5" pipe,1\n6" pipe,2\n')


def test_quotes_are_left_where_loadtxt_allows_none():
    assert "quotechar" not in found('"a" 1\n', comments=["#", "//"])


# Header


def test_header_gives_the_names_and_is_skipped():
    options = found("# made by hand\n\nchr\tpos\tpct\n" + CALLS)
    assert options["skiprows"] == 3
    assert options["dtype"] == np.dtype([("chr", "S4"), ("pos", "i8"), ("pct", "f8")])


def test_header_after_given_skiprows_counts_in_the_file():
    assert found("junk\nmore\na b\n1 2\n", skiprows=2)["skiprows"] == 3


def test_header_of_numbers_only_gives_fields():
    assert dtype("x,y\n1,2.5\n") == np.dtype([("x", "i8"), ("y", "f8")])


def test_no_header_where_the_first_line_has_a_number():
    options = found("x 1\ny 2\n")
    assert "skiprows" not in options
    assert options["dtype"].names == ("f0", "f1")


def test_a_missing_value_in_the_first_line_makes_no_header():
    assert "skiprows" not in found("chr1 NA\nchr1 5\nchr2 6\n")


def test_header_is_found_though_values_are_missing_below():
    options = found("gene\tvalue\na\t1\nb\tNA\nc\t3\n")
    assert options["skiprows"] == 1
    assert options["dtype"] == np.dtype([("gene", "S1"), ("value", "S2")])


def test_rs_header_lacks_the_row_names():
    options = found('"pos" "pct"\n"r1" 1 0.5\n"r2" 2 1\n')
    assert options["skiprows"] == 1
    assert options["dtype"] == np.dtype([("row", "S2"), ("pos", "i8"), ("pct", "f8")])


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("a,b\nx,1,2\ny,3,4\n", ("row", "a", "b")),
        ('a,b\n"1",1,2\n"2",3,4\n', ("row", "a", "b")),
        ("a\tb\n1\t5\t6\n2\t7\t8\n", ("row", "a", "b")),
        ("a,b\n1,2,\n3,4,\n", ("a", "b", "f2")),
        ("a\tb\nx\t2\t\ny\t4\t\n", ("a", "b")),  # white space splits all lines alike
    ],
)
def test_names_do_not_shift_where_a_delimiter_ends_the_rows(text, names):
    assert dtype(text).names == names


@pytest.mark.parametrize("text", ["wert\n1,5\n2,5\n", "a;b\n1;2;3\n4;5;6\n"])
def test_one_name_too_few_above_numbers_is_an_error(text):
    with pytest.raises(LoadError, match=r"delimiter=.* skiprows=3 if it is a header") as caught:
        dtype("junk\n# note\n" + text, skiprows=1)
    assert caught.value.line == 3


def test_header_may_hold_the_comment_sign():
    assert dtype("chr pos #reads\na 1 2\nb 3 4\n").names == ("chr", "pos", "#reads")
    assert dtype("id,sample #1,sample #2\na,1,2\nb,3,4\n").names == ("id", "sample #1", "sample #2")
    assert dtype("chr,pos\na,1 # note\n").names == ("chr", "pos")
    assert dtype("chr pos # of hg19\na 1\n").names == ("chr", "pos")
    assert dtype("chr #reads\na 1\n", comments="#", delimiter="\t").names == ("f0",)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("Country,Code,1960,1961\nAruba,ABW,1.5,2\n", ("Country", "Code", "1960", "1961")),
        (",2001,2002\na,1,2\nb,3,4\n", ("f0", "2001", "2002")),
        ("gene 2001 2002\na 1 2\nb 3 4\n", ("gene", "2001", "2002")),
        ("Name,1960,1970,\nA,1,,\nB,2,,\n", ("Name", "1960", "1970", "f3")),
        ("well 1 2 3\nA 5 5.5 7\nB 1 0 9\n", ("well", "1", "2", "3")),
        (",0,1\n0,0.5,0.6\n1,0.1,2\n", ("f0", "0", "1")),
        (",name,city\n0,Bob,Rome\n1,Al,Oslo\n", ("f0", "name", "city")),
    ],
)
def test_names_may_be_years_or_a_run_of_numbers(text, names):
    options = found(text)
    assert options["skiprows"] == 1
    assert options["dtype"].names == names


@pytest.mark.parametrize(
    "text",
    [
        "1960 1961\n5 6\n",
        "1 2 3\n4 5 6\n",
        "chr1 100 101\nchr1 200 201\n",
        "chrM 100 101\nchr1 200 201\n",
        "chr1 1 + 2 3 CG\nchr1 9 - 0 4 CG\n",
        "a 1 2 3\nb 1 x 3\n",
        ",5,6\n,7,8\n",
        "NA,2001,2002\nb,3,4\n",
    ],
)
def test_numbers_in_the_first_line_are_data(text):
    assert "skiprows" not in found(text)


@pytest.mark.parametrize(
    "text",
    [
        "alice 5 6\nbob 9 3\n",
        "a 1 2 3\nb 4 5 6\nc 9 1 1\n",
        "war1 1914 1918\nwar2 1939 1945\n",
        "a,2001,2005,2010\nx,1,2,3\n",
        "id,value,1960\n1,5.5,3\n2,5,3\n",
    ],
)
def test_first_line_that_may_be_header_or_data_is_an_error(text):
    with pytest.raises(LoadError, match="dtype= if it is data, or skiprows=2 if it is") as caught:
        dtype("# note\n" + text)
    assert caught.value.line == 2


def test_quoted_name_with_a_line_end_is_no_header():
    assert "skiprows" not in found('"a\nb",1\n"c",2\n')


def test_empty_and_repeated_names_become_distinct():
    assert dtype(",x, x ,x_1\na,1,2,3\n").names == ("f0", "x", "x_1", "x_1_1")


def test_comment_above_a_mixed_table_gives_the_names():
    text = "# 2 words\n#chr start end\nchr1\t5\t6\n"
    assert dtype(text).names == ("chr", "start", "end")
    assert "skiprows" not in found(text)


def test_comment_with_another_number_of_words_gives_no_names():
    assert dtype("#chr start\nchr1 5 6\n").names == ("f0", "f1", "f2")


def test_comment_above_numbers_leaves_them_an_array():
    assert dtype("# x y\n1 2\n3 4\n") == np.float64


# Types


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["1", "-5", "+7"], "i8"),
        (["9223372036854775807", "-9223372036854775808"], "i8"),
        (["9223372036854775808", "0"], "u8"),
        (["18446744073709551615", "+1"], "u8"),
        (["18446744073709551616"], "S20"),
        (["9223372036854775808", "-1"], "S19"),
        (["9" * 5000, "1"], "S5000"),
        (["1", "2.5", "1e400", "nan", "inf"], "f8"),
        (["9007199254740993", "nan"], "S16"),  # float64 would make it ...992
        (["9007199254740994", "nan"], "f8"),
        (["1_000"], "S5"),
        (["0x10"], "S4"),
        (["1d5"], "S3"),
        (["abc", "12"], "S3"),
        (["Zürich"], "U6"),
        (["é", "long"], "U4"),
    ],
)
def test_type_of_a_column(values, expected):
    text = "".join(f"7,x,{value}\n" for value in values)
    assert dtype(text)["f2"] == np.dtype(expected)


@given(
    st.lists(
        st.one_of(
            st.text("0123456789+-.eE_xn afi\xa0", max_size=6),
            st.integers().map(str),
            st.floats().map(str),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_numbers_are_what_loadtxt_takes_for_numbers(texts):
    for text in texts:
        if not text.strip():  # a blank line is no row
            continue
        try:
            np.loadtxt([text], delimiter="\t")
        except ValueError:
            assert not is_number(text)
        else:
            assert is_number(text)
    rows = [f"7\tx\t{text}" for text in texts]
    kind = dtype("\n".join(rows), delimiter="\t")["f2"]
    column = np.loadtxt(rows, dtype=kind, delimiter="\t", usecols=2, ndmin=1)
    if kind.kind in "iu":
        assert column.tolist() == [int(text) for text in texts]
    elif kind.kind == "f":
        assert np.array_equal(column, [float(text) for text in texts], equal_nan=True)
    else:
        as_text = column.astype(str) if kind.kind == "S" else column
        assert as_text.tolist() == [text.rstrip("\0") for text in texts]


def test_numbers_only_without_header_are_a_float_array():
    result = inferred("1 2.5\n3 4\n")
    assert result.options["dtype"] == np.float64
    assert result.whole_columns == (0,)


def test_whole_numbers_with_gaps_are_watched():
    assert inferred("x 1\ny nan\n").whole_columns == (1,)
    assert inferred("x 1\ny 2.5\n").whole_columns == ()


def test_numbers_that_a_float_array_would_change_stay_integers():
    assert dtype("1 9007199254740993\n2 3\n") == np.dtype([("f0", "i8"), ("f1", "i8")])


# Widths


def test_width_is_exact_where_all_was_seen():
    assert dtype("abc 1\nabcde 2\n")["f0"] == np.dtype("S5")


@pytest.mark.parametrize(("width", "expected"), [(5, 8), (8, 8), (9, 16)])
def test_width_is_rounded_up_where_a_part_was_seen(width, expected):
    kind = dtype("abc 1\n", spread="a" * width + " 2\n", whole=False)
    assert kind["f0"] == np.dtype(f"S{expected}")


def test_pieces_widen_types():
    kind = dtype("abc 1\nabc 2\n", spread="é 2.5\nbroken\n", whole=False)
    assert kind == np.dtype([("f0", "U8"), ("f1", "f8")])


def test_rows_beyond_max_rows_do_not_count():
    assert dtype("a 1\nb 2\ntotal x\n", max_rows=2) == np.dtype([("f0", "S1"), ("f1", "i8")])
    kind = dtype("a 1\nb 2\n", spread="total x\n", whole=False, max_rows=2)
    assert kind == np.dtype([("f0", "S1"), ("f1", "i8")])


# usecols, converters


def test_usecols_order_names_and_types():
    options = found("chr\tpos\tpct\n" + CALLS, usecols=(-1, 0))
    assert options["dtype"] == np.dtype([("pct", "f8"), ("chr", "S4")])
    assert options["skiprows"] == 1


def test_usecols_of_numbers_are_a_float_array():
    assert dtype(CALLS, usecols=[1, 2]) == np.float64


@pytest.mark.parametrize(
    ("converter", "expected"),
    [
        (lambda s: float(s.rstrip("%")), "f8"),
        (lambda s: s.rstrip("%"), "i8"),
        (lambda s: s + "é", "U4"),
        (lambda s: s == "5%", "?"),
        (
            lambda s: np.datetime64("2020-01-01", "D") + np.timedelta64(int(s.rstrip("%")), "D"),
            "M8[D]",
        ),
        (lambda s: complex(s.rstrip("%")), "c16"),
    ],
)
def test_converters_give_the_type(converter, expected):
    text = "x 5%\ny 10%\n"
    assert dtype(text, converters={1: converter})["f1"] == np.dtype(expected)
    assert dtype(text, converters={-1: converter})["f1"] == np.dtype(expected)
    assert dtype(text, usecols=[1, 0], converters={1: converter})["f0"] == np.dtype(expected)


def test_one_converter_for_all_columns():
    assert dtype("1% 2%\n", converters=lambda s: float(s[:-1])) == np.float64


@pytest.mark.parametrize(
    "converter",
    [lambda s: dt.date(2020, 1, int(s)), lambda s: s if s == "1" else 2.5, lambda _: [1, 2]],
)
def test_converter_without_an_array_type_is_an_error(converter):
    with pytest.raises(LoadError, match="give dtype=") as caught:
        dtype("x 1\ny 2\n", converters={1: converter})
    assert (caught.value.path, caught.value.column) == ("calls.txt", 2)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_converter_that_fails_on_some_cells_is_typed_by_the_others():
    text = "x 1\ny n/a\nz 2\n"
    assert dtype(text, converters={1: float})["f1"] == np.float64


# Nothing to infer from


@pytest.mark.parametrize("text", ["", "\n\n", "# only\n# comments\n", "\r\n"])
def test_no_data_is_float_as_loadtxt_has_it(text):
    assert dtype(text) == np.float64


# Sampling


def test_small_files_are_sampled_whole():
    sample = take_sample(io.BytesIO(b"skipped\na 1\r\nb 2"), 18, 1, "utf-8")
    assert sample == Sample(["a 1\n", "b 2"], [], True)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_large_files_are_sampled_all_over_in_whole_lines(end):
    lines = [f"line {i:06}" for i in range(120_000)]
    data = end.join(lines).encode()
    sample = take_sample(io.BytesIO(data), len(data), 5, "utf-8")
    assert not sample.whole
    assert sample.head[0].rstrip() == lines[5]
    assert set(sample.spread) <= set(lines)
    numbers = [int(line[5:]) for line in sample.spread]
    assert numbers == sorted(numbers)
    assert numbers[-1] >= 119_990
    assert max(np.diff(numbers)) < 5000


def test_head_holds_lines_longer_than_itself():
    row = "1.5," * 60_000 + "1\n"
    data = (row * 8).encode()
    sample = take_sample(io.BytesIO(data), len(data), 0, "utf-8")
    assert sample.head[:3] == [row] * 3
    assert row.rstrip() in sample.spread
