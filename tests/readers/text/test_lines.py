"""Lines are counted as they are taken, and as they stand in the file."""

import gzip
import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shmkit.readers.compression import decompressed
from shmkit.readers.text import lines as _lines
from shmkit.readers.text.lines import count_lines, lines_of

ENDS = ["\n", "\r\n", "\r"]


def counted(path, encoding):
    with decompressed(str(path)) as data:
        return count_lines(data, encoding)


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("last", ["", "\n"])
def test_lines_taken_are_counted_across_lists(tmp_path, end, last):
    path = tmp_path / "a.txt"
    path.write_bytes((end.join(f"line {i}" for i in range(50_000)) + last).encode())
    with decompressed(str(path)) as data, lines_of(str(path), data, "utf-8") as lines:
        assert lines.taken == 0
        lines.skip(12_345)
        assert lines.taken == 12_345
        assert list(itertools.islice(lines, 2)) == ["line 12345\n", "line 12346\n"]
        assert next(iter(lines)) == "line 12347\n"
        assert lines.taken == 12_348
        lines.skip(10**9)
        assert lines.taken == 50_000
        assert lines.nbytes_taken == path.stat().st_size


def test_lines_since_the_mark_are_kept(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("".join(f"line {i}\n" for i in range(50_000)))
    with decompressed(str(path)) as data, lines_of(str(path), data, "utf-8") as lines:
        assert lines.since_mark() == []
        lines.skip(20_000)
        assert lines.since_mark() == []
        taken = list(itertools.islice(lines, 15_000))
        assert lines.since_mark() == taken
        taken += itertools.islice(lines, 5)
        assert lines.since_mark() == taken
        lines.mark()
        assert lines.since_mark() == []
        assert list(lines) == lines.since_mark()
        assert len(lines.since_mark()) == 14_995


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize(("text", "count"), [("", 0), ("a", 1), ("a|", 1), ("a||b", 3), ("||", 2)])
def test_count_is_that_of_the_lines(tmp_path, encoding, end, text, count):
    path = tmp_path / "a.txt"
    path.write_bytes(text.replace("|", end).encode(encoding))
    assert counted(path, encoding) == (path.stat().st_size, count)


def test_line_ends_cut_by_a_piece_count_once(tmp_path):
    path = tmp_path / "a.txt"
    for before in range((1 << 20) - 2, (1 << 20) + 2):
        path.write_bytes(b"a" * before + b"\r\nb\r")
        assert counted(path, "utf-8") == (before + 4, 2)


BY = [_lines.ends_by_numpy] if _lines.parser is None else [_lines.ends_by_numpy, _lines.parser.ends]


@pytest.mark.parametrize("ends", BY)
@given(st.lists(st.sampled_from([b"a", b"#", b"\n", b"\r", b"\r\n"]), max_size=500), st.data())
def test_lines_without_a_row_are_told_in_any_piece(ends, text, data):
    text = b"\n\n" + b"".join(text)
    codes = memoryview(text)
    cut = data.draw(st.integers(2, len(text)))
    found = [ends(codes, 2, cut, ord("#")), ends(codes, cut, len(text), ord("#"))]
    lines = re.findall(rb"[^\r\n]*(?:\r\n|\r(?!$)|\n)", text[2:])
    assert sum(lines for lines, _ in found) == len(lines)
    # Of the empty lines those are missed that a lone \r ends, or that are behind one.
    sure = rb"(?<=\n)(?:\r?\n|#)"
    assert sum(rows for _, rows in found) == len(re.findall(sure, text[1:]))


@pytest.mark.parametrize("ending", [".gz", ".GZ"])
def test_compressed_bytes_and_lines_are_those_inside(tmp_path, ending):
    path = tmp_path / f"a.txt{ending}"
    path.write_bytes(gzip.compress(b"a\nb\n") + gzip.compress(b"c"))
    assert counted(path, "utf-8") == (5, 3)
    with decompressed(str(path)) as data, lines_of(str(path), data, "utf-8") as lines:
        assert list(lines) == ["a\n", "b\n", "c"]
        assert lines.nbytes_taken == path.stat().st_size
