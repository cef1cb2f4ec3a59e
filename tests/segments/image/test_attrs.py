"""Attributes as JSON: what comes back is what was there, and nothing else is taken."""

import json

import numpy as np
import pytest

from shmkit.segments.image.attrs import from_json, to_json

ATTRS = {
    "units": "K",
    "scale": np.float32(0.1),
    "range": np.array([[1, -2]], ">i2"),
    "flags": np.array([b"a", b"bc"]),
    "since": np.datetime64("2024-03-01T12:00", "s"),
    "names": np.array(["größe", ""]),
    "none": np.array([], "f8"),
    "nan": float("nan"),
    "count": 7,
    "raw": b"\xff",
}


def test_what_goes_through_json_is_the_same():
    found = from_json(json.loads(json.dumps(to_json(ATTRS), allow_nan=False)))
    assert list(found) == list(ATTRS)
    for name, value in ATTRS.items():
        np.testing.assert_array_equal(found[name], value)
        assert np.asarray(found[name]).dtype == np.asarray(value).dtype, name
    assert isinstance(found["units"], str)
    assert found["range"].flags.writeable


@pytest.mark.parametrize(
    "value",
    [
        7,
        {},
        {"dtype": "|O", "shape": [], "data": "AAAAAAAAAAA="},  # an address
        {"dtype": [["a", "<i4"]], "shape": [], "data": "AQAAAA=="},
        {"dtype": "|V4", "shape": [], "data": "AQAAAA=="},
        {"dtype": "S0", "shape": [1], "data": ""},
        {"dtype": "<i4", "shape": [2], "data": "AQAAAA=="},
        {"dtype": "<i4", "shape": [], "data": "AQAAA!=="},
        {"dtype": "no type", "shape": [], "data": ""},
    ],
)
def test_what_is_none_is_an_error(value):
    with pytest.raises((TypeError, KeyError, ValueError)):
        from_json({"x": value})
