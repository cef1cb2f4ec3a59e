"""shared_load of .npz files: several arrays, each under its name."""

import numpy as np
import pytest

from shmkit import LoadError, shared_load

ARRAYS = {
    "grid": np.asfortranarray(np.arange(12.0).reshape(3, 4)),
    "calls": np.array([("chr1", 1)], [("chr", "S5"), ("pos", "i4")]),
    "scalar": np.array(7, ">i2"),
    "empty": np.zeros((0, 3), "f4"),
}


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("name", ["a.npz", "a.dat"])
def test_every_array_comes_as_numpy_loads_it(tmp_path, save, name):
    with open(tmp_path / name, "wb") as file:
        save(file, **ARRAYS, large=np.arange(300_000))
    with shared_load(tmp_path / name) as arrays:
        assert arrays.keys() == sorted([*ARRAYS, "large"])
        for key, expected in ARRAYS.items():
            np.testing.assert_array_equal(arrays[key], expected)
            assert arrays[key].dtype == expected.dtype
            assert arrays[key].flags.f_contiguous == expected.flags.f_contiguous
        assert arrays["large"].sum() == np.arange(300_000).sum()
    with shared_load(tmp_path / name, dataset=["g*", "scalar"]) as arrays:
        assert arrays.keys() == ["grid", "scalar"]
    with pytest.raises(LoadError, match="no dataset matches grit; it has grid, calls"):
        shared_load(tmp_path / name, dataset="grit")


def test_objects_are_refused_and_the_others_load(tmp_path):
    np.savez(tmp_path / "a.npz", good=np.arange(3), bad=np.array([{}, []], object))
    with shared_load(tmp_path / "a.npz", on_error="skip") as arrays:
        assert arrays.keys() == ["good"]
        assert "Python objects" in str(arrays.failures["bad"])


@pytest.mark.parametrize("cut", [0, 10, 200, -30])
def test_what_is_cut_short_is_an_error_that_names_it(tmp_path, cut):
    np.savez(tmp_path / "a.npz", x=np.arange(100))
    data = (tmp_path / "a.npz").read_bytes()
    (tmp_path / "a.npz").write_bytes(data[:cut])
    with pytest.raises(LoadError, match=r"a\.npz: it is no .npz archive, or is damaged"):
        shared_load(tmp_path / "a.npz")


def test_what_is_damaged_is_an_error_that_names_it(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.arange(1000))
    data = bytearray((tmp_path / "a.npz").read_bytes())
    data[4000] ^= 1
    (tmp_path / "a.npz").write_bytes(data)
    with pytest.raises(LoadError, match=r"a\.npz: .* damaged \(Bad CRC-32"):
        shared_load(tmp_path / "a.npz")
