"""Tables by columns: their views, copies, images, and what goes wrong with them."""

import multiprocessing
import os
import pickle
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kinds import message_of
from processes import PATIENCE

from shmkit import (
    SegmentGoneError,
    SharedArray,
    SharedTable,
    SharedText,
    Table,
    attach,
    share,
)
from shmkit._categories import category
from shmkit._text_dtype import coded_text
from shmkit.segments.image import layout as _layout

COLUMNS = {
    "pos": np.array([30, 10, 20, 40], "i4"),
    "pct": np.array([1.5, np.nan, 2.5, np.nan], "f4"),
    "chr": np.array(["chr1", "chrX", "", "größe"]),
    "when": np.array(["2024-01-01", "NaT", "2024-01-02", "2024-01-03"], "M8[s]"),
    "kind": np.array([0, 1, 1, 0], category(["a", "b"])),
    "station": np.array([1, 0, 1, 0], coded_text(["Oslo", "Århus"])),
    "raw": np.array([b"a", b"bc", b"", b"d"]),
    "ok": np.array([True, False, True, False]),
}
TEXTS = {"chr": COLUMNS["chr"].tolist(), "station": ["Århus", "Oslo", "Århus", "Oslo"]}


@pytest.fixture(params=["header", "trailer"], autouse=True)
def described_in(request, monkeypatch):
    """Where the columns are described: a table of more than 2 GiB has no place in the header."""
    if request.param == "trailer":
        monkeypatch.setattr(_layout, "_MAX_NBYTES", 0)
    return request.param


@pytest.fixture
def table():
    with share(COLUMNS) as table:
        yield table


def values(column):
    listed = np.asarray(column).tolist()
    return [None if value != value else value for value in listed]  # noqa: PLR0124 - NaN, NaT


def same(table, rows=slice(None)):
    """Whether a table has these rows of COLUMNS."""
    assert table.columns == list(COLUMNS)
    for name, column in COLUMNS.items():
        expected = np.array(TEXTS[name]) if name in TEXTS else column
        assert values(table[name]) == values(expected[rows])
    return True


def test_columns_are_contiguous_views_of_one_segment(table):
    assert type(table) is SharedTable
    assert len(table) == 4
    assert same(table)
    for name in COLUMNS:
        column = table[name]
        assert column is table[name]
        assert type(column) is (SharedText if name in TEXTS else SharedArray)
        assert column.segment is table.segment
        stored = table.stored(name)
        assert stored.flags.c_contiguous
        assert stored.ctypes.data % 64 == 0
    assert table["kind"].categories.tolist() == ["a", "b"]
    assert table["kind"].tolist() == [0, 1, 1, 0]


def test_it_is_a_collection_of_names(table):
    assert list(table) == table.columns == list(COLUMNS)
    assert "pos" in table
    assert "x" not in table
    assert 0 not in table
    assert table._ipython_key_completions_() == list(COLUMNS)
    assert table.dtypes["pos"] == np.int32
    assert table.dtypes["chr"] == table["chr"].dtype == np.dtype("U7")
    assert table.nbytes == sum(table.stored(name).nbytes for name in table)


def test_a_slice_is_a_view(table):
    for rows in (slice(1, 3), slice(None, None, -1), slice(3, None, -2), slice(2, 2), slice(-1, 9)):
        part = table[rows]
        assert type(part) is SharedTable
        assert len(part) == len(range(4)[rows])
        assert same(part, rows)
    assert same(table[::-1][1:3], slice(2, 0, -1))
    table[1:3]["pos"][:] = 7
    assert table["pos"].tolist() == [30, 7, 7, 40]


@given(slices=st.lists(st.slices(4), max_size=3))
def test_slices_of_slices(slices):
    with share({"x": np.arange(4)}) as table:
        part, plain = table, np.arange(4)
        for rows in slices:
            part, plain = part[rows], plain[rows]
        assert part["x"].tolist() == plain.tolist()
        assert pickle.loads(pickle.dumps(part))["x"].tolist() == plain.tolist()


@pytest.mark.parametrize(
    ("key", "rows"),
    [
        (np.array([True, False, True, False]), [0, 2]),
        ([True, False, True, False], [0, 2]),
        (np.array([3, -1, 0]), [3, 3, 0]),
        ([2], [2]),
        (np.array([], int), []),
    ],
    ids=str,
)
def test_picked_rows_are_plain_copies(table, key, rows):
    part = table[key]
    assert type(part) is Table
    assert len(part) == len(rows)
    assert same(part, np.array(rows, int))
    for name in part:
        assert type(part[name]) is np.ndarray
    assert part["kind"].dtype.metadata == table["kind"].dtype.metadata


def test_a_mask_of_a_column_of_the_table(table):
    assert table[table["chr"] == "größe"]["pos"].tolist() == [40]
    assert table[table["kind"] == "b"]["pos"].tolist() == [10, 20]
    assert table[np.argsort(table["pos"])]["chr"].tolist() == ["chrX", "", "chr1", "größe"]


def test_picked_columns_are_plain_copies(table):
    part = table[["pct", "station"]]
    assert type(part) is Table
    assert part.columns == ["pct", "station"]
    part["pct"][:] = 0
    part["station"][:] = "x"
    assert same(table)


def test_head_and_records(table):
    assert same(table.head())
    assert same(table.head(2), slice(0, 2))
    table.head(2)["pos"][:] = 0
    records = table.to_records()
    assert type(records) is np.ndarray
    assert records.dtype.names == tuple(COLUMNS)
    assert records["chr"].tolist() == TEXTS["chr"]
    assert records[2]["station"] == "Århus"
    assert records["raw"].tolist() == [b"a", b"bc", b"", b"d"]
    records["pos"] = 0
    assert same(table)


def test_a_plain_table_does_the_same(table):
    plain = table.head()
    assert same(plain[::-1], slice(None, None, -1))
    assert plain[::-1]["pos"].base is not None
    assert same(plain[[1, 2]], [1, 2])
    assert same(plain.head(1), slice(1))
    assert plain.to_records().tolist()[0][0] == 30
    assert plain.missing == table.missing
    with share(plain) as again:
        assert type(again["chr"]) is SharedText
        assert type(again["kind"]) is SharedArray
        assert again["kind"].categories.tolist() == ["a", "b"]
        assert same(again)


@pytest.mark.parametrize("key", [5, 1.5, None, ["pos", 1], [], ("pos", 0), [[True]], [1.5]])
def test_what_picks_nothing(table, key):
    with pytest.raises((TypeError, KeyError), match=r"picks nothing|is none of"):
        table[key]


def test_a_name_that_no_column_has(table):
    with pytest.raises(KeyError, match="'x' is none of pos, pct, chr"):
        table["x"]
    with pytest.raises(KeyError, match="'x' is none of pos"):
        table["x"] = 1
    with pytest.raises(KeyError, match="'x' is none of pos"):
        table[["pos", "x"]]
    with pytest.raises(IndexError):
        table[[True, False]]
    with pytest.raises(IndexError):
        table[[4]]


def test_columns_are_written_by_name(table):
    table["pos"] += 1
    table["pct"] = 0
    table["chr"] = ["a", "b", "c", "d"]
    other = attach(table.segment.path)
    assert other["pos"].tolist() == [31, 11, 21, 41]
    assert other["pct"].tolist() == [0, 0, 0, 0]
    assert other["chr"].tolist() == ["a", "b", "c", "d"]
    with pytest.raises(ValueError, match="broadcast"):
        table["pos"] = [1, 2]


def test_missing_values_are_counted(table):
    counts = {"pct": 2, "when": 1}
    assert table.missing == {name: counts.get(name, 0) for name in COLUMNS}
    table["pct"][:] = 0
    assert table.missing["pct"] == 0
    with share({"x": np.where(np.arange(200_000) % 3, 1.0, np.nan)}) as large:
        assert large.missing == {"x": 66_667}


def test_the_repr_is_short(table):
    assert (
        repr(table[:3])
        == "<SharedTable: 3 rows of pos, pct, chr, when, kind, station, raw, ok (90 B)>"
    )
    wide = share({f"c{i}": [1] for i in range(9)})
    assert repr(wide).startswith("<SharedTable: 1 row of c0, c1, c2, c3, c4, c5, c6, c7, … (")
    assert repr(wide.head()).startswith("<Table: 1 row of c0")


def test_a_notebook_shows_types_missing_values_and_the_ends():
    with share(
        {"x": [1.5, np.nan] * 50, "s": ["<a>", "b"] * 50, "k": COLUMNS["kind"].repeat(25)}
    ) as t:
        page = t._repr_html_()
        path = t.segment.path
    rows = [
        re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in re.findall(r"<tr.*?</tr>", page)
    ]
    assert rows == [
        ["", "x", "s", "k"],
        ["type", "float64", "text", "2 categories"],
        ["missing", "50", "", ""],
        ["0", "1.5", "&lt;a&gt;", "0"],
        ["1", "nan", "b", "0"],
        ["2", "1.5", "&lt;a&gt;", "0"],
        ["3", "nan", "b", "0"],
        ["4", "1.5", "&lt;a&gt;", "0"],
        ["⋮", "", "", ""],
        ["98", "1.5", "&lt;a&gt;", "0"],
        ["99", "nan", "b", "0"],
    ]
    text = re.sub(r"<[^>]*>", " ", page)
    assert f"SharedTable   100 rows · 1.30 kB · ready · {path}" in text


def test_a_table_is_no_array(table):
    with pytest.raises(TypeError, match=r"t\.to_records\(\)"):
        np.asarray(table)


def test_anyone_opens_the_image(table, described_in):
    image = np.load(table.segment.path, mmap_mode="r")
    if described_in == "header":
        assert image.shape == ()
        assert image["pos"].tolist() == [30, 10, 20, 40]
        assert image["pos"].flags.c_contiguous
        assert image["chr"][3] == "größe".encode()
    else:
        assert image.dtype == np.uint8
        assert image[:16].view("i4").tolist() == [30, 10, 20, 40]


def test_attaching_gives_the_table(backing, run_script):
    with share(COLUMNS, backing=backing) as table:
        name = f"table-{os.getpid()}"
        table.publish(name)
        assert same(attach(name))
        done = run_script(
            "import shmkit\n"
            f"t = shmkit.attach({name!r})\n"
            "print(type(t).__name__, t['chr'].tolist(), (t['station'] == 'Oslo').tolist())\n"
            "print(t['kind'].categories, t.missing['pct'])\n"
            f"shmkit.attach({table.segment.path!r}, writable=True)['pos'][0] = 5\n"
            "try:\n"
            "    t['pos'][0] = 7\n"
            "except ValueError as error:\n"
            "    print(error)\n"
        )
        assert done.stdout.splitlines() == [
            "SharedTable ['chr1', 'chrX', '', 'größe'] [False, True, False, True]",
            "['a' 'b'] 2",
            "assignment destination is read-only",
        ]
        assert table["pos"][0] == 5


def test_only_the_whole_table_is_published(table):
    for part in (table[1:], table[::-1], table[:2], table[::2]):
        with pytest.raises(ValueError, match="only the whole table"):
            part.publish("x")
    name = f"whole-{os.getpid()}"
    table[:].publish(name)
    assert same(attach(name))


def test_a_view_of_one_column_keeps_the_memory_and_close_unlinks_the_whole():
    table = share(COLUMNS)
    path, segment = table.segment.path, table.segment
    column, text = table["pct"][:1], table["chr"][3:]
    table["pos"].close()
    assert not os.path.exists(path)
    assert same(table)
    with pytest.raises(SegmentGoneError):
        attach(path)
    del table
    assert (column[0], text[0]) == (1.5, "größe")
    del column
    assert segment.mapped
    del text
    assert not segment.mapped


def test_a_table_that_nobody_holds_leaves_nothing():
    table = share(COLUMNS)
    path = table.segment.path
    del table
    assert not os.path.exists(path)


def look(table, queue=None):
    table["pos"][0] = 99
    return type(table).__name__, len(table), table["chr"].tolist()


@pytest.mark.slow
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_worker_gets_the_same_memory(table, method):
    with multiprocessing.get_context(method).Pool(1) as pool:
        assert pool.apply(look, (table,)) == ("SharedTable", 4, TEXTS["chr"])
        assert table["pos"][0] == 99
        assert pool.apply(look, (table[3:0:-2],)) == ("SharedTable", 2, TEXTS["chr"][3:0:-2])
    assert table["pos"].tolist() == [99, 10, 20, 99]


@pytest.mark.slow
def test_a_reference_is_small_whatever_the_columns_are():
    names = [f"station {i}" for i in range(20_000)]
    codes = np.arange(20_000).astype(coded_text(names))
    columns = {f"c{i}": codes for i in range(20)} | {"s": names, "x": codes * 1.5}
    with share(columns) as table:
        for sent in (table, table[5:], table["c0"], table["c19"][::2], table["s"], table["x"]):
            message = message_of(sent)
            assert len(message) < 600
            got = pickle.loads(message)
            assert type(got) is type(sent)
            assert len(got) == len(sent)
        assert pickle.loads(message_of(table["c19"][7:]))[0] == "station 7"


def size(message):
    return len(pickle.loads(message))


@pytest.mark.slow
@pytest.mark.parametrize("part", [lambda t: t[1:], lambda t: t["pos"][1:], lambda t: t["chr"][1:]])
def test_what_was_closed_on_its_way_arrives_once_and_says_so_later(table, part):
    message = message_of(part(table))
    table.close()
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(size, (message,)) == 3
        with pytest.raises(SegmentGoneError):
            pool.apply(size, (message,))


def make(rows):
    return share({"x": np.arange(rows), "s": ["é"] * rows})


@pytest.mark.slow
def test_what_a_worker_shares_and_returns_arrives_as_a_copy():
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        table = pool.apply(make, (3,))
    assert type(table) is Table
    assert table["s"].tolist() == ["é"] * 3


def test_as_data_a_column_is_that_column_only():
    with share({"x": np.arange(100_000), "y": np.zeros(100_000), "s": ["é"] * 100_000}) as table:
        pass
    assert len(pickle.dumps(table["x"][:10])) < 1000
    assert len(pickle.dumps(table["s"][:10])) < 1000
    small = pickle.loads(pickle.dumps(table[5:8]))
    assert type(small) is Table
    assert (small["x"].tolist(), small["s"].tolist()) == ([5, 6, 7], ["é"] * 3)
    assert len(pickle.dumps(table[5:8])) < 2000


def fill(path, name, start, barrier):
    table = attach(path, writable=True)
    barrier.wait(PATIENCE)
    for turn in range(200):
        table[name][:] = start + turn


@pytest.mark.slow
def test_two_processes_write_different_columns_at_once():
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(2)
    with share({"a": np.zeros(1003, "i1"), "b": np.zeros(1003, "i4")}) as table:
        writers = [
            context.Process(target=fill, args=(table.segment.path, name, start, barrier))
            for name, start in (("a", -100), ("b", 10**6))
        ]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join(PATIENCE)
            assert writer.exitcode == 0
        assert set(table["a"].tolist()) == {99}
        assert set(table["b"].tolist()) == {10**6 + 199}


def test_what_cannot_be_a_column_is_refused():
    for columns, error, message in [
        ({}, ValueError, "has a column at least"),
        ({"": [1]}, ValueError, "'' cannot name a column"),
        ({"x": [1, 2], "y": [1]}, ValueError, "'x' has 2, 'y' has 1"),
        ({"x": [[1, 2]]}, ValueError, r"column 'x' has the shape \(1, 2\)"),
        ({"x": 5}, ValueError, r"column 'x' has the shape \(\)"),
        ({"x": [object()]}, TypeError, r"column 'x' holds Python objects \(object\)"),
        ({"x": [1, "a", None]}, TypeError, r"column 'x' holds Python objects \(int, str\)"),
        ({"x": np.zeros(2, "i4,i4")}, TypeError, "column 'x': .* cannot be a column"),
        ({"x": ["\ud800"]}, TypeError, "column 'x' holds text that UTF-8 does not have"),
        ({"x": np.ma.masked_equal([1, 2], 1)}, TypeError, "column 'x' has a mask"),
    ]:
        with pytest.raises(error, match=message):
            share(columns)


def test_a_table_without_rows():
    with share({"x": np.zeros(0), "s": np.array([], "U3")}) as table:
        other = attach(table.segment.path)
        for empty in (table, other, table[:0], table.head()):
            assert len(empty) == 0
            assert empty.missing == {"x": 0, "s": 0}
            assert empty["s"].tolist() == []
            assert "0 rows" in repr(empty)
            assert empty._repr_html_()


def test_names_that_numpy_or_json_might_trip_over():
    names = ["größe", "a.b", ".a", "a", "x\n", "'descr': ", "(1, 2)", '"', "f0", "table", "\\"]
    with share({name: [f"{i}é"] for i, name in enumerate(names)}) as table:
        other = attach(table.segment.path)
        assert other.columns == names
        assert [other[name][0] for name in names] == [f"{i}é" for i in range(len(names))]
