"""Tables in data frames over the same memory, and data frames as tables."""

import pickle

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import xarray as xr
from kinds import COLUMN_VALUES

from shmkit import SharedArray, SharedText, share


def test_pandas_gets_the_same_memory(table):
    frame = table.to_pandas()
    for name in ("f4", "f8", "i1", "u8", "at_s", "at_ns", "for_ms"):
        assert np.shares_memory(frame[name].to_numpy(), table[name]), name
    table["f8"][0] = 7
    assert frame["f8"][0] == 7
    assert frame["text"].tolist() == COLUMN_VALUES["text"]
    assert frame["station"].tolist() == COLUMN_VALUES["station"]
    assert frame["kind"].dtype == "category"
    assert frame["station"].dtype == "category"
    assert frame["big"].sum() == 6
    assert frame["f4"].isna().tolist() == [False, True, False]
    assert frame["day"][0] == pd.Timestamp("2024-01-01")
    assert frame.groupby("kind", observed=True)["i4"].sum().tolist() == [1, 5]
    plain = table[["f8", "text", "kind"]].to_pandas()
    assert plain["kind"].tolist() == COLUMN_VALUES["kind"]


@pytest.mark.parametrize("storage", ["pyarrow", "python"])
def test_text_is_what_pandas_has_for_text(table, storage):
    with pd.option_context("mode.string_storage", storage):
        frame, expected = table.to_pandas(), pd.DataFrame({"text": COLUMN_VALUES["text"]})
    pd.testing.assert_frame_equal(frame[["text"]], expected)
    assert getattr(frame["text"].dtype, "storage", storage) == storage


def test_pandas_does_not_take_a_table_for_something_else(table):
    with pytest.raises(TypeError, match=r"t\.to_pandas\(\)"):
        pd.DataFrame(table)


def test_xarray_takes_columns(table):
    numbers = xr.DataArray(table["f8"])
    assert np.shares_memory(numbers.to_numpy(), table["f8"])
    table["f8"][0] = 7
    assert float(numbers[0]) == 7
    text = xr.DataArray(table["text"], dims="row")
    assert text.isel(row=2).item() == "größe"
    assert (text == "a").to_numpy().tolist() == [True, False, False]
    assert "größe" in repr(text)


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
        assert again["station"].tolist() == COLUMN_VALUES["station"]
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
