r"""The text as the parser wants it: UTF-8, lines ended by \n, whatever the file has."""

import io
import itertools

import pytest

from shmkit.readers.text.stream import TextStream, by_widths, is_utf8, without_comments

BOM = b"\xef\xbb\xbf"


def taken(stream, nbytes):
    """All from here on, a piece at a time."""
    return b"".join(iter(lambda: stream.read(nbytes), b""))


def test_plain_text_is_the_file_itself():
    data = io.BytesIO(BOM + b"a\r\nb\n\xff")
    stream = TextStream(data, "utf-8-sig")
    assert (stream.plain, stream.begin, stream.tell()) == (True, 3, 3)
    assert taken(stream, 4) == b"a\r\nb\n\xff"  # what is no UTF-8 is the parser's matter
    stream.seek(6)
    assert stream.read() == b"b\n\xff"
    stream.close()
    assert not data.closed
    assert TextStream(io.BytesIO(BOM + b"a\n"), "utf-8").begin == 0


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32-be", "latin-1", "cp1252", "utf-8-sig"])
@pytest.mark.parametrize("nbytes", [1, 3, 1000])
def test_what_is_not_plain_is_decoded_from_its_begin(encoding, nbytes):
    text = "größe\r\na\rb\n\nend"
    data = io.BytesIO(text.encode(encoding))
    stream = TextStream(data, encoding, only_returns=True)
    assert (stream.plain, stream.begin) == (False, 0)
    expected = "größe\na\nb\n\nend".encode()
    assert taken(stream, nbytes) == expected
    assert stream.tell() == len(expected)
    for place in (0, 5, 9, len(expected), 3):
        assert stream.seek(place) == place
        assert stream.read() == expected[place:]
    stream.close()
    assert not data.closed


def test_a_seek_beyond_the_end_says_where_the_end_is():
    stream = TextStream(io.BytesIO(b"a\rb\r"), "latin-1")
    assert stream.seek(100) == stream.tell() == 4
    assert stream.read() == b""
    stream.close()


def test_changes_are_made_in_their_order_to_whole_lines():
    lines = "".join(f"{i} x#{i}\n" for i in range(30_000))  # several pieces
    changes = [without_comments(["#"], None), str.upper, lambda text: text.replace(" X", ";")]
    with TextStream(io.BytesIO(lines.encode()), "utf-8", changes) as stream:
        assert not stream.plain
        assert stream.read() == "".join(f"{i};\n" for i in range(30_000)).encode()


def test_what_is_no_text_is_an_error_where_it_is_read():
    stream = TextStream(io.BytesIO(b"a\n" * 9 + b"\xff\n"), "utf-8", only_returns=True)
    with pytest.raises(UnicodeDecodeError):
        stream.read()
    stream.close()


@pytest.mark.parametrize(
    ("encoding", "expected"),
    [
        ("UTF8", True),
        ("utf-8-sig", True),
        ("us-ascii", True),
        ("latin-1", False),
        ("utf-16", False),
    ],
)
def test_which_encodings_are_utf_8(encoding, expected):
    assert is_utf8(encoding) is expected


def test_comments_begin_at_the_first_mark_of_a_line():
    change, quoted = without_comments(["#", "//"], None), without_comments(["#", "//"], '"')
    for pieces in itertools.product(["a", "/", '"', "#", "//", "\n"], repeat=4):
        text = "".join(pieces)
        assert change(text).split("\n") == [
            min(line.split("#")[0], line.split("//")[0], key=len) for line in text.split("\n")
        ]
        if '"' not in text:
            assert quoted(text) == change(text)


def test_quotes_that_are_doubled_do_not_end():
    change = without_comments(["#"], "'")
    assert change("'a''#''b' # 'no'\n'c\n#d'\n") == "'a''#''b' \n'c\n#d'\n"
    assert change("5' # feet\n") == "5' \n"  # of a quote that is never closed


def test_widths_cut_blanks_and_keep_the_lines():
    change = by_widths([slice(0, 4), slice(6, 8), slice(4, 6)])
    assert change("Oslo12.5\nRo\n\n   \n") == "Oslo\x1f.5\x1f12\nRo\x1f\x1f\n\n\n"
    assert change("ab\ncd\n").count("\n") == change("ab\ncd").count("\n") == 2
