"""Dimensions of what was loaded from NetCDF and HDF5 files: saved again, and read by xarray."""

import h5py
import numpy as np
import pytest
import xarray as xr

from shmkit import shared_load, to_hdf5
from shmkit.commands.cli import main


def days(first=0):
    time = np.arange("2024-02-28", "2024-03-03", dtype="M8[D]").astype("M8[ns]")
    values = np.arange(first, first + 24, dtype="f4").reshape(4, 3, 2)
    return xr.Dataset(
        {
            "t2m": (("time", "lat", "lon"), values, {"units": "K"}),
            "name": ("lat", np.array(["a", "bé", ""], object)),
            "level": ((), 5.0),
            "nothing": (("none", "time"), np.zeros((0, 4), "f4")),
        },
        {
            "time": time,
            "lat": ("lat", [1.0, 2.0, 3.0], {"units": "degrees_north"}),
            "area": (("lat", "lon"), np.ones((3, 2))),
        },
    )


@pytest.fixture
def path(tmp_path):
    days().to_netcdf(tmp_path / "days.nc", engine="h5netcdf")
    return tmp_path / "days.nc"


def opened(path, **options):
    """As xarray reads it, without what to_hdf5 says of its own."""
    with xr.open_dataset(path, engine="h5netcdf", **options) as dataset:
        found = dataset.load()
    for item in (found, *found.variables.values()):
        for key in ("shmkit_version", "created", "numpy_dtype", "source_file", "source_options"):
            item.attrs.pop(key, None)
    return found


def test_a_netcdf_file_comes_back_with_its_dimensions_and_coordinates(tmp_path, path):
    with shared_load(path) as arrays:
        assert arrays["t2m"].attrs["DIMENSION_LIST"].tolist() == ["time", "lat", "lon"]
        assert "DIMENSION_LIST" not in arrays["level"].attrs
        to_hdf5(tmp_path / "again.nc", arrays)
    expected = opened(path)
    expected["name"] = expected["name"].astype(object)
    xr.testing.assert_identical(opened(tmp_path / "again.nc"), expected)
    with h5py.File(tmp_path / "again.nc") as file:
        assert file["area"].dims[0].keys() == ["lat"]
        assert file["lon"].attrs["NAME"].startswith(b"This is a netCDF dimension but not")
        assert "DIMENSION_LIST" not in file["time"].attrs
    with shared_load(tmp_path / "again.nc") as arrays:  # once more
        to_hdf5(tmp_path / "thrice.nc", arrays)
    xr.testing.assert_identical(opened(tmp_path / "thrice.nc"), expected)


def test_each_of_several_files_keeps_its_own(tmp_path, path):
    days(100).to_netcdf(tmp_path / "more.nc", engine="h5netcdf")
    main(["convert", str(path), str(tmp_path / "more.nc"), str(tmp_path / "a.h5")])
    for group, first in (("days", 0), ("more", 100)):
        found = opened(tmp_path / "a.h5", group=group)
        xr.testing.assert_equal(found["t2m"], days(first)["t2m"])
        assert set(found.coords) == {"time", "lat", "area"}


def test_netcdf3_keeps_them_too(tmp_path):
    expected = days()[["t2m", "level"]]
    expected.to_netcdf(tmp_path / "a.nc", engine="scipy")
    with shared_load(tmp_path / "a.nc") as arrays:
        to_hdf5(tmp_path / "b.nc", arrays)
    xr.testing.assert_equal(opened(tmp_path / "b.nc"), expected)


def test_dimensions_of_a_group_above(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["time"] = np.arange(4)
        file["time"].make_scale("time")
        for name in ("x", "deep/x"):
            file[name] = np.arange(4.0)
            file[name].dims[0].attach_scale(file["time"])
    with shared_load(tmp_path / "a.h5") as arrays:
        to_hdf5(tmp_path / "b.h5", {"all": arrays})
    with h5py.File(tmp_path / "b.h5") as file:
        for name in ("all/x", "all/deep/x"):
            assert file[name].dims[0][0] == file["all/time"]


def test_what_is_selected_keeps_the_scales_that_are_cut_alike(tmp_path, path):
    cut = slice(1, 3)
    parts = {"t2m": (cut, cut), "time": cut, "area": cut, "nothing": (slice(None), cut)}
    with shared_load(path, select=parts) as arrays:
        to_hdf5(tmp_path / "b.nc", arrays)
    found = opened(tmp_path / "b.nc", phony_dims="sort")
    xr.testing.assert_equal(found["time"], days()["time"][1:3])
    assert found["nothing"].dims == ("none", "time")
    with h5py.File(tmp_path / "b.nc") as file:  # lat is longer than the part of these
        assert not any(len(axis) for name in ("t2m", "area") for axis in file[name].dims)
    assert found["name"].dims == ("lat",)


def test_without_its_coordinate_a_dimension_keeps_its_name(tmp_path, path):
    with shared_load(path, dataset=["t2m", "time"]) as arrays:
        to_hdf5(tmp_path / "b.nc", {"warm": arrays["t2m"], "when": arrays["time"]})
    found = opened(tmp_path / "b.nc")
    assert found["warm"].dims == ("time", "lat", "lon")
    assert found["when"].dims == ("time",)
    assert found.sizes == {"time": 4, "lat": 3, "lon": 2}
    assert not found.coords


def test_a_part_of_an_array_and_one_turned_over_get_no_scale(tmp_path):
    square = xr.Dataset({"x": (("a", "b"), np.arange(9).reshape(3, 3))}, {"a": [1, 2, 3]})
    square.to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
    with shared_load(tmp_path / "a.nc") as arrays:
        x = arrays["x"]
        parts = {"turned": x.T, "row": x[0], "rows": x[:2], "back": x[::-1], "twice": x * 2}
        to_hdf5(tmp_path / "b.nc", {**parts, "a": arrays["a"]})
    with h5py.File(tmp_path / "b.nc") as file:
        for name in parts:
            assert not any(len(axis) for axis in file[name].dims), name
            assert "DIMENSION_LIST" not in file[name].attrs


def test_a_name_that_is_taken_by_something_else_is_no_scale(tmp_path, path):
    with shared_load(path, dataset=["t2m"]) as (t2m,):
        others = {"time": np.arange(4), "lat": {"x": np.arange(3)}, "lon": np.arange(7)}
        to_hdf5(tmp_path / "b.h5", {"t2m": t2m, **others})
    with h5py.File(tmp_path / "b.h5") as file:
        assert not any(len(axis) for axis in file["t2m"].dims)
        assert not file["time"].is_scale


def test_rows_that_are_put_together_have_none(tmp_path, path):
    with shared_load(path, dataset=["t2m"]) as arrays:
        to_hdf5(tmp_path / "b.h5", arrays, concat=True)
        to_hdf5(tmp_path / "b.h5", arrays, concat=True, mode="a")
    with h5py.File(tmp_path / "b.h5") as file:
        assert file["data"].shape == (8, 3, 2)
        assert "DIMENSION_LIST" not in file["data"].attrs
