"""Many small files that become one array."""

import gzip
import os
import signal

import numpy as np
import pytest
from machine import own_segments

from shmkit import LoaderDiedError, LoadError, shared_load

FILES = 60


def load(folder, **options):
    return shared_load(folder / "*", concat=True, processes=2, progress=False, **options)


def check(table, without=()):
    """All rows are there, in order."""
    files = [n for n in range(FILES) if n not in without]
    assert table["file"].tolist() == [n for n in files for _ in range(n + 1)]
    assert table["row"].tolist() == [i for n in files for i in range(n + 1)]
    assert table["text"].tolist() == [f"s{n % 7}" for n in files for _ in range(n + 1)]


def test_all_rows_are_there_in_order(folder):
    with load(folder) as table:
        check(table)
        assert len(own_segments()) == 1
        assert [f.stop - f.start for f in table.sources.files] == list(range(1, FILES + 1))
        assert table.sources["f17"]["file"].tolist() == [17] * 18
    assert own_segments() == []


def test_files_that_look_otherwise_are_read_alone(folder):
    (folder / "f05.csv").write_text("row,text,file\n" + "".join(f"{i},s5,5\n" for i in range(6)))
    (folder / "f40.csv").write_bytes(
        gzip.compress(b"file,row,text\r\n" + b"".join(b"40,%d,s5\r\n" % i for i in range(41)))
    )
    (folder / "f41.csv").write_text(
        "# said before\n\nfile,row,text\n" + "".join(f"41,{i},s6\n\n" for i in range(42))
    )
    with load(folder) as table:
        check(table)


def test_a_value_that_belies_the_types_of_all(folder):
    path = folder / "f33.csv"
    path.write_text(path.read_text().replace("33,33,s5", "33,33.5,s5"))
    with load(folder) as table:
        assert table["row"].dtype == np.float64
        table["row"][table["row"] == 33.5] = 33
        check(table)
        assert any("'row' is float64: '33.5' in line 35" in note for note in table.notes)


def test_a_number_becomes_text_in_all_if_it_is_in_one(folder):
    path = folder / "f33.csv"
    path.write_text(path.read_text().replace("33,0,s5", "33,zero,s5"))
    with load(folder) as table:
        assert table["row"][:3].tolist() == ["0", "0", "1"]
        assert "zero" in table["row"]


def test_a_bad_line_names_its_file_or_the_file_is_left_out(folder):
    path = folder / "f20.csv"
    path.write_text(path.read_text() + "20,21\n")
    with pytest.raises(LoadError, match="line 23") as caught:
        load(folder)
    assert caught.value.path == str(path)
    assert own_segments() == []
    with load(folder, on_error="skip") as table:
        check(table, without=[20])
        assert list(table.sources.failures) == ["f20"]


def test_with_a_dtype_it_is_what_loadtxt_gives(folder):
    dtype = [("file", "i4"), ("row", "i4"), ("text", "U2")]
    (folder / "f10.csv").write_text("file,row,text\n")
    options = {"dtype": dtype, "delimiter": ",", "skiprows": 1}
    paths = sorted(folder.iterdir())
    with pytest.warns(UserWarning, match="contained no data"):
        expected = [np.loadtxt(path, ndmin=1, **options) for path in paths]
    with load(folder, **options) as rows:
        assert np.array_equal(rows, np.concatenate(expected))
    with load(folder, dtype=float, delimiter=",", skiprows=1, usecols=(0, 1)) as rows:
        assert rows.shape == (len(rows), 2)
        assert rows[:, 1].tolist() == [i for n in range(FILES) if n != 10 for i in range(n + 1)]


def test_a_loader_that_dies_names_its_file(folder):
    def convert(text):
        if text == "44":
            os.kill(os.getpid(), signal.SIGKILL)
        return int(text)

    with pytest.raises(LoaderDiedError, match="SIGKILL") as caught:
        load(folder, converters={"row": convert})
    assert os.path.basename(caught.value.path) >= "f44.csv"
    assert own_segments() == []
