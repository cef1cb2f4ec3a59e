"""What a dtype says beside its layout: by field, nested ones and subarrays too."""

import copy
import pickle

import numpy as np
import pytest

from shmkit._metadata import dropped, given, said

CODES = {"chr1": 0, "chrX": 1}
LAYOUTS = {
    "plain": (np.dtype("u2"), ""),
    "subarray": (np.dtype(("u2", (3,))), ""),
    "field": (np.dtype([("chr", "u2"), ("pos", "i4")]), "chr"),
    "nested": (np.dtype([("at", [("chr", "u2"), ("pos", "i4")]), ("pct", "f4")]), "at.chr"),
    "field of subarrays": (np.dtype([("chr", "u2", (4, 2)), ("pos", "i4")]), "chr"),
    "padded": (np.dtype([("a", "u1"), ("chr", "u2"), ("pos", "i8")], align=True), "chr"),
    "out of order": (
        np.dtype({"names": ["pos", "chr"], "formats": ["i4", "u2"], "offsets": [4, 0]}),
        "chr",
    ),
}


@pytest.mark.parametrize(("dtype", "name"), LAYOUTS.values(), ids=LAYOUTS)
def test_what_is_given_is_said_and_can_be_dropped(dtype, name):
    told = given(dtype, "enum", {name: CODES}, "u")
    assert said(told, "enum") == {name: CODES}
    assert said(told, "other") == said(dtype, "enum") == {}
    assert told == dtype
    assert (told.itemsize, told.fields and list(told.fields)) == (
        dtype.itemsize,
        dtype.fields and list(dtype.fields),
    )
    assert said(dropped(told, "enum"), "enum") == {}
    assert dropped(told, "enum") == dtype


@pytest.mark.parametrize(("dtype", "name"), LAYOUTS.values(), ids=LAYOUTS)
def test_it_goes_on_to_views_copies_and_pickles(dtype, name):
    array = np.zeros(4, given(dtype, "enum", {name: CODES}, "u"))
    for one in (array[1:], array.copy(), copy.deepcopy(array), pickle.loads(pickle.dumps(array))):
        assert said(one.dtype, "enum") == {name: CODES}


def test_it_is_given_to_fields_of_the_kinds_alone():
    dtype = np.dtype([("chr", "u2"), ("pos", "i4")])
    values = {"chr": CODES, "pos": CODES, "gone": CODES}
    assert said(given(dtype, "enum", values, "u"), "enum") == {"chr": CODES}
    assert said(given(dtype, "enum", values, "ui"), "enum") == {"chr": CODES, "pos": CODES}
    assert given(dtype, "enum", {}, "u") is dtype


def test_keys_stand_beside_each_other_and_a_new_value_replaces_the_old():
    once = given(np.dtype("u2"), "enum", {"": CODES}, "u")
    twice = given(once, "units", {"": {"of": "K"}}, "u")
    assert said(twice, "enum") == {"": CODES}
    again = given(twice, "enum", {"": {"a": 0}}, "u")
    assert said(again, "enum") == {"": {"a": 0}}
    left = dropped(again, "enum")
    assert (said(left, "enum"), said(left, "units")) == ({}, {"": {"of": "K"}})
