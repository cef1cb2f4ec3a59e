r"""What a file is: its first bytes say it, whatever its name; where they do not, its name does.

    \x89HDF… at byte 0, 512, 1024, 2048 …   HDF5        behind a user block, as MATLAB writes it
    CDF\1  CDF\2                            NetCDF-3
    \x93NUMPY                               .npy
    PK, and all in it are .npy              .npz
    PAR1, SQLite, PK, … and NUL bytes       foreign: named with what reads it
    anything else                           by the name's ending, else text

A text may begin as a Parquet file does. So what is foreign has NUL bytes too, which no text has.
"""

from __future__ import annotations

import enum
import os
import stat
import zlib
from collections.abc import Callable
from typing import Any, NamedTuple

__all__ = ["Foreign", "Format", "foreign", "format_of"]

_HDF5_ENDINGS = (".h5", ".hdf5", ".hdf", ".he5", ".nc4")
_HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_USER_BLOCK = 512  # bytes, or this doubled, doubled again, …
_BEGIN_NBYTES = 512
_GZIP = b"\x1f\x8b\x08"


class Format(enum.Enum):
    """The formats that there are readers for, each as a message calls its files."""

    TEXT = "text files"
    NPY = ".npy files"
    NPZ = ".npz files"
    HDF5 = "HDF5 files"
    NETCDF3 = "NetCDF-3 files"
    FOREIGN = "files of other formats"  # that there is none for
    CUSTOM = "files that reader= reads"

    @property
    def has_datasets(self) -> bool:
        """Whether one file has several arrays, each with a name."""
        return self in (Format.HDF5, Format.NPZ, Format.NETCDF3)


class Foreign(NamedTuple):
    """What a file is that no reader here reads, and what does."""

    name: str
    advice: str


_PANDAS = "pandas.read_{0}(path) reads it, and shmkit.share(frame) puts that into shared memory"
_FOREIGN = {
    b"PAR1": Foreign("a Parquet file", _PANDAS.format("parquet")),
    b"ARROW1": Foreign("an Arrow (Feather) file", _PANDAS.format("feather")),
    b"SQLite format 3\0": Foreign("an SQLite database", _PANDAS.format("sql_query")),
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": Foreign("an old Excel workbook", _PANDAS.format("excel")),
    b"\x0e\x03\x13\x01": Foreign("an HDF4 file", "pyhdf reads it, and h4toh5 makes HDF5 of it"),
    b"CDF\x05": Foreign(
        "a NetCDF-3 file with 64-bit data (CDF-5)",
        "netCDF4.Dataset reads it, and nccopy -k nc4 makes NetCDF-4 of it",
    ),
    b"MATLAB 5.0": Foreign("a MATLAB file of version 5", "scipy.io.loadmat reads it"),
    b"GRIB": Foreign("a GRIB file", "cfgrib reads it"),
    b"II*\0": Foreign("a TIFF image", "tifffile.imread as reader= reads it"),
    b"MM\0*": Foreign("a TIFF image", "tifffile.imread as reader= reads it"),
}
_FITS = b"SIMPLE  =                    T"
_ZIP = b"PK\x03\x04"


def format_of(
    path: str, function: Callable[[str], Any] | None, *, opened: str | None = None
) -> Format:
    """The format that a file is read as; of what cannot be looked into, that of its name.

    `opened` is where its content is, if that is elsewhere.
    """
    if function is not None:
        return Format.CUSTOM
    name = path.lower()
    begin, opened = b"", opened or path
    try:
        if stat.S_ISREG(os.stat(opened).st_mode):  # to look into a pipe would take from it
            with open(opened, "rb", buffering=0) as file:
                begin = file.read(_BEGIN_NBYTES)
                if _is_hdf5(file.fileno()):
                    return Format.HDF5
    except OSError:  # who reads it says so
        pass
    if begin.startswith((b"CDF\x01", b"CDF\x02")):
        return Format.NETCDF3
    if begin.startswith(b"\x93NUMPY") or name.endswith(".npy"):
        return Format.NPY
    if name.endswith(".npz") or (begin.startswith(_ZIP) and _has_arrays_only(opened)):
        return Format.NPZ
    if _foreign(opened, begin) is not None:
        return Format.FOREIGN
    return Format.HDF5 if name.endswith(_HDF5_ENDINGS) else Format.TEXT


def foreign(path: str) -> Foreign:
    """What a file of the format FOREIGN is; raises OSError if it cannot be read (any more)."""
    with open(path, "rb", buffering=0) as file:
        begin = file.read(_BEGIN_NBYTES)
    return _foreign(path, begin) or Foreign("another file than before", "load it again")


def _foreign(path: str, begin: bytes) -> Foreign | None:
    if begin.startswith(_GZIP):
        content = _gunzipped(begin)
        named = _foreign(path, content) if content.startswith(_SIGNED) else None
        if content.startswith((_HDF5_SIGNATURE, b"CDF")):
            named = Foreign("an HDF5 or NetCDF file", "")
        return named and Foreign(f"{named.name}, compressed by gzip", "gunzip it first")
    if begin.startswith(_FITS):
        return Foreign("a FITS file", "astropy.io.fits reads it; a function of it as reader= does")
    if b"\0" not in begin:
        return None
    if begin.startswith(_ZIP):
        return _zipped(path)
    return next((about for sign, about in _FOREIGN.items() if begin.startswith(sign)), None)


_SIGNED = (*_FOREIGN, _FITS)


def _is_hdf5(fd: int) -> bool:
    place, nbytes = 0, os.fstat(fd).st_size
    while place < nbytes:
        if os.pread(fd, len(_HDF5_SIGNATURE), place) == _HDF5_SIGNATURE:
            return True
        place = max(2 * place, _USER_BLOCK)
    return False


def _gunzipped(begin: bytes) -> bytes:
    try:
        return zlib.decompressobj(wbits=31).decompress(begin, _BEGIN_NBYTES)
    except zlib.error:
        return b""


def _names_in_zip(path: str) -> list[str]:
    import zipfile  # noqa: PLC0415 - few files are such

    try:
        with zipfile.ZipFile(path) as archive:
            return archive.namelist()
    except (OSError, zipfile.BadZipFile):
        return []


def _has_arrays_only(path: str) -> bool:
    names = _names_in_zip(path)
    return bool(names) and all(name.endswith(".npy") for name in names)


def _zipped(path: str) -> Foreign:
    if "xl/workbook.xml" in _names_in_zip(path):
        return Foreign("an Excel workbook", _PANDAS.format("excel"))
    return Foreign("a zip archive", "unpack it first")
