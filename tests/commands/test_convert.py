"""shmkit convert: files to one HDF5 file, from the shell."""

import os
import shutil
import signal
import subprocess
import sys

import h5py
import numpy as np
import pytest
from machine import tool
from processes import left_of

from shmkit import shared_load
from shmkit.commands import convert
from shmkit.commands.cli import main


@pytest.fixture
def files(tmp_path, calls, monkeypatch):
    """A text file, a binary one and an HDF5 file with two datasets, in the working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    os.rename(calls, "calls.txt")
    np.save("grid.npy", np.arange(12.0).reshape(3, 4))
    with h5py.File("old.h5", "w") as file:
        file["x"], file["g/y"] = np.arange(3), np.arange(4)
    return ["calls.txt", "grid.npy", "old.h5"]


def contents():
    found = {}
    for name in os.listdir():
        with open(name, "rb") as file:
            found[name] = file.read()
    return found


def test_files_become_datasets(files, capsys):
    main(["convert", *files, "out.h5"])
    with shared_load("calls.txt") as (table,):
        expected = {name: np.array(table[name]) for name in table}
    with h5py.File("out.h5") as file:
        assert [*file] == ["calls", "grid", "old"]
        assert [*file["calls"]] == sorted(expected)
        for name, column in expected.items():
            found = file["calls"][name]
            found = found.asstr()[:] if column.dtype.kind == "U" else found[:]
            np.testing.assert_array_equal(found, column)
        np.testing.assert_array_equal(file["grid"][:], np.load("grid.npy"))
        assert file["old/x"][:].tolist() == [0, 1, 2]
        assert file["old/g/y"][:].tolist() == [0, 1, 2, 3]
        assert file["calls/pos"].attrs["source_file"] == os.path.abspath("calls.txt")
    printed, error = capsys.readouterr()
    assert printed.startswith("out.h5: 6 datasets")
    assert error == ""


def test_the_datasets_of_one_file_keep_their_names(files):
    main(["convert", "old.h5", "out.h5"])
    main(["convert", "old.h5", "--dataset", "g/*", "part.h5"])
    with h5py.File("out.h5") as out, h5py.File("part.h5") as part:
        assert [out["x"].shape, out["g/y"].shape] == [(3,), (4,)]
        assert [*part] == ["g"]
        assert part["g/y"][:].tolist() == [0, 1, 2, 3]


def test_an_option_is_refused_where_no_file_of_all_batches_has_use_for_it(files, monkeypatch):
    monkeypatch.setattr(convert, "_BATCH_FILES", 1)
    with pytest.raises(
        SystemExit, match=r"skiprows: for text files only, and these are \.npy files"
    ):
        main(["convert", "grid.npy", "old.h5", "out.h5", "--skiprows", "1"])
    assert not os.path.exists("out.h5")
    main(["convert", *files, "out.h5", "--skiprows", "2", "--dataset", "x"])
    with h5py.File("out.h5") as file:
        assert file["calls/f1"].shape == (1,)
        assert file["old"][:].tolist() == [0, 1, 2]


def test_options_mean_what_they_mean_in_to_hdf5_and_shared_load(files):
    with open("a.csv", "w") as file:
        file.write("# note\n1,2\n3,4\n")
    main(
        [
            "convert",
            "a.csv",
            "grid.npy",
            "out.h5",
            "--delimiter",
            ",",
            "--skiprows",
            "1",
            "--compression",
            "none",
            "--group",
            "a/b",
            "--attr",
            "by=me",
        ]
    )
    main(["convert", "old.h5", "out.h5", "--dataset", "g/*", "--append", "--chunks", "2"])
    with h5py.File("out.h5") as file:
        assert file["a/b/a"][:].tolist() == [[1, 2], [3, 4]]
        assert file["a/b"].attrs["by"] == "me"
        assert file["g/y"].chunks == (2,)
        assert "x" not in file


def test_concat_makes_one_table(files):
    np.save("more.npy", np.ones((2, 4)))
    main(["convert", "grid.npy", "more.npy", "out.h5", "--concat"])
    with h5py.File("out.h5") as file:
        assert file["data"].shape == (5, 4)
        assert file["source"]["name"].tolist() == [b"grid", b"more"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing*.txt", "out.h5"], "no file matches 'nothing*.txt'"),
        (["grid.npy", "no/out.h5"], "there is no directory"),
        (["grid.npy", "grid.npy", "--append"], "is no HDF5 file"),
        (["bad.txt", "out.h5"], "bad.txt, line 3"),
        (["grid.npy", "out.h5", "--compression", "zip"], "--compression 'zip' is none of"),
        (["new.h5", "old.h5", "--append"], "is in the file already; --overwrite replaces it"),
        (["big.npy", "signed.npy", "out.h5", "--concat"], "--concat would change data"),
        (["grid.npy", "old.h5", "--mode", "x"], "is there already"),
        (["grid.npy", "old.h5"], "old.h5"),
        (["grid.npy", "old.h5"], "is there already; --overwrite replaces it, --append adds to it"),
        (["grid.npy", "old.h5", "--mode", "w"], "is there already; --overwrite replaces it"),
        (["old.h5", "grid.npy"], "is there, and is no HDF5 file: it stays; name the file to write"),
        (["old.h5", "grid.npy", "--overwrite"], "is no HDF5 file: it stays"),
        (["grid.npy", "calls.txt", "--overwrite"], "'calls.txt'"),
        (["calls.txt", "out.h5", "--usecols", "a"], "'a' is not like 0 or 0,3,4"),
        (["calls.txt", "out.h5", "--dtype", "x:y"], "'x:y' is no type"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_leaves_everything(files, arguments, message, capsys):
    shutil.copy("old.h5", "new.h5")
    np.save("big.npy", np.array([2**63], "u8"))
    np.save("signed.npy", np.array([-1]))
    with open("bad.txt", "w") as file:
        file.write("1 2\n3 4\n5\n")
    before = contents()
    with pytest.raises(SystemExit) as caught:
        main(["convert", *arguments])
    said = capsys.readouterr().err if caught.value.code == 2 else str(caught.value)
    assert said.startswith(("shmkit convert: ", "usage: shmkit convert"))
    assert message in said
    assert contents() == before


@pytest.mark.parametrize("option", [[], ["--append"], ["--overwrite"], ["--mode", "x"]])
def test_a_forgotten_output_replaces_no_data(files, option):
    """What a shell makes of ``shmkit convert *.csv``."""
    for name in ("a.csv", "b.csv", "c.csv"):
        with open(name, "w") as file:
            file.write("1,2\n3,4\n")
    before = contents()
    with pytest.raises(SystemExit, match=r"c\.csv"):
        main(["convert", "a.csv", "b.csv", "c.csv", *option])
    assert contents() == before


def test_an_hdf5_file_is_replaced_if_that_is_said(files):
    with h5py.File("userblock.h5", "w", userblock_size=1024) as file:
        file["x"] = 1
    for name in ("old.h5", "userblock.h5"):
        main(["convert", "grid.npy", name, "--overwrite"])
        with h5py.File(name) as file:
            assert [*file] == ["grid"]


def test_the_options_of_a_load_are_those_of_shared_load(files):
    with open("t.csv", "wb") as file:
        file.write("% é\nsite;x;y\n'a;b';1;2\n'é';3;4\n'c';5;6\n".encode("latin-1"))
    options = ["--encoding", "latin-1", "--comments", "%", "--quotechar", "'", "--skiprows", "2"]
    options += [
        "--dtype",
        "site:U3,y:f4",
        "--delimiter",
        ";",
        "--usecols",
        "0,2",
        "--max-rows",
        "2",
    ]
    main(["convert", "t.csv", "~/out.h5", *options, "--no-progress"])
    with shared_load("~/out.h5") as (table,):
        assert table.tolist() == [("a;b", 2.0), ("é", 4.0)]
        assert table.dtype == [("site", "U3"), ("y", "f4")]
    with open("t.tsv", "w") as file:
        file.write("who\tn\nann\t1\nbob\t2\nann\t3\n")
    main(["convert", "t.tsv", "out2.h5", "--delimiter", r"\t", "--categories", "who"])
    with h5py.File("out2.h5") as file:
        assert h5py.check_enum_dtype(file["t/who"].dtype) == {"ann": 0, "bob": 1}
    main(["convert", "grid.npy", "old.h5", "out3.h5", "--dataset", "x", "--dataset", "g/y"])
    with h5py.File("out3.h5") as file:
        assert [*file["old"]] == ["g", "x"]


def test_failed_files_are_left_out_if_asked(files, capsys):
    with open("bad.txt", "w") as file:
        file.write("1 2\n3\n")
    with pytest.raises(SystemExit) as caught:
        main(["convert", "bad.txt", "grid.npy", "out.h5", "--skip-failed"])
    assert caught.value.code == 1
    assert "left out: " in capsys.readouterr().out
    with h5py.File("out.h5") as file:
        assert [*file] == ["grid"]


@pytest.mark.slow
def test_more_than_memory_holds_is_written_batch_by_batch(tmp_path):
    """Ten arrays of 16 MB through 64 MB of shared memory."""
    for number in range(10):
        np.save(tmp_path / f"{number}.npy", np.full(2_000_000, number, "f8"))
    space = [tool("unshare"), "-m" if os.geteuid() == 0 else "-rm", "sh", "-c"]
    mount = 'mount -t tmpfs -o size=64m none /dev/shm && exec "$@"'
    command = [sys.executable, "-m", "shmkit", "convert", "*.npy", "out.h5"]
    options = ["--backing", "shm", "--compression", "none"]
    done = subprocess.run(
        [*space, mount, "sh", *command, *options],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    with h5py.File(tmp_path / "out.h5") as file:
        assert [file[str(n)][[0, -1]].tolist() for n in range(10)] == [[n, n] for n in range(10)]


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGKILL])
def test_an_end_in_the_middle_leaves_nothing(tmp_path, fifo, ending):
    with h5py.File(tmp_path / "out.h5", "w") as file:
        file["old"] = 1
    before = (tmp_path / "out.h5").read_bytes()
    np.save(tmp_path / "a.npy", np.arange(3))
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "shmkit",
            "convert",
            "--overwrite",
            "--backing",
            "shm",
            tmp_path / "a.npy",
            fifo,
            tmp_path / "out.h5",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    with process, open(fifo, "w"):  # a loader waits for its text
        os.killpg(process.pid, ending)
        process.communicate(timeout=60)
    assert process.returncode != 0
    assert left_of(process.pid) == []
    assert (tmp_path / "out.h5").read_bytes() == before
    assert not [name for name in os.listdir(tmp_path) if name.endswith(".tmp")]
