"""A table is what pandas reads of the same text, cell by cell, however it is cut into parts."""

import itertools
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reading import open_reader

from shmkit import shared_load
from shmkit.readers.text.columns import MISSING
from shmkit.segments.backing import choose_backing
from shmkit.segments.segment import Segment
from shmkit.segments.writer import SegmentWriter
from shmkit.views.of_segment import view_of

WORDS = MISSING.decode().split("\n")


def table_in_parts(path, cuts, *, head=None, **options):
    """The table of a file that is read in parts, cut at these places, as loader processes do it.

    With `head`, so many bytes of the last part are counted.
    """
    segment = Segment.create(choose_backing("auto", 0))
    with open_reader(path, **options) as reader:
        plan = reader.probe()
        begin, end = len(plan.head), path.stat().st_size
        places = [begin, *sorted(begin + int(cut * (end - begin)) for cut in cuts), end]
        edges = [edge for edge in itertools.pairwise(places) if edge[0] < edge[1]]
        if head is not None and len(edges) > 1:
            start, stop = edges[-1]
            edges[-1] = start, min(stop, start + head)
        plan = replace(plan, span=(begin, end))
        plan, parts = plan.in_parts([reader.count(plan, *edge) for edge in edges or [(end, end)]])
        while True:
            pieces = []
            for part in reversed(parts):  # in any order: each has its own place
                with SegmentWriter(segment) as writer:
                    writer.seek(part.row * plan.row_nbytes)
                    pieces.append(reader.read(plan, part, writer))
            belied = [piece.belied for piece in pieces if piece.belied is not None]
            if not belied:
                break
            plan = plan.widened(belied)
        rows = [piece.rows for piece in reversed(pieces)]
        with SegmentWriter(segment) as writer:
            plan.finish(writer, list(zip((part.row for part in parts), rows, strict=True)))
    table = view_of(segment)
    segment.unlink()
    return table


def quoted(text, always, delimiter):
    if always or any(sign in text for sign in f'"\n{delimiter}') or text[:1] == " ":
        return '"' + text.replace('"', '""') + '"'
    return text


CELLS = {
    "whole": st.integers(-(10**6), 10**6).map(str),
    "real": st.floats(-(10**6), 10**6).map(lambda x: f"{x:.4f}"),
    "gaps": st.sampled_from(["1", "2.5", "-7e3", *WORDS]),
    "truth": st.sampled_from(["true", "FALSE", "True"]),
    "date": st.dates().map(str),
    "text": st.text('ab1 .-"é\n,;', min_size=1, max_size=6).map(lambda text: f"x{text}"),
}


@st.composite
def tables(draw):
    kinds = draw(st.lists(st.sampled_from(sorted(CELLS)), min_size=1, max_size=4))
    rows = draw(st.lists(st.tuples(*(CELLS[kind] for kind in kinds)), min_size=1, max_size=12))
    delimiter = draw(st.sampled_from([",", ";", "\t"]))
    always, end = draw(st.booleans()), draw(st.sampled_from(["\n", "\r\n"]))
    lines = [delimiter.join(["id", *(f"name{i}" for i in range(len(kinds)))])]
    lines += [
        delimiter.join([str(n), *(quoted(cell, always, delimiter) for cell in row)])
        for n, row in enumerate(rows)
    ]
    text = end.join(lines) + draw(st.sampled_from(["", end]))
    return text, delimiter, draw(st.lists(st.floats(0, 1), max_size=4))


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("drawn") / "table.csv"


def assert_same(table, frame, texts):
    """A table is what pandas read: `frame` with its types, `texts` without."""
    assert table.columns == list(frame)
    assert len(table) == len(frame)
    for name in table:
        column, expected = table[name], frame[name]
        if column.dtype.kind == "U":
            assert column.tolist() == texts[name].tolist()
        elif column.dtype.kind == "M":
            assert np.array_equal(column, texts[name].to_numpy(str).astype(column.dtype))
        else:
            assert np.isnan(np.asarray(column, float)).tolist() == expected.isna().tolist()
            there = expected.notna().to_numpy()
            assert np.asarray(column)[there].tolist() == expected[there].tolist()


def of_pandas(read, path, **options):
    """A file as pandas reads it, with its types and without."""
    given = {"keep_default_na": False, **options}
    return (
        read(path, na_values=WORDS, dtype_backend="numpy_nullable", **given),
        read(path, dtype=str, **given),
    )


@given(tables())
def test_drawn_tables_are_those_of_pandas_wherever_they_are_cut(path, drawn):
    text, delimiter, cuts = drawn
    path.write_bytes(text.encode())
    table = table_in_parts(path, cuts, layout="columns", delimiter=delimiter, header=True)
    assert_same(table, *of_pandas(pd.read_csv, path, sep=delimiter))


NUMBERS = st.tuples(*[st.sampled_from(["1", "-2.5", "3e4", "1.000000000000000000e+00", "0"])] * 3)
LINES = st.one_of(NUMBERS.map(" ".join), NUMBERS.map(" ".join), st.sampled_from(["", "# 1 2 3"]))


@given(st.lists(LINES, max_size=60), st.lists(st.floats(0, 1), min_size=1), st.integers(1, 90))
def test_drawn_matrices_need_no_count_of_their_last_part(path, lines, cuts, head):
    text = "\n".join(["1 2 3", *lines, "4 5 6"])
    path.write_text(text)
    matrix = table_in_parts(path, cuts, head=head, ndmin=2)
    assert matrix.tobytes() == np.loadtxt(path, ndmin=2).tobytes()


@pytest.mark.parametrize("odd", ["x 5 6", '"4" 5 6', "NA 5 6"])
def test_what_belies_a_matrix_in_the_part_that_is_not_counted(path, odd):
    path.write_text("1.25 2 3\n" * 90 + f"{odd}\n" + "1.25 2 3\n" * 9)
    found = table_in_parts(path, [0.3, 0.6], head=20)
    expected = np.array(
        [odd.replace('"', "").split()[0] if n == 90 else "1.25" for n in range(100)]
    )
    first = np.asarray(found["f0"]).astype(str) if odd[0] == "x" else np.asarray(found)[:, 0]
    if odd[0] != "x":
        expected = np.array([np.nan if word == "NA" else float(word) for word in expected])
    np.testing.assert_array_equal(first, expected)


@settings(max_examples=15)
@given(tables(), st.sampled_from(["latin-1", "utf-16", "utf-8-sig", "cp1252"]), st.integers(1, 2))
def test_drawn_tables_in_other_encodings_are_those_of_pandas(path, drawn, encoding, processes):
    text, delimiter, _ = drawn
    path.write_bytes(text.encode(encoding))
    options = {"layout": "columns", "delimiter": delimiter, "header": True, "encoding": encoding}
    with shared_load(path, processes=processes, progress=False, **options) as (table,):
        assert_same(table, *of_pandas(pd.read_csv, path, sep=delimiter, encoding=encoding))


@settings(max_examples=15)
@given(st.lists(st.tuples(*CELLS.values()), min_size=1, max_size=9), st.integers(0, 3))
def test_drawn_tables_of_fixed_widths_are_those_of_pandas(path, rows, room):
    cells = [[" ".join(cell.split()) for cell in row] for row in [[*CELLS], *rows]]
    widths = [max(map(len, column)) + room for column in zip(*cells, strict=True)]
    lines = ["".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) for row in cells]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    with shared_load(path, widths=widths, header=True, progress=False) as (table,):
        assert_same(table, *of_pandas(pd.read_fwf, path, widths=widths))


@given(st.data())
def test_values_that_belie_a_sample_change_nothing_but_the_type(path, data):
    usual, odd = data.draw(
        st.sampled_from(
            [("1", "2.5"), ("1", ""), ("1", "x"), ("2.5", "NA"), ("ab", "é"), ("ab", "long text")]
        )
    )
    rows = data.draw(st.integers(2, 40))
    at = data.draw(st.integers(0, rows - 1))
    cells = [usual] * rows
    cells[at] = odd
    path.write_text("a,b\n" + "".join(f"{i},{cell}\n" for i, cell in enumerate(cells)))
    cuts = data.draw(st.lists(st.floats(0, 1), max_size=3))
    table = table_in_parts(path, cuts, layout="columns")
    texts = pd.read_csv(path, keep_default_na=False, dtype=str)
    assert table["a"].tolist() == list(range(rows))
    if table["b"].dtype.kind == "U":
        assert table["b"].tolist() == texts["b"].tolist()
    else:
        assert [str(x) for x in table["b"][:at]] == [str(float(usual))] * at
