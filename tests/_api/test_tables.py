"""Tables from end to end: files as people have them, by real loader processes."""

import bz2
import datetime as dt
import gzip
import io
import warnings

import numpy as np
import pytest

from shmkit import LoadError, SharedArray, SharedTable, shared_load
from shmkit._format import count_text

LARGE = 17 << 20  # bytes from which on a file is read in parts


@pytest.fixture
def file(tmp_path):
    def write(content, name="stations.csv"):
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return str(path)

    return write


def load(files, **options):
    return shared_load(files, progress=False, **options)


def table_of(path, **options):
    """The one table of a file, closed but held."""
    with load(path, layout="columns", **options) as (table,):
        return table


def lists(table):
    """The columns as lists, NaN and NaT as None."""
    return {
        name: [None if value != value else value for value in table[name].tolist()]  # noqa: PLR0124
        for name in table
    }


def kinds(table):
    return {name: dtype.str.lstrip("<|") for name, dtype in table.dtypes.items()}


def refused(path, **options):
    with pytest.raises(LoadError) as caught:
        load(path, layout="columns", **options)
    assert caught.value.path == path
    return caught.value


# ---- what a table is ----


def test_columns_have_names_types_and_values(file):
    table = table_of(
        file("when,station,temp,n,dry\n2024-03-01 12:00,Oslo,1.5,3,true\n2024-03-02,Ås,,4,False\n")
    )
    assert type(table) is SharedTable
    assert type(table["temp"]) is SharedArray
    assert table["n"].flags.c_contiguous
    assert kinds(table) == {"when": "M8[s]", "station": "U4", "temp": "f8", "n": "i8", "dry": "b1"}
    assert lists(table)["station"] == ["Oslo", "Ås"]
    assert lists(table)["temp"] == [1.5, None]
    assert lists(table)["dry"] == [True, False]
    assert (table["station"] == "Ås").tolist() == [False, True]
    assert str(table["when"][1]) == "2024-03-02T00:00:00"
    assert table.missing["temp"] == 1


@pytest.mark.slow
@pytest.mark.parametrize("quoted", [False, True])
@pytest.mark.parametrize("processes", [1, 2])
def test_a_large_file_is_read_in_parts(file, quoted, processes):
    rows, quote = 800_000, '"' if quoted else ""
    note = '"a, ""b""\nc"' if quoted else "abc"
    line = f"{quote}%d{quote},{quote}%.2f{quote},{note},{quote}st%d{quote}\n"
    text = "id,x,note,station\n" + "".join(line % (i, i / 8, i % 977) for i in range(rows))
    assert len(text) > LARGE
    with load(file(text), layout="columns", processes=processes) as (table,):
        assert len(table) == rows
        assert np.array_equal(table["id"], np.arange(rows))
        assert np.array_equal(table["x"], np.round(np.arange(rows) / 8, 2))
        assert set(table["note"][::1000].tolist()) == {'a, "b"\nc' if quoted else "abc"}
        assert table["station"][-1] == f"st{(rows - 1) % 977}"


@pytest.mark.parametrize("short", [10, 200_000, 1_200_000])  # rows; the last are not foreseen
def test_the_last_part_of_a_large_matrix_has_as_many_rows_as_come(file, short):
    long, line = 150_000, " ".join(["1.000000000000000000e+00"] * 5)
    text = f"{line}\n" * long + "2 3 4 5 6\n" * short
    with load(file(text + "\n7 8 9 10 11"), processes=2) as (matrix,):
        assert matrix.shape == (long + short + 1, 5)
        assert (matrix[:long] == 1).all()
        assert (matrix[long:-1] == [2, 3, 4, 5, 6]).all()
        assert matrix[-1].tolist() == [7, 8, 9, 10, 11]
    error = refused(file(text + "\n7 8 9\n"), processes=2)
    assert error.line == long + short + 2


def test_parts_with_blank_lines_and_comments_are_closed_up(file):
    rows = 900_000
    text = "id,x\n" + "".join(
        f"{i},{i}.5\n" + ("\n" if i % 7 == 0 else "") + ("# note\n" if i % 1001 == 0 else "")
        for i in range(rows)
    )
    text += "# end\n" * ((LARGE - len(text)) // 6 + 1 if len(text) < LARGE else 1)
    table = table_of(file(text))
    assert np.array_equal(table["id"], np.arange(rows))
    assert np.array_equal(table["x"], np.arange(rows) + 0.5)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("last", [True, False])
def test_line_ends(file, end, last):
    text = end.join(["a,b", "1,x", "", "2,y"]) + (end if last else "")
    assert lists(table_of(file(text))) == {"a": [1, 2], "b": ["x", "y"]}


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress])
def test_compressed_tables(file, compress):
    rows = 200_000
    text = "id,name\n" + "".join(f"{i},n{i % 31}\n" for i in range(rows))
    table = table_of(file(compress(text.encode()), "stations.csv.gz"))
    assert np.array_equal(table["id"], np.arange(rows))
    assert table["name"][:2].tolist() == ["n0", "n1"]


def test_rows_of_a_compressed_table_may_be_many_more_than_estimated(file):
    digits = np.random.default_rng(1).integers(10**17, 10**18, 100_000)
    rows = [*digits.tolist(), *[7] * 1_000_000]
    table = table_of(file(gzip.compress(("n\n" + "\n".join(map(str, rows))).encode(), 1)))
    assert table["n"].tolist() == rows


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16", "cp1252", "utf-8-sig"])
def test_encodings(file, encoding):
    path = file("stadt,n\nKöln,1\nÅs,2\n".encode(encoding))
    options = {} if encoding == "utf-8-sig" else {"encoding": encoding}
    assert lists(table_of(path, **options)) == {"stadt": ["Köln", "Ås"], "n": [1, 2]}


# ---- guesses that are belied ----


@pytest.mark.slow
@pytest.mark.parametrize(
    ("usual", "odd", "kind"),
    [
        ("7", "2.5", "f8"),
        ("7", "NA", "f8"),
        ("7", "-", "f8"),
        ("7", "", "f8"),
        ("7", "abc", "U8"),
        ("7", "007", "U8"),
        ("7", str(2**63), "u8"),
        ("7", "9" * 30, "U32"),
        ("7.5", "<0.5", "U8"),
        ("2024-03-01", "2024-03-01 12:00:05.25", "M8[ms]"),
        ("2024-03-01", "", "M8[D]"),
        ("2024-03-01", "soon", "U16"),
        ("true", "FALSE", "b1"),
        ("true", "maybe", "U8"),
        ("ab", "a longer one", "U16"),
        ("ab", "é", "U8"),
    ],
)
@pytest.mark.parametrize("where", [0, 0.3, 1])
def test_types_are_the_same_wherever_the_odd_value_stands(file, usual, odd, kind, where):
    line = f"1,{'a' * 28},{usual}\n"
    rows = LARGE // len(line)
    at = min(int(where * rows) + 777, rows - 1)
    text = "id,pad,x\n" + line * at + f"2,{'a' * 28},{odd}\n" + line * (rows - at - 1)
    table = table_of(file(text))
    assert kinds(table)["x"] == kind
    assert len(table) == rows
    assert np.flatnonzero(table["id"] != 1).tolist() == [at]
    if kind.startswith("U"):
        assert table["x"][at] == odd
        assert table["x"][at - 1] == usual


def test_files_of_a_load_have_the_same_types(tmp_path):
    for n, value in enumerate(["1", "2.5", "3", "NA", "4"]):
        (tmp_path / f"{n}.csv").write_text(f"id,x\n{n},{value}\n")
    with load(tmp_path / "*.csv", layout="columns") as tables:
        assert {table["x"].dtype.str for table in tables} == {"<f8"}
        assert [table["x"].tolist()[0] for table in tables][:3] == [1, 2.5, 3]
    (tmp_path / "9.csv").write_text("id,x\n9,word\n")
    with load(tmp_path / "*.csv", layout="columns") as tables:
        found = [text for table in tables for text in table["x"].tolist()]
        assert found == ["1", "2.5", "3", "NA", "4", "word"]


def test_files_that_differ_keep_their_own_columns(tmp_path):
    (tmp_path / "a.csv").write_text("id,x\n1,2\n")
    (tmp_path / "b.csv").write_text("id;y\n1;2,5\n")
    (tmp_path / "c.csv").write_text("1,2\n3,4\n")
    (tmp_path / "d.csv").write_text("id,x\n1,word\n")
    with load(tmp_path / "*.csv", layout="columns") as (a, b, c, d):
        assert lists(a) == {"id": [1], "x": ["2"]}
        assert lists(b) == {"id": [1], "y": [2.5]}
        assert lists(c) == {"f0": [1, 3], "f1": [2, 4]}
        assert lists(d) == {"id": [1], "x": ["word"]}


# ---- missing values, words among numbers ----

WORDS = ["", "NA", "N/A", "NaN", "nan", "null", "NULL", "None"]


@pytest.mark.parametrize("word", [*WORDS, ".", "-", "?", "*", "***"])
def test_words_that_mean_missing_in_numbers(file, word):
    table = table_of(file(f"id,x,n,st\n1,1.5,3,a\n2,{word},{word},b\n"))
    assert kinds(table) == {"id": "i8", "x": "f8", "n": "f8", "st": "U1"}
    assert lists(table)["x"] == [1.5, None]
    assert lists(table)["n"] == [3, None]
    assert table.missing == {"id": 0, "x": 1, "n": 1, "st": 0}
    assert "missing: 1 in 'x', 1 in 'n'" in repr(table)
    assert "missing: 1 in &#x27;x&#x27;" in table._repr_html_()


@pytest.mark.parametrize("word", WORDS)
def test_words_that_mean_missing_in_times(file, word):
    table = table_of(file(f"when,x\n2024-03-01T12:00:05Z,1\n{word},2\n"))
    assert kinds(table)["when"] == "M8[s]"
    assert np.isnat(table["when"]).tolist() == [False, True]


def test_text_loses_no_word(file):
    words = ["NA", "", "null", ".", "Namibia"]
    table = table_of(file("id,country\n" + "".join(f"{i},{w}\n" for i, w in enumerate(words))))
    assert table["country"].tolist() == words


def test_whole_numbers_that_float64_would_change_stay_text_beside_missing_ones(file):
    table = table_of(file(f"id,n\n1,{2**53 + 1}\n2,\n"))
    assert table["n"].tolist() == [str(2**53 + 1), ""]


@pytest.mark.parametrize(
    ("missing", "found"),
    [
        ([-9999, "ND"], [1.5, None, None, -1]),
        ("ND", [1.5, -9999, None, -1]),
        ({"x": ["ND", -9999]}, [1.5, None, None, -1]),
        ({"x": ["ND", "-1.0"], "y": ["5"]}, [1.5, -9999, None, None]),
    ],
)
def test_words_may_be_given_for_all_columns_or_one(file, missing, found):
    table = table_of(file("x,y\n1.5,1\n-9999,2\nND,3\n-1,5\n"), missing=missing)
    assert lists(table)["x"] == found
    assert lists(table)["y"][3] == (None if "y" in missing else 5)


@pytest.mark.parametrize(
    ("missing", "x", "y"),
    [
        ({"ND", ""}, ["2.5", "ND", "", "-", "-9999"], ["NA", "3"]),
        ({"ND", "", "-", "-9999"}, [2.5, None, None, None, None], ["NA", "3"]),
        ({"x": {"ND", "", "-", -9999}}, [2.5, None, None, None, None], [None, 3]),
        ({"x": {"ND", "-"}}, ["2.5", "ND", "", "-", "-9999"], [None, 3]),
        (frozenset(), ["2.5", "ND", "", "-", "-9999"], ["NA", "3"]),
    ],
)
def test_a_set_of_words_replaces_the_usual_ones(file, missing, x, y):
    path = file("x,y\n2.5,NA\nND,3\n,4\n-,5\n-9999,6\n")
    table = table_of(path, missing=missing)
    assert lists(table)["x"] == x
    assert lists(table)["y"][:2] == y


@pytest.mark.parametrize("usual", ["7", "2.5", "2024-03-01"])
@pytest.mark.parametrize("rows", [3, 300_000])
def test_an_empty_field_that_is_not_missing_makes_text(file, usual, rows):
    path = file("id,x\n" + f"1,{usual}\n" * rows + "2,\n" + f"1,{usual}\n" * rows)
    table = table_of(path, missing={"x": {"ND"}})
    assert table["x"][rows - 1 : rows + 1].tolist() == [usual, ""]
    line = count_text(rows + 2)
    assert f"'x' is text: '' in line {line}; missing={{'x': {{'ND', ''}}}}" in repr(table)


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ("id,temp\n1,2.5\n2,<0.5\n3,4\n", "'temp' is text: '<0.5' in line 3; missing="),
        ('id,temp\n1,2.5\n2,"1,234"\n3,4\n', "'temp' is text: '\"1,234\"' in line 3"),
        ("id,fips\n1,01001\n2,06037\n", "'fips' is text: '01001' in line 2 begins with a zero"),
        (
            "t,p\ns,hPa\n1,2\n3,4\n",
            "units=True if that line has units, skiprows=1 if it has names",
        ),
    ],
)
def test_a_note_says_what_made_text_of_numbers(file, text, note):
    with load(file(text)) as (table,):
        assert note in repr(table)
        assert all(column.dtype.kind == "U" for column in [table[table.columns[-1]]])


def test_what_the_note_says_to_give_works(file):
    path = file("id,temp\n1,2.5\n2,<0.5\n3,4\n")
    assert lists(table_of(path, missing={"temp": ["<0.5"]}))["temp"] == [2.5, None, 4]
    path = file("id,temp\n1,2.5\n2,<0.5\n3,ND\n")
    assert "missing={'temp': ['ND', '<0.5']} has it" in repr(table_of(path, missing=["ND"]))
    assert lists(table_of(path, missing={"temp": ["ND", "<0.5"]}))["temp"] == [2.5, None, None]
    path = file("id,fips\n1,01001\n2,06037\n")
    assert lists(table_of(path, dtype={"fips": int}))["fips"] == [1001, 6037]
    path = file("t,p\ns,hPa\n1,2\n3,4\n")
    assert lists(table_of(path, units=True)) == {"t": [1, 3], "p": [2, 4]}


def test_a_value_that_belies_a_type_is_told_with_its_line(file):
    line = "1,aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n"
    rows = LARGE // len(line)
    text = "n,pad\n" + line * 5000 + "2.5,b\n" + line * rows
    assert "'n' is float64: '2.5' in line 5\u202f002" in repr(table_of(file(text)))


# ---- what is said ----


def test_types_of_some_columns_may_be_given(file):
    path = file("id,x,when,n,st\n01,1.5,2024-03-01,300,12\n02,NA,2024-03-02,7,13\n")
    given = {"id": int, "x": "f4", "when": "datetime64[ms]", 3: "u2", "st": str}
    table = table_of(path, dtype=given)
    assert kinds(table) == {"id": "i8", "x": "f4", "when": "M8[ms]", "n": "u2", "st": "U2"}
    assert lists(table)["x"] == [1.5, None]
    error = refused(path, dtype={"n": "u1"})
    assert (error.line, error.column) == (2, 4)
    assert "'300' is not a uint8 (column 'n'); give dtype={'n': str}" in error.reason


@pytest.mark.parametrize(
    ("dtype", "reason"),
    [
        ({"x": float}, "missing={'x': ['ND']} if it means missing, or dtype={'x': str}"),
        (
            {"x": int},
            "dtype={'x': float}, missing={'x': ['ND']} if it means missing, or dtype={'x': str}",
        ),
        ({"x": "datetime64[s]"}, "missing={'x': ['ND']} if it means missing"),
        ({"x": "S1"}, "takes 2 bytes, more than |S1 holds (column 'x'); give dtype={'x': str}"),
    ],
)
def test_what_does_not_fit_a_given_type_names_what_to_give(file, dtype, reason):
    error = refused(file("id,x\n1,ND\n"), dtype=dtype)
    assert (error.line, error.column) == (2, 2)
    assert reason in error.reason


def test_converters_read_columns_by_name(file):
    path = file("id,p,st\n1,5%,a\n2,10%,b\n")
    table = table_of(path, converters={"p": lambda text: float(text.rstrip("%"))})
    assert lists(table)["p"] == [5, 10]
    table = table_of(path, converters={"st": str.upper}, usecols=["st", "id"])
    assert lists(table) == {"st": ["A", "B"], "id": [1, 2]}
    later = "".join(f"{i},{i}%,a\n" for i in range(2000)) + "1,2.5%,a\n"
    widened = table_of(file("id,p,st\n" + later), converters={"p": lambda s: float(s[:-1])})
    assert widened["p"][-1] == 2.5
    numbers = table_of(
        file("id,p,st\n" + later),
        converters={"p": lambda s: float(s[:-1]) if "." in s else int(s[:-1])},
    )
    assert (numbers["p"].dtype, numbers["p"][-1]) == (np.float64, 2.5)


@pytest.mark.parametrize(
    ("dtype", "convert", "values"),
    [
        ("datetime64[s]", lambda s: dt.datetime.strptime(s, "%d/%m/%Y"), ["2024-02-01", "NaT"]),  # noqa: DTZ007
        ("datetime64[D]", lambda s: "-".join(s.split("/")[::-1]), ["2024-02-01", "NaT"]),
        ("f4", lambda s: s[:2], ["1.0", "nan"]),
        ("u1", lambda s: int(s[:2]), ["1", "7"]),
        ("bool", lambda s: s[0] == "0", ["True", "False"]),
        (str, lambda s: s[:2], ["01", "7"]),
    ],
)
def test_a_converter_gives_the_type_that_is_said(file, dtype, convert, values):
    path = file("when,n\n01/02/2024,1\n" + ("7,2\n" if dtype in ("u1", "bool", str) else ",2\n"))
    table = table_of(
        path,
        dtype={"when": dtype},
        converters={"when": lambda s: convert(s) if s else None},
    )
    assert [str(value) for value in table["when"].tolist()] == values or [
        str(value)[:10] for value in np.asarray(table["when"])
    ] == values
    if dtype is not str:
        assert table["when"].dtype == np.dtype(dtype)


@pytest.mark.parametrize(
    ("dtype", "convert"),
    [("u1", lambda _: 300), ("i4", lambda _: 2.5), ("datetime64[s]", lambda _: "x"), ("bool", int)],
)
def test_what_a_converter_gives_that_is_not_of_the_type_said_is_an_error(file, dtype, convert):
    error = refused(
        file("x,n\n7x,1\n"), dtype={"x": dtype}, converters={"x": lambda s: convert(s[0])}
    )
    assert error.column == 1
    assert f"what the converter of 'x' gives is no {np.dtype(dtype)}" in error.reason


def test_fixed_widths(file):
    path = file("when      st  temp\n2024-03-01Oslo 1.5\n2024-03-02Rom    -\n")
    for widths in ([10, 4, 5], [slice(0, 10), slice(10, 14), slice(14, None)]):
        table = table_of(path, widths=widths)
        assert kinds(table) == {"when": "M8[D]", "st": "U4", "temp": "f8"}
        assert lists(table)["temp"] == [1.5, None]
        assert lists(table)["st"] == ["Oslo", "Rom"]


def test_comments_anywhere_where_they_are_given(file):
    path = file('#a\n1 2 # x\n  # gene x\n3 4# y\n"a # b" 6 ## z\n7 8 #\n')
    assert lists(table_of(path, comments="#"))["f0"] == ["1", "3", "a # b", "7"]
    assert lists(table_of(path, comments="#"))["f1"] == [2, 4, 6, 8]
    path = file("id,colour\n1,#ff0000\n2,gene #3\n% end,\n")
    assert lists(table_of(path, comments="%"))["colour"] == ["#ff0000", "gene #3"]
    error = refused(file("a,b\n1,2\n3,4 # x, y\n"))
    assert "comments='#' if a comment begins there" in error.reason


def test_skiprows_and_max_rows(file):
    path = file("made by x\n\na,b\n1,x\n2,y\n3,z\n")
    assert lists(table_of(path, skiprows=2, max_rows=2)) == {"a": [1, 2], "b": ["x", "y"]}
    assert lists(table_of(path, skiprows=3, header=False, usecols=[0])) == {"f0": [1, 2, 3]}


@pytest.mark.slow
@pytest.mark.parametrize(
    "part", [(0, 3), (2, 5), (3, None), (4, 100), (9, 12), (5, 2), (None, None), (1_500, 100_002)]
)
@pytest.mark.parametrize("rows", [6, 200_000])
def test_select_takes_rows(file, part, rows):
    values = ["" if i == 1 else str(i / 2) for i in range(rows)]
    text = "n,x,st\n" + "".join(f"{i},{x},s{i % 3}\n\n" for i, x in enumerate(values))
    for content, name in ((text, "a.csv"), (gzip.compress(text.encode()), "a.csv.gz")):
        table = table_of(file(content, name), select=slice(*part))
        assert table["n"].tolist() == list(range(rows))[slice(*part)]
        assert table["st"].tolist() == [f"s{i % 3}" for i in range(rows)][slice(*part)]
        assert table.missing["x"] == values[slice(*part)].count("")


@pytest.mark.slow
def test_select_of_a_large_file_and_of_numbers_alone(file):
    rows = LARGE // 12
    text = "".join(f"{i:6} {i % 7}.5\n" for i in range(rows))
    with load(file(text), select=slice(rows - 5, None)) as (array,):
        assert array.tolist() == [[i, i % 7 + 0.5] for i in range(rows - 5, rows)]
    text += "x 1\n"
    table = table_of(file(text), select=slice(10, 12))
    assert table["f0"].tolist() == [10, 11]


def test_a_line_that_is_passed_over_is_read_all_the_same(file):
    assert table_of(file("a,b\n1,x\n2.5,y\n3,z\n"), select=slice(2, 3))["a"].tolist() == [3]
    error = refused(file("a,b\n1,x\n2,y,z\n3,z\n"), select=slice(2, 3))
    assert "max_rows=1 reads the rows before it" in error.reason


def test_a_table_of_no_rows_and_one_of_one(file):
    assert lists(table_of(file("a,b\n"))) == {"a": [], "b": []}
    assert lists(table_of(file("a,b\n1,x\n"))) == {"a": [1], "b": ["x"]}


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"layout": "table"}, ValueError, "layout='table' is none of"),
        ({"layout": "columns", "dtype": float}, TypeError, "give a mapping of names to dtypes"),
        ({"header": True, "dtype": float}, TypeError, "header: not with dtype= of whole rows"),
        ({"dtype": {"x": complex}}, TypeError, "converters= may give another"),
        ({"header": ["a", "a"]}, ValueError, "has a name twice"),
        ({"widths": [0, 2]}, TypeError, "whole numbers above 0, or slices"),
        ({"decimal": ";"}, ValueError, "decimal=';' is neither"),
        ({"missing": {1.5: "x"}}, TypeError, "missing= has 1.5, which is no column"),
        ({"encoding": "bytes"}, ValueError, "give that of the file"),
        ({"select": (slice(1), slice(1))}, TypeError, "usecols= says which columns"),
        ({"select": slice(-2, None)}, ValueError, "counted from the first row"),
        ({"select": slice(0, 9, 2)}, ValueError, "counted from the first row"),
        ({"select": slice(2), "dtype": float}, TypeError, "select: not with dtype= of whole rows"),
    ],
)
def test_options_that_make_no_sense_are_the_callers_error(file, options, error, message):
    with pytest.raises(error, match=message):
        load(file("x,y\n1,2\n"), **options)


# ---- rows, and numbers alone ----


@pytest.mark.parametrize("ndmin", [0, 1, 2])
@pytest.mark.parametrize("content", ["", "\n# nothing\n", "1\n", "1 2\n", "1\n2\n", "1 2\n3 4\n"])
def test_numbers_alone_are_the_array_of_loadtxt(file, content, ndmin):
    path = file(content)
    with load(path, ndmin=ndmin) as (array,):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # no data
            expected = np.loadtxt(content.splitlines(), ndmin=ndmin)
        assert type(array) is SharedArray
        assert (array.dtype, array.shape) == (np.float64, expected.shape)
        assert np.array_equal(array, expected)


@pytest.mark.parametrize("usecols", [0, (1,), (1, 0), (-1,)])
@pytest.mark.parametrize(("skiprows", "max_rows"), [(0, None), (1, None), (0, 2), (1, 1)])
def test_options_of_numbers_alone_mean_what_they_mean_in_loadtxt(file, usecols, skiprows, max_rows):
    content = "1 2\n3 4\n5 6\n7 8\n"
    options = {"usecols": usecols, "skiprows": skiprows, "max_rows": max_rows}
    with load(file(content), **options) as (array,):
        expected = np.loadtxt(content.splitlines(), **options)
        assert array.shape == expected.shape
        assert np.array_equal(array, expected)


def test_a_large_matrix_is_that_of_loadtxt(file):
    numbers = np.random.default_rng(0).normal(size=(120_000, 7))
    text = io.BytesIO()
    np.savetxt(text, numbers)
    assert len(text.getvalue()) > LARGE
    with load(file(text.getvalue()), processes=2) as (array,):
        assert np.array_equal(array, numbers)


def test_rows_of_inferred_types(file):
    with load(file("id,st,x\n1,ab,1.5\n2,c,NA\n"), layout="rows") as (rows,):
        assert rows.dtype.names == ("id", "st", "x")
        assert rows["id"].tolist() == [1, 2]
        assert rows["st"].tolist() == ["ab", "c"]
        assert np.isnan(rows["x"][1])


# ---- layouts of real files ----


METHYLKIT = """chrBase\tchr\tbase\tstrand\tcoverage\tfreqC
chr21.97\tchr21\t97\tR\t12\t25.00
chr21.98\tchr21\t98\tF\t13\t0
"""


@pytest.mark.parametrize(
    ("content", "names", "last"),
    [
        ("track type=bedGraph\nchr1\t0\t9\t0.5\nchr1\t9\t20\t1\n", None, ["chr1", 9, 20, 1.0]),
        (  # Bismark's cytosine report
            "chr1\t1\t+\t2\t3\tCG\tCGA\nchr1\t2\t-\t0\t0\tCHG\tCTG\n",
            None,
            ["chr1", 2, "-", 0, 0, "CHG", "CTG"],
        ),
        (
            METHYLKIT,
            ["chrBase", "chr", "base", "strand", "coverage", "freqC"],
            ["chr21.98", "chr21", 98, "F", 13, 0.0],
        ),
        ('"start" "strand"\n"1" 5 "+"\n"2" 9 "-"\n', ["row", "start", "strand"], [2, 9, "-"]),
        ('"","pos","x"\n"r1",5,NA\n"r2",9,2.5\n', ["f0", "pos", "x"], ["r2", 9, 2.5]),
        (",pos,name\n0,5,a\n1,9,b\n", ["f0", "pos", "name"], [1, 9, "b"]),
        ('id,title\n1,"Smith, J. ""Jo"""\n2,"a # b"\n', ["id", "title"], [2, "a # b"]),
        ('x, y, note\n1, 2, "a,b"\n3, 4, "c"\n', ["x", "y", "note"], [3, 4, "c"]),
        ("a;b\n1,5;x\n2,25;y\n", ["a", "b"], [2.25, "y"]),
        (
            "agency\tsite\tval\n5s\t15s\t8n\nUSGS\t01\t2.5\n",
            ["agency", "site", "val"],
            ["USGS", "01", 2.5],
        ),
    ],
)
def test_layouts_of_real_files(file, content, names, last):
    table = table_of(file(content))
    assert table.columns == (names or [f"f{i}" for i in range(len(last))])
    assert [column[-1] for column in lists(table).values()] == last


# ---- what no type holds ----


@pytest.mark.parametrize(
    ("line", "column", "reason"),
    [
        ("chr1,7", 3, "expected 3 fields, found 2 in 'chr1,7'; max_rows=300000 reads the rows"),
        ("chr1,7,1,2", 4, "expected 3 fields, found 4"),
        ('chr1,7,"x', None, "a quote opens in this line"),
    ],
)
def test_ragged_lines_and_open_quotes_are_named_with_what_reads_the_rest(
    file, line, column, reason
):
    text = "chr,pos,pct\n" + "chr1,7,0.5\n" * 300_000 + line + "\n" + "chr1,7,0.5\n" * 9
    path = file(text)
    error = refused(path)
    assert (error.line, error.column) == (300_002, column)
    assert reason in error.reason
    if "max_rows" in reason:
        assert len(table_of(path, max_rows=300_000)) == 300_000


def test_an_open_quote_in_the_last_line_is_an_error(file):
    error = refused(file('a,b\n1,"x"\n2,"y\n'))
    assert error.line == 3
    assert "quotechar=None if quotes are part of the text" in error.reason
    assert table_of(file('a,b\n1,"x"\n2,"y\n'), quotechar=None)["b"].tolist() == ['"x"', '"y']


def test_bytes_that_are_no_utf8_name_the_line(file):
    error = refused(file(b"st,n\nOslo,1\nK\xf6ln,2\n"))
    assert (error.line, error.column) == (3, 1)
    assert "byte 0xf6 is not UTF-8" in error.reason
    assert 'encoding=, for example "latin-1"' in error.reason


def test_binary_files_are_no_tables(tmp_path):
    np.arange(300).tofile(tmp_path / "a.bin")
    (tmp_path / "zeros.csv").write_bytes(b"a,b\n1,2\n\0,\0\n")
    for name in ("a.bin", "zeros.csv"):
        with pytest.raises(LoadError, match="no text; give reader="):
            shared_load(tmp_path / name, progress=False)
