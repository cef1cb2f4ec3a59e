"""Why a table cannot be read: the line, the column, the text, and code that reads it."""

import io
import pickle

import pytest
from reading import probe

from shmkit.readers.text.columns import Fit, Misfit
from shmkit.readers.text.stream import TextStream
from shmkit.readers.text.table.errors import changed, line_of, misfit_error, open_quote


@pytest.fixture
def plan(tmp_path):
    (tmp_path / "a.csv").write_text("x,y\n1,a\n2,b\n")
    return probe(tmp_path / "a.csv", dtype={"x": "i4"})


def stream(data=b"\xef\xbb\xbfa\nb\nc\n"):
    return TextStream(io.BytesIO(data), "utf-8-sig")


def test_lines_are_counted_from_one_and_the_stream_goes_on():
    made = stream()
    made.seek(5)
    assert [line_of(made, place) for place in (3, 5, 7)] == [1, 2, 3]
    assert made.read() == b"b\nc\n"


@pytest.mark.parametrize(
    ("fit", "column", "text", "rows", "expected"),
    [
        (Fit.RAGGED, 3, b"1,2,3", 7, "expected 2 fields, found 3 in '1,2,3'; max_rows=7 reads"),
        (Fit.RAGGED, 1, b"1", 0, "expected 2 fields, found 1 in '1'; skiprows=9 reads"),
        (Fit.RAGGED, 3, b"1,2 # b,c", None, "comments='#'"),
        (Fit.NO_NUMBER, 0, b"word", 7, r"'word' is not an int32 \(column 'x'\); give dtype="),
        (Fit.FRACTION, 0, b"2.5", 7, r"'2.5' is not an int32 .* give dtype=\{'x': float\}"),
        (Fit.TOO_LARGE, 0, b"9e9", 7, r"give dtype=\{'x': str\}"),
        (Fit.NOT_UTF8, 1, b"\xff", 7, "byte 0xff is not UTF-8.* encoding="),
        (Fit.NUL, 1, b"a\0", 7, r"holds a NUL \(column 'y'\)"),
    ],
)
def test_each_misfit_says_what_and_what_to_give(plan, fit, column, text, rows, expected):
    error = misfit_error("a.csv", plan, Misfit(fit, column, 0, len(text)), text, 9, rows)
    assert error.line == 9
    assert error.column == (min(column, 2) if fit is Fit.RAGGED else column) + 1
    with pytest.raises(type(error), match=expected):
        raise pickle.loads(pickle.dumps(error))


def test_an_open_quote_and_a_file_that_changed_are_named():
    assert open_quote("a.csv", stream(), 5).line == 2
    assert "quotechar=None" in open_quote("a.csv", stream(), 5).reason
    assert str(changed("a.csv")) == "a.csv: the file changed while loading; load it again"
