"""Where a table begins, how its lines are split, what its columns are called: or an error."""

import datetime as dt
import pickle

import numpy as np
import pytest
from reading import probe

from shmkit import shared_load
from shmkit.errors import LoadError

CALLS = "chr1\t10469\t87.5\nchr1\t10471\t100\nchrX\t3\t0\n"


@pytest.fixture
def plan(tmp_path):
    def of(text, **options):
        path = tmp_path / "calls.txt"
        path.write_text(text, newline="")
        return probe(path, **options)

    return of


def names(plan):
    """Of the columns; None where there is no header."""
    return tuple(column.name for column in plan.columns) if plan.header else None


def kinds(plan):
    return [dtype.str.lstrip("<|") for dtype in plan.dtypes]


# Delimiter


@pytest.mark.parametrize(
    ("text", "delimiter", "columns"),
    [
        ("a b\t1\nc\t2\n", "\t", 2),
        ("1,5;x\n2,5;y\n", ";", 2),
        ("x,1\ny,2\n", ",", 2),
        ("x|1\ny|2\n", "|", 2),
        ("a 1\n  b   2\n", None, 2),
        ("1,5 x,1\n2 y\n", None, 2),
        ("word\nother\n", "\n", 1),
        ("2020-01-01 12:00,5\n2020-01-02 12:00,6\n", ",", 2),
        ("a,b\tc\nd\te\n", "\t", 2),
        ("when\n2020-01-01 12:00\n2020-01-02 12:00:05.5\n", "\n", 1),
        ("2020-01-01 12:00 5\n2020-01-02 12:00 6\n", None, 3),
        ("a,1\nb,2\nc\nd,4\n", ",", 2),
        ("sep=;\na;b\n1,5;2\n", ";", 2),
        ('"a, b",1\n"c",2\n', ",", 2),
        ('"a""b",1\n', ",", 2),
        ('5" pipe,1\n6" pipe,2\n', ",", 2),
        ('x, y, note\n1, 2, "a,b"\n3, 4, "c"\n', ",", 3),
    ],
)
def test_delimiter_is_the_first_that_splits_all_lines_alike(plan, text, delimiter, columns):
    found = plan(text)
    assert found.dialect.delimiter == delimiter
    assert len(found.columns) == columns


def test_delimiter_given_is_kept(plan):
    found = plan("1,2 a\n3,4 b\n", delimiter=None)
    assert kinds(found) == ["S3", "S1"]
    assert plan("1,2 a\n3,4 b\n", delimiter=",").fields == 2


@pytest.mark.parametrize(
    ("text", "options", "kinds_found"),
    [
        ("a;b\n1,5;2\n", {}, ["f8", "i8"]),
        ("a;b\n1,5;2\n", {"decimal": "."}, ["S3", "i8"]),
        ("a\tb\n1,5\t2\n", {}, ["S3", "i8"]),
        ("a\tb\n1,5\t2\n", {"decimal": ","}, ["f8", "i8"]),
    ],
)
def test_decimal_comma_of_semicolon_files(plan, text, options, kinds_found):
    assert kinds(plan(text, **options)) == kinds_found


# Header


@pytest.mark.parametrize(
    ("text", "options", "expected", "lines"),
    [
        ("# made by hand\n\nchr\tpos\tpct\n" + CALLS, {}, ("chr", "pos", "pct"), 3),
        ("junk\nmore\na b\n1 2\n", {"skiprows": 2}, ("a", "b"), 3),
        ("x,y\n1,2.5\n", {}, ("x", "y"), 1),
        ("when,st\n2024-01-01,a\n2024-01-02,b\n", {}, ("when", "st"), 1),
        ("ok,st\ntrue,a\nfalse,b\n", {}, ("ok", "st"), 1),
        ("gene\tvalue\na\t1\nb\tNA\nc\t3\n", {}, ("gene", "value"), 1),
        ('"pos" "pct"\n"r1" 1 0.5\n"r2" 2 1\n', {}, ("row", "pos", "pct"), 1),
        ("a,b\nx,1,2\ny,3,4\n", {}, ("row", "a", "b"), 1),
        ('a,b\n"1",1,2\n"2",3,4\n', {}, ("row", "a", "b"), 1),
        ("a,b\n1,2,\n3,4,\n", {}, ("a", "b", "f2"), 1),
        ("a,b,\n1,2\n3,4\n5,6\n", {}, ("a", "b"), 1),
        ("chr pos #reads\na 1 2\nb 3 4\n", {}, ("chr", "pos", "#reads"), 1),
        ("id,sample #1,sample #2\na,1,2\nb,3,4\n", {}, ("id", "sample #1", "sample #2"), 1),
        ("Country,Code,1960,1961\nAruba,ABW,1.5,2\n", {}, ("Country", "Code", "1960", "1961"), 1),
        (",2001,2002\na,1,2\nb,3,4\n", {}, ("f0", "2001", "2002"), 1),
        ("gene 2001 2002\na 1 2\nb 3 4\n", {}, ("gene", "2001", "2002"), 1),
        (
            "gene,1990,1995,2010\na,1,2,3\nb,3,4,5\n",
            {"header": True},
            ("gene", "1990", "1995", "2010"),
            1,
        ),
        ("Name,1960,1970,\nA,1,,\nB,2,,\n", {}, ("Name", "1960", "1970", "f3"), 1),
        ("well 1 2 3\nA 5 5.5 7\nB 1 0 9\n", {}, ("well", "1", "2", "3"), 1),
        (
            "gene,0,15,30,60\nA,1.5,2.5,3.5,4.5\nB,5.5,6.5,7.5,8.5\n",
            {},
            ("gene", "0", "15", "30", "60"),
            1,
        ),
        (",0,1\n0,0.5,0.6\n1,0.1,2\n", {}, ("f0", "0", "1"), 1),
        (",name,city\n0,Bob,Rome\n1,Al,Oslo\n", {}, ("f0", "name", "city"), 1),
        (",a,b,a\n0,1.5,2.5,3.5\n1,4.5,5.5,6.5\n", {}, ("f0", "a", "b", "a_1"), 1),
        (",type,tp,na\n0,x,4,0.96\n1,y,43,0.85\n", {}, ("f0", "type", "tp", "na"), 1),
        ("ids,labels\nCoffee,Coffee Flavors\nTea,Tea Flavors\n", {}, ("ids", "labels"), 1),
        ("gene,chrom\nTP53,chr17\nBRCA1,chr17\n", {}, ("gene", "chrom"), 1),
        ("agency\tsite\tval\n5s\t15s\t8n\nUSGS\t01\t2.5\n", {}, ("agency", "site", "val"), 2),
        ("t,p\ns,hPa\n1,2\n3,4\n", {"units": True}, ("t", "p"), 2),
        ("a,b\n", {}, ("a", "b"), 1),
        (",x, x ,x_1\na,1,2,3\n", {}, ("f0", "x", "x_1", "x_1_1"), 1),
        ("x 1\ny 2\n", {"header": True}, ("x", "1"), 1),
        ("x 1\ny 2\n", {"header": ["a", "b"]}, ("a", "b"), 0),
        ("a,b\n1,2\n", {"header": ["p", "q"], "skiprows": 1}, ("p", "q"), 1),
    ],
)
def test_header_gives_the_names_and_is_no_row(plan, text, options, expected, lines):
    found = plan(text, **options)
    assert names(found) == expected
    assert found.lines == lines


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("x 1\ny 2\n", {}),
        ("chr1 NA\nchr1 5\nchr2 6\n", {}),
        ("x,y\n1,2\n", {"header": False}),
        ("1960 1961\n5 6\n", {}),
        ("1 2 3\n4 5 6\n", {}),
        ("chr1 100 101\nchr1 200 201\n", {}),
        ("chrM 100 101\nchr1 200 201\n", {}),
        ("chr1 1 + 2 3 CG\nchr1 9 - 0 4 CG\n", {}),
        ("a 1 2 3\nb 1 x 3\n", {}),
        (",5,6\n,7,8\n", {}),
        ("NA,2001,2002\nb,3,4\n", {}),
        ("2020-01-01,<0.5\n2020-01-02,1.2\n2020-01-03,1.4\n", {}),
        ('"100,000.00"\n300000.20\n5\n', {}),
        ("oslo,Norge\nRome,Italy\nParis,France\n", {}),
        ("x,1\n", {}),
        ('"a\nb",1\n"c",2\n', {}),
    ],
)
def test_a_row_of_data_is_not_lost_as_names(plan, text, options):
    assert names(plan(text, **options)) is None


@pytest.mark.parametrize(
    "text",
    [
        "alice 5 6\nbob 9 3\n",
        "a 1 2 3\nb 4 5 6\nc 9 1 1\n",
        "war1 1914 1918\nwar2 1939 1945\n",
        "a,2001,2005,2010\nx,1,2,3\n",
        "id,value,1960\n1,5.5,3\n2,5,3\n",
        "gene,0,15,30,60\nA,1,4,9,2\nB,5,6,7,8\n",
        "id\tts\tprice\tvol\n1\t174873\t0.68\t239.6\tsell\n2\t174874\t0.69\t106.0\tbuy\n",
        "wert\n1,5\n2,5\n",
        "a;b\n1;2;3\n4;5;6\n",
        "r,0-1,1-2,6+\nN,0.5,1.6,0.9\nNE,0.6,1.8,0.1\n",
    ],
)
def test_what_cannot_be_told_is_an_error_that_offers_both(plan, text):
    with pytest.raises(LoadError, match="header=True if it names them, or header=False") as caught:
        plan("# note\n" + text)
    assert caught.value.line == 2


def test_texts_that_repeat_below_tell_the_names_of_a_table_of_text(plan):
    days = [f"Jane Doe,{i}/1/2023,Ohio,Rally\nBo Li,{i}/2/2023,Iowa,Rally\n" for i in range(20)]
    header = "Candidate name,Start,State,Purpose\n"
    assert names(plan(header + "".join(days))) == ("Candidate name", "Start", "State", "Purpose")
    assert names(plan(header.replace("State", "Ohio") + "".join(days))) is None
    unlike = "".join(f"Jane{i},Doe{i}\n" for i in range(40))
    assert names(plan("Adam1,Smith1\n" + unlike)) is None


def test_a_row_that_begins_as_a_comment_is_a_row(tmp_path):
    path = tmp_path / "songs.csv"
    path.write_text("song,by,year\nImagine,John Lennon,1971\n#9 Dream,John Lennon,1974\n")
    with shared_load(path, progress=False) as (table,):
        assert table["song"].tolist() == ["Imagine", "#9 Dream"]
    path.write_text("# made by me, twice\nImagine,John Lennon,1971\n# end\nHelp,B,1965\n")
    with shared_load(path, progress=False) as (table,):
        assert table["f2"].tolist() == [1971, 1965]


def test_header_of_another_width_is_named_with_what_reads_it(plan):
    with pytest.raises(LoadError, match=r"2 names, .* 4 fields; give skiprows=1 and header=\["):
        plan("a,b\n1,2,3,4\n5,6,7,8\n", header=True)
    with pytest.raises(LoadError, match="header= has 3 names, and the lines have 2 fields"):
        plan("1,2\n", header=["a", "b", "c"])


def test_comment_above_a_table_gives_the_names(plan):
    found = plan("# 2 words\n#chr start end\nchr1\t5\t6\n")
    assert [column.name for column in found.columns] == ["chr", "start", "end"]
    found = plan("#chr start\nchr1 5 6\n")
    assert [column.name for column in found.columns] == ["f0", "f1", "f2"]
    assert plan("# x y\n1 2\n3 4\n").form == "matrix"


# Preamble


EPW = "LOCATION,Denver,CO\nDESIGN,1\nDATA PERIODS,1,1\n"


@pytest.mark.parametrize(
    ("preamble", "lines"),
    [
        (EPW, 4),
        ("Instrument 7\nserial: 12\n\n", 4),
        ("Station report, 2024\nmade by hand\n", 3),
    ],
)
def test_preamble_is_found_where_the_table_is_plain_behind_it(plan, preamble, lines):
    rows = "".join(f"2024-01-0{i},{i}.5,a,{i}\n" for i in range(1, 9))
    found = plan(preamble + "when,x,y,n\n" + rows)
    assert names(found) == ("when", "x", "y", "n")
    assert found.lines == lines
    assert kinds(found) == ["M8[D]", "f8", "S1", "i8"]


TIMES = "".join(f"2024-01-0{i},{i}.5,{i}\n" for i in range(1, 9))


@pytest.mark.parametrize(
    ("preamble", "rows", "options"),
    [
        ("Station 7\nserial,12\n", "when,x,n\n" + TIMES + "total\n" + TIMES, {}),
        ("Station 7\nserial,12\n", TIMES + "total\n", {"header": ["when", "x", "n"]}),
        ("Station,7,north\nserial,12,9\n", "when,x,n\n" + TIMES, {}),  # as wide as the table
        ("Oslo,north,roof\nJane,Doe,Esq\n", "when,x,n\n" + TIMES, {}),
        ("Oslo,north\nmade,by,hand\n", "when,x,n\n" + TIMES, {}),  # the first may be R's header
    ],
)
def test_where_a_table_begins_is_named_with_the_skiprows_that_reads_it(
    plan, preamble, rows, options
):
    with pytest.raises(LoadError, match="seems to begin here; give skiprows=2 if") as caught:
        plan(preamble + rows, **options)
    assert caught.value.line == 3
    found = plan(preamble + rows, skiprows=2, **options)
    assert names(found) == ("when", "x", "n")
    assert found.lines == 2 + (not options)


def test_a_header_is_taken_at_its_word_whatever_seems(plan):
    text = "Oslo,north,roof\nJane,Doe,Esq\nwhen,x,n\n" + TIMES
    found = plan(text, header=True)
    assert names(found) == ("Oslo", "north", "roof")
    assert kinds(found) == ["S10", "S3", "S3"]
    assert names(plan(text, usecols=["roof"])) == ("roof",)


@pytest.mark.parametrize(
    "text",
    [
        "id,temp\n1,2.5\ntrace,trace\n" + "2,4\n" * 9,
        "t,p\ns,hPa\n" + "2,4\n" * 9,  # units, as it may be
        "gene,score\nTP53,1\nBRCA1,NA\n" + "X,3\n" * 9,
        "a,b\n" + "x,y\n" * 9,
    ],
)
def test_words_among_the_rows_are_no_later_begin(plan, text):
    assert plan(text).lines <= 1


def test_lines_of_the_genome_browser_are_none(plan):
    found = plan("browser hide all\ntrack type=bedGraph\nchr1\t0\t9\t0.5\nchr1\t9\t20\t1\n")
    assert (found.lines, kinds(found)) == (2, ["S4", "i8", "i8", "f8"])


# Which columns


def test_columns_are_chosen_by_name_or_number(plan):
    text = "chr\tpos\tpct\n" + CALLS
    for usecols in (["pct", "chr"], [-1, 0], ["pct", 0]):
        found = plan(text, usecols=usecols)
        assert names(found) == ("pct", "chr")
        assert kinds(found) == ["f8", "S4"]
    assert names(plan(text, usecols="pos")) == ("pos",)
    assert plan(CALLS, usecols=[1, 2]).form == "matrix"


@pytest.mark.parametrize(
    "options",
    [
        {"usecols": ["pcf"]},
        {"dtype": {"pcf": "f4"}},
        {"missing": {"pcf": ["."]}},
        {"converters": {"pcf": float}},
        {"categories": ["pcf"]},
    ],
)
def test_a_name_that_is_not_there_is_an_error_with_those_that_are(plan, options):
    with pytest.raises(LoadError, match="'pcf', which is none of its columns: 'chr', 'pos', 'pct'"):
        plan("chr\tpos\tpct\n" + CALLS, **options)


def test_a_number_that_is_not_there_is_an_error(plan):
    with pytest.raises(LoadError, match="usecols= has column 3, and the lines have 3 fields"):
        plan(CALLS, usecols=[3])


# Types


@pytest.mark.parametrize(
    ("converter", "expected"),
    [
        (lambda s: float(s.rstrip("%")), "f8"),
        (lambda s: int(s.rstrip("%")), "i8"),
        (lambda s: s == "5%", "b1"),
        (lambda _: np.datetime64("2020-01-01", "D"), "M8[D]"),
        (lambda s: complex(s.rstrip("%")), "c16"),
    ],
)
def test_converters_give_the_type(plan, converter, expected):
    text = "a,p\nx,5%\ny,10%\n"
    for key in ("p", 1, -1):
        assert kinds(plan(text, converters={key: converter}))[1] == expected


@pytest.mark.parametrize(
    "converter",
    [lambda s: dt.date(2020, 1, int(s)), lambda s: s if s == "1" else None, lambda _: [1, 2]],
)
def test_converter_without_an_array_type_is_an_error(plan, converter):
    with pytest.raises(LoadError, match="not one type of number") as caught:
        plan("x 1\ny 2\n", converters={1: converter})
    assert caught.value.column == 2
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


@pytest.mark.parametrize("text", ["", "\n\n", "# only\n# comments\n", "\r\n"])
def test_no_data_is_an_empty_array_as_loadtxt_has_it(plan, text):
    assert (plan(text).dtype, plan(text).shape) == (np.float64, (0,))
    with pytest.raises(LoadError, match="no line of a table"):
        plan(text, layout="columns")


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("1 2.5\n3 4\n", "matrix"),
        ("1 NA\n3 4\n", "matrix"),
        ("1 9007199254740993\n2 3\n", "columns"),  # which float64 would change
        ("01 2\n03 4\n", "columns"),
        ("x y\n1 2\n", "columns"),
        ("a 1\nb 2\n", "columns"),
        ("true 1\nfalse 2\n", "columns"),
    ],
)
def test_numbers_without_a_header_are_a_matrix(plan, text, form):
    assert plan(text).form == form
    assert plan(text, layout="columns").form == "columns"
    assert plan(text, layout="rows").form == "rows"


def test_text_is_as_wide_as_the_widest_and_a_little_more_where_not_all_was_seen(plan):
    assert kinds(plan("abc 1\nabcde 2\n"))[0] == "S5"
    assert kinds(plan("abc 1\n" * 300_000 + "abcde 2\n"))[0] == "S8"


def test_rows_beyond_max_rows_do_not_count(plan):
    assert kinds(plan("a 1\nb 2\ntotal x\n", max_rows=2)) == ["S1", "i8"]
