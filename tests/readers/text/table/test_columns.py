"""The columns of a table: which of the file, under which names, and what was said of each."""

import numpy as np
import pytest
from reading import probe

from shmkit.errors import LoadError
from shmkit.readers.text.columns import MISSING, WEAK, Class, Dialect
from shmkit.readers.text.table.columns import (
    converter_of,
    facts_by_words,
    first_rows,
    words_of,
)


@pytest.fixture
def columns(tmp_path):
    def of(text="x,y,z\n1,2.5,a\n3,4.5,b\n", **options):
        (tmp_path / "a.csv").write_text(text)
        return probe(tmp_path / "a.csv", **options).columns

    return of


def test_columns_come_in_the_order_that_is_wanted_and_once_by_name(columns):
    assert [(c.name, c.field) for c in columns()] == [("x", 0), ("y", 1), ("z", 2)]
    found = columns(usecols=["z", 0, -1])
    assert [(c.name, c.field) for c in found] == [("z", 2), ("x", 0), ("z_1", 2)]


def test_what_was_said_is_said_of_its_column(columns):
    x, y, z = columns(dtype={"x": "f4"}, missing={"y": ["-"]}, categories=["z"])
    assert (x.given, y.given, z.given) == (np.dtype("f4"), None, None)
    assert (y.words, y.weak) == (MISSING + b"\n-", WEAK)
    assert (x.words, z.coded, x.coded) == (MISSING, True, False)
    x, y, _ = columns(missing={0: {"-"}, "y": set()})
    assert (x.words, x.weak) == (b"-", None)  # these alone
    assert (y.words, y.weak) == (None, None)
    assert words_of([x], 2) == [(b"-", None), (MISSING, WEAK)]


@pytest.mark.parametrize("option", ["usecols", "dtype", "missing", "converters"])
@pytest.mark.parametrize("key", ["w", 3, -4])
def test_a_column_that_is_not_there_is_an_error(columns, option, key):
    value = {key: {"dtype": "f4", "missing": "-", "converters": len}.get(option)}
    with pytest.raises(LoadError, match=f"{option}= (names 'w'|has column {key})"):
        columns(**{option: value if option in ("dtype", "missing", "converters") else [key]})


def test_the_type_of_a_converter_is_that_of_what_it_gives(columns):
    assert columns(converters={"z": len})[2].converted.kind == "i"
    assert columns(converters={"x": lambda text: text + "!"})[0].converted.kind == "U"
    assert columns(converters={"x": lambda _: 1 / 0})[0].converted == np.dtype("f8")
    with pytest.raises(LoadError, match="the converter of 'x' gives list"):
        columns(converters={"x": list})


def test_a_converter_is_found_by_name_or_number_from_either_end():
    for key in ("b", 1, -2):
        assert converter_of({key: len}, 1, ["a", "b", "c"]) is len
    assert converter_of(len, 1, ["a", "b", "c"]) is len


def test_facts_tell_what_is_missing_by_the_words_of_each_column():
    sample = b"-9,-9\n1,2\n"
    one, other = facts_by_words(sample, Dialect(","), [(b"-9", None), (MISSING, WEAK)])
    assert one["count"][Class.MISSING] == 1
    assert other["count"][Class.MISSING] == 0


@pytest.mark.parametrize(
    ("most", "text"), [(None, b"a\nb\nc"), (2, b"a\nb\n"), (0, b""), (9, b"a\nb\nc")]
)
def test_of_a_sample_only_the_rows_that_are_wanted_count(most, text):
    assert first_rows(b"a\nb\nc", most) == text
