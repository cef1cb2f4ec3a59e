"""What a notebook and a prompt show of arrays."""

import pickle

import numpy as np
from kinds import message_of
from pages import cells, words

from shmkit import SharedArrays, shared_load

CALLS = np.dtype([("chr", "S5"), ("pct", "f4"), ("n", "i8"), ("at", "i2", 2)])


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
