"""What a file is, told by its first bytes, and of what has none by its name."""

import gzip
import zipfile

import h5py
import numpy as np
import pytest

from shmkit import LoadError, shared_load
from shmkit.readers.formats import Format, format_of


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("a.npy", Format.NPY),
        ("a.NPY", Format.NPY),
        ("a.npz", Format.NPZ),
        ("a.npy.gz", Format.TEXT),
        ("a.h5", Format.HDF5),
        ("a.Hdf5", Format.HDF5),
        ("a.nc4", Format.HDF5),
        ("a.txt", Format.TEXT),
        ("h5", Format.TEXT),
        ("a.b/npy", Format.TEXT),
    ],
)
def test_the_ending_of_the_name_says_the_format_of_what_is_not_there(name, form):
    assert format_of(name, None) is form
    assert format_of(name, len) is Format.CUSTOM


@pytest.mark.parametrize("name", ["a.h5ad", "a.nxs", "a.mat", "a.nc", "a.txt", "a", "a.npy"])
@pytest.mark.parametrize("userblock", [0, 512, 4096])
def test_hdf5_is_told_by_its_signature_whatever_the_name(tmp_path, name, userblock):
    path = str(tmp_path / name)
    with h5py.File(path, "w", userblock_size=userblock) as file:
        file["x"] = np.arange(3)
    with open(path, "r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file"[:userblock])
    assert format_of(path, None) is Format.HDF5
    with shared_load(path) as arrays:
        assert arrays["x"].tolist() == [0, 1, 2]


def test_a_pipe_is_not_looked_into(fifo):
    assert format_of(fifo, None) is Format.TEXT


def test_text_may_begin_as_another_format_does(tmp_path):
    for begin in ("PAR1", "GRIB", "MATLAB 5.0"):
        (tmp_path / "a.csv").write_text(f"{begin},b\n1,2\n3,4\n")
        assert format_of(str(tmp_path / "a.csv"), None) is Format.TEXT


def _hdf5():
    with h5py.File("in memory", "w", driver="core", backing_store=False) as file:
        file["x"] = np.arange(3)
        file.flush()
        return file.id.get_file_image()


def _zip(path, *names):
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, b"1,2\n")


FOREIGN = {
    "parquet": (b"PAR1\x15\0", "it is a Parquet file; pandas.read_parquet"),
    "feather": (b"ARROW1\0\0", r"it is an Arrow \(Feather\) file"),
    "db": (b"SQLite format 3\0", "it is an SQLite database"),
    "xls": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1\0", "an old Excel workbook; pandas.read_excel"),
    "hdf": (b"\x0e\x03\x13\x01\0", "it is an HDF4 file"),
    "mat": (b"MATLAB 5.0 MAT-file".ljust(124) + b"\0\1IM", "a MATLAB file of version 5; scipy"),
    "fits": (b"SIMPLE  =                    T".ljust(2880), "it is a FITS file; astropy"),
    "nc": (b"CDF\x05" + bytes(60), r"NetCDF-3 file with 64-bit data \(CDF-5\); netCDF4"),
    "gz": (gzip.compress(_hdf5()), "an HDF5 or NetCDF file, compressed by gzip; gunzip it first"),
    "db.gz": (gzip.compress(b"SQLite format 3\0" * 9), "an SQLite database, compressed by gzip"),
}


@pytest.mark.parametrize("ending", FOREIGN)
def test_what_no_reader_reads_is_named_with_what_does(tmp_path, ending):
    begin, message = FOREIGN[ending]
    path = tmp_path / f"a.{ending}"
    path.write_bytes(begin)
    (tmp_path / "good.csv").write_text("1,2\n3,4\n")
    with pytest.raises(LoadError, match=message):
        shared_load(path, dtype="f8")
    with shared_load([path, tmp_path / "good.csv"], on_error="skip") as arrays:
        assert len(arrays) == 1
        assert "UTF-16" not in str(*arrays.failures.values())


def test_zip_archives_are_told_apart(tmp_path):
    _zip(tmp_path / "a.xlsx", "[Content_Types].xml", "xl/workbook.xml")
    _zip(tmp_path / "a.zip", "a.csv")
    with pytest.raises(LoadError, match=r"it is an Excel workbook; pandas\.read_excel"):
        shared_load(tmp_path / "a.xlsx")
    with pytest.raises(LoadError, match="it is a zip archive; unpack it first"):
        shared_load(tmp_path / "a.zip")
