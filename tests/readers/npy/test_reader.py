"""Files of np.save come over bit for bit."""

import io
import os
import pickle

import numpy as np
import pytest
from numpy.lib import format as npy_format
from reading import probe, read, read_planned

from shmkit.errors import LoadError

RECORD = np.dtype([("chr", "S5"), ("pos", ">i4"), ("é", [("x", "f4"), ("t", "M8[s]", (2,))])])


def refused(path):
    with pytest.raises(LoadError) as caught:
        probe(str(path))
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (type(copy), str(copy)) == (LoadError, str(caught.value))
    assert copy.path == str(path)
    return caught.value.reason


@pytest.mark.parametrize("dtype", ["f8", ">f4", "?", "S7", "U3", "M8[ns]", "c16", "V3", RECORD])
@pytest.mark.parametrize("shape", [(), (1,), (5,), (3, 4), (2, 3, 4), (0,), (3, 0), (0, 3)])
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_come_over_bit_for_bit(tmp_path, dtype, shape, order):
    dtype = np.dtype(dtype)
    data = np.random.default_rng(1).bytes(int(np.prod(shape)) * dtype.itemsize)
    saved = np.asarray(np.ndarray(shape, dtype, data), order=order)
    path = tmp_path / "a.npy"
    with open(path, "wb") as file:
        npy_format.write_array(file, saved, version=(3, 0))
    array, plan, target = read(path)
    assert (array.dtype, array.shape) == (dtype, shape)
    assert array.tobytes() == saved.tobytes()
    assert array.flags.f_contiguous == saved.flags.f_contiguous
    assert plan.options == {}
    assert target.advances[-1] == (os.path.getsize(path), shape[0] if shape else 1)


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_versions(tmp_path, version):
    path = tmp_path / "a.npy"
    with open(path, "wb") as file:
        npy_format.write_array(file, np.arange(6).reshape(2, 3), version=version)
    assert read(path)[0].tolist() == [[0, 1, 2], [3, 4, 5]]


def test_thousands_of_fields(tmp_path):
    dtype = np.dtype([(f"field{i}", "f4") for i in range(3000)])
    np.save(tmp_path / "a.npy", np.zeros(2, dtype))
    assert probe(str(tmp_path / "a.npy")).dtype == dtype


@pytest.mark.parametrize(("order", "shape"), [("C", (9, 300_000)), ("F", (9, 300_000))])
def test_large_arrays_come_in_pieces(tmp_path, order, shape):
    saved = np.asarray(np.arange(2_700_000, dtype="f8").reshape(shape), order=order)
    np.save(tmp_path / "a.npy", saved)
    array, _, target = read(tmp_path / "a.npy")
    assert np.array_equal(array, saved)
    rows = [rows for _, rows in target.advances]
    assert sorted(set(rows)) == (list(range(10)) if order == "C" else [0, 9])
    assert rows == sorted(rows)
    assert rows.count(9) == 1


def test_what_follows_the_array_is_not_read(tmp_path):
    path = tmp_path / "a.npy"
    with open(path, "wb") as file:
        np.save(file, np.arange(3))
        np.save(file, np.arange(4))
    assert read(path)[0].tolist() == [0, 1, 2]


def test_objects_are_refused_and_not_unpickled(tmp_path):
    np.save(tmp_path / "a.npy", np.array([{}, None]), allow_pickle=True)
    assert "holds Python objects" in refused(tmp_path / "a.npy")


@pytest.mark.parametrize("keep", [0, 5, 9, 60, 127, 128, 151])
def test_cut_files_are_refused(tmp_path, keep):
    buffer = io.BytesIO()
    np.save(buffer, np.arange(3))
    (tmp_path / "a.npy").write_bytes(buffer.getvalue()[:keep])
    reason = refused(tmp_path / "a.npy")
    if keep >= 128:
        assert f"takes 152 bytes, the file has {keep}" in reason


@pytest.mark.parametrize(
    "content",
    [b"chr1\t5\n" * 20, b"\x93NUMPY\x09\x00" + b" " * 99, b"\x93NUMPY\x03\x00\xff\xff\xff\x7f"],
)
def test_other_files_are_refused(tmp_path, content):
    (tmp_path / "a.npy").write_bytes(content)
    assert "npy" in refused(tmp_path / "a.npy")


@pytest.mark.parametrize(
    "header",
    [
        "{}",
        "[]",
        "{'descr': 'f8'",
        "{'descr': '?!', 'fortran_order': 0, 'shape': (1,)}",
        "{1, 'shape': (1,)}",  # a set, as far as it goes
    ],
)
@pytest.mark.parametrize("version", [1, 2, 3])
def test_damaged_headers_are_refused(tmp_path, header, version):
    length = len(header).to_bytes(2 if version == 1 else 4, "little")
    content = b"\x93NUMPY" + bytes([version, 0]) + length + header.encode()
    (tmp_path / "a.npy").write_bytes(content)
    assert "is not a .npy file that can be read" in refused(tmp_path / "a.npy")


def test_headers_of_other_writers_are_read(tmp_path):
    header = """{ "shape" : (3,), "fortran_order": False, 'descr': [('shape', '<i4')] }\n"""
    content = b"\x93NUMPY\1\0" + len(header).to_bytes(2, "little") + header.encode()
    (tmp_path / "a.npy").write_bytes(content + np.arange(3, dtype="<i4").tobytes())
    assert read(str(tmp_path / "a.npy"))[0]["shape"].tolist() == [0, 1, 2]


def test_file_replaced_after_the_probe_is_refused(tmp_path):
    path = str(tmp_path / "a.npy")
    np.save(path, np.arange(3))
    plan = probe(path)
    np.save(path, np.arange(4))
    with pytest.raises(LoadError, match="replaced"):
        read_planned(path, plan)


def header_of(text):
    padded = text.encode("latin-1").ljust(246) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(padded).to_bytes(2, "little") + padded


@pytest.mark.parametrize("shape", ["()", "(3,)", "(3, 4)", "(3,4)", "( 3 , 4 , )", "(3L, 4L)"])
@pytest.mark.parametrize("after", ["", ", ", ", 'order': 0"])
def test_shapes_as_any_writer_puts_them(tmp_path, shape, after):
    text = f"{{'descr': '<i2', 'fortran_order': False, 'shape': {shape}{after}}}"
    (tmp_path / "a.npy").write_bytes(header_of(text) + bytes(24))
    found = probe(str(tmp_path / "a.npy"))
    assert found.shape == eval(shape.replace("L", ""))
    assert found.dtype == "i2"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{'descr': '<i2', 'fortran_order': False, 'shape': (3)}", "no tuple"),
        ("{'descr': '<i2', 'fortran_order': False, 'shape': (1,,2)}", "no tuple"),
        ("{'descr': '<i2', 'fortran_order': False}", "no tuple"),
        ("{'shape': (1,), 'descr': '<i2', 'fortran_order': False, 'shape': (3,)}", "twice"),
        ("{'descr': [(\"'shape': (1,)\", '<i2')], 'fortran_order': False, 'shape': (3,)}", "twice"),
        ("{'descr': '<i2', 'fortran_order': 1, 'shape': (3,)}", "fortran_order is neither"),
    ],
)
def test_odd_headers_are_refused(tmp_path, text, message):
    (tmp_path / "a.npy").write_bytes(header_of(text) + bytes(24))
    assert message in refused(tmp_path / "a.npy")


def test_an_unknown_version_is_named(tmp_path):
    (tmp_path / "a.npy").write_bytes(b"\x93NUMPY\x04\x00" + bytes(200))
    assert "its version, (4, 0), is none that is known" in refused(tmp_path / "a.npy")
