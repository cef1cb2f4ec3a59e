"""The writer: datasets as their options want them, what is said about them, what is in the way."""

import os
from datetime import datetime, timedelta
from pathlib import Path

import h5py
import hdf5plugin
import numpy as np
import pytest
from dumps import h5dump
from records import records

from shmkit import to_hdf5

NOISE = np.random.default_rng(0).random(60_000)


@pytest.mark.parametrize("group", ["2024/night", "/2024/night/"])
def test_a_group_takes_the_datasets_and_the_attributes(tmp_path, group):
    export = to_hdf5(
        tmp_path / "a.h5",
        {"x": np.arange(3)},
        group=group,
        attrs={"runs": 3, "shmkit_version": "0"},
    )
    assert [data.name for data in export.datasets] == ["2024/night/x"]
    with h5py.File(tmp_path / "a.h5") as file:
        assert file["2024/night/x"][:].tolist() == [0, 1, 2]
        assert set(file["2024/night"].attrs) == {"runs", "shmkit_version", "created"}
        assert file["2024/night"].attrs["shmkit_version"] == "0"
        assert not file.attrs
        assert not file["2024"].attrs


@pytest.mark.parametrize(("given", "chunks"), [((99, 2), (99, 2)), (50_000, (50_000, 3))])
def test_chunks_of_what_may_grow_can_be_longer_than_it_is(tmp_path, given, chunks):
    to_hdf5(tmp_path / "a.h5", [np.ones((5, 3)), np.ones((7, 3))], concat=True, chunks=given)
    with h5py.File(tmp_path / "a.h5") as file:
        assert file["data"].chunks == chunks
        assert file["data"][:].tolist() == [[1, 1, 1]] * 12


def test_a_dataset_is_replaced_if_asked(old):
    for number in range(3):
        arrays = {"small": NOISE + number, "group": {"n3": np.arange(number)}}
        export = to_hdf5(old, arrays, mode="a", overwrite=True)
        assert [data.name for data in export.datasets] == ["small", "group/n3"]
        with h5py.File(old) as file:
            np.testing.assert_array_equal(file["small"][:], NOISE + number)
            assert file["group/n3"][:].tolist() == list(range(number))
            assert set(file) == {"group", "small"}
    h5dump(old)


@pytest.mark.parametrize(
    ("names", "options", "message"),
    [
        ("small", {}, "'small' is in the file already; overwrite=True replaces it"),
        ("x group/n1", {}, "'group/n1' is in the file already"),
        ("x", {"group": "small"}, "'small' is a dataset in the file, and can hold no others"),
        ("x", {"group": "small/deep", "overwrite": True}, "'small' is a dataset in the file"),
        ("x", {"group": "group/n3"}, "'group/n3' is a dataset in the file"),
        ("group", {"overwrite": True}, "'group' is a group in the file; choose another name"),
        ("x", {"group": "new", "attrs": {"x": None}}, r"attrs\['x'\] cannot be stored"),
    ],
    ids=str,
)
def test_what_is_in_the_way_is_an_error_that_changes_no_byte(old, names, options, message):
    before = old.read_bytes()
    with pytest.raises((ValueError, TypeError), match=message):
        to_hdf5(old, dict.fromkeys(names.split(), NOISE), mode="a", **options)
    assert old.read_bytes() == before


def test_a_dangling_link_is_in_the_way(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["soft"] = h5py.SoftLink("/nowhere")
    before = (tmp_path / "a.h5").read_bytes()
    for name in ("soft", "soft/x"):
        with pytest.raises(TypeError, match="HDF5 cannot make a dataset of it"):
            to_hdf5(tmp_path / "a.h5", {name: NOISE}, mode="a", overwrite=True)
    assert (tmp_path / "a.h5").read_bytes() == before


def test_chunks_are_what_the_filters_of_hdf5_would_make(tmp_path):
    """Undo the filters by hand, and let HDF5's own filters write the same array again."""
    grid = np.random.default_rng(0).normal(280, 1, (300, 1000)).astype("f4")
    to_hdf5(tmp_path / "ours.h5", grid)
    with h5py.File(tmp_path / "ours.h5") as ours, h5py.File(tmp_path / "h5py.h5", "w") as theirs:
        data = ours["data"]
        again = theirs.create_dataset(
            "data", data=grid, chunks=data.chunks, compression="gzip", shuffle=True
        )
        assert [data.id.get_create_plist().get_filter(i)[0] for i in range(2)] == [
            again.id.get_create_plist().get_filter(i)[0] for i in range(2)
        ]
        assert data.id.get_num_chunks() == again.id.get_num_chunks() == 2
        np.testing.assert_array_equal(data[:], again[:])
        assert data.id.get_storage_size() < 1.05 * again.id.get_storage_size()


@pytest.mark.parametrize(
    ("shape", "itemsize"),
    [((3_000_000,), 26), ((240, 361, 720), 4), ((4, 5, 2000, 3000), 8), ((2, 10_000_000), 1)],
)
def test_chunks_hold_whole_rows_and_fit_the_chunk_cache(tmp_path, shape, itemsize):
    array = np.broadcast_to(np.zeros((), f"V{itemsize}"), shape)[:2]  # chunks depend on the row
    to_hdf5(tmp_path / "a.h5", array)
    with h5py.File(tmp_path / "a.h5") as file:
        chunks = file["data"].chunks or file["data"].shape
    assert np.prod(chunks) * itemsize <= 1 << 20
    cut = next((axis for axis, length in enumerate(chunks) if length > 1), 0)
    assert chunks[cut + 1 :] == array.shape[cut + 1 :]


def test_small_arrays_are_stored_as_they_are(tmp_path):
    to_hdf5(tmp_path / "a.h5", {"small": np.zeros(10), "large": np.zeros(10_000)})
    with h5py.File(tmp_path / "a.h5") as file:
        assert file["small"].chunks is None
        assert file["large"].chunks == (10_000,)


@pytest.mark.parametrize("compression", ["gzip", "lzf", None])
def test_compression_is_as_asked(tmp_path, compression):
    table = records(100_000)
    export = to_hdf5(tmp_path / "a.h5", table, compression=compression)
    with h5py.File(tmp_path / "a.h5") as file:
        assert file["data"].compression == compression
    assert (export.datasets[0].nbytes_stored < table.nbytes) == (compression is not None)


def test_every_level_of_gzip_is_written_and_named_in_the_file(tmp_path):
    table = records(3000)
    sizes = []
    for level in range(10):
        export = to_hdf5(tmp_path / "a.h5", table, level=level)
        with h5py.File(tmp_path / "a.h5") as file:
            assert file["data"].compression_opts == level
            np.testing.assert_array_equal(file["data"][:], table)
        sizes.append(export.datasets[0].nbytes_stored)
    assert sizes[9] < sizes[1] < table.nbytes


def test_filters_of_hdf5plugin_are_applied_with_their_level(tmp_path):
    text = np.frombuffer(b"".join(records(20_000)["chr"]) * 3, "u1")
    sizes = {}
    for name, level in [("zstd", 1), ("zstd", 19), ("blosc2", None)]:
        export = to_hdf5(tmp_path / "a.h5", text, compression=name, level=level)
        with h5py.File(tmp_path / "a.h5") as file:
            filters = file["data"].id.get_create_plist()
            number = filters.get_filter(filters.get_nfilters() - 1)[0]
        assert number == hdf5plugin.FILTERS[name]
        sizes[name, level] = export.datasets[0].nbytes_stored
    assert sizes["zstd", 19] < sizes["zstd", 1] < sizes["blosc2", None] < text.nbytes


@pytest.mark.parametrize(
    ("given", "shape", "chunks"),
    [
        (100, (5000,), (100,)),
        (np.int64(100), (5000, 3), (100, 3)),
        (9999, (50, 3), (50, 3)),
        ((7, 99), (50, 30), (7, 30)),
        ([7, 3], (50, 30), (7, 3)),
        (5, (), None),
        (5, (0, 3), None),
    ],
    ids=str,
)
def test_chunks_are_rows_or_a_shape_and_cut_to_the_array(tmp_path, given, shape, chunks):
    array = np.arange(np.prod(shape, dtype=int), dtype="f8").reshape(shape)
    to_hdf5(tmp_path / "a.h5", array, chunks=given)
    with h5py.File(tmp_path / "a.h5") as file:
        assert file["data"].chunks == chunks
        np.testing.assert_array_equal(file["data"][()], array)


def test_an_array_that_a_filter_cannot_take_is_an_error_that_ends_no_process(tmp_path, run_script):
    """With the chunk in HDF5's cache the file could not be closed: a SIGSEGV at exit."""
    done = run_script("""
import numpy as np
from shmkit import to_hdf5
try:
    to_hdf5("a.h5", np.zeros(10000), compression="sperr")
except ValueError as error:
    print(error)
""")
    assert done.stdout.startswith("compression='sperr' cannot take data (float64, (10000,)): ")
    assert "a.h5" not in os.listdir(tmp_path)


def test_the_file_says_what_wrote_it_and_when(tmp_path):
    to_hdf5(tmp_path / "a.h5", np.zeros(1), attrs={"title": "Läufe", "runs": 3, "ids": [1, 2]})
    with h5py.File(tmp_path / "a.h5") as file:
        attrs = dict(file.attrs)
    created = datetime.fromisoformat(attrs.pop("created"))
    assert created.utcoffset() == timedelta(0)
    assert abs(datetime.now(created.tzinfo) - created) < timedelta(minutes=5)
    assert attrs.pop("shmkit_version")
    assert attrs.pop("ids").tolist() == [1, 2]
    assert attrs == {"title": "Läufe", "runs": 3}


def test_an_attribute_that_hdf5_cannot_hold_is_named(tmp_path):
    with pytest.raises(TypeError, match=r"attrs\['where'\] cannot be stored"):
        to_hdf5(tmp_path / "a.h5", np.zeros(1), attrs={"where": Path("x")})
    assert not os.listdir(tmp_path)


def test_an_attribute_that_is_too_large_says_so(tmp_path):
    with pytest.raises(TypeError, match=r"^attrs\['z'\] cannot be stored in HDF5: .*too large"):
        to_hdf5(tmp_path / "x.h5", np.ones(2), attrs={"z": np.zeros(20_000)})


def test_more_fields_than_hdf5_can_hold_are_named(tmp_path):
    array = np.zeros(2, [(f"a long name {n}", "i1") for n in range(3000)])
    with pytest.raises(TypeError, match=r"^wide: HDF5 cannot make a dataset of it"):
        to_hdf5(tmp_path / "x.h5", {"wide": array})
    assert list(tmp_path.iterdir()) == []
