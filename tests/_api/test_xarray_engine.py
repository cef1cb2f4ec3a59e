"""``xr.open_dataset(path, engine="shmkit")``: what h5netcdf gives, in shared memory."""

import gc
import os
import pickle
import subprocess
import sys

import h5py
import numpy as np
import pytest
import xarray as xr
from machine import own_segments

from shmkit import LoadError

TIMES = np.arange("2000-01-01", "2000-01-11", dtype="M8[D]").astype("M8[ns]")
RANDOM = np.random.default_rng(1)
ARRAYS = {"t2m", "wet", "seen", "flag", "level", "nothing", "area"}
PACKED = {"dtype": "i2", "scale_factor": 0.01, "add_offset": 273.0, "_FillValue": -9999}


def climate():
    gaps = np.where(RANDOM.random((10, 30)) < 0.1, np.nan, 1.5)
    return xr.Dataset(
        {
            "t2m": (("time", "lat", "lon"), RANDOM.random((10, 30, 40)) * 50 + 250, {"units": "K"}),
            "wet": (("time", "lat"), gaps, {"valid_min": 2.0, "long_name": "below its range"}),
            "station": ("lat", np.array([f"s{n}" for n in range(30)], object)),
            "code": ("lat", np.array([b"ab", b"c"] * 15)),
            "seen": (("time", "lat"), np.broadcast_to(TIMES[:, None], (10, 30))),
            "since": ("time", TIMES - TIMES[0]),
            "flag": ("time", np.arange(10) % 2 == 0),
            "level": ((), 5.0),
            "nothing": (("time", "none"), np.zeros((10, 0), "f4")),
        },
        coords={
            "time": TIMES,
            "lat": np.linspace(-90, 90, 30),
            "lon": np.arange(40.0),
            "area": (("lat", "lon"), np.ones((30, 40), ">f4")),
        },
        attrs={"title": "some days"},
    )


@pytest.fixture
def path(tmp_path):
    dataset = climate()
    encoding = {"t2m": {**PACKED, "zlib": True}, "code": {"dtype": "S1"}}
    dataset.to_netcdf(tmp_path / "days.nc", engine="h5netcdf", encoding=encoding)
    return str(tmp_path / "days.nc")


def same(path, **options):
    """Compare with engine="h5netcdf"; the names of those that lie in shared memory."""
    other = {name: options.pop(name) for name in ("processes", "backing") if name in options}
    theirs = "scipy" if options.pop("classic", False) else "h5netcdf"
    with (
        xr.open_dataset(path, engine="shmkit", **other, **options) as found,
        xr.open_dataset(path, engine=theirs, **options) as expected,
    ):
        xr.testing.assert_identical(found, expected)
        assert list(found.variables) == list(expected.variables)
        assert repr(found.encoding) == repr(expected.encoding)
        for name in found.variables:
            assert found[name].dtype == expected[name].dtype
            assert repr(found[name].encoding) == repr(expected[name].encoding)
        return {str(name) for name in found.variables if shared(found[name])}


def shared(variable):
    """Whether the values lie in a segment."""
    at = variable.values.ctypes.data
    with open("/proc/self/maps") as file:
        lines = file.readlines()
    for line in lines:
        where, _, _, _, _, *names = line.split()
        first, last = (int(end, 16) for end in where.split("-"))
        if first <= at < last:
            return any("shmkit-" in name for name in names)
    raise AssertionError("not mapped")


def test_it_is_what_h5netcdf_gives_in_shared_memory(path):
    assert same(path) == ARRAYS
    assert own_segments() == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "arrays"),
    [
        ({"mask_and_scale": False}, ARRAYS - {"area"}),
        ({"decode_times": False}, ARRAYS | {"since"}),
        ({"decode_cf": False}, (ARRAYS | {"since"}) - {"area"}),
        ({"decode_times": xr.coders.CFDatetimeCoder(time_unit="s")}, ARRAYS - {"seen"}),
        ({"decode_timedelta": True}, ARRAYS),
        ({"concat_characters": False}, ARRAYS),
        ({"drop_variables": ["t2m", "area"]}, ARRAYS - {"t2m", "area"}),
        ({"decode_coords": "all"}, ARRAYS),
        ({"processes": 2}, ARRAYS),
    ],
    ids=lambda given: next(iter(given)) if isinstance(given, dict) else "",  # sets have no order
)
def test_its_options_mean_what_they_mean_for_h5netcdf(path, options, arrays):
    assert same(path, **options) == arrays


def test_a_group_and_its_dimensions(tmp_path):
    path = tmp_path / "a.nc"
    climate().to_netcdf(path, engine="h5netcdf", group="north/days")
    assert "t2m" in same(path, group="north/days")
    assert "t2m" in same(path, group="/north/days/")


def test_a_plain_hdf5_file(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = np.arange(6).reshape(2, 3)
        file["refs"] = np.array([file["x"].ref], h5py.ref_dtype)
    assert same(tmp_path / "a.h5", phony_dims="sort", drop_variables="refs") == {"x"}


def test_netcdf3_as_scipy_gives_it(tmp_path):
    dataset = climate()[["t2m", "wet", "level", "area"]]
    dataset.to_netcdf(tmp_path / "a.nc", engine="scipy", encoding={"t2m": PACKED})
    assert "t2m" in same(tmp_path / "a.nc", classic=True)


@pytest.mark.filterwarnings("ignore::xarray.SerializationWarning")
def test_a_calendar_that_numpy_has_not_is_cftime(tmp_path):
    with h5py.File(tmp_path / "a.nc", "w") as file:
        file["when"] = np.arange(3)
        file["when"].make_scale("when")
        file["x"] = np.arange(3)
        file["x"].dims[0].attach_scale(file["when"])
        file["x"].attrs["units"] = "days since 2000-02-29"
        file["x"].attrs["calendar"] = "360_day"
    assert same(tmp_path / "a.nc") == set()


def test_views_outlive_it_and_nothing_else_does(path):
    found = xr.open_dataset(path, engine="shmkit")
    values = found.t2m.values
    expected = values.copy()
    assert len(own_segments()) > 0
    found.close()
    assert own_segments() == []
    np.testing.assert_array_equal(values, expected)
    found = xr.open_dataset(path, engine="shmkit")
    del found
    gc.collect()
    assert own_segments() == []


def test_it_is_pickled_and_closed_apart(path):
    with xr.open_dataset(path, engine="shmkit") as found:
        other = pickle.loads(pickle.dumps(found))
        xr.testing.assert_identical(found, other)
        other.close()
        assert len(own_segments()) > 0


def test_many_files_as_one(path, tmp_path):
    later = climate().assign_coords(time=TIMES + np.timedelta64(10, "D"))
    later.to_netcdf(tmp_path / "later.nc", engine="h5netcdf", encoding={"code": {"dtype": "S1"}})
    options = {"drop_variables": ["station", "code"], "data_vars": "all"}
    paths = [path, str(tmp_path / "later.nc")]
    with (
        xr.open_mfdataset(paths, engine="shmkit", **options) as found,
        xr.open_mfdataset(paths, engine="h5netcdf", **options) as expected,
    ):
        assert len(own_segments()) > 0
        xr.testing.assert_identical(found.compute(), expected.compute())
    assert own_segments() == []


def test_damaged_data_are_an_error_that_leaves_nothing(tmp_path):
    path = tmp_path / "a.nc"
    with h5py.File(path, "w") as file:
        file["good"] = np.arange(10.0)
        data = file.create_dataset("x", data=np.arange(1e4), compression="gzip")
        chunk = data.id.get_chunk_info(0)
    with open(path, "r+b") as file:
        file.seek(chunk.byte_offset)
        file.write(os.urandom(chunk.size))
    with pytest.raises(LoadError, match="x are damaged"):
        xr.open_dataset(path, engine="shmkit", phony_dims="sort")
    assert own_segments() == []


def test_it_takes_paths_alone_and_only_when_asked(path):
    with open(path, "rb") as file, pytest.raises(TypeError, match="engine='h5netcdf' takes"):
        xr.open_dataset(file, engine="shmkit")
    with xr.open_dataset(path) as found:
        assert own_segments() == []
        assert not shared(found.t2m)


@pytest.mark.slow
def test_xarray_finds_it_and_nothing_is_imported_with_it():
    code = (
        "import sys, xarray; print('shmkit' in xarray.backends.list_engines());"
        "print([n for n in ('shmkit.loading', 'shmkit.readers', 'h5py') if n in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.split("\n")[0] == "True"
    assert "shmkit" not in ran.stdout.split("\n")[1]
