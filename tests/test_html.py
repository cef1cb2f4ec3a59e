"""What a notebook shows of an array: its ends, shortened as a person would."""

import re

import numpy as np
import pytest
from pages import cells, words

from shmkit import share


@pytest.mark.parametrize(
    ("length", "numbers"),
    [
        (0, []),
        (1, ["0"]),
        (5, ["0", "1", "2", "3", "4"]),
        (6, ["0", "1", "2", "3", "4", "5"]),
        (7, ["0", "1", "2", "3", "4", "5", "6"]),
        (8, ["0", "1", "2", "3", "4", "⋮", "6", "7"]),
        (5000, ["0", "1", "2", "3", "4", "⋮", "4998", "4999"]),
    ],
)
def test_a_table_shows_its_first_and_last_rows(length, numbers):
    with share(np.zeros(length, CALLS)) as array:
        head, *rows = cells(array._repr_html_())
        assert head == ["", "chr", "pct", "n", "at"]
        assert [row[0] for row in rows] == numbers


CALLS = np.dtype([("chr", "S5"), ("pct", "f4"), ("n", "i8"), ("at", "i2", 2)])


def test_a_row_shows_values_as_a_person_writes_them():
    array = np.array([(b"<chr\xff", 1 / 3, -(2**60), (1, 2))], CALLS)
    with share(array) as shared:
        page = shared._repr_html_()
    assert cells(page)[1] == ["0", "&lt;chr\ufffd", "0.333333", str(-(2**60)), "[1 2]"]
    alignments = re.findall(r"<td[^>]*text-align:(\w+)", page)
    assert alignments == ["left", "right", "right", "left"]
    assert words(page).startswith("SharedArray 1 row · 21 B · ready · /")


def test_long_values_and_many_fields_are_cut():
    with share(np.array([("x" * 99,) * 50], [(f"f{n}", "U99") for n in range(50)])) as array:
        page = array._repr_html_()
    assert [len(row) for row in cells(page)] == [21, 21]
    assert cells(page)[1][1] == "x" * 39 + "…"
    assert words(page).endswith("and 30 more fields")


@pytest.mark.parametrize(
    ("array", "text", "page"),
    [
        (np.array(3.5), "SharedArray(3.5)", "scalar float64 · 8 B · unlinked"),
        (np.zeros(0), "SharedArray([], dtype=float64)", "0 float64 · 0 B · unlinked"),
        (
            np.array([[1, 2]]),
            "SharedArray([[1, 2]])",
            "1 \N{MULTIPLICATION SIGN} 2 int64 · 16 B · unlinked",
        ),
        (np.array(["<"]), "SharedArray(['<'], dtype='<U1')", "1 <U1 · 4 B · unlinked"),
        (
            np.zeros((1, 1), "i4,i2"),
            "SharedArray([[(0, 0)]], dtype=[('f0', '<i4'), ('f1', '<i2')])",
            "1 \N{MULTIPLICATION SIGN} 1 f0 f1 · 6 B · unlinked",
        ),
    ],
)
def test_other_arrays_show_numpys_text_also_when_unlinked(array, text, page):
    shared = share(array)
    path = shared.segment.path
    shared.close()
    assert repr(shared) == text
    shown = shared._repr_html_().replace("&lt;", "<").replace("&#x27;", "'")
    assert f"{page} · {path}</span>" in shown
    assert f">{array}</pre>" in shown


def test_an_array_without_a_segment_has_no_path(two_arrays):
    copied = np.array(two_arrays[0], subok=True)
    assert words(copied._repr_html_()).startswith("SharedArray 3 int64 · 24 B [")


def test_only_what_is_shown_is_read():
    with share(np.zeros(10, CALLS)) as array:
        longer = np.lib.stride_tricks.as_strided(array, (10**12,), (0,), subok=True)
        assert "999999999999" in longer._repr_html_()
