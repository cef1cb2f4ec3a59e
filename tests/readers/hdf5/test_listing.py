"""Which datasets are meant by which names."""

import h5py
import numpy as np
import pytest

from shmkit import LoadError, shared_load
from shmkit.readers.hdf5 import listing


@pytest.fixture
def links(tmp_path):
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = np.arange(7)
    with h5py.File(tmp_path / "links.h5", "w") as file:
        file["a"] = np.arange(3)
        file["g/b"] = np.arange(4)
        file["hard"] = file["a"]
        file["soft"] = h5py.SoftLink("/a")
        file["ext"] = h5py.ExternalLink("other.h5", "x")
        file["group"] = h5py.SoftLink("/g")
        file["g/round"] = h5py.SoftLink("/")  # in a circle
        file["nowhere"] = h5py.SoftLink("/none")
        file["missing"] = h5py.ExternalLink("none.h5", "x")
    return tmp_path / "links.h5"


def test_links_are_datasets_under_each_of_their_names(links):
    with shared_load(links) as arrays:
        assert arrays.keys() == ["a", "ext", "g/b", "group/b", "hard", "soft"]
        assert arrays["ext"].tolist() == list(range(7))
        assert arrays["a"] is arrays["hard"] is arrays["soft"]
        assert arrays["g/b"] is arrays["group/b"]
        assert arrays.nbytes < 4 * 4096


def test_an_array_with_several_names_fails_under_each(links):
    with h5py.File(links, "r+") as file:
        file["lists"] = h5py.SoftLink("/also")
        file.create_dataset("also", (2,), h5py.vlen_dtype("i4"))
    with shared_load(links, on_error="skip") as arrays:
        assert list(arrays.failures) == ["also", "lists"]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("nowhere", "nowhere is a link to /none, which is not there"),
        ("missing", "missing is a link to x in the file none.h5, which is not there"),
    ],
)
def test_a_link_that_leads_nowhere_is_told_to_who_asks_for_it(links, name, reason):
    with pytest.raises(LoadError, match=reason):
        shared_load(links, dataset=name)


def test_an_exact_name_wins_over_a_glob(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for name in ("x[0]", "x0", "T [K]", "T*", "T1", "g/x?"):
            file[name] = np.array([len(name)])
    for asked, names in (
        ("x[0]", ["x[0]"]),
        ("T [K]", ["T [K]"]),
        ("T*", ["T*"]),
        ("T?", ["T*", "T1"]),
        ("/g/x?", ["g/x?"]),
        (["T [[]K]", "x0"], ["T [K]", "x0"]),
    ):
        with shared_load(tmp_path / "a.h5", dataset=asked) as arrays:
            assert arrays.keys() == names


def test_what_matches_nothing_is_told_with_what_is_near(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for i in range(50):
            file[f"night/mean{i}"] = np.arange(2)
        file["day/total"] = np.arange(2)
    with pytest.raises(LoadError, match=r"no dataset matches total; near it are day/total, of 51"):
        shared_load(tmp_path / "a.h5", dataset=["night/*", "total"])
    with pytest.raises(LoadError, match=r"no dataset matches night/mean7x; near it are night/mean"):
        shared_load(tmp_path / "a.h5", dataset="night/mean7x")
    with pytest.raises(
        LoadError, match=r"no dataset matches zzz; it has day/total, .* and 31 more"
    ):
        shared_load(tmp_path / "a.h5", dataset="zzz")


def test_a_dimension_without_a_variable_is_no_array(tmp_path):
    with h5py.File(tmp_path / "a.nc", "w") as file:
        lone = file.create_dataset("lonely", (4,), ">f4")
        lone.make_scale("This is a netCDF dimension but not a netCDF variable.         4")
        file["time"] = np.arange(3)
        file["time"].make_scale("time")
        file["sst"] = np.arange(3)
        file["sst"].dims[0].attach_scale(file["time"])
    with shared_load(tmp_path / "a.nc") as arrays:
        assert arrays.keys() == ["sst", "time"]


def test_links_that_make_too_many_names_are_refused(tmp_path, monkeypatch):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        group = file
        for _ in range(30):  # 2 ** 30 ways to the last
            group["right"] = h5py.SoftLink(f"{group.name.rstrip('/')}/left")
            group = group.create_group("left")
        group["x"] = np.arange(2)
    monkeypatch.setattr(listing, "_MAX_NAMES", 1000)
    with pytest.raises(LoadError, match="its links give more than 1,000 names"):
        listing.listed(str(tmp_path / "a.h5"), ["*"])
