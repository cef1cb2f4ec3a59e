"""Many small datasets of a file: each as if it was alone, in a few segments."""

import h5py
import numpy as np
import pytest

from shmkit import LoadError, attach, shared_load, to_hdf5

COUNT = 40


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """Datasets of several kinds, of which some differ from their neighbours in a small thing."""
    path = tmp_path_factory.mktemp("many") / "many.h5"
    values = np.random.default_rng(1)
    with h5py.File(path, "w") as file:
        for n in range(COUNT):
            file[f"floats/{n}"] = values.random(1 + n % 7)
            file[f"values/{n}"] = n
            file[f"images/{n}"] = values.integers(0, 9, (1 + n % 3, 4, 2)).astype(">i2")
            file[f"empty/{n}"] = np.zeros(0)
            file[f"units/{n}"] = values.random(2)
            file[f"units/{n}"].attrs["units"] = f"m{n}"
            file[f"flags/{n}"] = np.array([True, False, n % 2 == 0])
            file[f"records/{n}"] = np.array([(n, 2)], [("a", "f4"), ("b", "i8")])
            gzip = {"compression": "gzip", "chunks": (16,), "shuffle": True}
            file.create_dataset(f"gzip/{n}", data=values.random(40), **gzip)
            arrays = h5py.h5t.array_create(h5py.h5t.NATIVE_INT32, (3,))
            space = h5py.h5s.create(h5py.h5s.SCALAR)
            h5py.h5d.create(file.require_group("arrays").id, b"%d" % n, arrays, space)
            file[f"again/{n}"] = h5py.SoftLink(f"/floats/{n}")
    return path


def load(path, **options):
    return shared_load(path, progress=False, processes=2, **options)


def files_of(arrays):
    return {array.segment.whole.path for array in arrays}


def test_each_is_as_h5py_reads_it(path):
    with load(path) as arrays, h5py.File(path) as file:
        assert len(arrays.keys()) == 10 * COUNT
        for name in arrays.keys():  # noqa: SIM118 - to iterate gives the arrays
            np.testing.assert_array_equal(arrays[name], file[name][()])
            assert arrays[name].shape == file[name][()].shape
            assert arrays[name].dtype == file[name].dtype.base
            assert dict(arrays[name].attrs) == dict(file[name].attrs)
            source = arrays[name].segment.source
            assert source["options"]["dataset"] == name.replace("floats", "again")


@pytest.mark.parametrize("kind", ["floats", "values", "images", "flags", "records", "gzip"])
def test_those_of_a_kind_share_segments_that_other_processes_attach(path, kind):
    with load(path, dataset=f"{kind}/*") as arrays, h5py.File(path) as file:
        assert len(files_of(arrays)) <= COUNT // 4
        one = attach(arrays[f"{kind}/11"].segment.path)
        np.testing.assert_array_equal(one, file[f"{kind}/11"][()])


@pytest.mark.parametrize("kind", ["empty", "units", "arrays"])
def test_what_a_header_tells_of_one_alone_has_a_segment_of_its_own(path, kind):
    with load(path, dataset=f"{kind}/*") as arrays:
        assert len(files_of(arrays)) == COUNT


def test_a_part_of_each(path):
    names = [f"{kind}/{n}" for kind in ("floats", "gzip") for n in range(COUNT)]
    with load(path, dataset=names, select=slice(-1, None)) as arrays, h5py.File(path) as file:
        assert all(arrays[name].tolist() == file[name][-1:].tolist() for name in names)


def test_text_that_is_not_as_labelled_is_bytes_and_the_rest_text(tmp_path):
    with h5py.File(tmp_path / "t.h5", "w") as file:
        for n in range(COUNT):
            words = [b"\xff\xfe" if n == 7 else b"word", b"x"]
            file[f"{n:02}"] = np.array(words, h5py.string_dtype("utf-8", 4))
    with pytest.warns(UserWarning, match="07 in .* is labelled as text"):
        arrays = load(tmp_path / "t.h5")
    with arrays:
        assert arrays["07"].tolist() == [b"\xff\xfe", b"x"]
        assert list(arrays["08"]) == list(arrays["06"]) == ["word", "x"]


def test_a_damaged_one_fails_alone(tmp_path):
    path = tmp_path / "d.h5"
    with h5py.File(path, "w") as file:
        for n in range(COUNT):
            file.create_dataset(f"{n:02}", data=np.arange(9) + n, fletcher32=True, chunks=(9,))
        place = file["07"].id.get_chunk_info(0).byte_offset
    with open(path, "r+b") as file:
        file.seek(place)
        file.write(b"\x99")
    with load(path, on_error="skip") as arrays:
        assert [*arrays.failures] == ["07"]
        assert isinstance(arrays.failures["07"], LoadError)
        assert all(arrays[f"{n:02}"][0] == n for n in range(COUNT) if n != 7)


def test_what_was_saved_comes_back(tmp_path):
    saved = {f"x{n:02}": np.arange(n).astype("M8[s]" if n % 2 else "f4") for n in range(COUNT)}
    to_hdf5(tmp_path / "s.h5", saved, progress=False)
    with load(tmp_path / "s.h5") as arrays:
        for name, array in saved.items():
            assert arrays[name].dtype == array.dtype
            np.testing.assert_array_equal(arrays[name], array)
