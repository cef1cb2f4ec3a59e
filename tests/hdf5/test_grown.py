"""Rows added to a file, day by day: to_hdf5 with mode="a" and concat=True."""

import os
import signal
import threading
import time

import h5py
import hdf5plugin  # noqa: F401 - h5py's zstd
import numpy as np
import pandas as pd
import pytest
from dumps import h5dump
from processes import Owner

from shmkit import shared_load, to_hdf5

RANDOM = np.random.default_rng(0)


def day(number, rows=1000):
    return pd.DataFrame(
        {
            "at": np.arange(rows) + number * 10_000,
            "value": RANDOM.integers(0, 1000, rows).astype(float),
            "who": RANDOM.choice(["a", "bb", "c" * (1 + number)], rows),
        }
    )


def add(path, arrays, **options):
    return to_hdf5(path, arrays, mode="a", concat=True, **options)


@pytest.mark.parametrize("compression", ["gzip", "zstd", "lzf", None])
def test_days_make_the_file_that_is_written_at_once(tmp_path, compression):
    days = {f"day{n}": day(n, 500 + 90 * n) for n in range(12)}
    for name, frame in days.items():
        add(tmp_path / "a.h5", {name: frame}, compression=compression)
    to_hdf5(tmp_path / "b.h5", days, concat=True, compression=compression)
    with h5py.File(tmp_path / "a.h5") as grown, h5py.File(tmp_path / "b.h5") as once:
        for name in ("data/at", "data/value", "data/who", "source"):
            np.testing.assert_array_equal(grown[name][:], once[name][:], strict=True)
        assert dict(grown["data/value"].attrs) == dict(once["data/value"].attrs)
        assert grown["source"]["stop"][-1] == sum(map(len, days.values()))
    with shared_load(tmp_path / "a.h5", dataset="data/who") as (who,):
        assert who.tolist() == [text for frame in days.values() for text in frame["who"]]
    if compression == "gzip":
        h5dump(tmp_path / "a.h5")
    assert sorted(os.listdir(tmp_path)) == ["a.h5", "b.h5"]


def test_records_and_grids_grow_too(tmp_path):
    records = np.zeros(700, [("chr", "S4"), ("pos", "i4")])
    records["pos"] = np.arange(700)
    longer = np.array([(b"chrX_random", 1)], [("chr", "S11"), ("pos", "i2")])
    grid = RANDOM.random((3, 40, 50))
    for number in range(5):
        add(tmp_path / "a.h5", {f"r{number}": records})
        add(tmp_path / "b.h5", {f"g{number}": grid + number}, chunks=(2, 30, 20))
    add(tmp_path / "a.h5", {"long": longer})
    with h5py.File(tmp_path / "a.h5") as file:
        assert file["data"]["pos"].tolist() == records["pos"].tolist() * 5 + [1]
        assert file["data"][-1].tolist() == (b"chrX_random", 1)
        assert set(file) == {"data", "source"}
    with h5py.File(tmp_path / "b.h5") as file:
        expected = np.concatenate([grid + number for number in range(5)])
        np.testing.assert_array_equal(file["data"][:], expected)


def test_many_small_days_waste_no_room(tmp_path):
    days = {f"day{n}": day(n % 3, 4000 + int(RANDOM.integers(-900, 900))) for n in range(60)}
    for name, frame in days.items():
        add(tmp_path / "a.h5", {name: frame})
    to_hdf5(tmp_path / "b.h5", days, concat=True)
    grown, once = (os.path.getsize(tmp_path / name) for name in ("a.h5", "b.h5"))
    assert grown < 1.05 * once + (1 << 18)  # what the last chunks of all columns take


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["table", "columns"])
def test_four_hundred_days_take_no_more_room_than_all_at_once(tmp_path, layout):
    rows = 1440
    days = {}
    for number in range(400):
        records = np.zeros(rows, [("at", "M8[s]"), ("station", "S6"), ("temp", "f4"), ("n", "i4")])
        records["at"] = np.datetime64("2024-01-01") + number + np.arange(rows).astype("m8[s]")
        records["station"] = RANDOM.choice([b"STA001", b"STA002", b"STA003"], rows)
        records["temp"] = RANDOM.normal(10, 5, rows).round(1)
        records["n"] = RANDOM.integers(0, 99, rows)
        days[f"day{number}"] = records
    for name, records in days.items():
        add(tmp_path / "a.h5", {name: records}, layout=layout)
    to_hdf5(tmp_path / "b.h5", days, concat=True, layout=layout)
    grown, once = (os.path.getsize(tmp_path / name) for name in ("a.h5", "b.h5"))
    assert grown < 1.05 * once


def test_a_reader_sees_the_old_rows_until_it_opens_the_file_again(tmp_path):
    add(tmp_path / "a.h5", {"one": np.arange(1000)})
    with h5py.File(tmp_path / "a.h5") as reader:
        add(tmp_path / "a.h5", {"two": np.arange(500)})
        assert reader["data"].shape == (1000,)
        np.testing.assert_array_equal(reader["data"][:], np.arange(1000))
    with h5py.File(tmp_path / "a.h5") as reader:
        assert reader["data"].shape == (1500,)


ADD = """
import sys, numpy as np
from shmkit import to_hdf5
print("begin", flush=True)
for number in range(int(sys.argv[2])):
    to_hdf5(sys.argv[1], {f"{sys.argv[3]}{number}": np.full(5000, number)}, mode="a", concat=True)
print("done", flush=True)
"""


def test_two_that_add_at_once_lose_nothing(tmp_path):
    path = tmp_path / "a.h5"
    with Owner(ADD, path, "12", "x") as one, Owner(ADD, path, "12", "y") as two:
        assert one.says() == two.says() == ["begin"]
        assert one.says() == two.says() == ["done"]
    with h5py.File(path) as file:
        assert file["data"].shape == (24 * 5000,)
        names = {name.decode() for name in file["source"]["name"]}
        assert names == {f"{who}{number}" for who in "xy" for number in range(12)}
        for row in file["source"]:
            part = file["data"][row["start"] : row["stop"]]
            assert set(part) == {int(row["name"][1:])}


@pytest.mark.slow
def test_killed_at_any_moment_it_leaves_the_old_rows_or_all_the_new(tmp_path):
    path = tmp_path / "a.h5"
    for delay in np.linspace(0.0, 0.2, 12):
        with Owner(ADD, path, "1000", "x") as owner:
            assert owner.says() == ["begin"]
            time.sleep(0.05 + delay)
            os.kill(owner.pid, signal.SIGKILL)
        if path.exists():
            with h5py.File(path) as file:
                stop = int(file["source"]["stop"][-1])
                assert file["data"].shape == (stop,)
                for row in file["source"]:
                    assert set(file["data"][row["start"] : row["stop"]]) == {int(row["name"][1:])}
    add(path, {"after": np.full(5, 7)})
    assert os.listdir(tmp_path) == ["a.h5"]


HOLD = """
import sys
from shmkit.hdf5.storage.turn import turn
with turn(sys.argv[1], 9):
    print("mine", flush=True)
    sys.stdin.readline()
"""


def test_who_waits_too_long_is_told_for_whom(tmp_path):
    path = tmp_path / "a.h5"
    add(path, {"one": np.arange(9)})
    with Owner(HOLD, path) as holder:
        assert holder.says() == ["mine"]
        message = (
            rf"is being added to by the process {holder.pid} \(python.*for longer than timeout=0.2"
        )
        for options in ({"concat": True}, {}):
            with pytest.raises(BlockingIOError, match=message):
                to_hdf5(path, {"two": np.arange(9)}, mode="a", timeout=0.2, **options)
        with h5py.File(path) as file:
            assert file["data"].shape == (9,)


def test_threads_wait_for_one_another(tmp_path):
    path = tmp_path / "a.h5"
    threads = [
        threading.Thread(target=add, args=(path, {f"t{n}": np.arange(100)})) for n in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with h5py.File(path) as file:
        assert file["data"].shape == (600,)


@pytest.mark.parametrize(
    ("new", "message"),
    [
        ({"x": np.arange(3.0)}, "is of the type int64, which has no room for float64"),
        (
            {"x": np.zeros((3, 2), "i8")},
            r"has rows of the shape \(\), and those to be added \(2,\)",
        ),
        ({"x": pd.DataFrame({"a": [1]})}, "rows can be added only to the same fields"),
        ({"x": np.ma.MaskedArray([1], [1])}, "has _FillValue=None"),
        ({"x": np.array(["2024"], "M8[D]")}, "numpy_dtype=None, and the rows to be added"),
    ],
    ids=str,
)
def test_other_rows_are_an_error_that_changes_no_byte(tmp_path, new, message):
    add(tmp_path / "a.h5", {"one": np.arange(9)})
    before = (tmp_path / "a.h5").read_bytes()
    with pytest.raises(ValueError, match=message):
        add(tmp_path / "a.h5", new)
    assert (tmp_path / "a.h5").read_bytes() == before
    assert os.listdir(tmp_path) == ["a.h5"]


@pytest.mark.parametrize("options", [{}, {"dtype": [("chr", "S9"), ("n", "i4")]}])
def test_categories_that_come_get_the_next_codes(tmp_path, options):
    days = [["chr2", "chr1"] * 400, ["chr1", "chrX"] * 300, ["chr2"] * 5, ["", "chrY", "chrX"] * 9]
    for number, texts in enumerate(days):
        path = tmp_path / f"{number}.csv"
        rows = "".join(f"{text},{n}\n" for n, text in enumerate(texts))
        path.write_text(rows if options else "chr,n\n" + rows)
        more = {"delimiter": ","} | options
        with shared_load(path, categories="chr", **more) as arrays:
            add(tmp_path / "a.h5", arrays)
    whole = "data" if options else "data/chr"
    with shared_load(tmp_path / "a.h5", dataset=whole) as (found,):
        codes = found["chr"] if options else found
        assert codes.categories[codes].tolist() == [text for texts in days for text in texts]
    with h5py.File(tmp_path / "a.h5") as file:
        dtype = file[whole].dtype["chr"] if options else file[whole].dtype
        # 3 is that of the empty text.
        assert h5py.check_enum_dtype(dtype) == {"chr2": 0, "chr1": 1, "chrX": 2, "chrY": 4}


def test_categories_need_room_in_the_file(tmp_path):
    few = np.arange(9, dtype="u1")
    with_names = few.astype(np.dtype("u1", metadata={"enum": {f"a{n}": n for n in range(200)}}))
    add(tmp_path / "a.h5", {"one": with_names})
    more = few.astype(np.dtype("u1", metadata={"enum": {f"b{n}": n for n in range(200)}}))
    with pytest.raises(ValueError, match="no codes for its categories"):
        add(tmp_path / "a.h5", {"two": more})
    with pytest.raises(ValueError, match="no categories"):
        add(tmp_path / "a.h5", {"two": np.arange(3, dtype="u1")})
    with h5py.File(tmp_path / "a.h5") as file:
        np.testing.assert_array_equal(file["data"][:], with_names)


def test_what_cannot_grow_is_told(tmp_path):
    to_hdf5(tmp_path / "a.h5", {"data": np.arange(9), "source": np.arange(9)})
    with pytest.raises(ValueError, match="'data' in the file was not written by concat=True"):
        add(tmp_path / "a.h5", {"one": np.arange(9)})


def test_other_things_in_the_file_stay(tmp_path):
    to_hdf5(tmp_path / "a.h5", {"other": np.arange(5)}, attrs={"title": "mine"})
    for number in range(3):
        add(tmp_path / "a.h5", {f"d{number}": np.arange(2000)}, group="daily")
    with h5py.File(tmp_path / "a.h5") as file:
        assert file.attrs["title"] == "mine"
        assert file["other"][:].tolist() == [0, 1, 2, 3, 4]
        assert file["daily/data"].shape == (6000,)
