"""share and shared_empty: what they take, and what they make of it."""

import numpy as np
import pytest

from shmkit import share, shared_empty

RECORDS = np.dtype([("chr", "S5"), ("pos", "i4"), ("pct", "f4")])


def test_share_keeps_dtype_shape_and_order():
    for array in (
        np.asfortranarray(np.arange(6, dtype=">i2").reshape(2, 3)),
        np.array(b"x"),
        np.zeros((0, 4)),
        np.zeros(3, RECORDS),
        np.arange(10)[::-3],
    ):
        shared = share(array)
        assert (shared.dtype, shared.shape) == (array.dtype, array.shape)
        assert shared.flags.f_contiguous == (array.flags.f_contiguous or array.ndim < 2)
        assert np.array_equal(shared, array)


def test_shared_empty_is_zeros():
    with shared_empty((3, 2), "i4") as array:
        assert array.tolist() == [[0, 0]] * 3
    assert not array.segment.linked
    assert shared_empty(4).dtype == np.float64


def test_a_masked_array_is_refused():
    with pytest.raises(TypeError, match="mask would be lost"):
        share(np.ma.masked_equal([1.0, -999.0], -999.0))


def test_fields_out_of_order_are_refused_with_advice():
    array = np.zeros(3, RECORDS)[["pct", "chr"]]
    with pytest.raises(TypeError, match="repack_fields"):
        share(array)


def test_python_objects_are_refused_and_nothing_is_left(nothing_left):
    with pytest.raises(TypeError, match="Python objects"):
        share(np.array([{}, "x"], dtype=object))
