"""Tables and columns by the Arrow interface: the same memory in every library that takes it."""

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kinds import COLUMN_VALUES, COLUMNS, NAN, WHEN

from shmkit import share
from shmkit._categories import category
from shmkit._text_dtype import coded_text
from shmkit.views.frames import arrow

IN_PLACE = [name for name in COLUMNS if name not in ("day", "hour", "big", "ok", "text", "raw")]


def address(column):
    """Where the values of a polars or pyarrow column are."""
    array = column.to_arrow() if isinstance(column, pl.Series) else column
    array = array.chunk(0) if isinstance(array, pa.ChunkedArray) else array
    if pa.types.is_dictionary(array.type):
        array = array.indices
    return array.buffers()[1].address


def in_polars(series):
    series = series.cast(pl.Utf8) if series.dtype == pl.Categorical else series
    return [value.replace(tzinfo=None) if hasattr(value, "tzinfo") else value for value in series]


def test_pyarrow_takes_a_table_over_the_same_memory(table):
    taken = pa.table(table)
    assert taken.num_rows == 3
    for name, values in COLUMN_VALUES.items():
        assert taken[name].to_pylist() == values, name
        is_same = address(taken[name]) == table.stored(name).ctypes.data
        assert is_same == (name in IN_PLACE), name
    taken.validate(full=True)
    assert taken.schema == pa.schema(table)
    assert taken.schema.field("station").type == pa.dictionary(pa.uint16(), pa.string())
    table["f8"][0] = 7
    table["station"][0] = "Oslo"
    table["at_ns"][0] = "2000-01-01"
    assert taken["f8"][0].as_py() == 7
    assert taken["station"][0].as_py() == "Oslo"
    assert taken["at_ns"][0].value == 946_684_800_000_000_000


def test_polars_takes_a_table_over_the_same_memory(table):
    taken = pl.DataFrame(table)
    assert taken.shape == (3, len(COLUMNS))
    for name, values in COLUMN_VALUES.items():
        assert in_polars(taken[name]) == values, name
    for name in ("f8", "f4", "i4", "u8", "at_ns", "for_ms"):
        assert address(taken[name]) == table.stored(name).ctypes.data
    table["f8"][0] = 7
    table["i4"][1] = 77
    assert taken["f8"][0] == 7
    assert taken["i4"].sum() == 81
    assert taken.filter(pl.col("station") == "Oslo")["i4"].to_list() == [77]
    assert taken.group_by("kind").agg(pl.col("i4").sum()).sort("kind")["i4"].to_list() == [1, 80]


def test_duckdb_queries_a_table():
    # It has no float16, and trips over a NaT beside durations in s and ms.
    columns = {name: COLUMNS[name] for name in COLUMNS if name not in ("f2", "for_s", "for_ms")}
    with share(columns) as table:
        duckdb_queries(table)


def duckdb_queries(t):
    connection = duckdb.connect()
    sql = "select sum(i4), count(f8), max(text), min(at_s) from table_of_mine"
    connection.register("table_of_mine", t)
    assert connection.sql(sql).fetchall() == [(6, 2, "größe", COLUMN_VALUES["at_s"][2])]
    t["i4"][0] = 100
    assert connection.sql(sql).fetchall()[0][0] == 105
    found = duckdb.sql("select station, sum(i4) from t group by station order by 1")
    assert found.fetchall() == [("Oslo", 2), ("Århus", 103)]
    rows = duckdb.sql("from t").fetchall()
    columns = dict(zip(t, zip(*rows, strict=True), strict=True))
    for name in ("f4", "u8", "text", "ok", "day", "raw", "kind"):
        assert list(columns[name]) == COLUMN_VALUES[name], name
    connection.close()


def test_pandas_takes_a_table_by_arrow(table):
    table["f8"][1] = 5
    frame = pd.DataFrame.from_arrow(table)
    assert frame["f8"].tolist() == [1.5, 5, -2]
    assert frame["text"].tolist() == COLUMN_VALUES["text"]
    assert frame["station"].tolist() == COLUMN_VALUES["station"]
    assert frame["f4"].isna().tolist() == [False, True, False]


def test_slices_and_copies_are_taken_too(table):
    for part, rows in ((table[1:], [1, 2]), (table[::-1], [2, 1, 0]), (table[[0, 2]], [0, 2])):
        taken = pa.table(part)
        for name, values in COLUMN_VALUES.items():
            assert taken[name].to_pylist() == [values[row] for row in rows]
        assert pl.DataFrame(part)["text"].to_list() == [COLUMN_VALUES["text"][row] for row in rows]
    assert address(pa.table(table[1:])["f8"]) == table["f8"][1:].ctypes.data
    assert pl.DataFrame(table[:0]).shape == (0, len(COLUMNS))
    assert pa.table(table[:0]).num_rows == 0


def test_a_column_alone(table):
    for name, values in COLUMN_VALUES.items():
        taken = pa.array(table[name])
        taken.validate(full=True)
        assert taken.to_pylist() == values, name
        if name in IN_PLACE:
            assert address(taken) == table.stored(name).ctypes.data, name
    with share(np.arange(4.0)) as array:
        taken = pa.array(array)
        array[0] = 9
        assert taken.to_pylist() == [9, 1, 2, 3]
        assert pl.Series(array).to_list() == [9, 1, 2, 3]


def test_records_alone_are_a_struct():
    with share(np.array([(1, b"a"), (2, b"b")], "i4,S1")) as records:
        assert pa.array(records).to_pylist() == [{"f0": 1, "f1": b"a"}, {"f0": 2, "f1": b"b"}]


def test_an_array_of_more_dimensions_goes_where_it_went_before():
    with share(np.arange(6.0).reshape(2, 3)) as array:
        assert pl.DataFrame(array).shape == (2, 3)
        assert pd.DataFrame(array).shape == (2, 3)
        with pytest.raises(TypeError, match=r"of the shape \(2, 3\) is no column"):
            array.__arrow_c_array__()


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (np.array([1j]), "column 'x': Arrow has no type for complex128"),
        (np.array([1], "g"), "column 'x': Arrow has no type for"),
        (np.array([1], "M8[ps]"), "whose unit is finer than ns"),
        (np.array([-(2**63)]).view("M8"), "which has no unit"),
        (np.array([2**40], "M8[D]"), "no dates so far away"),
        (np.array([3], category(["a"])), "codes beyond those of its 1 categories"),
        (np.array([9], coded_text(["a"])), "codes beyond those of its 1 categories"),
    ],
    ids=str,
)
def test_what_arrow_does_not_have(column, message):
    with share({"x": column}) as table, pytest.raises(TypeError, match=message):
        pa.table(table)


@given(texts=st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=9), max_size=20))
def test_any_text_arrives(texts):
    texts = [text.rstrip("\0") for text in texts]
    with share({"x": np.array(texts, "U")}) as table:
        assert pa.table(table)["x"].to_pylist() == texts
        assert pa.table(table[::2])["x"].to_pylist() == texts[::2]


def test_blocks_of_rows(monkeypatch):
    monkeypatch.setattr(arrow, "_BLOCK", 8)
    numbers = np.where(np.arange(100) % 7, np.arange(100.0), NAN)
    texts = [str(n) * (n % 5) for n in range(100)]
    with share({"x": numbers, "s": texts, "d": WHEN.astype("M8[D]").repeat(34)[:100]}) as table:
        taken = pa.table(table)
        assert taken["x"].null_count == 15
        assert taken["x"].to_pylist() == [n if n % 7 else None for n in range(100)]
        assert taken["s"].to_pylist() == texts
        assert taken["d"].null_count == 34


def test_text_of_more_than_two_gigabytes_has_wide_offsets(monkeypatch):
    monkeypatch.setattr(arrow, "_MAX_OFFSET", 3)
    with share({"x": ["ab", "c"], "y": [b"abc", b"d"]}) as table:
        taken = pa.table(table)
        assert taken.schema.types == [pa.string(), pa.large_binary()]
        assert taken["y"].to_pylist() == [b"abc", b"d"]
