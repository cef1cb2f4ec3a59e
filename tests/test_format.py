"""Numbers as a person reads them: no unit of four figures, no text that a terminal obeys."""

import numpy as np
import pytest

from shmkit._format import (
    count_text,
    cut_text,
    few_text,
    nbytes_text,
    printable,
    seconds_text,
    shape_text,
    short_count_text,
    table_text,
)

UNITS = {"B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12}


def test_bytes_have_three_figures_and_are_off_by_half_of_the_last_at_most():
    for nbytes in (10.0 ** np.linspace(0, 14.99, 1000)).astype(int).tolist():
        figures, unit = nbytes_text(nbytes).split()
        assert len(figures.replace(".", "")) == 3 or (unit == "B" and nbytes < 1000)
        last = 10.0 ** -len(figures.partition(".")[2]) * UNITS[unit]
        assert abs(float(figures) * UNITS[unit] - nbytes) <= 0.501 * last


@pytest.mark.parametrize(
    ("nbytes", "text"),
    [
        (999, "999 B"),
        (999.6, "1.00 kB"),  # of a rate
        (1000, "1.00 kB"),
        (9_994, "9.99 kB"),
        (9_996, "10.0 kB"),
        (99_960, "100 kB"),
        (999_499, "999 kB"),
        (999_500, "1.00 MB"),  # not 1000 kB
        (5e15, "5000 TB"),  # there is no larger unit
    ],
)
def test_bytes_round_into_the_next_unit(nbytes, text):
    assert nbytes_text(nbytes) == text


def test_a_short_count_fits_into_its_column():
    for count in (10.0 ** np.linspace(0, 12, 1000)).astype(int).tolist():
        assert len(short_count_text(count)) <= 7
        assert int(count_text(count).replace("\u202f", "")) == count


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 ms"),
        (1, "1.0 s"),
        (0.9996, "1.0 s"),  # not 1000 ms
        (59.9, "59.9 s"),
        (59.96, "1 min 0 s"),
        (119.7, "2 min 0 s"),  # not 1 min 60 s
        (3599.6, "1 h 0 min"),
        (60, "1 min 0 s"),
        (3600, "1 h 0 min"),
        (86_399, "23 h 59 min"),
        (86_400, "1 d 0 h"),
    ],
)
def test_seconds_change_their_unit_where_the_next_is_full(seconds, text):
    assert seconds_text(seconds) == text


def test_what_is_printable_is_one_line_and_can_be_written():
    shown = printable("".join(map(chr, range(0x10000))))
    assert len(shown.splitlines()) == 1
    assert not {"\x1b", "\x9b", "\u202e", "\r"} & set(shown)
    assert {"a", " ", "é", "日"} <= set(shown)
    shown.encode()
    assert printable(shown) == shown


def test_texts_are_cut_to_the_letters_that_there_are():
    assert cut_text("12345", 5) == "12345"
    assert cut_text("123456", 5) == "1234…"
    assert few_text(["a", "b", "c"]) == "a, b, c"
    assert few_text(["a", "b", "c", "d"]) == "a, b, c and 1 more"
    assert shape_text(np.zeros((0, 2000)).shape) == "0 \N{MULTIPLICATION SIGN} 2\u202f000"


def test_a_table_keeps_its_columns_whatever_a_file_is_called():
    text = table_text(["<File", ">Bytes"], [("a\nb.npy", "9"), ("\x1b[31m", "12 345 678")])
    assert text.split("\n") == [
        "File           Bytes",
        "a\\nb.npy           9",
        "\\x1b[31m  12 345 678",
    ]
    assert table_text(["<File"], []) == "File"
