"""Tables in data frames over the same memory, and data frames as tables."""

import gc
import pickle
import threading

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from shmkit import SharedArray, SharedText, Table, share
from shmkit._categories import category
from shmkit._text_dtype import coded_text
from shmkit.views import arrow, capsule

NAN = float("nan")
WHEN = np.array(["2024-01-01T00:00:01", "NaT", "1969-12-31T23:59:59"], "M8[s]")
COLUMNS = {
    **{f"f{n}": np.array([1.5, NAN, -2.0], f"f{n}") for n in (2, 4, 8)},
    **{f"{kind}{n}": np.array([1, 2, 3], f"{kind}{n}") for kind in "iu" for n in (1, 2, 4, 8)},
    **{f"at_{unit}": WHEN.astype(f"M8[{unit}]") for unit in ("s", "ms", "us", "ns")},
    **{f"for_{unit}": (WHEN - WHEN[0]).astype(f"m8[{unit}]") for unit in ("s", "ms", "us", "ns")},
    "day": WHEN.astype("M8[D]"),
    "hour": WHEN.astype("M8[h]"),
    "big": np.array([1, 2, 3], ">i4"),
    "ok": np.array([True, False, True]),
    "text": np.array(["a", "", "größe"]),
    "station": np.array([1, 0, 1], coded_text(["Oslo", "Århus"])),
    "kind": np.array([0, 1, 1], category(["a", "b"])),
    "raw": np.array([b"a", b"\xff\0b", b""]),
}
IN_PLACE = [name for name in COLUMNS if name not in ("day", "hour", "big", "ok", "text", "raw")]
EXPECTED = {
    **{name: [None if x != x else x for x in column.tolist()] for name, column in COLUMNS.items()},  # noqa: PLR0124 - NaN
    "station": ["Århus", "Oslo", "Århus"],
    "kind": ["a", "b", "b"],
    "hour": WHEN.astype("M8[h]").astype("M8[s]").tolist(),
    **{
        f"{what}_ns": COLUMNS[f"{what}_us"].tolist()  # numpy has no object for ns
        for what in ("at", "for")
    },
}


@pytest.fixture
def table():
    with share(COLUMNS) as table:
        yield table


@pytest.fixture(autouse=True)
def nothing_held():
    """Whatever was handed over is let go of."""
    yield
    gc.collect()
    assert capsule.in_use() == 0


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
    for name, values in EXPECTED.items():
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
    for name, values in EXPECTED.items():
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
    assert connection.sql(sql).fetchall() == [(6, 2, "größe", EXPECTED["at_s"][2])]
    t["i4"][0] = 100
    assert connection.sql(sql).fetchall()[0][0] == 105
    found = duckdb.sql("select station, sum(i4) from t group by station order by 1")
    assert found.fetchall() == [("Oslo", 2), ("Århus", 103)]
    rows = duckdb.sql("from t").fetchall()
    columns = dict(zip(t, zip(*rows, strict=True), strict=True))
    for name in ("f4", "u8", "text", "ok", "day", "raw", "kind"):
        assert list(columns[name]) == EXPECTED[name], name
    connection.close()


def test_pandas_gets_the_same_memory(table):
    frame = table.to_pandas()
    for name in ("f4", "f8", "i1", "u8", "at_s", "at_ns", "for_ms"):
        assert np.shares_memory(frame[name].to_numpy(), table[name]), name
    table["f8"][0] = 7
    assert frame["f8"][0] == 7
    assert frame["text"].tolist() == EXPECTED["text"]
    assert frame["station"].tolist() == EXPECTED["station"]
    assert frame["kind"].dtype == "category"
    assert frame["station"].dtype == "category"
    assert frame["big"].sum() == 6
    assert frame["f4"].isna().tolist() == [False, True, False]
    assert frame["day"][0] == pd.Timestamp("2024-01-01")
    assert frame.groupby("kind", observed=True)["i4"].sum().tolist() == [1, 5]
    plain = table[["f8", "text", "kind"]].to_pandas()
    assert plain["kind"].tolist() == EXPECTED["kind"]


def test_pandas_takes_a_table_by_arrow(table):
    table["f8"][1] = 5
    frame = pd.DataFrame.from_arrow(table)
    assert frame["f8"].tolist() == [1.5, 5, -2]
    assert frame["text"].tolist() == EXPECTED["text"]
    assert frame["station"].tolist() == EXPECTED["station"]
    assert frame["f4"].isna().tolist() == [False, True, False]


def test_pandas_does_not_take_a_table_for_something_else(table):
    with pytest.raises(TypeError, match=r"t\.to_pandas\(\)"):
        pd.DataFrame(table)


def test_slices_and_copies_are_taken_too(table):
    for part, rows in ((table[1:], [1, 2]), (table[::-1], [2, 1, 0]), (table[[0, 2]], [0, 2])):
        taken = pa.table(part)
        for name, values in EXPECTED.items():
            assert taken[name].to_pylist() == [values[row] for row in rows]
        assert pl.DataFrame(part)["text"].to_list() == [EXPECTED["text"][row] for row in rows]
    assert address(pa.table(table[1:])["f8"]) == table["f8"][1:].ctypes.data
    assert pl.DataFrame(table[:0]).shape == (0, len(COLUMNS))
    assert pa.table(table[:0]).num_rows == 0


def test_a_column_alone(table):
    for name, values in EXPECTED.items():
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


def test_xarray_takes_columns(table):
    numbers = xr.DataArray(table["f8"])
    assert np.shares_memory(numbers.to_numpy(), table["f8"])
    table["f8"][0] = 7
    assert float(numbers[0]) == 7
    text = xr.DataArray(table["text"], dims="row")
    assert text.isel(row=2).item() == "größe"
    assert (text == "a").to_numpy().tolist() == [True, False, False]
    assert "größe" in repr(text)


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


@pytest.mark.parametrize("make", [pa.table, pl.DataFrame, Table.to_pandas], ids=["pa", "pl", "pd"])
def test_the_memory_lives_as_long_as_the_frame(make):
    table = share({"x": np.arange(1000.0), "s": ["a"] * 1000})
    segment = table.segment
    frame = make(table)
    table.close()
    del table
    gc.collect()
    assert segment.mapped
    column = frame["x"][990:]
    del frame
    gc.collect()
    assert segment.mapped
    assert list(np.asarray(column)) == list(range(990, 1000))
    del column
    gc.collect()
    assert not segment.mapped


def test_what_nobody_takes_is_released(table):
    table.__arrow_c_stream__()
    table.__arrow_c_schema__()
    table["f8"].__arrow_c_array__()
    table["text"].__arrow_c_array__()
    assert capsule.in_use() == 0

    def fail():
        held = table.__arrow_c_stream__(), table["kind"].__arrow_c_array__()
        raise KeyError(len(held))

    with pytest.raises(KeyError):
        fail()


def test_a_stream_is_read_in_part_or_to_its_end(table):
    reader = pa.RecordBatchReader.from_stream(table)
    assert reader.schema == pa.schema(table)
    assert reader.read_next_batch().num_rows == 3
    with pytest.raises(StopIteration):
        reader.read_next_batch()
    del reader
    reader = pa.RecordBatchReader.from_stream(table)
    del reader


def test_frames_end_in_any_thread(table):
    def use():
        for _ in range(20):
            frames.append(pl.DataFrame(table).lazy().select(pl.all().len()).collect())
            frames.append(pa.table(table))
        frames.clear()

    frames = []
    threads = [threading.Thread(target=use) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert frames == []


@pytest.mark.parametrize(
    "frame",
    [
        "polars.DataFrame(t)",
        "pyarrow.table(t)",
        "pandas.DataFrame.from_arrow(t)",
        "t.to_pandas()",
        "duckdb.sql('from t')",
        "duckdb.sql('from t').pl()",
        "polars.DataFrame(t).lazy()",
        "(t.__arrow_c_stream__(), t.__arrow_c_schema__(), t['x'].__arrow_c_array__())",
        "pyarrow.RecordBatchReader.from_stream(t)",
        "builtins.__dict__.setdefault('kept', pyarrow.table(t))",
        "sys.modules.setdefault('kept', polars.DataFrame(t))",
    ],
)
def test_an_interpreter_ends_while_a_frame_is_there(run_script, frame):
    done = run_script(
        "import builtins, sys, duckdb, pandas, polars, pyarrow, shmkit\n"
        "t = shmkit.share({'x': [1.0, 2.0], 's': ['a', 'b'], 'k': [1, 2]})\n"
        f"frame = {frame}\n"
        "print('made')\n"
    )
    assert (done.stdout, done.stderr, done.returncode) == ("made\n", "", 0)


# Data frames as tables.

FRAME = {
    "x": [1.5, None, 3.0],
    "n": [1, None, 3],
    "m": [1, 2, 3],
    "s": ["a", None, "größe"],
    "ok": [True, False, True],
    "when": [
        np.datetime64("2024-01-01", "us").item(),
        None,
        np.datetime64("1969-01-01", "us").item(),
    ],
}


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame, pa.table], ids=["pd", "pl", "pa"])
def test_a_frame_becomes_a_table(make):
    with share(make(FRAME)) as table:
        assert table.columns == list(FRAME)
        assert type(table["s"]) is SharedText
        assert table["s"].tolist() == ["a", "", "größe"]
        assert table.missing == {"x": 1, "n": 1, "m": 0, "s": 0, "ok": 0, "when": 1}
        assert table["n"].dtype == np.float64
        assert table["m"].tolist() == [1, 2, 3]
        assert table["m"].dtype == np.int64
        assert table["ok"].dtype == bool
        assert table["when"].dtype.kind == "M"
        assert table["when"][2] == np.datetime64("1969-01-01")


@pytest.mark.parametrize("make", [pl.DataFrame, pa.table], ids=["pl", "pa"])
def test_a_table_comes_back_from_its_frame(make, table):
    with share(make(table)) as again:
        for name in table:
            assert type(again[name]) is (SharedText if name == "kind" else type(table[name]))
        for name in ("f4", "f8", "u8", "at_ns", "for_ms", "day"):
            assert np.array_equal(again[name], table[name], equal_nan=True), name
            assert again[name].dtype == table[name].dtype
        assert again["station"].tolist() == EXPECTED["station"]
        assert again["station"].categories is not None


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame({"k": pd.Categorical(["b", None, "a", "b"])}),
        pl.DataFrame({"k": ["b", None, "a", "b"]}, schema={"k": pl.Categorical}),
        pl.DataFrame({"k": ["b", None, "a", "b"]}, schema={"k": pl.Enum(["a", "x", "b"])}),
        pa.table({"k": pa.array(["b", None, "a", "b"]).dictionary_encode()}),
        pa.table({"k": pa.chunked_array([["b", None], ["a", "b"]]).dictionary_encode()}),
        pa.RecordBatch.from_pydict({"k": pa.array(["b", None, "a", "b"]).dictionary_encode()}),
    ],
    ids=["pd", "pl", "pl enum", "pa", "pa chunks", "pa batch"],
)
def test_categories_become_text_by_codes(frame):
    with share(frame) as table:
        assert type(table["k"]) is SharedText
        assert table["k"].stored.dtype == np.uint16
        assert table["k"].tolist() == ["b", "", "a", "b"]
        assert (table["k"] == "b").tolist() == [True, False, False, True]


def test_categories_of_numbers_are_numbers():
    with share(pd.DataFrame({"k": pd.Categorical([3, 1, 3])})) as table:
        assert table["k"].tolist() == [3, 1, 3]
    with share(pa.table({"k": pa.array([3, 1, 3]).dictionary_encode()})) as table:
        assert table["k"].tolist() == [3, 1, 3]


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame({"n": pd.array([2**53 + 1, None], "Int64")}),
        pl.DataFrame({"n": [2**53 + 1, None]}),
        pa.table({"n": [2**53 + 1, None]}),
    ],
    ids=["pd", "pl", "pa"],
)
def test_whole_numbers_are_never_rounded(frame):
    with pytest.raises(ValueError, match="column 'n' has missing values beside whole numbers"):
        share(frame)


def test_kinds_of_pandas():
    at = pd.to_datetime(["2024-01-01T12:00", None]).tz_localize("Europe/Berlin")
    frame = pd.DataFrame(
        {
            "n": pd.array([1, None], "Int32"),
            "m": pd.array([1, 2], "Int32"),
            "x": pd.array([1.5, None], "Float32"),
            "b": pd.array([True, None], "boolean"),
            "s": pd.array(["a", None], "string"),
            "o": np.array(["a", None], object),
            "at": at,
            "arrow": pd.array([1, 2], "int64[pyarrow]"),
        },
        index=pd.Index([10, 20], name="id"),
    )
    with share(frame) as table:
        assert table.columns == ["id", *frame.columns]
        assert table["id"].tolist() == [10, 20]
        assert table["m"].dtype == np.int32
        assert table["x"].dtype == np.float32
        assert table["at"][0] == np.datetime64("2024-01-01T11:00")
        assert table["s"].tolist() == table["o"].tolist() == ["a", ""]
        assert table["arrow"].tolist() == [1, 2]
        assert table.missing["n"] == table.missing["b"] == table.missing["at"] == 1


def test_what_a_table_of_pandas_cannot_be():
    with pytest.raises(ValueError, match="two columns of the table have the same name"):
        share(pd.DataFrame([[1, 2]], columns=["a", "a"]))
    with pytest.raises(TypeError, match="column 'x' holds Python objects"):
        share(pd.DataFrame({"x": [1, "a"]}))
    with share(pd.DataFrame(np.ones((2, 2)))) as table:
        assert table.columns == ["0", "1"]


def test_a_shared_array_is_still_pickled_and_compared(table):
    kind = table["kind"]
    assert type(kind) is SharedArray
    assert (kind == "b").tolist() == [False, True, True]
    assert (kind != "b").tolist() == [True, False, False]
    assert (kind < "b").tolist() == [True, False, False]
    assert (kind >= "b").tolist() == (kind > "a").tolist() == [False, True, True]
    assert (kind <= "a").tolist() == [True, False, False]
    assert (kind == "none").tolist() == [False] * 3
    assert "b" in kind
    assert (kind == 1).tolist() == [False, True, True]
    assert (table["f8"] == 1.5).tolist() == [True, False, False]
    assert pickle.loads(pickle.dumps(kind)).tolist() == [0, 1, 1]
