"""What is said of a table: which word on which line made a column what it is."""

import pytest
from reading import probe

from shmkit.readers.text.columns import Dialect, facts
from shmkit.readers.text.table.notes import Witness, missing_with, notes, witnesses


@pytest.fixture
def said(tmp_path):
    def of(text, missing=(), **options):
        (tmp_path / "a.csv").write_text(text)
        return list(notes(probe(tmp_path / "a.csv", **options), dict(missing)))

    return of


def test_the_first_odd_value_of_a_column_is_its_witness():
    sample = b"1,a\n2,b\n<0.5,c\n>9,d\n4,5\n"
    found = witnesses(sample, facts(sample, 2, Dialect(",")).facts, lambda place: place)
    assert found == {0: Witness("<0.5", sample.index(b"<"))}  # of text alone none is odd


def test_text_among_numbers_is_named_with_its_line_and_what_reads_it(said):
    (note,) = said("x,y\n1,5\n<0.5,6\n3,7\n4,8\n")
    assert "'x' is text: '<0.5' in line 3; missing={'x': ['<0.5']}" in note
    assert said("x,y\n1,5\n<0.5,6\n3,7\n4,8\n", dtype={"x": str}) == []
    assert said("x,y\n1,5\n<0.5,6\n3,7\n4,8\n", categories=["x"]) == []


def test_zeros_that_matter_are_told(said):
    (note,) = said("zip,y\n1001,5\n01002,6\n")
    assert "'zip' is text: '01002' in line 3 begins with a zero" in note


def test_a_plain_table_has_nothing_to_say_but_what_is_missing(said):
    text = "x,y\n1,5\n,6\n"
    assert said(text) == []
    assert said(text, {"x": 1000, "y": 0}) == ["missing: 1\u202f000 in 'x'"]


def test_the_option_keeps_the_words_that_were_given(tmp_path):
    (tmp_path / "a.csv").write_text("x,y\n1,5\n")
    x, y = probe(tmp_path / "a.csv", missing={"x": ["-9"], "y": {"NA"}}).columns
    assert missing_with(x, "?") == "missing={'x': ['-9', '?']}"
    assert missing_with(y, "?") == "missing={'y': {'NA', '?'}}"
