"""Tables from end to end: files as people have them, by real loader processes."""

import bz2
import gzip

import numpy as np
import pytest

from shmkit import LoadError, SharedArray, SharedTable, shared_load

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
