"""The rows of a part: where they are written, and what is found that the plan does not hold."""

import numpy as np
import pytest
from reading import open_reader

from shmkit import LoadError
from shmkit.readers.base import WHOLE, Part
from shmkit.readers.text.table import rows as table_rows
from shmkit.segments.backing import choose_backing
from shmkit.segments.segment import Segment
from shmkit.segments.writer import SegmentWriter
from shmkit.views.of_segment import view_of


@pytest.fixture
def read(tmp_path):
    """Read parts of a text by the plan of its head; gives the pieces and what was written."""
    path = tmp_path / "a.csv"

    def of(text, parts=(WHOLE,), planned=None, **options):
        path.write_text(text if planned is None else planned)
        segment = Segment.create(choose_backing("auto", 0))
        try:
            with open_reader(path, **options) as reader:
                plan = reader.probe()
            path.write_text(text)
            pieces = []
            with open_reader(path, **options) as reader:
                for part in parts:
                    with SegmentWriter(segment) as writer:
                        pieces.append(reader.read(plan, part, writer))
            if any(piece.belied is not None for piece in pieces):
                return pieces, None
            rows = sorted((p.row, q.rows) for p, q in zip(parts, pieces, strict=True))
            with SegmentWriter(segment) as writer:
                plan.finish(writer, rows)
            return pieces, view_of(segment)
        finally:
            segment.unlink()

    return of


@pytest.fixture
def small_blocks(monkeypatch):
    """So little is read at a time that a few lines need many blocks."""
    monkeypatch.setattr(table_rows, "READ_NBYTES", 64)
    monkeypatch.setattr(table_rows, "_MIN_NBYTES", 64)


@pytest.mark.parametrize("layout", [None, "rows", "columns"])
def test_a_matrix_rows_and_columns_are_written_from_one_text(read, layout):
    (piece,), found = read("1,2.5\n3,4\n", **({} if layout is None else {"layout": layout}))
    assert piece.rows == 2
    if layout == "columns":
        assert [found[name].tolist() for name in found] == [[1, 3], [2.5, 4]]
    elif layout == "rows":
        assert found.tolist() == [(1, 2.5), (3, 4)]
    else:
        assert found.tolist() == [[1, 2.5], [3, 4]]


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("end", ["\n", ""])
def test_lines_longer_than_a_block_and_cut_by_its_end_are_whole(read, end):
    texts = ["a" * n for n in (1, 63, 64, 65, 700, 2)]
    lines = [f'{n},"{text}\nx"' for n, text in enumerate(texts)]
    (piece,), table = read("n,s\n" + "\n".join(lines) + end, layout="columns")
    assert piece.rows == len(texts)
    assert table["s"].tolist() == [text + "\nx" for text in texts]
    assert table["n"].tolist() == [*range(6)]


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("text", ["n,s\n1,a\n", "n,s\n" + "1,a\n" * 100])
def test_a_quote_that_stays_open_is_named_with_its_line(read, text):
    with pytest.raises(LoadError, match="quote") as caught:
        read(text + '2,"b\n3,c\n', planned=text, layout="columns")
    assert caught.value.line == text.count("\n") + 1


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize(
    ("options", "rows"),
    [
        ({"max_rows": 3}, range(3)),
        ({"select": slice(40, 43)}, range(40, 43)),
        ({"select": slice(40, 43), "max_rows": 42}, range(40, 42)),
        ({"select": slice(98, 300)}, range(98, 100)),
        ({"select": slice(100, 300)}, range(0)),
    ],
    ids=str,
)
def test_rows_that_are_not_wanted_are_passed_over(read, options, rows):
    text = "n,s\n" + "".join(f"{n},{'' if n < 40 else 'b'}\n" for n in range(100))
    (piece,), table = read(text, layout="columns", **options)
    assert piece.rows == len(rows)
    assert table["n"].tolist() == [*rows]


def test_parts_have_their_places_whatever_comes_first(read):
    head, lines = "n,s\n", [f"{n},{'x' * n}\n" for n in range(9)]
    places = [len(head) + sum(map(len, lines[:n])) for n in (0, 4, 9)]
    parts = [Part(places[1], None, 5, 5, 4, 4), Part(places[0], places[1], 4, 4, 0, 0)]
    pieces, table = read(head + "".join(lines), parts, layout="columns")
    assert [piece.rows for piece in pieces] == [5, 4]
    assert table["n"].tolist() == [*range(9)]
    assert table["s"].tolist() == ["x" * n for n in range(9)]


def test_more_rows_than_were_counted_mean_that_the_file_changed(read):
    with pytest.raises(LoadError, match="the file changed while loading"):
        read("n,s\n1,a\n2,b\n3,c\n", [Part(4, None, 2, 2)], planned="n,s\n1,a\n2,b\n")


@pytest.mark.usefixtures("small_blocks")
def test_a_value_that_belies_a_guess_is_told_with_its_line_and_with_all_behind_it(read):
    lines = ["1,a\n"] * 50 + ["2.5,b\n"] + ["3,c\n"] * 50 + ["word,d\n"]
    (piece,), _ = read("n,s\n" + "".join(lines), planned="n,s\n" + lines[0] * 110, layout="columns")
    assert piece.rows <= 50
    witness = piece.belied.witnesses[0]
    assert (witness.text, witness.line) == ("2.5", 52)
    assert piece.belied.facts is not None  # of the rest, "word" among them


def test_a_value_that_no_type_holds_is_an_error_at_once(read):
    text = "n,s\n1,a\n"
    with pytest.raises(LoadError, match="expected 2 fields, found 3") as caught:
        read(text + "2,b,c\n", planned=text, layout="columns")
    assert caught.value.line == 3


def test_what_a_converter_gives_later_belies_its_type(read):
    options = {"converters": {"n": lambda text: float(text) if "." in text else int(text)}}
    text = "n,s\n111,a\n"
    (piece,), _ = read(text + "2.5,b\n", planned=text, layout="columns", **options)
    assert piece.belied.converted == {0: np.dtype("f8")}


def test_a_converter_that_fails_is_named_with_the_text_and_its_row(read):
    with pytest.raises(LoadError, match=r"'7' makes its converter fail .* in row 2 of the table"):
        read(
            "n,s\n1,a\n7,b\n",
            planned="n,s\n1,a\n",
            layout="columns",
            converters={"n": lambda text: 1 / (text != "7")},
        )
