"""What a load has to read: a file each, or each dataset that is meant of a file that has some."""

import h5py
import numpy as np
import pytest

from shmkit import LoadError, shared_load, to_hdf5


def test_datasets_are_chosen_by_name_and_by_glob(tmp_path):
    to_hdf5(tmp_path / "a.h5", {"x": np.arange(2), "g": {"x": np.arange(3), "y": np.arange(4)}})
    for dataset, names in (
        ("x", ["x"]),
        ("/g/x", ["g/x"]),
        ("g/*", ["g/x", "g/y"]),
        (["x", "*/y"], ["g/y", "x"]),
    ):
        with shared_load(tmp_path / "a.h5", dataset=dataset) as arrays:
            assert arrays.keys() == names
    with pytest.raises(LoadError, match=r"a\.h5: no dataset matches z; it has g/x, g/y, x"):
        shared_load(tmp_path / "a.h5", dataset="z")
    with pytest.raises(LoadError, match="no dataset matches z"):
        shared_load(tmp_path / "a.h5", dataset=["x", "z"])


def test_datasets_of_several_files_are_named_after_both(tmp_path):
    to_hdf5(tmp_path / "one.h5", {"x": np.arange(2), "y": np.arange(3)})
    to_hdf5(tmp_path / "two.h5", np.arange(4))
    np.save(tmp_path / "three.npy", np.arange(5))
    with shared_load([tmp_path / name for name in ("one.h5", "two.h5", "three.npy")]) as arrays:
        assert arrays.keys() == ["one/x", "one/y", "two", "three"]
        assert [len(array) for array in arrays] == [2, 3, 4, 5]
        to_hdf5(tmp_path / "all.h5", arrays)
    with shared_load({"all": tmp_path / "all.h5"}, dataset="one/*") as arrays:
        assert arrays.keys() == ["all/one/x", "all/one/y"]


def test_a_dataset_with_two_names_is_read_once(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = np.arange(3)
        file["again"] = file["x"]
    with shared_load(tmp_path / "a.h5") as arrays:
        assert arrays.keys() == ["again", "x"]
        assert arrays["again"].segment is arrays["x"].segment


def test_a_file_that_cannot_be_listed_fails_alone(tmp_path):
    to_hdf5(tmp_path / "good.h5", {"x": np.arange(2), "y": np.arange(3)})
    (tmp_path / "cut.h5").write_bytes((tmp_path / "good.h5").read_bytes()[:600])
    files = [tmp_path / "cut.h5", tmp_path / "good.h5"]
    with shared_load(files, on_error="skip") as arrays:
        assert arrays.keys() == ["good/x", "good/y"]
        assert isinstance(arrays.failures["cut"], LoadError)
    with pytest.raises(LoadError, match=r"cut\.h5"):
        shared_load(files)
