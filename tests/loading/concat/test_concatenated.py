"""`concat=`: files as one array."""

import os
import signal

import h5py
import numpy as np
import pytest
from deadline import kept
from machine import own_segments
from processes import Owner, heard, names_of

from shmkit import LoaderDiedError, LoadError, SharedArray, SharedTable, shared_load, to_hdf5

DTYPE = [("pos", "i4"), ("pct", "f4")]


def load(*files, concat=True, **options):
    return shared_load(list(files), concat=concat, processes=2, progress=False, **options)


@pytest.fixture
def tables(tmp_path):
    """Three files of 10, 11 and 12 rows, whose texts become longer."""
    for n in range(3):
        rows = "".join(f"{'x' * (n + 1)},{i},{i / 4}\n" for i in range(10 + n))
        (tmp_path / f"data{n}.csv").write_text("station,count,temp\n" + rows)
    return sorted(map(str, tmp_path.glob("data*.csv")))


def test_a_table_has_the_rows_of_all_files_in_one_segment(tables):
    with load(*tables) as table:
        assert type(table) is SharedTable
        assert len(own_segments()) == 1
        assert table["station"].tolist() == ["x"] * 10 + ["xx"] * 11 + ["xxx"] * 12
        assert table["count"].tolist() == [*range(10), *range(11), *range(12)]
        assert table["temp"].dtype == np.float64
    assert own_segments() == []
    assert table["count"].sum() == 166  # a view outlives it


def test_it_says_which_rows_are_of_which_file(tables):
    with load(*tables) as table:
        assert [tuple(file) for file in table.sources.files] == [
            ("data0", tables[0], 0, 10),
            ("data1", tables[1], 10, 21),
            ("data2", tables[2], 21, 33),
        ]
        rows = table.sources["data1"]
        assert np.shares_memory(rows["count"], table["count"])
        assert rows["station"].tolist() == ["xx"] * 11
        assert table[3:].sources.files == table.sources.files
        assert "data2" in table.sources
        assert str(table.sources).splitlines()[-1].split()[-2:] == ["21", "33"]
        with pytest.raises(KeyError, match="'data3' is none of data0, data1, data2"):
            table.sources["data3"]
    assert len(load(tables[0])) == 10


def test_a_column_names_the_file_of_each_row(tables):
    with load(*tables, concat="column") as table:
        assert table.columns == ["station", "count", "temp", "source"]
        assert table["source"].categories.tolist() == ["data0", "data1", "data2"]
        assert table[table["source"] == "data1"]["station"].tolist() == ["xx"] * 11
        to_hdf5(os.path.join(os.path.dirname(tables[0]), "all.h5"), {"all": table})
    with h5py.File(os.path.join(os.path.dirname(tables[0]), "all.h5")) as file:
        assert (file["all"]["source"][()] == 2).sum() == 12


def test_columns_agree_by_name_in_any_order(tables, tmp_path):
    other = tmp_path / "other.csv"
    other.write_text("temp,station,count\n7.5,y,99\n")
    with load(*tables, other) as table:
        assert table.columns == ["station", "count", "temp"]
        assert (table["station"][33], table["count"][33], table["temp"][33]) == ("y", 99, 7.5)


def test_a_wider_type_in_one_file_widens_all_and_is_told(tables, tmp_path):
    other = tmp_path / "other.csv"
    other.write_text("station,temp,count\ny,1.5,0.5\n")
    with pytest.warns(UserWarning, match="count: float64, though int64 in data0"):
        table = load(*tables, other)  # its columns are in another order
    assert table["count"][-2:].tolist() == [11, 0.5]
    assert "count: float64, though int64 in data0" in table.notes
    other.write_text("station,count,temp\ny,0.5,1.5\n")
    with load(*tables, other) as table:
        assert table["count"][-2:].tolist() == [11, 0.5]
        assert "'count' is float64: '0.5' in line 2" in table.notes


@pytest.mark.parametrize(
    ("number", "dtype"),
    [(2**53 + 1, "i8"), (2**63 - 1, "i8"), (1 - 2**63, "i8"), (2**64 - 1, "u8"), (2**53 + 1, "u8")],
)
def test_a_number_that_the_wider_type_does_not_hold_is_an_error(tmp_path, number, dtype):
    np.save(tmp_path / "a.npy", np.array([number], dtype))
    np.save(tmp_path / "b.npy", np.array([0.5]))
    with pytest.raises(LoadError, match=f" {number} would become another number"):
        load(tmp_path / "a.npy", tmp_path / "b.npy")
    assert own_segments() == []


@pytest.mark.parametrize(
    ("number", "dtype"), [(2**53, "i8"), (-(2**63), "i8"), (2**63, "u8"), (2**32 - 1, "u4")]
)
def test_a_number_that_the_wider_type_holds_is_kept(tmp_path, number, dtype):
    np.save(tmp_path / "a.npy", np.array([number, 7], dtype))
    np.save(tmp_path / "b.npy", np.array([0.5]))
    with pytest.warns(UserWarning, match="float64, though"):
        whole = load(tmp_path / "a.npy", tmp_path / "b.npy")
    assert whole.tolist() == [float(number), 7, 0.5]
    whole.close()


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("station,count\nx,1\n", "it has no column 'temp'"),
        ("station,count,temp,more\nx,1,2,3\n", "it has the column 'more'"),
        ("1 2\n3 4\n", "one has columns with names, and the other has none"),
    ],
)
def test_what_cannot_agree_names_both_files(tables, tmp_path, text, what):
    other = tmp_path / "other.csv"
    other.write_text(text)
    with pytest.raises(LoadError, match=what) as caught:
        load(*tables, other)
    assert str(other) in str(caught.value)
    assert tables[0] in str(caught.value)
    assert own_segments() == []
    with load(*tables, other, on_error="skip") as table:
        assert len(table) == 33
        assert list(table.sources.failures) == ["other"]
        with pytest.raises(KeyError, match="could not be loaded"):
            table.sources["other"]


def test_kinds_that_cannot_agree(tmp_path):
    np.save(tmp_path / "a.npy", np.arange(3.0))
    for other in np.zeros(3, "M8[s]"), np.zeros((3, 2)), np.zeros(3, "S3"), np.zeros(3, bool):
        np.save(tmp_path / "b.npy", other)
        with pytest.raises(LoadError, match=r"b.npy: it cannot be one array with .*a.npy"):
            load(tmp_path / "*.npy")


def test_records(tmp_path):
    for n in range(3):
        (tmp_path / f"{n}.txt").write_text("".join(f"{i} {i + n}\n" for i in range(n + 1)))
    with load(tmp_path / "*.txt", dtype=DTYPE) as rows:
        assert type(rows) is SharedArray
        assert rows.tolist() == [(0, 0.0), (0, 1.0), (1, 2.0), (0, 2.0), (1, 3.0), (2, 4.0)]
        assert rows.sources["2"].tolist() == rows[3:].tolist()
    with load(tmp_path / "*.txt", dtype=DTYPE, concat="column") as rows:
        assert rows.dtype.names == ("pos", "pct", "source")
        assert (rows["source"] == "1").tolist() == [False, True, True, False, False, False]


def test_numbers_without_a_header_keep_their_columns_however_few_lines_there_are(tmp_path):
    (tmp_path / "a.txt").write_text("1 2\n")
    (tmp_path / "b.txt").write_text("3 4\n5 6\n")
    (tmp_path / "c.txt").write_text("")
    with load(tmp_path / "*.txt", dtype=float) as array:
        assert array.tolist() == [[1, 2], [3, 4], [5, 6]]
        assert [file.stop for file in array.sources.files] == [1, 3, 3]
    with load(tmp_path / "a.txt", tmp_path / "b.txt", dtype=float, usecols=0) as array:
        assert array.tolist() == [1, 3, 5]


def test_categories_have_one_code_in_all(tables):
    with load(*tables, categories="station") as table:
        assert table["station"].categories.tolist() == ["x", "xx", "xxx"]
        assert np.bincount(table["station"]).tolist() == [10, 11, 12]


def test_npy_hdf5_and_what_a_reader_gives(tmp_path):
    for n in range(2):
        np.save(tmp_path / f"{n}.npy", np.full((2, 3), n, "i2" if n else "i4", order="F"))
        with h5py.File(tmp_path / f"{n}.h5", "w") as file:
            file["grid"] = np.full((n + 1, 3), n, "f4")
            file["name"] = np.array(["a" * (n + 1)], h5py.string_dtype())
    with pytest.warns(UserWarning, match="int32, though int16 in 1"):
        array = load(tmp_path / "*.npy")
    assert array.tolist() == [[0] * 3] * 2 + [[1] * 3] * 2
    assert array.dtype == np.int32
    with load(tmp_path / "*.h5", dataset="grid") as grid:
        assert grid.tolist() == [[0] * 3, [1] * 3, [1] * 3]
        assert grid.dtype == np.float32
    with load(tmp_path / "*.h5", dataset="name") as names:
        assert names.tolist() == ["a", "aa"]
        assert names.sources["1/name" if "1/name" in names.sources else "1"].tolist() == ["aa"]
    with load(tmp_path / "*.npy", reader=lambda path: np.load(path)[:, :1] * 2.0) as array:
        assert array.tolist() == [[0.0], [0.0], [2.0], [2.0]]
    with pytest.raises(TypeError, match='concat="column" adds a column to tables and records'):
        load(tmp_path / "*.h5", dataset="grid", concat="column")
    assert own_segments() == []


def test_what_transform_makes_of_each_file(tables):
    with load(*tables, transform=lambda t: t[t["count"] >= 9]) as table:
        assert table["station"].tolist() == ["x", "xx", "xx", "xxx", "xxx", "xxx"]


def test_from_the_cache(tables, tmp_path):
    for _ in range(2):
        with load(*tables, cache=tmp_path / "cache") as table:
            assert len(table) == 33
            table["count"][:] = 0
    with load(*tables, cache=tmp_path / "cache") as table:
        assert table["count"].sum() == 166
        assert len(own_segments()) == 1


@pytest.mark.parametrize("backing", ["shm", "memfd", "directory"])
def test_in_every_backing(tables, backing, tmp_path):
    where = tmp_path if backing == "directory" else backing
    with load(*tables, backing=where) as table:
        assert table.segment.backing == ("file" if backing == "directory" else backing)
        assert table["count"].sum() == 166
    assert not list(tmp_path.glob("shmkit-*"))


def test_a_large_file_between_small_ones(tables, tmp_path):
    rows = 400_000
    (tmp_path / "data1.csv").write_text(
        "station,count,temp\n" + "".join(f"s{i},{i},{i}.5,\n"[:-2] + "\n" for i in range(rows))
    )
    with load(*tables) as table:
        assert len(table) == rows + 22
        assert np.array_equal(table.sources["data1"]["count"], np.arange(rows))
        assert table["temp"][10 + rows - 1] == rows - 0.5


def test_a_loader_that_dies_names_its_file_and_leaves_nothing(tmp_path):
    for n in range(4):
        np.save(tmp_path / f"{n}.npy", np.arange(9))

    def read(path):
        if path.endswith("2.npy"):
            os.kill(os.getpid(), signal.SIGKILL)
        return np.load(path)

    with pytest.raises(LoaderDiedError, match="SIGKILL") as caught:
        load(tmp_path / "*.npy", reader=read)
    assert caught.value.path == str(tmp_path / "2.npy")
    assert own_segments() == []


def test_the_stop_button_ends_it(tables, fifo):
    code = """
import os, sys, time
from shmkit import shared_load

def wait(path):
    with open(fifo, "w") as file:
        file.write(str(os.getpid()))
    time.sleep(100)

path, fifo = sys.argv[1:]
try:
    shared_load(path, reader=wait, concat=True)
except KeyboardInterrupt:
    print("stopped", flush=True)
sys.stdin.read()
"""
    with Owner(code, tables[0], fifo) as owner:
        heard(fifo, owner)
        os.kill(owner.pid, signal.SIGINT)
        assert owner.says() == ["stopped"]
        assert kept(1, lambda _: names_of(owner.pid) == [])


def test_what_concat_may_be(tables):
    with pytest.raises(ValueError, match="concat='rows' is neither True, False nor \"column\""):
        load(*tables, concat="rows")
