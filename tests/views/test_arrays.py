"""What a notebook and a prompt show of arrays."""

import pickle
import re

import numpy as np
import pytest
from kinds import message_of

from shmkit import SharedArrays, share, shared_load

CALLS = np.dtype([("chr", "S5"), ("pct", "f4"), ("n", "i8"), ("at", "i2", 2)])


def cells(page):
    """The rows of the table in a page, headings first."""
    return [
        re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in re.findall(r"<tr.*?</tr>", page)
    ]


def words(page):
    """The text of a page, without its tags."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", page)).strip()


def test_a_load_is_a_table_and_closing_it_shows(tmp_path, backing):
    np.save(tmp_path / "a<b>.npy", np.zeros((1000, 3), "f4"))
    np.save(tmp_path / "calls.npy", np.zeros(5, CALLS))
    (tmp_path / "bad.txt").write_text("1 2\n3 <x>\n")
    files = [tmp_path / name for name in ("a<b>.npy", "bad.txt", "calls.npy")]
    options = {"dtype": float, "progress": False, "on_error": "skip", "backing": backing}
    with shared_load(files, **options) as arrays:
        page = arrays._repr_html_()
        held = arrays["calls"]["n"]
    where = {"shm": "/dev/shm", "memfd": "memfd"}.get(backing, str(tmp_path))
    assert cells(page) == [
        ["Name", "State", "Shape", "Array", "Memory", "Where"],
        [
            "a&lt;b&gt;",
            "ready",
            "1\u202f000 \N{MULTIPLICATION SIGN} 3",
            "float32",
            "12.0 kB",
            where,
        ],
        ["calls", "ready", "5", "chr pct n at", "105 B", where],
    ]
    assert words(page).startswith("SharedArrays 2 arrays · 12.4 kB · 1 failed ")
    assert f"bad failed: {tmp_path / 'bad.txt'}, line 2, column 2: " in words(page)
    assert "<x>" not in page
    closed = arrays._repr_html_()
    assert words(closed).startswith("SharedArrays 2 arrays · closed · 1 failed ")
    assert [row[1::3] for row in cells(closed)[1:]] == [["freed", "0 B"], ["unlinked", "105 B"]]
    assert held.sum() == 0


def test_a_table_of_many_arrays_is_cut(two_arrays):
    many = SharedArrays(
        {str(number): two_arrays[0] for number in range(100)},
        {f"bad{number}": ValueError("x") for number in range(100)},
    )
    page = many._repr_html_()
    assert len(cells(page)) == 31
    assert " and 70 more bad0 failed: x " in words(page)
    assert words(page).endswith(" bad29 failed: x and 70 more failed")


def test_without_arrays_there_is_no_table():
    page = SharedArrays({}, {"a": ValueError("x")})._repr_html_()
    assert words(page) == "SharedArrays 0 arrays · 0 B · 1 failed a failed: x"


def test_copies_say_so(two_arrays):
    two_arrays[0].close()
    copies = SharedArrays({"one": pickle.loads(pickle.dumps(two_arrays[0]))})
    assert cells(copies._repr_html_())[1] == ["one", "copy", "3", "int64", "24 B", ""]


def test_a_worker_can_show_what_its_owner_has_closed(two_arrays, tmp_path, run_script):
    (tmp_path / "arrays").write_bytes(message_of(two_arrays))
    done = run_script(
        "import os, pickle\n"
        "arrays = pickle.load(open('arrays', 'rb'))\n"
        "for array in arrays:\n"
        "    os.unlink(array.segment.path)\n"  # as the owner does
        "print(arrays, arrays.nbytes, arrays._repr_html_().count('unlinked'))\n"
    )
    assert done.stdout == "<SharedArrays: one, two (304 B)> 304 2\n"
    for array in two_arrays:
        assert not array.segment.linked


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
