"""What will lie in a segment: written by columns or items, without a copy of the whole."""

import numpy as np
import pandas as pd
import pytest

from shmkit import SharedTable
from shmkit.segments.backing import choose_backing
from shmkit.segments.segment import Segment
from shmkit.segments.writer import SegmentWriter
from shmkit.views.image import image_of
from shmkit.views.of_segment import view_of


@pytest.fixture
def stored():
    """What a segment shows of what was written to it."""
    segment = Segment.create(choose_backing("auto", 0))

    def write(source):
        with SegmentWriter(segment) as writer:
            image_of(source).write(writer)
        return view_of(segment)

    yield write
    segment.unlink()


ARRAYS = {
    "c": np.arange(24).reshape(2, 3, 4),
    "fortran": np.asfortranarray(np.arange(24.0).reshape(2, 3, 4)),
    "neither": np.arange(240).reshape(4, 5, 12)[::2, :, ::-5],
    "broadcast": np.broadcast_to(np.arange(3, dtype="i2"), (4, 3)),
    "scalar": np.array(2.5),
    "empty": np.zeros((0, 3), "f4"),
    "records": np.array([(1, "a"), (2, "b")], "i4,U3"),
    "no bytes": np.zeros((3, 0)),
    "several pieces": np.arange(200_000)[::2],
}


@pytest.mark.parametrize("array", ARRAYS.values(), ids=ARRAYS)
def test_an_array_lies_there_as_it_was(stored, array):
    found, image = stored(array), image_of(array)
    np.testing.assert_array_equal(np.asarray(found), array)
    assert (found.dtype, found.shape) == (array.dtype, array.shape) == (image.dtype, image.shape)
    assert image.nbytes == array.nbytes
    assert image.rows == (len(array) if array.ndim else 1)
    assert found.flags.f_contiguous == image.fortran_order or found.flags.c_contiguous


def test_order_is_kept_and_nothing_is_copied_before_it_is_written():
    array = ARRAYS["fortran"]
    image = image_of(array)
    assert image.fortran_order
    ((offset, items),) = image.parts
    assert offset == 0
    assert np.shares_memory(items, array)
    assert not image_of(ARRAYS["c"]).fortran_order


def test_a_table_of_any_kind_is_columns(stored):
    frame = pd.DataFrame({"x": [1.5, 2.5], "name": ["a", "größe"], "n": [1, 2]})
    image = image_of(frame)
    assert image.rows == 2
    assert [offset for offset, _ in image.parts] == sorted({o for o, _ in image.parts})
    table = stored(frame)
    assert isinstance(table, SharedTable)
    assert table.columns == ["x", "name", "n"]
    assert (table["x"].tolist(), table["n"].tolist()) == ([1.5, 2.5], [1, 2])
    assert (table["name"] == "größe").tolist() == [False, True]


@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        (np.ma.masked_array([1, 2], [True, False]), TypeError, "mask would be lost"),
        ({"a": np.arange(2), "b": np.arange(3)}, ValueError, "b"),
    ],
)
def test_what_cannot_lie_there_is_refused(source, error, message):
    with pytest.raises(error, match=message):
        image_of(source)
