"""Numbers that are packed, missing or times: what xarray makes of them."""

import h5py
import numpy as np
import pytest
import xarray as xr
from reading import read
from scipy.io import netcdf_file

from shmkit import shared_load, to_hdf5

VALUES = {
    "i2": np.array([85, -32768, 285, 0], "i2"),
    "u1": np.array([0, 255, 7, 200], "u1"),
    "i1": np.array([-1, -128, 7, 0], "i1"),
    "i4": np.array([2**31 - 1, -99, 16_777_217, 0], "i4"),
    "f4": np.array([1.5, 1e20, np.nan, -99], ">f4"),
    "f8": np.array([1.5, 1e20, np.nan, -99], "f8"),
}
ATTRS = {
    "nothing": {},
    "fill": {"_FillValue": 1},
    "two fills": {"_FillValue": 0, "missing_value": 1},
    "several missing": {"missing_value": [0, 2]},
    "scale": {"scale_factor": 0.01},
    "float32 scale": {"scale_factor": np.float32(0.01), "add_offset": np.float32(273.15)},
    "mixed": {"scale_factor": np.float32(0.01), "add_offset": 273.15},
    "offset": {"add_offset": 10.0, "_FillValue": 0},
    "packed": {"scale_factor": 0.01, "add_offset": 273.15, "_FillValue": 1},
    "unsigned": {"_Unsigned": "true", "_FillValue": 1},
    "unsigned packed": {"_Unsigned": "true", "_FillValue": 1, "scale_factor": 0.5},
    "bool": {"dtype": "bool"},
    "hours": {"units": "hours since 1900-01-01 00:00:0.0"},
    "days": {"units": "days since 2000-03-01T12:00:00Z", "calendar": "proleptic_gregorian"},
    "days in Julius' time": {"units": "days since 1-1-1 00:00:00"},
    "a length": {"units": "days"},
    "another zone": {"units": "seconds since 1970-01-01 00:00:00 +01:00"},
}


def written(path, values, attrs):
    with h5py.File(path, "w") as file:
        file["x"] = values
        dimension = file.create_dataset("dim", data=np.arange(len(values)))
        dimension.make_scale("dim")
        file["x"].dims[0].attach_scale(dimension)
        for name, value in attrs.items():
            if name in ("_FillValue", "missing_value"):
                native = values.dtype.newbyteorder("=")
                file["x"].attrs[name] = values.ravel()[value].astype(native)
            else:
                file["x"].attrs[name] = value


@pytest.mark.parametrize("attrs", ATTRS.values(), ids=ATTRS)
@pytest.mark.parametrize("kind", VALUES)
@pytest.mark.filterwarnings("ignore::xarray.SerializationWarning", "ignore::FutureWarning")
def test_the_values_and_the_dtype_are_those_of_xarray(tmp_path, kind, attrs):
    values = VALUES[kind]
    if "since 1-1-1" in attrs.get("units", "") and values.itemsize >= 4:
        values = np.array([700_000, 700_001, 719_162, 720_000], values.dtype)  # near 1970
    elif "since" in attrs.get("units", ""):
        values = np.array([0, 100, 7, 1], values.dtype)
        values[3:] = values[3:] / 2 if values.dtype.kind == "f" else 3
    written(tmp_path / "a.nc", values, attrs)
    with xr.open_dataset(tmp_path / "a.nc", engine="h5netcdf", decode_timedelta=False) as file:
        expected = file["x"].load()
    if expected.dtype.kind == "O":  # cftime's objects: datetime64 does not have these days
        expected = xr.DataArray(values, attrs=attrs)
    found, plan, writer = read(tmp_path / "a.nc", dataset="x")
    assert found.dtype == plan.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected.values)
    used = {"_FillValue", "missing_value", "scale_factor", "add_offset", "_Unsigned"}
    assert used.isdisjoint(writer.attrs)
    assert ("units" in writer.attrs) == ("units" in expected.attrs)


@pytest.mark.parametrize(
    ("attrs", "expected"),
    [
        ({"valid_min": 0}, [85, np.nan, 285, 0]),
        ({"valid_max": 100}, [85, -32768, np.nan, 0]),
        ({"valid_range": [0, 100]}, [85, np.nan, np.nan, 0]),
        ({"valid_range": [0, 100], "scale_factor": 2.0}, [170, np.nan, np.nan, 0]),
    ],
)
def test_what_is_outside_of_the_valid_range_is_missing(tmp_path, attrs, expected):
    written(tmp_path / "a.nc", VALUES["i2"], {n: np.asarray(v) for n, v in attrs.items()})
    found, _, _ = read(tmp_path / "a.nc", dataset="x")
    np.testing.assert_array_equal(found, expected)


def test_only_netcdf_is_decoded_unless_it_is_asked_for(tmp_path):
    written(tmp_path / "a.nc", VALUES["i2"], ATTRS["packed"])
    (tmp_path / "a.nc").rename(tmp_path / "a.h5")
    packed, _, writer = read(tmp_path / "a.h5", dataset="x")
    np.testing.assert_array_equal(packed, VALUES["i2"])
    assert writer.attrs["scale_factor"] == 0.01
    unpacked, _, writer = read(tmp_path / "a.h5", dataset="x", decode=True)
    assert np.isnan(unpacked[1])
    assert set(writer.attrs) == {"DIMENSION_LIST"}
    (tmp_path / "a.h5").rename(tmp_path / "a.nc")
    raw, _, _ = read(tmp_path / "a.nc", dataset="x", decode=False)
    np.testing.assert_array_equal(raw, VALUES["i2"])


def test_times_that_nanoseconds_cannot_reach_have_a_coarser_unit(tmp_path):
    units = {"units": "days since 0001-01-01", "calendar": "proleptic_gregorian"}
    written(tmp_path / "a.nc", np.array([0, 1, 3_000_000], "i4"), units)
    found, plan, _ = read(tmp_path / "a.nc", dataset="x")
    assert plan.dtype == "M8[us]"
    expected = np.datetime64("0001-01-01") + np.array([0, 1, 3_000_000])
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    "units", ["months since 2000-01-01", "days since never", "days since 2000"]
)
def test_units_that_are_not_known_leave_numbers_and_units(tmp_path, units):
    written(tmp_path / "a.nc", VALUES["i2"], {"units": units})
    found, _, writer = read(tmp_path / "a.nc", dataset="x")
    np.testing.assert_array_equal(found, VALUES["i2"])
    assert writer.attrs["units"] == units
    assert set(writer.attrs) == {"units", "DIMENSION_LIST"}


def test_a_calendar_that_datetime64_does_not_have_leaves_numbers(tmp_path):
    written(
        tmp_path / "a.nc", VALUES["i2"], {"units": "days since 2000-01-01", "calendar": "noleap"}
    )
    _, plan, writer = read(tmp_path / "a.nc", dataset="x")
    assert plan.dtype == "i2"
    assert writer.attrs["calendar"] == "noleap"


def test_netcdf3_is_decoded_too(tmp_path):
    with netcdf_file(tmp_path / "a.nc", "w") as file:
        file.createDimension("t", 3)
        packed = file.createVariable("sst", "i2", ("t",))
        packed[:] = [85, -32768, 285]
        packed._FillValue = np.int16(-32768)  # noqa: SLF001 - its name
        packed.scale_factor, packed.add_offset = 0.01, 273.15
        packed.units = "K"
        time = file.createVariable("time", "i4", ("t",))
        time[:] = [0, 1, 2]
        time.units = "days since 2000-01-01"
    with shared_load(tmp_path / "a.nc") as arrays:
        np.testing.assert_array_equal(arrays["sst"], [274, np.nan, 276])
        assert repr(arrays["sst"].attrs) == repr({"units": "K", "DIMENSION_LIST": np.array(["t"])})
        assert (
            arrays["time"].tolist()
            == (np.datetime64("2000-01-01", "ns") + np.arange(3) * np.timedelta64(1, "D")).tolist()
        )
    with shared_load(tmp_path / "a.nc", decode=False) as arrays:
        assert arrays["sst"].tolist() == [85, -32768, 285]


def test_attributes_are_kept_by_views_pools_and_to_hdf5(tmp_path):
    attrs = {
        "units": "K",
        "levels": np.array([1, 2], "i4"),
        "factor": np.float32(0.5),
        "names": np.array(["a", "é"]),
    }
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = np.arange(3.0)
        for name, value in attrs.items():
            file["x"].attrs[name] = value.astype(object) if name == "names" else value
        file["words"] = ["a"]
        file["words"].attrs["lang"] = "en"
        file["x"].attrs["ref"] = file["words"].ref  # which no array can have
    with shared_load(tmp_path / "a.h5") as arrays:
        assert repr(arrays["x"].attrs) == repr(dict(sorted(attrs.items())))
        assert arrays["x"][1:].attrs.keys() == attrs.keys()
        assert arrays["x"].copy().__class__ is np.ndarray
        assert arrays["words"].attrs == {"lang": "en"}
        to_hdf5(tmp_path / "b.h5", arrays)
    with h5py.File(tmp_path / "b.h5") as file:
        assert file["x"].attrs["units"] == "K"
        assert file["x"].attrs["names"].tolist() == ["a", "é"]
        assert file["x"].attrs["factor"] == np.float32(0.5)
    with shared_load(tmp_path / "b.h5") as arrays:
        assert repr(arrays["x"].attrs) == repr(dict(sorted(attrs.items())))


def test_times_that_were_saved_have_the_attributes_of_times_once(tmp_path):
    times = np.array(["2024-01-01", "NaT"], "M8[s]")
    to_hdf5(tmp_path / "a.nc", times)
    with shared_load(tmp_path / "a.nc") as (found,):
        assert found.dtype == times.dtype
        np.testing.assert_array_equal(found, times)
        assert found.attrs == {}


def test_bounds_of_times_are_times(tmp_path):
    written(tmp_path / "a.nc", VALUES["i2"], {"units": "days since 2000-01-01", "bounds": "b"})
    with h5py.File(tmp_path / "a.nc", "r+") as file:
        file["b"] = np.array([[0, 1], [1, 2]], "f4")
        file["c"] = np.array([[0, 1], [1, 2]], "f4")
    bounds, _, _ = read(tmp_path / "a.nc", dataset="b")
    first = np.datetime64("2000-01-01")
    np.testing.assert_array_equal(bounds, first + np.array([[0, 1], [1, 2]]))
    other, _, _ = read(tmp_path / "a.nc", dataset="c")
    assert other.dtype == "f4"
