"""Headers: what is none, or lies, is refused, and runs nothing."""

import os
import pathlib
import pickle
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from names import image, planted

from shmkit import SegmentError, attach, share
from shmkit.segments.image.header import header_bytes

RECORDS = np.array([(b"chr1", 7, [1, 2])], [("chr", "S5"), ("größe", ">i4"), ("pct", "f4", 2)])


@pytest.mark.parametrize(
    ("descr", "shape"),
    [
        ("'<f8'", (1 << 62,)),
        ("'<f8'", (1 << 64, 0)),
        ("'<f8'", (1 << 62, 0)),
        ("'<f8'", (1 << 32, 1 << 32, 0)),
        ("'<f8'", (-1,)),
        ("'<f8'", (-1, -1)),
        ("'<f8'", (1,) * 65),
        ("('<f8', (1,))", (1,) * 64),
        ("'<f8'", "(1e999,)"),
        ("'<f8'", "(1j,)"),
        ("'<f8'", "(0x" + "f" * 10_000 + ",)"),
        ("'<f8'", "3"),
        ("'<f8'", "(1 << 2,)"),
        ("'S0'", (1 << 64,)),
        ("'V0'", (1 << 40, 1 << 40)),
        ("'V2147483647'", (1,)),
        ("'|O'", (1,)),
        ("[('a', [('b', 'O')])]", (1,)),
        ("'i4,O'", (1,)),
        ("'T'", (1,)),  # numpy's StringDType: its items are addresses
        ("()", (1,)),
        ("('<f8',)", (1,)),
        ("[]", (1 << 63,)),
        ("[('a',)]", (1,)),
        ("[('a', '<f8'), ('a', '<f8')]", (1,)),
        ("[(1, '<f8')]", (1,)),
        ("[('a', '<f8', (99999999999,))]", (1,)),
        ("{'names': ['a', 'b'], 'formats': ['O', 'f8'], 'offsets': [0, 0]}", (1,)),
        ("None", (1,)),
        ("'größe'", (1,)),
        ("(" * 150 + "'<f8'" + ",)" * 150, (1,)),
        ("[" * 100_000, (1,)),
        ("-" * 100_000 + "1", (1,)),
        ("1" + "+1j" * 100_000, (1,)),
        ("open('ran', 'w')", (1,)),
        ("'<f8'", "(__import__('os').mkdir('ran'),)"),
        ("'<f8'", "[*map(open, ['ran'])]"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_hostile_header_is_refused_and_runs_nothing(tmp_path, monkeypatch, descr, shape):
    monkeypatch.chdir(tmp_path)
    path = planted(tmp_path, image(descr, shape, bytes(256)))
    with pytest.raises(SegmentError, match="is not a segment, or is damaged"):
        attach(path)
    assert os.listdir(tmp_path) == [os.path.basename(path)]


class Opens:
    """Makes a file when it is unpickled."""

    def __reduce__(self):
        return open, ("ran", "w")


def test_a_pickle_is_not_loaded(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = planted(tmp_path, b"")
    with open(path, "wb") as file:
        np.save(file, np.array([Opens()], dtype=object))
    with pytest.raises(SegmentError, match="Python objects"):
        attach(path)
    pathlib.Path(path).write_bytes(pickle.dumps(Opens()))
    with pytest.raises(SegmentError, match="is not a segment"):
        attach(path)
    assert os.listdir(tmp_path) == [os.path.basename(path)]


def test_a_segment_that_was_cut_short_is_refused(tmp_path):
    with share(np.arange(5.0), backing=tmp_path) as array:
        whole = pathlib.Path(array.segment.path).read_bytes()
    for length in range(len(whole)):
        path = planted(tmp_path, whole[:length])
        with pytest.raises(SegmentError, match="is not a segment, or is damaged"):
            attach(path)
    assert attach(planted(tmp_path, whole)).tolist() == list(range(5))


@pytest.mark.parametrize(
    "content",
    [
        b"not a segment",
        b"\x93NUMPY\x09\x00" + b" " * 100,  # a version that there is not
        b"\x93NUMPY\x02\x00" + b"\xff\xff\xff\xff" + b"[" * 500,  # longer than the file
        b"\x93NUMPY\x01\x00\x26\x00{'descr': '<f8', 'shape': (1,)}".ljust(48) + bytes(64),
    ],
    ids=["text", "version", "length", "missing key"],
)
def test_what_has_only_the_name_of_a_segment_is_refused(tmp_path, content):
    with pytest.raises(SegmentError, match="is not a segment"):
        attach(planted(tmp_path, content))


def mutations():
    """The images of arrays with some bytes of their header written over, left out, or put in."""
    arrays = [RECORDS, np.arange(6, dtype=">i2").reshape(2, 3).T, np.array("ab"), np.ones((2, 0))]
    tokens = [b"0", b"-", b"9" * 19, b"(", b"[", b"'", b",", b":", b"O", b"\xff", b"1e999", b"None"]

    def mutate(array, edits):
        header = bytearray(header_bytes(array.dtype, array.shape, array.flags.f_contiguous))
        for place, removed, put in edits:
            start = place % len(header)
            header[start : start + removed] = put
        return bytes(header) + array.tobytes("A")

    edit = st.tuples(
        st.integers(0, 200),
        st.integers(0, 3),
        st.one_of(st.sampled_from(tokens), st.binary(max_size=3)),
    )
    return st.builds(mutate, st.sampled_from(arrays), st.lists(edit, min_size=1, max_size=4))


@settings(max_examples=300)
@given(content=mutations())
def test_a_damaged_header_is_refused_or_lies_within_the_file(tmp_path, content):
    path = planted(tmp_path, content)
    try:
        with warnings.catch_warnings():
            # numpy's and Python's, about what the damaged text happens to say.
            warnings.simplefilter("ignore")
            array = attach(path)
    except SegmentError:
        return
    assert array.segment.nbytes <= len(content)
    assert not array.dtype.hasobject
    assert len(array.tobytes()) == array.nbytes


def test_a_header_travels_between_processes():
    header = share(np.arange(3.0)).segment.header
    assert pickle.loads(pickle.dumps(header)) == header
