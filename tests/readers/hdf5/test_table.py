"""Tables that to_hdf5 saved are loaded as tables, whether by columns or as one compound."""

import h5py
import numpy as np
import pytest

from shmkit import share, shared_load, to_hdf5


def test_columns_of_a_table_are_datasets_by_their_names(tmp_path):
    with share({"n": [1, 2], "deep/s": ["a", "b"]}) as table:
        to_hdf5(tmp_path / "a.h5", {"t": table}, progress=False)
    path = tmp_path / "a.h5"
    with shared_load(path, progress=False) as (found,):
        assert found.columns == ["n", "deep/s"]
    with shared_load(path, dataset="t/n", progress=False) as (column,):
        assert column.tolist() == [1, 2]
    with shared_load(path, dataset="t/*", progress=False) as (text, n):
        assert (text.tolist(), n.tolist()) == (["a", "b"], [1, 2])
    with h5py.File(path, "r+") as file:
        file["t/other"] = [1, 2, 3]  # so it is no table any more
    with shared_load(path, progress=False) as arrays:
        assert len(arrays) == 3
    with h5py.File(path, "r+") as file:  # as saved before tables said what they are
        del file["t/other"], file["t"].attrs["shmkit_table"]
    with shared_load(path, progress=False) as arrays:
        assert len(arrays) == 2


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["columns", "table"])
def test_a_large_table_is_loaded_in_parts(tmp_path, layout):
    rows = 210_000
    texts = np.array(["Oslo", "Århus"])[np.arange(rows) % 2]
    columns = {f"n{i}": np.arange(rows) + i for i in range(10)} | {"s": texts}
    with share(columns) as table:
        to_hdf5(tmp_path / "a.h5", table, layout=layout, compression="gzip", progress=False)
        with shared_load(tmp_path / "a.h5", processes=2, progress=False) as (found,):
            assert found.nbytes > 1 << 24  # from here on it is read in parts
            assert np.array_equal(found["n7"], columns["n7"])
            assert np.array_equal(found["s"] == "Oslo", np.arange(rows) % 2 == 0)
        table.close()


@pytest.mark.parametrize("layout", ["columns", "table"])
def test_a_table_without_rows_keeps_its_columns(tmp_path, layout):
    with share({"n": np.array([], "i4"), "s": np.array([], "U5")}) as table:
        to_hdf5(tmp_path / "a.h5", table, layout=layout, progress=False)
    with shared_load(tmp_path / "a.h5", progress=False) as (found,):
        assert (found.columns, len(found)) == (["n", "s"], 0)
        assert found["n"].dtype == "i4"


@pytest.mark.parametrize("layout", ["columns", "table"])
@pytest.mark.parametrize("select", [slice(2, 5), slice(None, None, 3)], ids=str)
def test_select_takes_the_same_rows_of_each_column(tmp_path, layout, select):
    with share({"n": np.arange(7), "s": [f"é{n}" for n in range(7)]}) as table:
        to_hdf5(tmp_path / "a.h5", table, layout=layout, progress=False)
    with shared_load(tmp_path / "a.h5", select=select, progress=False) as (found,):
        assert found["n"].tolist() == list(range(7))[select]
        assert found["s"].tolist() == [f"é{n}" for n in range(7)][select]
