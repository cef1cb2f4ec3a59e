"""Datasets and arrays of xarray, saved, and read back by xarray."""

import h5py
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from dumps import h5dump

from shmkit import shared_load, to_hdf5


@pytest.fixture
def weather():
    values = np.arange(24, dtype="f4").reshape(4, 3, 2)
    return xr.Dataset(
        {
            "t2m": (("time", "lat", "lon"), values, {"units": "K"}),
            "ok": (("lat",), np.array([True, False, True])),
            "name": (("lat",), np.array(["a", "bé", ""], object)),
            "lead": (("time",), np.arange(4).astype("m8[h]").astype("m8[ns]")),
            "scalar": 5.0,
        },
        {
            "time": pd.date_range("2024-02-28", periods=4),
            "lat": ("lat", [1.0, 2.0, 3.0], {"units": "degrees_north"}),
            "area": (("lat", "lon"), np.ones((3, 2))),
            "run": 7,
        },
        {"title": "weather", "version": 3},
    )


def without_stamps(dataset):
    """Without what to_hdf5 says of its own."""
    for item in (dataset, *dataset.variables.values()):
        for key in ("shmkit_version", "created", "numpy_dtype"):
            item.attrs.pop(key, None)
    return dataset


def test_a_dataset_comes_back_identical(tmp_path, weather):
    to_hdf5(tmp_path / "a.nc", weather)
    with xr.open_dataset(tmp_path / "a.nc", engine="h5netcdf", decode_timedelta=True) as found:
        expected = weather.assign_coords(time=weather["time"].astype("M8[ns]"))
        xr.testing.assert_identical(without_stamps(found.load()), expected)
    with h5py.File(tmp_path / "a.nc") as file:
        assert [scale.keys() for scale in file["t2m"].dims] == [
            ["time"],
            ["lat"],
            [file["lon"].attrs["NAME"].decode()],
        ]
        assert file["lat"].is_scale
        assert file["lon"].attrs["NAME"].startswith(b"This is a netCDF dimension but not")
    assert 'ATTRIBUTE "DIMENSION_LIST"' in h5dump(tmp_path / "a.nc", "-H")


def test_in_a_mapping_each_is_a_group(tmp_path, weather):
    to_hdf5(
        tmp_path / "a.h5", {"now": weather, "deep": {"mean": weather["t2m"].mean("time")}, "x": 3}
    )
    with xr.open_dataset(tmp_path / "a.h5", engine="h5netcdf", group="now") as found:
        assert found.attrs["title"] == "weather"
        np.testing.assert_array_equal(found["t2m"], weather["t2m"])
    with xr.open_dataset(tmp_path / "a.h5", engine="h5netcdf", group="deep/mean") as found:
        xr.testing.assert_equal(found["t2m"].load(), weather["t2m"].mean("time"))
    with shared_load(tmp_path / "a.h5", dataset="now/t2m") as (t2m,):
        np.testing.assert_array_equal(t2m, weather["t2m"])


def test_an_array_without_a_name_is_called_data_or_as_its_group(tmp_path):
    to_hdf5(tmp_path / "a.h5", xr.DataArray([1, 2], dims="x"))
    to_hdf5(tmp_path / "b.h5", {"mean": xr.DataArray([1, 2], {"x": [5, 6]})})
    with h5py.File(tmp_path / "a.h5") as first, h5py.File(tmp_path / "b.h5") as second:
        assert (first["data"][:].tolist(), second["mean/mean"][:].tolist()) == ([1, 2], [1, 2])
        assert second["mean/mean"].dims[0][0][:].tolist() == [5, 6]


def test_it_is_added_to_a_file_and_replaced_there(tmp_path, weather):
    to_hdf5(tmp_path / "a.h5", {"x": np.arange(3)})
    to_hdf5(tmp_path / "a.h5", weather, mode="a", group="now")
    to_hdf5(tmp_path / "a.h5", weather * 2, mode="a", group="now", overwrite=True)
    options = {"engine": "h5netcdf", "phony_dims": "sort"}
    with xr.open_dataset(tmp_path / "a.h5", group="now", **options) as found:
        np.testing.assert_array_equal(found["t2m"], weather["t2m"] * 2)


def test_what_hdf5_cannot_hold_is_named(tmp_path, weather):
    weather["bad"] = ("lat", np.array([{}, {}, {}], object))
    with pytest.raises(TypeError, match="bad holds Python objects"):
        to_hdf5(tmp_path / "a.h5", weather)
    weather = weather.drop_vars("bad").assign_attrs(made=None)
    with pytest.raises(TypeError, match=r"attrs\['made'\] cannot be stored in HDF5"):
        to_hdf5(tmp_path / "a.h5", weather)
    assert not (tmp_path / "a.h5").exists()
