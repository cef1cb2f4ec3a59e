"""Masked values: what stands for them is a value that no other item has."""

import numpy as np
import pytest

from shmkit.hdf5.contents.masks import filled, is_masked, unused

NAT = np.datetime64("NaT", "s")


def masked(values, dtype=None, mask=None):
    values = np.array(values, dtype)
    return np.ma.masked_array(values, np.arange(len(values)) == 1 if mask is None else mask)


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (masked([1.5, 2.5]), np.nan),
        (masked([np.nan, 2.5]), 1e20),  # NaN is a value there
        (masked([1, 2], "i4"), -(2**31)),
        (masked([-(2**31), 2], "i4"), 2**31 - 1),
        (masked([0, 2], "u1"), 255),
        (masked(["a", "b"], "U3"), ""),
        (masked(["", "b"], "S3"), b"?"),
        (masked([NAT, NAT]), NAT),
        (np.ma.masked_array([1, 2], [0, 1], fill_value=-999), -999),
        (np.ma.masked_array([-999, 2], [0, 1], fill_value=-999), -(2**63)),
    ],
)
def test_the_first_value_that_is_free_stands_for_them(array, expected):
    fill = unused(array.dtype, [array])
    np.testing.assert_array_equal(fill, expected)
    block = filled(array, fill)
    assert type(block) is np.ndarray
    assert block.dtype == array.dtype
    np.testing.assert_array_equal(block, [array.data[0], expected])


def test_a_masked_value_takes_none():
    array = masked([5, -(2**31)], "i4")  # that one is masked
    assert unused(array.dtype, [array]) == -(2**31)


def test_of_small_integers_every_value_is_tried():
    values = np.arange(256, dtype="u1")
    mask = values == 77
    assert unused(values.dtype, [np.ma.masked_array(values, mask)]) == 77
    everything = np.ma.masked_array(np.append(values, 0).astype("u1"), [False] * 256 + [True])
    with pytest.raises(ValueError, match=r"has every value of uint8.*give it a wider type"):
        unused(values.dtype, [everything])


def test_all_arrays_of_a_dataset_have_one():
    one, other = masked([1, 2], "i4"), np.array([-(2**31)], "i4")
    assert unused(one.dtype, [one, other]) == 2**31 - 1
    assert unused(other.dtype, [other]) is None
    assert filled(other, None) is other


def test_fields_have_their_own():
    array = np.ma.masked_array(
        np.array([(1, 2.5), (3, 4.5)], "i4,f8"), [(True, False), (False, True)]
    )
    fill = unused(array.dtype, [array])
    assert fill["f0"] == -(2**31)
    block = filled(array, fill)
    assert block["f0"].tolist() == [-(2**31), 3]
    assert block["f1"][0] == 2.5
    assert np.isnan(block["f1"][1])
    assert array.data["f0"].tolist() == [1, 3]  # the user's own is as it was


def test_a_mask_of_nothing_is_a_mask():
    assert is_masked(np.ma.masked_array([1, 2]))
    assert not is_masked(np.arange(3))
