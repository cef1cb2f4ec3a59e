"""to_hdf5 of tables by columns."""

import h5py
import numpy as np
import pytest
import xarray as xr
from dumps import h5dump

from shmkit import SharedTable, share, shared_load, to_hdf5
from shmkit._categories import category
from shmkit._text_dtype import coded_text

WHEN = np.array(["2024-01-01", "NaT", "1969-12-31T23:59:59"], "M8[s]")
COLUMNS = {
    "when": WHEN,
    "day": WHEN.astype("M8[D]"),
    "for": (WHEN - WHEN[0]).astype("m8[ms]"),
    "month": WHEN.astype("M8[M]"),
    "x": [1.5, np.nan, 3.0],
    "n": [1, 2, 3],
    "s": ["é", "b", ""],
    "k": np.array([1, 0, 1], coded_text(["zwö", ""])),
    "c": np.array([0, 1, 1], category(["a", "b"])),
}


@pytest.fixture(params=["shared", "plain"])
def table(request):
    with share(COLUMNS) as table:
        yield table if request.param == "shared" else table.head()


def test_a_table_is_a_group_with_a_dataset_for_each_column(tmp_path, table):
    export = to_hdf5(tmp_path / "a.h5", {"run": {"t": table}}, progress=False)
    assert [dataset.name for dataset in export.datasets] == [f"run/t/{name}" for name in COLUMNS]
    with h5py.File(tmp_path / "a.h5") as file:
        group = file["run/t"]
        assert [group[name].attrs["column"] for name in COLUMNS] == [*range(9)]
        counts = {name: group[name].attrs.get("missing") for name in COLUMNS}
        expected = dict.fromkeys(COLUMNS, None) | dict.fromkeys(list(COLUMNS)[:5], 1)
        assert counts == expected
        for name in ("s", "k"):
            assert h5py.check_string_dtype(group[name].dtype).encoding == "utf-8"
        assert group["s"].asstr()[:].tolist() == ["é", "b", ""]
        assert group["k"].asstr()[:].tolist() == ["", "zwö", ""]
        assert h5py.check_enum_dtype(group["c"].dtype) == {"a": 0, "b": 1}
        assert group["when"].attrs["units"] == "seconds since 1970-01-01"
        assert group["day"].attrs["units"] == "days since 1970-01-01"
        assert group["for"].attrs["units"] == "milliseconds"
        assert "units" not in group["month"].attrs
        for name in ("when", "day", "for", "month"):
            kind = group[name].attrs["numpy_dtype"]
            assert np.array_equal(group[name][:].view(kind), table[name], equal_nan=True)
    assert "CSET H5T_CSET_UTF8" in h5dump(str(tmp_path / "a.h5"), "-H", "-d", "run/t/s")


def test_xarray_decodes_the_times(tmp_path, table):
    to_hdf5(tmp_path / "a.h5", {"t": table}, progress=False)
    options = {"engine": "h5netcdf", "phony_dims": "sort", "decode_timedelta": True}
    with xr.open_dataset(tmp_path / "a.h5", group="t", **options) as found:
        for name in ("when", "day", "for"):
            assert np.array_equal(found[name].values, table[name], equal_nan=True)
        assert np.array_equal(found["x"].values, table["x"], equal_nan=True)


def test_as_a_table_it_is_one_compound(tmp_path, table):
    to_hdf5(tmp_path / "a.h5", table, layout="table", progress=False)
    with h5py.File(tmp_path / "a.h5") as file:
        rows = file["data"]
        assert rows.shape == (3,)
        assert rows.dtype.names == tuple(COLUMNS)
        assert rows["s"].tolist() == ["é".encode(), b"b", b""]
        assert rows["k"].tolist() == [b"", "zwö".encode(), b""]
        assert rows["n"].tolist() == [1, 2, 3]
        assert rows.attrs["numpy_dtype.when"] == "<M8[s]"
    with shared_load(tmp_path / "a.h5", progress=False) as (records,):
        assert records["s"].tolist() == ["é", "b", ""]
        assert np.array_equal(records["when"], WHEN, equal_nan=True)


@pytest.mark.parametrize("layout", [None, "columns", "table"])
def test_tables_become_one(tmp_path, layout):
    first = {"x": [1.0, np.nan], "s": ["é", "b"], "k": np.array([0, 1], coded_text(["a", "b"]))}
    second = {"x": [2.0], "s": ["längst"], "k": np.array([0], coded_text(["zwö"]))}
    with share(first) as one, share(second) as two:
        to_hdf5(tmp_path / "a.h5", [one, two[:0], two], concat=True, layout=layout, progress=False)
    with h5py.File(tmp_path / "a.h5") as file:
        names = ("x", "s", "k")
        x, s, k = (file["data"][n][:] if layout == "table" else file["data/" + n][:] for n in names)
        assert np.array_equal(x, [1, np.nan, 2], equal_nan=True)
        assert [text.decode() for text in s.tolist()] == ["é", "b", "längst"]
        assert [text.decode() for text in k.tolist()] == ["a", "b", "zwö"]
        assert file["source"]["stop"].tolist() == [2, 2, 3]
        if layout != "table":
            assert file["data/x"].attrs["missing"] == 1


@pytest.mark.parametrize("layout", [None, "columns", "table"])
def test_a_table_is_loaded_as_the_same_table(tmp_path, table, layout):
    to_hdf5(tmp_path / "a.h5", {"run": {"t": table}, "x": [1]}, layout=layout, progress=False)
    with shared_load(tmp_path / "a.h5", progress=False) as arrays:
        assert list(arrays.keys()) == ["run/t", "x"]
        found = arrays["run/t"]
        assert isinstance(found, SharedTable)
        assert found.columns == table.columns
        assert found.missing == table.missing
        for name in table:
            assert found[name].dtype.kind == table[name].dtype.kind
            assert str(found[name].tolist()) == str(table[name].tolist())
        assert found["x"].flags.c_contiguous
        assert found["c"].categories.tolist() == ["a", "b"]
    with shared_load(tmp_path / "a.h5", dataset="run/t", select=slice(1, 3), progress=False) as (
        t,
    ):
        assert t["n"].tolist() == [2, 3]
        assert t.missing["x"] == 1


def test_tables_that_are_not_alike_cannot_be_one(tmp_path):
    with share({"x": [1]}) as one, share({"y": [1]}) as two, share({"x": ["a"]}) as three:
        for other in (two, three):
            with pytest.raises(ValueError, match="concat=True needs arrays with the same fields"):
                to_hdf5(tmp_path / "a.h5", [one, other], concat=True, progress=False)


@pytest.mark.slow
@pytest.mark.parametrize("compression", ["gzip", "lzf", None])
def test_large_columns_are_written_in_blocks(tmp_path, compression):
    rows = 300_000
    texts = np.array(["Oslo", "Århus", "x" * 20])[np.arange(rows) % 3]
    codes = (np.arange(rows) % 2).astype(coded_text(["Wien", "Århus"]))
    with share({"n": np.arange(rows), "s": texts, "k": codes}) as table:
        for layout in ("columns", "table"):
            options = {"layout": layout, "compression": compression, "progress": False}
            to_hdf5(tmp_path / f"{layout}.h5", {"t": table[1:]}, **options)
    for layout in ("columns", "table"):
        with h5py.File(tmp_path / f"{layout}.h5") as file:
            found = file["t"] if layout == "columns" else file["t"][:]
            assert np.array_equal(found["n"][:], np.arange(1, rows))
            assert np.array_equal(np.strings.decode(found["s"][:], "utf-8"), texts[1:])
            assert found["k"][:2].tolist() == ["Århus".encode(), b"Wien"]


def test_a_column_alone(tmp_path, table):
    to_hdf5(tmp_path / "a.h5", {"s": table["s"], "k": table["k"], "x": table["x"]}, progress=False)
    with h5py.File(tmp_path / "a.h5") as file:
        assert file["s"].asstr()[:].tolist() == ["é", "b", ""]
        assert file["k"].asstr()[:].tolist() == ["", "zwö", ""]


def test_names_of_columns_may_be_groups_or_none(tmp_path):
    with share({"km/h": [1], "a": [2]}) as table:
        to_hdf5(tmp_path / "a.h5", {"t": table}, progress=False)
    with h5py.File(tmp_path / "a.h5") as file:
        assert file["t/km/h"][:].tolist() == [1]
    with share({".": [1]}) as table, pytest.raises(ValueError, match="cannot be a name in HDF5"):
        to_hdf5(tmp_path / "b.h5", {"t": table}, progress=False)
    with share({"x": np.array([1], "M8[s]")}) as table:
        to_hdf5(tmp_path / "b.h5", table, progress=False)
    with shared_load(tmp_path / "b.h5", progress=False) as arrays:
        assert arrays["data"]["x"].dtype == "M8[s]"
