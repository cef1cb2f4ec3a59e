"""What could not be loaded, as a table."""

import pickle

import numpy as np

from shmkit import shared_load


def test_failures_show_file_line_reason_and_option(tmp_path):
    (tmp_path / "good.txt").write_text("x\n1\n")
    (tmp_path / "<bad>.txt").write_text("x\n1\nn/a\n")
    files = [tmp_path / "good.txt", tmp_path / "<bad>.txt"]

    def fail(path):
        raise ValueError("no")

    with shared_load(files, dtype="f8", skiprows=1, on_error="skip", progress=False) as arrays:
        (row,) = arrays.failures.table().rows
        assert (row[0], row[1]) == ("<bad>.txt", "3")
        assert "n/a" in row[2]
        assert row[3].startswith("converters={0: ...}")
        assert arrays.failures == {"<bad>": arrays.failures["<bad>"]}  # still a dict
        html = arrays.failures._repr_html_()
        assert "&lt;bad&gt;.txt" in html
        assert "<bad>" not in html
        again = pickle.loads(pickle.dumps(arrays.failures))
        assert (type(again), str(again)) == (type(arrays.failures), str(arrays.failures))
    with shared_load(files, reader=fail, on_error="skip", progress=False) as arrays:
        rows = arrays.failures.table().rows
        assert [row[:3] for row in rows] == [
            ("good.txt", "", "ValueError: no"),
            ("<bad>.txt", "", "ValueError: no"),
        ]


def test_missing_files_and_directories_are_failures_like_others(tmp_path):
    (tmp_path / "good.csv").write_text("x\n1\n")
    (tmp_path / "ragged.csv").write_text("x,y\n1,2\n1,2,3\n")
    (tmp_path / "folder").mkdir()
    names = ["gone.csv", "folder", "good.csv", "ragged.csv"]
    files = [tmp_path / name for name in names]
    with shared_load(files, on_error="skip", progress=False) as arrays:
        gone, folder, ragged = arrays.failures.table().rows
        assert arrays.keys() == ["good"]
    assert gone == ("gone.csv", "", "No such file or directory", "")
    assert folder == ("folder", "", "Is a directory", f"give its files as '{tmp_path}/folder/*'")
    assert ragged[1:3] == ("3", "expected 2 fields, found 3 in '1,2,3'")
    assert ragged[3].startswith("max_rows=")


def test_without_failures_nothing_is_listed(tmp_path):
    np.save(tmp_path / "a.npy", np.ones(3))
    with shared_load(tmp_path / "a.npy", progress=False) as arrays:
        assert str(arrays.failures).strip() == "Failures: 0 files"
        assert not arrays.failures
