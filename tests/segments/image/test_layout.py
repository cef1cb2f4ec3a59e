"""Layouts: columns one behind the other, in tables that have rows, in such as wait for them."""

import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from names import image, planted

from shmkit import SegmentError, SharedArray, SharedTable, attach
from shmkit._text_dtype import coded_text
from shmkit.segments.backing import choose_backing
from shmkit.segments.image import layout as _layout
from shmkit.segments.image.layout import Layout, layout_of
from shmkit.segments.segment import Segment
from shmkit.segments.writer import SegmentWriter


@pytest.fixture(params=["header", "trailer"])
def described_in(request, monkeypatch):
    """Where the columns are described: a table of more than 2 GiB has no place in the header."""
    if request.param == "trailer":
        monkeypatch.setattr(_layout, "_MAX_NBYTES", 0)
    return request.param


def test_columns_laid_out_for_an_estimate_have_holes(tmp_path, described_in):
    columns = [("a", np.dtype("i4")), ("b", coded_text(["u", "v"])), ("c", np.dtype("f8"))]
    layout = Layout.new(columns, rows=0, room=10_000_000)
    segment = Segment.create(choose_backing(tmp_path, 1))
    with SegmentWriter(segment) as writer:
        writer.declare(*layout.image())
        for first in (0, 500):
            for column, piece in zip(
                layout.columns,
                (np.arange(500, dtype="i4"), np.ones(500, "u2"), np.ones(500)),
                strict=True,
            ):
                writer.seek(column.offset + first * column.dtype.itemsize)
                writer.write(piece)
        writer.describe(*layout._replace(rows=1000).image())
    with attach(segment.path) as table:
        assert len(table) == 1000
        assert table["a"].tolist() == [*range(500), *range(500)]
        assert (table["b"] == "v").all()
        assert table["c"].sum() == 1000
        used = os.stat(segment.path)
        assert used.st_size > 10_000_000 * 6
        assert used.st_blocks * 512 < 100_000
        if described_in == "header":
            assert np.load(segment.path, mmap_mode="r")["c"].sum() == 1000
    segment.unlink()


def test_a_table_of_more_than_two_gibibytes(tmp_path):
    rows = 700_000_000
    layout = Layout.new([("a", np.dtype("i1")), ("b", np.dtype("f8"))], rows)
    assert layout.nbytes > 2**32
    segment = Segment.create(choose_backing(tmp_path, 1))
    try:
        with SegmentWriter(segment) as writer:
            writer.declare(*layout.image())  # takes no memory
            writer.seek(layout.columns[1].offset + (rows - 1) * 8)
            writer.write(np.array([5.0]))
        table = attach(segment.path)
        assert len(table) == rows
        assert table["a"].shape == table["b"].shape == (rows,)
        assert (table["b"][-1], table["b"][-2], table["a"][-1]) == (5, 0, 0)
        assert table[-1:]["b"].tolist() == [5]
    finally:
        segment.unlink()


@pytest.mark.parametrize(
    ("descr", "shape"),
    [
        ("[('a', '<i8', (40,))]", ()),
        ("[('a', '<i8', (-1,))]", ()),
        ("[('a', '<i8', (1 << 40,))]", ()),
        ("[('a', '<i8', (200000000,)), ('b', '<i8', (200000000,))]", ()),
        # numpy's sum of these is 8 bytes, and the second one begins before the first.
        ("'(200000000,)i8,(200000000,)i8,(136870913,)i8'", ()),
        ("'(200000000,)i8,(200000000,)i8,(136870913,)i8'", (1,)),
        ("('(200000000,)i8,(200000000,)i8,(136870913,)i8', (2,))", ()),
        ("[('a', 'O', (2,))]", ()),
        ("[('a', 'T', (2,))]", ()),
    ],
)
def test_a_hostile_header_is_refused(tmp_path, descr, shape):
    path = planted(tmp_path, image(descr, shape, bytes(256)))
    with pytest.raises(SegmentError, match="is not a segment, or is damaged"):
        attach(path)


@pytest.mark.parametrize(
    ("descr", "kind"),
    [
        ("[('a', '<i8', (4,)), ('b', '<i8', (3,))]", SharedArray),
        ("[('a', '<i8', (2, 2)), ('b', '<i8', (2, 2))]", SharedArray),
        ("[('a', '<i8'), ('b', '<i8')]", SharedArray),
        ("[('a', '<i8', (4,)), ('b', 'V3', (4,))]", SharedArray),
        ("[('a', '<i8', (4,)), ('b', [('c', 'i4')], (4,))]", SharedArray),
        ("[('a', '<i8', (4,)), ('', '|V3'), ('b', '<f2', (4,))]", SharedTable),
        ("[(('title', 'a'), '<i8', (4,))]", SharedTable),
    ],
)
def test_which_images_are_tables(tmp_path, descr, kind):
    assert type(attach(planted(tmp_path, image(descr, (), bytes(256))))) is kind


@given(
    kinds=st.lists(
        st.sampled_from(["i1", ">i2", "f8", "S3", "M8[ns]", "?"]), min_size=1, max_size=5
    ),
    rows=st.integers(0, 9),
    room=st.integers(0, 200),
)
def test_a_layout_survives_its_image(kinds, rows, room):
    columns = [(f"c{i}", np.dtype(kind)) for i, kind in enumerate(kinds)]
    layout = Layout.new(columns, rows, room)
    dtype, shape = layout.image()
    assert layout_of(dtype, shape) == layout
    assert layout_of(np.dtype(float), (3,)) is None
