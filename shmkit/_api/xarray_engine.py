"""The engine of xarray: ``xr.open_dataset("f.nc", engine="shmkit")``.

    file ──h5netcdf──▶ Dataset: dimensions, coordinates, attributes, encoding; data not read yet
      │                    │
      │                  names, dtypes, shapes
      │                    ▼
      └──shared_load──▶ arrays in shared memory, decoded by loader processes ──▶ its variables

1. What a file means is h5netcdf's to say (scipy's, of NetCDF-3), so the Dataset is the one that
   ``engine="h5netcdf"`` gives, but for where its data lie.
2. Its variables are loaded as `shared_load` loads them, and take their places there: views, without
   a copy.
3. What is no such array is read by h5netcdf, in this process: text of varying length, which xarray
   has as Python's objects; times of calendars that numpy has not; indexes, which are pandas'. So is
   what options decode in a way that `shared_load` does not.
4. `Dataset.close` unlinks the segments.

xarray finds the class by the entry point ``xarray.backends``, and imports it with all the others
that are installed. So this module imports nothing of shmkit's but when a file is opened.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Literal

import numpy as np
import xarray as xr
from xarray.backends import BackendEntrypoint

__all__ = ["ShmkitBackendEntrypoint"]

# The two ways in which `shared_load` decodes, as xarray's options say them; None is not given.
_WAYS: Mapping[bool | Literal["xarray"], Mapping[str, Any]] = {
    "xarray": {
        "mask_and_scale": True,
        "decode_times": True,
        "decode_timedelta": None,
        "use_cftime": None,
    },
    False: {
        "mask_and_scale": False,
        "decode_times": False,
        "decode_timedelta": False,
        "use_cftime": None,
        "concat_characters": False,
    },
}
_KINDS = "biufcMV"  # of dtypes that xarray and shmkit have alike


class ShmkitBackendEntrypoint(BackendEntrypoint):
    """Loads HDF5 and NetCDF files into shared memory, by loader processes.

    It is used where ``engine="shmkit"`` asks for it.

    Examples
    --------
    >>> import xarray as xr
    >>> xr.Dataset({"t": ("x", [20.0, 21.5])}).to_netcdf("day.nc", engine="h5netcdf")
    >>> with xr.open_dataset("day.nc", engine="shmkit") as day:
    ...     print(float(day.t.mean()))
    20.75
    """

    description: ClassVar[str] = (
        "Load HDF5 and NetCDF files into shared memory, by loader processes (shmkit)"
    )
    url: ClassVar[str] = "https://github.com/shmkit/shmkit"

    def open_dataset(
        self,
        filename_or_obj: Any,
        *,
        drop_variables: str | Iterable[str] | None = None,
        mask_and_scale: Any = True,
        decode_times: Any = True,
        concat_characters: Any = True,
        decode_coords: Any = True,
        use_cftime: Any = None,
        decode_timedelta: Any = None,
        group: str | None = None,
        phony_dims: str | None = None,
        processes: int | None = None,
        backing: str | os.PathLike[str] = "auto",
        progress: bool | None = None,
    ) -> xr.Dataset:
        """What `xarray.open_dataset` calls.

        Parameters
        ----------
        filename_or_obj : path
            Of an HDF5 or NetCDF file on this machine.
        drop_variables, decode_times, concat_characters, decode_coords, use_cftime, \
decode_timedelta, mask_and_scale, group, phony_dims
            As for ``engine="h5netcdf"``.
        processes, backing, progress
            As for `shared_load`.

        Returns
        -------
        xarray.Dataset
            Its variables are views of segments, which live until it is closed and no view is left.

        Raises
        ------
        TypeError
            If it is no path.
        LoadError, LoaderDiedError, NotEnoughMemoryError, TooManySegmentsError, OSError, ValueError
            As `shared_load`, and what xarray raises; then no segment is left.
        """
        from shmkit._api.shared_load import shared_load  # noqa: PLC0415 - see above

        path = _path(filename_or_obj)
        coding = {
            "mask_and_scale": mask_and_scale,
            "decode_times": decode_times,
            "concat_characters": concat_characters,
            "decode_coords": decode_coords,
            "use_cftime": use_cftime,
            "decode_timedelta": decode_timedelta,
        }
        how = {"drop_variables": drop_variables, **_reading(path, group, phony_dims)}
        with (
            _opened(path, coding, how) as found,
            contextlib.ExitStack() as loaded,
        ):
            folders = [folder for folder in (group or "").split("/") if folder]
            left = {
                str(name)
                for name, variable in found.variables.items()
                if name not in found.xindexes and variable.dtype.kind in _KINDS
            }
            for decode, usual in _WAYS.items():
                names = left
                if left and any(coding[option] != usual[option] for option in usual):
                    with _opened(path, {**coding, **usual}, how) as other:
                        names = {name for name in left if _same(name, found, other)}
                left = left - names
                if not names:
                    continue
                places = {name: "/".join((*folders, name)) for name in names}
                arrays = shared_load(
                    path,
                    dataset=list(places.values()),
                    decode=decode,
                    processes=processes,
                    backing=backing,
                    progress=progress,
                )
                loaded.callback(arrays.close)
                for name, place in places.items():
                    variable = found.variables[name]
                    if _fits(arrays[place], variable):
                        variable.data = np.asarray(arrays[place])
            found.load()
            close = _Close(loaded.pop_all())
        found.set_close(close)
        return found


class _Close:
    """What `Dataset.close` calls. A pickled Dataset has copies of the arrays, or references."""

    def __init__(self, loaded: contextlib.ExitStack) -> None:
        self._loaded = loaded

    def __call__(self) -> None:
        self._loaded.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return _Close, (contextlib.ExitStack(),)


def _path(given: Any) -> str:
    if not isinstance(given, str | os.PathLike):
        raise TypeError(
            f"engine='shmkit' opens files by their path, not {type(given).__name__}; "
            "engine='h5netcdf' takes open files"
        )
    return os.path.abspath(os.path.expanduser(given))


def _reading(path: str, group: str | None, phony_dims: str | None) -> dict[str, Any]:
    """By which engine xarray knows what the file means, and the options of that one alone."""
    from shmkit.readers.formats import Format, format_of  # noqa: PLC0415 - see above

    if format_of(path, None) is Format.NETCDF3:
        return {"engine": "scipy"}
    return {"engine": "h5netcdf", "group": group, "phony_dims": phony_dims}


def _opened(path: str, coding: Mapping[str, Any], how: Mapping[str, Any]) -> xr.Dataset:
    """The Dataset, whose data are not read yet."""
    given = {name: value for name, value in coding.items() if value is not None}
    return xr.open_dataset(path, cache=False, **given, **how)


def _same(name: str, found: xr.Dataset, other: xr.Dataset) -> bool:
    """Whether a variable is decoded alike in both; what was decoded leaves the attributes."""
    if name not in other.variables:
        return False
    one, two = found.variables[name], other.variables[name]
    attrs = [xr.Variable((), 0, variable.attrs) for variable in (one, two)]  # compared with NaN
    same_attrs: bool = attrs[0].identical(attrs[1])  # type: ignore[no-untyped-call]
    return same_attrs and one.dtype == two.dtype and one.shape == two.shape


def _fits(array: Any, variable: xr.Variable) -> bool:
    """Whether an array is what xarray would have read itself."""
    return (
        isinstance(array, np.ndarray)
        and array.dtype == variable.dtype
        and array.shape == variable.shape
    )
