"""Rows of a text: the same ones, whether the parser or np.loadtxt takes a line, or a block ends."""

import io
import os

import numpy as np
import pytest
from reading import CALL

from shmkit._categories import category
from shmkit.errors import LoadError
from shmkit.readers.text.lines import Lines
from shmkit.readers.text.rows.errors import TextPlan
from shmkit.readers.text.rows.rows import Rows, by_lines, lines_are_bytes

# Lines of which the parser is sure, and such as it leaves to np.loadtxt.
TEXT = "".join(f"chr{n % 5}\t{n}\t{n / 4}\n" for n in range(3000)).replace("\t77\t", "\t+77\t")
TEXT = TEXT.replace("chr3\t1003\t", "# no row\n\nchr3\t1003\t") + "chrX\t7\t10\n"


def plan_of(dtype=CALL, rows=3001, **options):
    return TextPlan(np.dtype(dtype), (rows,), options={"encoding": "utf-8", **options})


def taken(path, plan, take):
    """All rows that were written, in copies: the array is used again."""
    written = []
    rows = Rows(path, plan, lambda some: written.append(some.copy()))
    for _ in take(rows):
        pass
    assert rows.count == sum(map(len, written))
    return np.concatenate([np.empty(0, plan.dtype), *written]), rows


@pytest.fixture
def path(tmp_path):
    (tmp_path / "calls.txt").write_text(TEXT)
    return str(tmp_path / "calls.txt")


def by_bytes(path, plan, nbytes=None, skip=0):
    with open(path, "rb") as file:
        size = os.path.getsize(path) if nbytes is None else nbytes
        return taken(path, plan, lambda rows: rows.take_bytes(file, size, skip))


def test_both_ways_give_what_loadtxt_gives(path):
    expected = np.loadtxt(path, CALL)
    found, _ = by_bytes(path, plan_of())
    assert found.tobytes() == expected.tobytes()
    with open(path, "rb") as file:
        lines = Lines(file, "utf-8")
        found, _ = taken(path, plan_of(), lambda rows: rows.take_lines(lines))
        lines.detach()
    assert found.tobytes() == expected.tobytes()


def test_a_part_ends_where_its_bytes_end(path):
    nbytes = TEXT.index("chr0\t500\t")
    found, _ = by_bytes(path, plan_of(), nbytes)
    assert found["pos"].tolist() == list(range(500))


def test_lines_are_skipped_and_rows_are_counted_to_the_most(path):
    found, _ = by_bytes(path, plan_of(skiprows=1000, max_rows=5), skip=1000)
    assert found["pos"].tolist() == list(range(1000, 1005))


def test_a_last_line_without_an_end_is_one(tmp_path):
    for end in ("", "\n", "\r\n", "\r"):
        (tmp_path / "a.txt").write_bytes(f"chr1 5 1{end}".encode())
        found, _ = by_bytes(tmp_path / "a.txt", plan_of())
        assert found.tolist() == [(b"chr1", 5, 1.0)]


def test_categories_have_one_table_whoever_reads_a_line(path):
    dtype = [("chr", category([])), ("pos", "i4"), ("pct", "f4")]
    found, rows = by_bytes(path, plan_of(dtype, categories=("chr",)))
    names = rows.categories["chr"]
    assert names == ["chr0", "chr1", "chr2", "chr3", "chr4", "chrX"]
    assert [names[code] for code in found["chr"][75:80]] == [f"chr{n}" for n in range(5)]


def test_an_error_names_the_line_of_the_file(tmp_path):
    (tmp_path / "a.txt").write_text(TEXT + "chr1\tx\t5\n" + TEXT)
    with pytest.raises(LoadError) as caught:
        by_bytes(str(tmp_path / "a.txt"), plan_of())
    assert (caught.value.line, caught.value.column) == (TEXT.count("\n") + 1, 2)


def test_blocks_of_loadtxt_end_with_the_lines():
    lines = Lines(io.BytesIO(b"1 2\n3 4\n5 6\n"), "utf-8")
    plan = TextPlan(np.dtype("f8"), (3, 2), options={"encoding": "utf-8"})
    (block,) = by_lines("a.txt", plan, lines, 2)
    assert block.tolist() == [[1, 2], [3, 4]]
    assert lines.taken == 2
    lines.detach()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"encoding": "utf-8-sig"}, True),
        ({"encoding": "latin1"}, True),
        ({"encoding": "utf-16"}, False),
        ({"encoding": "cp037"}, False),  # EBCDIC
        ({"encoding": "utf-8", "quotechar": '"'}, False),  # a line end may be text
    ],
)
def test_where_lines_can_be_told_in_the_undecoded_file(options, expected):
    assert lines_are_bytes(options) is expected
