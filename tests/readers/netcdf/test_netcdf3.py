"""shared_load of NetCDF-3 files: each variable, as scipy reads it."""

import sys

import numpy as np
import pytest
import xarray as xr
from reading import read

from shmkit import LoadError, shared_load


@pytest.fixture(params=["NETCDF3_CLASSIC", "NETCDF3_64BIT"])
def path(request, tmp_path):
    variables = {
        "v": ("x", [1.0, 2, 3]),
        "t": ("time", np.ones(5, "i2")),
        "grid": (("time", "x"), np.ones((5, 3), "f4")),
    }
    dataset = xr.Dataset(variables)
    where = {"engine": "scipy", "format": request.param, "unlimited_dims": ["time"]}
    dataset.to_netcdf(tmp_path / "a.nc", **where)
    return tmp_path / "a.nc"


def test_every_variable_is_an_array(path):
    with shared_load(path) as arrays:
        assert arrays.keys() == ["grid", "t", "v"]
        assert arrays["v"].tolist() == [1, 2, 3]
        assert arrays["t"].tolist() == [1] * 5
        assert arrays["grid"].shape == (5, 3)
        assert arrays["grid"].dtype == "f4"  # as decoded numbers are
    with shared_load(path, dataset="v") as arrays:
        assert arrays.keys() == ["v"]


def test_a_variable_without_dimensions_is_one_number(tmp_path):
    # scipy writes no file that is whole with a record beside it.
    xr.Dataset({"one": ((), 7)}).to_netcdf(tmp_path / "a.nc", engine="scipy")
    with shared_load(tmp_path / "a.nc") as (one,):
        assert one.shape == ()
        assert one.item() == 7


def test_large_variables_are_read_in_parts(tmp_path):
    data = np.random.default_rng(0).normal(size=(5000, 1000)).astype("f4")
    variables = {"v": (("time", "x"), data), "w": ("time", np.arange(5000, dtype="i2"))}
    dataset = xr.Dataset(variables)
    where = {"engine": "scipy", "format": "NETCDF3_64BIT", "unlimited_dims": ["time"]}
    dataset.to_netcdf(tmp_path / "a.nc", **where)
    with shared_load(tmp_path / "a.nc", processes=2) as arrays:
        np.testing.assert_array_equal(arrays["v"], data)
        np.testing.assert_array_equal(arrays["w"], np.arange(5000))


def test_what_is_damaged_is_an_error_that_names_it(tmp_path):
    (tmp_path / "a.nc").write_bytes(b"CDF\x01" + bytes(3) + b"\xff" * 100)
    with pytest.raises(LoadError, match=r"a\.nc: its NetCDF-3 data are damaged"):
        shared_load(tmp_path / "a.nc")


def test_without_scipy_the_error_says_what_it_is_and_what_reads_it(path, monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy.io", None)
    with pytest.raises(LoadError, match="it is a NetCDF-3 file, which scipy reads; install it"):
        read(path, dataset="v")
