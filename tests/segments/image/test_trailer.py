"""Trailers: what is damaged, or lies, is refused."""

import json
import pathlib

import numpy as np
import pytest
from names import image, planted

from shmkit import (
    SegmentError,
    attach,
    share,
)
from shmkit._categories import category

RECORD = np.dtype([("chr", category(["chr1", "é"])), ("x", "f4"), ("in", [("s", category(["a"]))])])


def trailer(table):
    found = {"enums": {}, "text": [], "table": table}
    return b"shmkit trailer\n" + json.dumps(found).encode()


@pytest.mark.parametrize(
    "table",
    [
        None,
        [],
        {},
        {"rows": 1},
        {"rows": 1, "columns": []},
        {"rows": 1, "columns": 5},
        {"rows": 1, "columns": [["a"]]},
        {"rows": 1, "columns": [["", "u1", 0]]},
        {"rows": 1, "columns": [["a", "u1", 0], ["a", "u1", 1]]},
        {"rows": 1, "columns": [[1, "u1", 0]]},
        {"rows": 1, "columns": [["a", "O", 0]]},
        {"rows": 1, "columns": [["a", "T", 0]]},
        {"rows": 1, "columns": [["a", "V1", 0]]},
        {"rows": 1, "columns": [["a", "i4,i4", 0]]},
        {"rows": 1, "columns": [["a", [["b", "i4"]], 0]]},
        {"rows": 1, "columns": [["a", None, -8]]},
        {"rows": 1, "columns": [["a", "u1", -1]]},
        {"rows": 1, "columns": [["a", "u1", 1.0]]},
        {"rows": 1, "columns": [["a", "u1", True]]},
        {"rows": 1, "columns": [["a", "u1", 64]]},
        {"rows": 65, "columns": [["a", "u1", 0]]},
        {"rows": 9, "columns": [["a", "f8", 0]]},
        {"rows": 2, "columns": [["a", "u1", 0], ["b", "u1", 1]]},
        {"rows": -1, "columns": [["a", "u1", 0]]},
        {"rows": 1.0, "columns": [["a", "u1", 0]]},
        {"rows": "1", "columns": [["a", "u1", 0]]},
        {"rows": 1 << 70, "columns": [["a", "u1", 0]]},
        {"rows": 1, "columns": [["a", "S99999999999999", 0]]},
    ],
    ids=str,
)
def test_a_hostile_trailer_is_refused(tmp_path, table):
    path = planted(tmp_path, image("'|u1'", (64,), bytes(64) + trailer(table)))
    with pytest.raises(SegmentError, match="is damaged: its trailer"):
        attach(path)


def test_a_trailer_describes_bytes_alone(tmp_path):
    columns = {"rows": 2, "columns": [["a", "<i4", 8], ["b", "u1", 32]]}
    good = attach(planted(tmp_path, image("'|u1'", (64,), bytes(64) + trailer(columns))))
    assert good.columns == ["a", "b"]
    assert len(good) == 2
    for descr, shape in [("'|i1'", (64,)), ("'|u1'", (8, 8)), ("[('a', 'u1', (64,))]", ())]:
        path = planted(tmp_path, image(descr, shape, bytes(64) + trailer(columns)))
        with pytest.raises(SegmentError, match="is damaged: its trailer"):
            attach(path)


def test_a_table_that_was_cut_short_is_refused(tmp_path):
    with share({"a": [1, 2], "s": ["x", "é"]}, backing=tmp_path) as table:
        whole = pathlib.Path(table.segment.path).read_bytes()
    mark = whole.index(b"shmkit trailer\n")
    for length in range(len(whole)):
        path = planted(tmp_path, whole[:length])
        if mark <= length < mark + len(b"shmkit trailer\n"):
            continue  # the image of an array, without what the trailer said
        with pytest.raises(SegmentError, match="is not a segment, or is damaged"):
            attach(path)
    assert attach(planted(tmp_path, whole))["s"].tolist() == ["x", "é"]


@pytest.mark.parametrize(
    "trailer",
    [
        b"",
        b"{",
        b"\xff",
        b"[" * 100_000,
        b"[]",
        b"{}",
        b'{"enums": {}}',
        b'{"enums": [], "text": []}',
        b'{"enums": {"chr": 1}, "text": []}',
        b'{"enums": {"chr": {"a": "b"}}, "text": []}',
        b'{"enums": {"chr": {"a": 1.5}}, "text": []}',
        b'{"enums": {"chr": {"a": true}}, "text": []}',
        b'{"enums": {"chr": ["ab"]}, "text": []}',
        b'{"enums": {"other": {"a": 1}}, "text": []}',
        b'{"enums": {"in": {"a": 1}}, "text": []}',
        b'{"enums": {"x": {"a": 1}}, "text": []}',
        b'{"enums": {}, "text": ["x"]}',
        b'{"enums": {}, "text": ["other"]}',
        b'{"enums": {}, "text": [1]}',
        b'{"enums": {}, "text": [[]]}',
        b'{"enums": {}, "text": "chr"}',
        b'{"enums": {}, "text": [], "table": {"rows": 1, "columns": [["x", "u1", 0]]}}',
        b" " * (1 << 25) + b"{}",
    ],
    ids=lambda trailer: trailer[:20].decode("latin-1"),
)
def test_a_damaged_trailer_is_refused(tmp_path, trailer):
    with share(np.zeros(2, RECORD), backing=tmp_path) as array:
        path = array.segment.path
        data, mark, _ = pathlib.Path(path).read_bytes().partition(b"shmkit trailer\n")
        other = f"{path.rpartition('-')[0]}-1000000.npy"
        pathlib.Path(other).write_bytes(data + mark + trailer)
        with pytest.raises(SegmentError, match="damaged: its trailer"):
            attach(other)
