"""What is in a segment is seen as what it is: an array, text, or a table."""

import numpy as np
import pytest

from shmkit import SharedArray, SharedTable, share
from shmkit.views.of_segment import view_of


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        (np.arange(6).reshape(2, 3), SharedArray),
        (np.array([(1, 2.5)], "i4,f8"), SharedArray),  # records are no table
        ({"x": [1, 2], "name": ["a", "b"]}, SharedTable),
    ],
)
def test_a_view_is_of_its_kind(source, kind):
    shared = share(source)
    assert type(shared) is kind
    found = view_of(shared.segment)
    assert type(found) is kind
    assert found.segment is shared.segment
    if kind is SharedArray:
        np.testing.assert_array_equal(found, source)


def test_it_may_be_read_only():
    shared = share(np.arange(3))
    fixed = view_of(shared.segment, writable=False)
    with pytest.raises(ValueError, match="read-only"):
        fixed[0] = 5
    view_of(shared.segment)[0] = 5
    assert (fixed[0], shared[0]) == (5, 5)
