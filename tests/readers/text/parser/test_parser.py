"""The compiled parser does as np.loadtxt does with every line that it takes."""

import io
import mmap
import re
import sys
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shmkit import sample
from shmkit.readers.text import lines as _lines
from shmkit.readers.text.lines import loadtxt
from shmkit.readers.text.parser import _parser
from shmkit.readers.text.parser._parser import code, ends, parse
from shmkit.readers.text.rows.codes import TABLE, CategoryCodes
from shmkit.readers.text.rows.errors import columns

PARSE = [module.parse for module in {_parser, _lines.parser}]  # for any CPU, for this one
GUARD = 0xA5
BEHIND = b"7" * 16  # that the parser may load, but not see
NUMBERS = np.dtype("i1,i2,i4,i8,u1,u2,u4,u8,f4,f8,?")


def fields_of(dtype, usecols=None):
    """What the parser must know of the dtype."""
    rows = [
        (ord(c.dtype.kind), c.dtype.itemsize, c.offset, column, not c.dtype.isnative)
        for c, column in zip(columns(dtype), usecols or range(sys.maxsize), strict=False)
    ]
    return np.array(sorted(rows, key=lambda row: row[3]), np.int64).reshape(-1, 5)


def parsed(text, dtype, *, usecols=None, start=0, stop=None, room=None, **options):
    """The rows that the parser gives, the bytes and the lines it took; nothing else is written."""
    dtype = np.dtype(dtype)
    nbytes = len(text)
    if stop is None:
        text += b"\n" * (text[-1:] not in (b"", b"\n"))  # without which a line is not covered
    stop = len(text) if stop is None else stop
    room = text.count(b"\n") + 1 if room is None else room
    found = []
    for one in PARSE:
        block = np.full(64 + room * dtype.itemsize + 64, GUARD, np.uint8)
        out = block[64:-64]
        fields = fields_of(dtype, usecols)
        taken = one(text + BEHIND, start, stop, out, dtype.itemsize, fields, **options)
        found.append((taken, out[: taken[0] * dtype.itemsize].tobytes()))
    assert found == found[:1] * len(PARSE)
    rows, done, lines = taken
    assert 0 <= rows <= min(room, options.get("max_rows", room))
    assert rows <= lines
    assert 0 <= done <= stop - start
    records = out.reshape(room, dtype.itemsize)
    inside = np.zeros(dtype.itemsize, bool)
    for column in columns(dtype):
        inside[column.offset : column.offset + column.dtype.itemsize] = True
    assert (records[:, ~inside] == GUARD).all()
    assert (block[:64] == GUARD).all()
    assert (block[-64:] == GUARD).all()
    return records[:rows].copy().view(dtype)[:, 0], min(done, nbytes - start), lines


def lines_of(text, encoding):
    return list(io.TextIOWrapper(io.BytesIO(text), encoding))


def wider(dtype):
    """The same fields, but with room for more text."""
    wide = [
        f"{c.dtype.kind}{c.dtype.itemsize + 8}" if c.dtype.kind in "SU" else c.dtype
        for c in columns(dtype)
    ]
    return np.dtype([(f"f{i}", t) for i, t in enumerate(wide)])


def check(text, dtype, *, usecols=None, encoding="utf-8", **options):
    """What is taken is what np.loadtxt makes of it, bit for bit; gives the rows and the bytes."""
    dtype = np.dtype(dtype)
    utf8 = encoding == "utf-8"
    rows, nbytes, lines = parsed(text, dtype, usecols=usecols, utf8=utf8, **options)
    taken = lines_of(text[:nbytes], encoding)
    assert len(taken) == lines
    assert nbytes in (0, len(text)) or text[nbytes - 1 : nbytes] == b"\n"
    names = ("delimiter", "comments", "quotechar")
    given = {"comments": None} | {name: options[name] for name in names if name in options}
    flat = [(f"f{i}", column.dtype) for i, column in enumerate(columns(dtype))]
    expected = loadtxt(taken, dtype=np.dtype(flat), usecols=usecols, ndmin=1, **given)
    assert len(rows) == len(expected)
    wide = loadtxt(taken, dtype=wider(dtype), usecols=usecols, ndmin=1, **given)
    data = rows.view(np.uint8).reshape(len(rows), dtype.itemsize)
    for i, column in enumerate(columns(dtype)):
        here = data[:, column.offset : column.offset + column.dtype.itemsize]
        assert here.tobytes() == expected[f"f{i}"].tobytes()
        if column.dtype.kind in "SU":  # no text was cut
            assert expected[f"f{i}"].tolist() == wide[f"f{i}"].tolist()
    return rows, nbytes


# ---- what is drawn -------------------------------------------------------------------------------


def words(text):
    return text.split()


WHOLE = words(
    """0 1 7 42 -1 +5 -0 +0 00 007 -128 127 128 -129 255 256 32767 32768 -32768 -32769 65535 65536
    2147483647 2147483648 -2147483648 -2147483649 4294967295 4294967296 12345678 123456789
    9223372036854775807 9223372036854775808 -9223372036854775808 -9223372036854775809
    18446744073709551615 18446744073709551616 1234567890123456789 12345678901234567890
    0000000000000000000000000000005"""
)
REAL = words(
    """.5 5. -.5 +5. . - + e5 1e 1e+ 1e5 1E5 1e+5 1e-5 1.5e3 1.e3 .1e3 1e400 -1e400 1e-400 1e39
    1e22 1e23 123e20 1e-22 1e-23 9007199254740993 9007199254740992.5 0.1 0.3 87.50 100.00 0.00 1e0
    4.9e-324 2.4703282292062327e-324 2.4703282292062328e-324 2.2250738585072011e-308 1e-45 1.4e-45
    1.7976931348623157e308 1.7976931348623159e308 3.4028235677973366e38 16777217 16777219
    1.00000005960464477539062500 1.00000005960464477539062501 0.1234567890123456789012345678901
    1234567890123456789.5 12345678901234567890.5 1.234567890123456789e+01 1e99999999 1e999999999
    0e999 0e-999 -0.0 0.000000000000000000000000000000 1_000 0x10 0x1p3 1d5 1.2.3 1e5.5 --1 +-1
    1-"""
)
NAMES = words(
    """inf -inf +inf INF Infinity -infinity infinit nan NaN -nan +nan nan(1) NAN1 na n i"""
)
TEXT = words("""chr1 a ab abc abcd abcdefgh abcdefghi abcdefghijklmnopqrstuvwxyz x#y x"y x"" ' """)
TEXT += ["a\x7fb", "a\x01b", "µm", "Zürich", "日本語", "\U0001d4b3", "e\u0301", "\x85", "\ufeff"]
TEXT += ["ß\u00a0ß", "a\u3000b", "\ufffd"]
TOKENS = WHOLE + REAL + NAMES + TEXT

tokens = st.one_of(
    st.sampled_from(TOKENS),
    st.integers(-(2**65), 2**65).map(str),
    st.integers(-999, 999).map(str),
    st.floats().map(repr),
    st.floats(width=32).map(lambda x: f"{x:.7g}"),
    st.floats().map(lambda x: f"{x:.18e}"),
    st.floats(-1e6, 1e6).map(lambda x: f"{x:.2f}"),
    st.decimals(allow_nan=False).map(str),
    st.text('0123456789.eE+-_ \tnaifx"#\0\x0b\x1cé', max_size=9),
    st.just(""),
)
scalars = st.sampled_from(
    words(
        """i1 i2 i4 i8 u1 u2 u4 u8 f4 f8 ? S1 S3 S8 S10 S17 U1 U4 U20
        >i2 >i4 >i8 >u2 >u4 >u8 >f4 >f8 >U4"""
    )
)
delimiters = st.sampled_from([None, None, ",", "\t", " ", ";", "|", "\x01", "\x0b"])
lists_of_tokens = st.integers(0, 5).map(lambda count: [tokens] * count)
comments = st.sampled_from(["#", "#", None, "%", "!"])
quotes = st.sampled_from([None, None, None, '"', "'"])
line_ends = st.sampled_from(["\n"] * 6 + ["\r\n"] * 3 + ["\r", "\n\n", " \n", "\t\n", "\n \n"])


@st.composite
def layouts(draw):
    """A dtype, with padding or without, in any order of its fields."""
    types = [np.dtype(t) for t in draw(st.lists(scalars, min_size=1, max_size=4))]
    offsets, at = [], 0
    for i in draw(st.permutations(range(len(types)))):
        at += draw(st.sampled_from([0, 0, 1, 4]))
        offsets.append((i, at))
        at += types[i].itemsize
    return np.dtype(
        {
            "names": [f"f{i}" for i in range(len(types))],
            "formats": types,
            "offsets": [offset for _, offset in sorted(offsets)],
            "itemsize": at + draw(st.sampled_from([0, 0, 3])),
        }
    )


FITTING = {
    "i": st.sampled_from(words("0 1 7 42 -1 +5 -0 007 127 -128")),
    "u": st.sampled_from(words("0 1 7 42 +5 255")),
    "b": st.sampled_from(words("0 1 2 -1 300")),
    "f": st.floats().map(repr) | st.floats(-999, 999).map("{:.2f}".format) | tokens,
    "S": st.sampled_from(words("a Z 1 -")),
    "U": st.sampled_from(words("a Z 1 µ 語")),
    "": st.sampled_from(words("a chr1 Zürich 日本語 12.5 1e5 abcdefghi")),
}


@st.composite
def texts(draw, delimiter, comment, kinds):
    """Lines with tokens and what may stand around them; most have what each column should."""
    apart = st.sampled_from([" ", "\t", "  ", " \t"]) if delimiter is None else st.just(delimiter)
    blank = st.sampled_from(["", "", "", " ", "  ", "\t"])
    odd = st.sampled_from(["", "\x0b", "\u00a0"])
    mark = comment or "#"
    text = ""
    for _ in range(draw(st.integers(0, 5))):
        plain = draw(st.integers(0, 5)) < 5
        around = st.just("") if plain else blank | odd
        strategies = [FITTING[kind] for kind in kinds] if plain else draw(lists_of_tokens)
        for i, token in enumerate(strategies):
            text += (draw(apart) if i else "") + draw(around) + draw(token) + draw(around)
        text += draw(st.sampled_from(["", "", "", mark, f"{mark} 1 2", f'{mark} é"\0']))
        text += draw(st.sampled_from(["\n", "\n", "\r\n"]) if plain else line_ends)
    last = draw(st.sampled_from(["", "", "1", "1 2", "x", "#", (delimiter or " ").join("1234")]))
    return (text + last).encode(errors="surrogatepass")


@st.composite
def cases(draw):
    dtype, delimiter, comment = draw(layouts()), draw(delimiters), draw(comments)
    count = len(dtype.names)
    usecols = draw(
        st.none() | st.lists(st.integers(0, 3), min_size=count, max_size=count, unique=True)
    )
    width = count if usecols is None else draw(st.integers(max(usecols) + 1, 4))
    options = {
        "delimiter": delimiter,
        "comments": comment,
        "quotechar": draw(quotes),
        "usecols": usecols,
        "columns": draw(st.sampled_from([width, width, -1])) if usecols else count,
        "encoding": draw(st.sampled_from(["utf-8", "latin-1"])),
    }
    characters = st.text("01.,-+eE# \t\n\r;|\"'naifx\0\x0b\x1cé\u2003", max_size=40)
    noise = st.one_of(characters.map(str.encode), st.binary(max_size=40))
    kinds = [""] * width
    for i, column in enumerate(range(count) if usecols is None else usecols):
        kinds[column] = dtype[i].kind
    lines = texts(delimiter, comment, kinds)
    return draw(st.one_of(lines, lines, lines, noise)), dtype, options


@pytest.mark.slow
@given(cases())
@settings(max_examples=2000)
def test_rows_are_those_of_loadtxt(case):
    text, dtype, options = case
    check(text, dtype, **options)


@given(
    st.lists(st.lists(tokens, min_size=3, max_size=3), max_size=5),
    st.sampled_from([np.dtype(t) for t in ("f8,f4,i8", "i4,u1,S9", "U9,f8,?")]),
    st.sampled_from([None, ","]),
)
@settings(max_examples=500)
def test_any_tokens_are_read_as_by_loadtxt(table, dtype, delimiter):
    text = "\n".join((delimiter or " ").join(row) for row in table)
    check(text.encode(), dtype, delimiter=delimiter, columns=3)


# ---- tokens --------------------------------------------------------------------------------------


@pytest.mark.parametrize("delimiter", [None, ","])
@pytest.mark.parametrize("token", TOKENS)
def test_each_odd_token_of_each_kind(token, delimiter):
    apart = delimiter or " "
    text = apart.join([token, "1"]).encode() + b"\n"
    for name in NUMBERS.names:
        check(text, [("a", NUMBERS[name]), ("b", "i1")], delimiter=delimiter, columns=2)
    for kind in ("S", "U"):
        for width in (1, 3, 8, 9, 30):
            check(text, [("a", f"{kind}{width}"), ("b", "i1")], delimiter=delimiter, columns=2)


SHORT = st.builds(
    "{}{}{}{}{}".format,
    st.sampled_from(["", "", "-", "+"]),
    st.integers(0, 10**9).map(str),
    st.sampled_from(["", "."]),
    st.sampled_from(["", "", "0", "25", "0625"]),
    st.sampled_from([*[""] * 9, "e1", "x", ".", "#", " ", "\r"]),
)


@pytest.mark.slow
@given(
    st.lists(SHORT, min_size=2, max_size=6),
    st.lists(st.tuples(st.integers(0, 99), SHORT), max_size=4),
    st.lists(st.sampled_from(["i4", ">i8", "i8", "i2", "f4", "f8", ">f8", "S3", "S17", "U2"])),
    st.sampled_from([None, "\t", ","]),
    st.sampled_from(["\n", "\r\n"]),
)
@settings(max_examples=1000, deadline=None)
def test_lines_that_are_read_together_are_as_those_that_are_not(
    tokens, others, kinds, delimiter, end
):
    kinds = kinds[:5] or ["f4"]
    values = (tokens * 99)[: 23 * len(kinds)]
    for place, token in others:
        values[place % len(values)] = token
    rows = [values[i : i + len(kinds)] for i in range(0, len(values), len(kinds))]
    text = "".join((delimiter or "\t").join(row) + end for row in rows).encode()
    dtype = np.dtype([(f"f{i}", kind) for i, kind in enumerate(kinds)])
    options = {"delimiter": delimiter, "comments": "#", "columns": len(kinds), "utf8": True}
    together, nbytes, _ = parsed(text, dtype, **options)
    start, alone = 0, []
    for line in re.findall(rb".*\n", text):  # of one line, none is read with others
        row, done, _ = parsed(line, dtype, **options)
        alone.append(row.tobytes())
        start += done
        if done < len(line):
            break
    assert (together.tobytes(), nbytes) == (b"".join(alone), start)
    check(text, dtype, **{name: options[name] for name in ("delimiter", "comments", "columns")})


def is_covered(token, kind):
    return len(check(token.encode() + b"\n", [("a", kind)], delimiter=",", columns=1)[0]) == 1


@pytest.mark.parametrize(
    ("kind", "taken", "left"),
    [
        ("i1", "0 -128 127 +5 -0 007", "128 -129 2.5 1e2 0x10 1_0 - + --1"),
        ("i4", "2147483647 -2147483648 12345678", "2147483648 -2147483649 99999999999999999999"),
        ("i8", "9223372036854775807 -9223372036854775808", "9223372036854775808 nan"),
        ("u1", "0 255 +5", "256 -1 -0"),
        ("u8", "9999999999999999999", "-1 20000000000000000000"),
        ("?", "0 1 2 -1 300 9223372036854775807", "True 9223372036854775808 2.0"),
        (
            "f8",
            "1 .5 5. 1e5 1E-5 inf -inf NaN +infinity 1.7976931348623157e308",
            "1e 0x10 1_0 . e5",
        ),
        ("f8", "4.9e-324 1.234567890123456789e+01 0.1234567890123456789012345678901 1e-300", "1d5"),
        ("f4", "1e39 16777217 1.00000005960464477539062501 1e-45", "1.2.3 nan(1) infinit"),
        ("S4", "a abcd 12.5 a\x01b", "abcde µ a\0b"),
        ("U4", "a abcd µµµµ 日本語", "abcde µµµµµ a\0b"),
    ],
)
def test_what_is_covered(kind, taken, left):
    assert [token for token in taken.split(" ") if not is_covered(token, kind)] == []
    for token in left.split(" "):
        rows, nbytes, lines = parsed(token.encode(), [("a", kind)], delimiter=",", utf8=True)
        assert (len(rows), nbytes, lines) == (0, 0, 0), token


@pytest.mark.slow
@given(st.integers(0, 10**19), st.integers(-45, 45), st.booleans())
@settings(max_examples=2000)
def test_decimals_are_rounded_correctly(digits, exponent, negative):
    sign, text = "-" * negative, f"{digits:019}"
    as_savetxt = f"{sign}{text[0]}.{text[1:]}e{exponent:+03}"
    for token in (f"{sign}{digits}e{exponent}", as_savetxt):
        assert parsed(token.encode(), "f8,")[0]["f0"].tolist() == [float(token)]


@pytest.mark.slow
@given(st.floats(1e-20, 1e20), st.integers(1, 3))
@settings(max_examples=2000)
def test_half_way_between_two_floats(x, digits):
    # 17 to 19 digits next to the middle of two neighbours, where rounding errs first
    middle = (int(x) + int(np.nextafter(x, np.inf))) // 2
    for token in (f"{middle}", f"{middle}.{'0' * digits}1", f"{middle + 1}", f"{x:.18e}"):
        assert parsed(token.encode(), "f8,")[0]["f0"].tolist() == [float(token)]


@pytest.mark.slow
@given(st.integers(2**53, 2**54 - 1), st.integers(1, 3), st.integers(-1, 1))
@settings(max_examples=1000)
def test_a_tie_goes_to_the_even_double(odd, places, beside):
    # An odd number of 54 bits lies between two doubles, and so do its halves: 5**n/10**n is 1/2**n.
    token = f"{(odd | 1) * 5**places + beside}e-{places}"
    assert parsed(token.encode(), "f8,")[0]["f0"].tolist() == [float(token)]


# ---- lines ---------------------------------------------------------------------------------------


def test_the_methylation_sample_is_covered(tmp_path):
    path = sample.methylation(tmp_path / "calls.txt", rows=5000)
    text = path.read_bytes()
    start = text.index(b"\n") + 1
    expected = np.loadtxt(path, sample.METHYLATION, skiprows=1)
    for delimiter in (None, "\t"):
        options = {"delimiter": delimiter, "comments": "#", "columns": 5}
        rows, nbytes, lines = parsed(text, sample.METHYLATION, start=start, **options)
        assert rows.tobytes() == expected.tobytes()
        assert (nbytes, lines) == (len(text) - start, 5000)


@pytest.mark.parametrize("form", ["%.18e", "%.2f", "%r", "%g", "%.20f"])
@pytest.mark.parametrize("delimiter", [" ", ",", "\t"])
def test_a_matrix_of_floats_is_covered(form, delimiter):
    matrix = np.random.default_rng(0).normal(size=(200, 7)) * 10.0 ** np.arange(-9, 12, 3)
    text = "".join(delimiter.join(form % x for x in row.tolist()) + "\n" for row in matrix)
    rows, _ = check(text.encode(), [("a", "f8", 7)], delimiter=delimiter, columns=7)
    assert len(rows) == 200


@pytest.mark.parametrize("columns", [1, 2, 8])
@pytest.mark.parametrize("kind", ["i1", "u1", "?", "i2", "i4", "i8", "f4", "f8", "S1", "U1"])
def test_many_short_lines_in_one_go(kind, columns):
    # More of them than are read together at most, and no end of marks in the middle of a line.
    line = " ".join("1" * columns) + "\n"
    dtype = np.dtype([("a", kind, columns)])
    rows, nbytes, _ = parsed(line.encode() * 70_000, dtype, columns=columns)
    assert (len(rows), nbytes) == (70_000, 70_000 * len(line))
    assert (rows["a"] == np.array("1").astype(kind)).all()


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("last", [True, False])
def test_empty_lines_and_comments_are_lines_but_no_rows(end, last):
    lines = ["# head µ", "", "1 2", "  ", " 3\t4 # note", "#", "5 6#", "\t7 8 "]
    text = (end.join(lines) + end * last).encode()
    rows, nbytes = check(text, "i4,f8", comments="#", columns=2)
    assert rows.tolist() == [(1, 2), (3, 4), (5, 6), (7, 8)]
    assert nbytes == len(text)


def test_blanks_around_numbers_are_nothing_and_around_text_are_text():
    rows, _ = check(b" 1 ,\ta ,2\t\n3,,4", "i4,S4,f4", delimiter=",", columns=3)
    assert rows.tolist() == [(1, b"\ta ", 2), (3, b"", 4)]


def test_columns_are_chosen_in_any_order():
    text = "a,1,µ,2.5,x\nb,2,ß,3\n".encode()
    rows, _ = check(text, "f8,i4,S2", usecols=[3, 1, 0], delimiter=",")
    assert rows.tolist() == [(2.5, 1, b"a"), (3, 2, b"b")]


def test_two_fields_of_one_column_are_not_covered():
    assert parsed(b"12\n", "i4,f8", usecols=[0, 0])[1] == 0


def test_a_line_without_an_end_is_not_covered():
    assert parsed(b"1\n2", "i4", stop=3)[1:] == (2, 1)


def test_a_line_of_another_width_is_not_covered():
    for delimiter, text in ((",", b"1,2\n1,2,3\n"), (None, b"1 2\n1 2 3\n"), (",", b"1,2\n1,2,\n")):
        assert check(text, "i4,i4", delimiter=delimiter, columns=2)[1] == 4
    assert check(b"1 2\n1\n", "i4,i4", columns=2)[1] == 4
    assert check(b"1 2\n1 2 3\n3", "i4", usecols=[0], columns=-1)[1] == 11
    assert check(b"1 2\n1\n", "i4", usecols=[0], columns=2)[1] == 4
    assert parsed(b"1 2\n" * 9, "i4", usecols=[2], columns=2)[1] == 0


@pytest.mark.parametrize(
    "line",
    ["1 2\r3 4", "1 \0", '"1" 2', "1 2 x", "1\x0b2", "1\u00a02", "1 2\r\r", "1", "1 ", "1 a\x1cb"],
)
def test_the_parser_stops_before_a_line_that_is_not_covered(line):
    text = f"1 2\n\n#\n{line}\n3 4\n".encode()
    rows, nbytes, lines = parsed(text, "i4,S3", comments="#", quotechar='"', columns=2, utf8=True)
    assert (rows.tolist(), nbytes, lines) == ([(1, b"2")], 7, 3)


def test_a_quoted_field_is_not_covered_wherever_it_stands():
    for text in (b'"1",2,3\n', b'1,"2\n",3\n', b'1,2,"3\n3"\n'):
        assert parsed(text, "i4", usecols=[0], delimiter=",", quotechar='"')[1] == 0
    assert check(b'1,2"\n', "i4,S3", delimiter=",", quotechar='"', columns=2)[1] == 5


def test_text_that_is_no_utf8_is_not_covered_even_where_it_is_not_wanted():
    for bad in (b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe2\x82", b"\xc3"):
        for text in (b"1," + bad + b"\n", b"1,x#" + bad + b"\n", b"1,#\n#" + bad):
            nbytes = parsed(text, "i4", usecols=[0], delimiter=",", comments="#", utf8=True)[1]
            assert nbytes == (4 if text.startswith(b"1,#") else 0)
        assert parsed(bad, "U4", delimiter=",", utf8=True)[1] == 0


def test_without_utf8_only_ascii_is_covered():
    text = "a\nµ\n".encode()
    assert parsed(text, "U1", utf8=True)[1] == 5
    assert parsed(text, "U1", utf8=False)[1] == 2


@pytest.mark.parametrize("character", [*"1ae+-.\n\r\0é", "ab", ""])
def test_a_delimiter_or_comment_that_is_odd_is_not_covered(character):
    for name in ("delimiter", "comments"):
        assert parsed(b"1\n", "i4", **{name: character})[1] == 0
    assert parsed(b"1\n", "i4", delimiter=",", comments=",")[1] == 0
    assert parsed(b"1\n", "i4", comments=" ")[1] == 0


@pytest.mark.parametrize("kind", ["f2", "g", "c8", "M8[s]", "V4", "S0"])
def test_other_kinds_are_not_covered(kind):
    assert parsed(b"1 1\n", [("a", "i4"), ("b", kind)])[1] == 0


def test_no_fields_are_not_covered():
    assert parse(b"1\n" + BEHIND, 0, 2, bytearray(9), 9, b"") == (0, 0, 0)


# ---- bounds --------------------------------------------------------------------------------------


@pytest.mark.slow
@given(st.data())
@settings(max_examples=500)
def test_any_part_and_any_room(data):
    dtype = data.draw(layouts())
    text = data.draw(texts(",", "#", [dtype[i].kind for i in range(len(dtype.names))]))
    stop = data.draw(st.integers(0, len(text)))
    start = data.draw(st.integers(0, stop))
    options = {"start": start, "stop": stop, "room": data.draw(st.integers(0, 6)), "utf8": True}
    options |= {
        "delimiter": ",",
        "comments": "#",
        "columns": data.draw(st.sampled_from([-1, len(dtype.names)])),
    }
    options["max_rows"] = data.draw(st.integers(0, 7))
    # The bytes outside of the part are not seen.
    first = parsed(text, dtype, **options)
    other = b"7" * start + text[start:stop] + b"7" * (len(text) - stop)
    second = parsed(other, dtype, **options)
    assert first[0].tobytes() == second[0].tobytes()
    assert first[1:] == second[1:]


@given(cases(), st.integers(0, 3))
@settings(max_examples=300)
def test_rows_in_two_parts_are_the_rows_in_one(case, max_rows):
    text, dtype, options = case
    text += b"\n"
    options["utf8"] = options.pop("encoding") == "utf-8"
    whole, nbytes, lines = parsed(text, dtype, **options)
    first, middle, begun = parsed(text, dtype, max_rows=max_rows, **options)
    second, rest, done = parsed(text, dtype, start=middle, **options)
    assert whole.tobytes() == first.tobytes() + second.tobytes()
    assert (nbytes, lines) == (middle + rest, begun + done)


@pytest.mark.parametrize(
    "change",
    [
        {"start": -1},
        {"start": 3, "stop": 2},
        {"stop": 5},
        {"itemsize": 0},
        {"itemsize": -8},
        {"fields": np.array([[105, 4, 0, 0]])},
        {"fields": np.array([[105, 4, 5, 0, 0]])},
        {"fields": np.array([[105, 4, -1, 0, 0]])},
        {"fields": np.array([[105, 4, 2**63 - 4, 0, 0]])},
        {"fields": np.array([[105, -4, 0, 0, 0]])},
        {"fields": np.array([[83, 2**62, 0, 0, 0]])},
        {"fields": np.array([[105, 4, 0, -1, 0]])},
        {"fields": np.array([[105, 4, 0, 1, 0], [105, 4, 0, 0, 0]])},
        {"fields": np.array([0, 105, 4, 0, 0, 0]).tobytes()[8:-4]},
    ],
)
def test_what_would_lead_out_of_the_buffers_is_refused(change):
    call = {"data": b"1 2\n" + BEHIND, "start": 0, "stop": 4, "out": bytearray(16), "itemsize": 8}
    call |= {"fields": np.array([[105, 4, 0, 0, 0]])} | change
    with pytest.raises(ValueError, match=r"is not|are not"):
        parse(**call)


@pytest.mark.parametrize(("start", "stop"), [(1, 3), (3, 2), (2, 5)])
def test_lines_are_counted_in_the_buffer_only(start, stop):
    with pytest.raises(ValueError, match="are not in text"):
        ends(b"\n\n1\n", start, stop, 0)


def test_what_is_no_buffer_or_no_text_is_refused():
    fields = np.array([[105, 4, 0, 0, 0]])
    with pytest.raises(TypeError):
        parse("1", 0, 1, bytearray(4), 4, fields)
    with pytest.raises(TypeError):
        parse(b"1\n" + BEHIND, 0, 2, bytes(4), 4, fields)
    with pytest.raises(TypeError, match="text or None"):
        parse(b"1\n" + BEHIND, 0, 2, bytearray(4), 4, fields, delimiter=b",")


def test_a_mapped_file_is_text(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"1\n2\n3\n" + BEHIND)
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
        out = np.zeros(3, "i8")
        assert parse(text, 0, 6, out.view(np.uint8), 8, fields_of(np.dtype("i8,"))) == (3, 6, 3)
    assert out.tolist() == [1, 2, 3]


def test_other_threads_run_meanwhile():
    text, out = b"1\n" * 5_000_000, np.zeros(5_000_000, "i1")
    fields = fields_of(np.dtype("i1,"))
    ticks, done = [], threading.Event()

    def tick():
        while not done.wait(1e-4):
            ticks.append(1)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(60)  # so that this thread goes on until it lets the other run
    thread = threading.Thread(target=tick)
    try:
        thread.start()
        before = len(ticks)
        for _ in range(20):  # a busy machine gives the other its turn later
            if len(ticks) == before:
                parse(text, 0, len(text) - 16, out, 1, fields)
        assert len(ticks) > before
    finally:
        sys.setswitchinterval(interval)
        done.set()
        thread.join()


def test_it_and_loadtxt_take_turns_in_one_table_of_categories():
    table = np.zeros(1, TABLE)
    made = CategoryCodes(table)
    assert code(table.data, b"chr2") == 0  # as the parser meets it
    assert made.encode(["chr1", "chr2"]) == [1, 0]
    assert code(table.data, b"chr1") == 1
    assert made.texts == ["chr2", "chr1"]
