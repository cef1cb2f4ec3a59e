"""What is handed over by the Arrow interface is kept as long as it is used, and no longer."""

import gc
import threading

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from shmkit import Table, share
from shmkit.views.frames import capsule


@pytest.mark.slow
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


@pytest.mark.slow
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
