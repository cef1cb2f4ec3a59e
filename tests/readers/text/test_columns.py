"""Columns are what Python's csv, int, float and np.datetime64 make of the text, on every CPU."""

import csv
import importlib
import io
import math
import re
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shmkit._categories import category
from shmkit.readers.text import columns as module
from shmkit.readers.text.columns import (
    AROUND,
    MISSING,
    WEAK,
    Class,
    Columns,
    ColumnType,
    Dialect,
    Fit,
    best_delimiter,
    facts,
    type_of,
)

GUARD = b"7"  # around the text, where it may be loaded but not seen
WORDS = MISSING.decode().split("\n")
WEAK_WORDS = WEAK.decode().split("\n")
EXACT = 2**53
GAP = object()  # a missing value

REAL = re.compile(
    r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?(inf|infinity|nan)", re.ASCII | re.IGNORECASE
)
WHOLE = re.compile(r"[+-]?\d+", re.ASCII)
TIME = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:[Tt ](\d\d:\d\d(?::\d\d)?)(?:(?<=:\d\d:\d\d)[.,](\d+))?"
    r"([Zz]|[+-]\d\d(?::?\d\d)?)?)?",
    re.ASCII,
)


def _builds():
    for name in ("_parser", "_parser_avx2", "_parser_avx512"):
        try:
            yield importlib.import_module(f"shmkit.readers.text.parser.{name}")
        except ImportError:
            continue


BUILDS = list(_builds())


def on_every_cpu(work):
    """What it gives with each build of the parser that runs here, which is the same."""
    found = []
    for build in BUILDS:
        with mock.patch.object(module, "parser", build):
            found.append(work())
    assert all(repr(one) == repr(found[0]) for one in found)
    return found[0]


# ---- references ---------------------------------------------------------------------------------


def records(text, dialect):
    """The rows of a text by the csv module, as lists of texts."""
    lines, raw = iter(io.StringIO(text, newline="\n")), ""

    def feed():
        nonlocal raw
        for line in lines:
            if not raw and dialect.comment and line.startswith(dialect.comment):
                continue
            raw += line
            yield line

    reader = csv.reader(
        feed(),
        delimiter="\x1f" if dialect.delimiter == "\n" else dialect.delimiter,
        quotechar=dialect.quotechar,
        quoting=csv.QUOTE_NONE if dialect.quotechar is None else csv.QUOTE_MINIMAL,
        skipinitialspace=dialect.skip_blanks and dialect.delimiter != " ",
    )
    while True:
        raw = ""
        row = next(reader, None)
        if row is None:
            return
        if len(row) > 1 or raw.strip():
            yield row


def number(text, decimal="."):
    """float(), but for "_" and other scripts' digits; None if it is none."""
    if decimal == ",":
        if "." in text:
            return None
        text = text.replace(",", ".")
    return float(text) if REAL.fullmatch(text) else None


def time_of(text):
    """Nanoseconds since 1970 as a whole number, the unit by index, and whether it has an offset."""
    match = TIME.fullmatch(text)
    if match is None:
        return None
    day, clock, fraction, offset = match.groups()
    try:
        seconds = np.datetime64(f"{day}T{clock}" if clock else day, "s").astype(int)
    except ValueError:
        return None
    if "0000" in day[:4] and len(day) != 10:
        return None
    fraction = (fraction or "").rstrip("0")
    if len(fraction) > 9:
        return None
    nanos = int(seconds) * 10**9 + int(fraction.ljust(9, "0") or "0")
    unit = 0 if clock is None else 1 + -(-len(fraction) // 3)
    if offset and offset not in "Zz":
        hours, minutes = int(offset[1:3]), int(offset[3:].lstrip(":") or 0)
        if hours > 23 or minutes > 59:
            return None
        nanos -= int(offset[0] + "1") * (hours * 60 + minutes) * 60 * 10**9
    return nanos, unit, bool(offset)


def expected(text, given, missing, decimal):
    """The value of a text as a column has it, or why there is none."""
    dtype = given.dtype
    if dtype.kind == "S":
        nbytes = text.encode()
        if len(nbytes) > dtype.itemsize:
            return Fit.TOO_LONG
        return Fit.NUL if nbytes.endswith(b"\0") else nbytes
    text = text.strip(" \t\r")
    value = _value(text, given, missing, decimal)
    if isinstance(value, Fit) and (value is Fit.MISSING or text in missing):
        return GAP if dtype.kind in "fM" else Fit.MISSING
    return value


def _value(text, given, missing, decimal):
    dtype = given.dtype
    if dtype.kind == "b":
        return {"true": True, "false": False}.get(text.lower(), Fit.NO_NUMBER)
    if dtype.kind == "M":
        time = time_of(text)
        unit = ["D", "s", "ms", "us", "ns"].index(np.datetime_data(dtype)[0])
        if time is None:
            return Fit.NO_NUMBER
        if time[2] != given.offsets:
            return Fit.OFFSET
        per_second = [0, 1, 10**3, 10**6, 10**9][unit]
        count = time[0] * per_second // 10**9 if unit else time[0] // (86400 * 10**9)
        if time[1] > unit or not -(2**63) < count < 2**63:
            return Fit.TOO_FINE
        return np.datetime64(count, np.datetime_data(dtype)[0])
    real = number(text, decimal)
    if real is None:
        return Fit.NO_NUMBER
    if math.isnan(real) and text in missing:
        return Fit.MISSING
    if real in [number(word, decimal) for word in missing]:
        return Fit.MISSING
    whole = int(text) if WHOLE.fullmatch(text) else None
    if whole is not None and given.guessed and re.match(r"[+-]?0[0-9]", text):
        return Fit.ZERO_FIRST
    if dtype.kind == "f" and not given.whole:
        return real
    if whole is None:
        return Fit.FRACTION
    if dtype.kind == "f":
        return float(whole) if abs(whole) <= EXACT else Fit.TOO_LARGE
    limits = np.iinfo(dtype)
    return whole if limits.min <= whole <= limits.max else Fit.TOO_LARGE


# ---- the parser ---------------------------------------------------------------------------------


def parsed(text, types, fields, dialect, missing=None, *, rows=None, block=None):
    """The columns, the missing values of each, the bytes that are done, and the misfit."""
    nbytes = text if isinstance(text, bytes) else text.encode()
    words = (
        dict.fromkeys(types, missing) if missing is None or isinstance(missing, bytes) else missing
    )

    def work():
        room = rows or nbytes.count(b"\n") + 1
        columns = Columns(types, fields, dialect, words, room)
        data = GUARD * AROUND + nbytes + GUARD * AROUND
        pieces, done, misfit, most = [], 0, None, block or len(nbytes)
        while misfit is None and done < len(nbytes):
            stop = min(done + most, len(nbytes))
            taken, more, misfit = columns.parse(data, AROUND + done, AROUND + stop)
            pieces.append([array[:taken].copy() for array in columns.arrays.values()])
            done += more
            if not more:
                if stop == len(nbytes):
                    break
                most *= 2
        empty = [array[:0] for array in columns.arrays.values()]
        arrays = [np.concatenate(same) for same in zip(empty, *pieces, strict=True)]
        if misfit is not None:
            misfit = misfit._replace(start=misfit.start - AROUND, stop=misfit.stop - AROUND)
        blocks = [array.tobytes() for array in arrays]
        return blocks, arrays, list(columns.missing.values()), done, misfit, columns

    found = []
    for build in BUILDS:
        with mock.patch.object(module, "parser", build):
            found.append(work())
    for one in found:
        assert one[0] == found[0][0]
        assert one[2:5] == found[0][2:5]
    return found[0][1:]


def check(text, types, fields, dialect, missing=(), **options):
    """All is as the references say; gives the arrays and the misfit."""
    words = {i: "\n".join(missing).encode() if missing else None for i in types}
    arrays, gaps, done, misfit, _ = parsed(text, types, fields, dialect, words, **options)
    rows, wrong = [], None
    for row in records(text, dialect):
        if len(row) != fields:
            wrong = (Fit.RAGGED, len(row))
            break
        values = [expected(row[i], t, missing, dialect.decimal) for i, t in types.items()]
        bad = [i for i, value in zip(types, values, strict=True) if isinstance(value, Fit)]
        if bad:
            wrong = (expected(row[bad[0]], types[bad[0]], missing, dialect.decimal), bad[0])
            break
        rows.append(values)
    if done < len(text.encode()) and misfit is None:  # a quote is never closed: that is no line
        rows, wrong = rows if wrong else rows[:-1], None
    assert (wrong and wrong[0]) == (misfit and misfit.fit), (wrong, misfit)
    if wrong:
        assert wrong[1] == misfit.column
    columns = zip(*rows, strict=True) if rows else [[]] * len(types)
    for array, of, values, gap_count in zip(arrays, types.values(), columns, gaps, strict=True):
        with np.errstate(over="ignore"):  # of float32, as it is with np.loadtxt
            none = np.nan if of.dtype.kind == "f" else np.datetime64("NaT", "s")
            right = np.array([none if value is GAP else value for value in values], of.dtype)
        assert sum(value is GAP for value in values) == gap_count
        assert right.shape == array.shape
        if of.dtype.kind == "f":  # any NaN is as good as another
            right[np.isnan(array) & np.isnan(right)] = array[np.isnan(array) & np.isnan(right)]
        assert right.tobytes() == array.tobytes(), (right, array)
    return arrays, misfit


# ---- numbers ------------------------------------------------------------------------------------

digits = st.text("0123456789", min_size=1, max_size=22)
decimals = st.builds(
    lambda sign, head, tail, power: f"{sign}{head}{tail}{power}",
    st.sampled_from(["", "", "-", "+"]),
    st.text("0123456789", max_size=20),
    st.one_of(st.just(""), st.text("0123456789", max_size=20).map(lambda tail: f".{tail}")),
    st.one_of(
        st.just(""),
        st.builds("{}{:+03d}".format, st.sampled_from("eE"), st.integers(-340, 340)),
        st.integers(0, 30).map("e{}".format),
    ),
)
floats = st.floats().map(repr)
formatted = st.builds(
    lambda style, value: style % value,
    st.sampled_from(["%.18e", "%.6e", "%.3f", "%g", "%.10f", "%.15g", "%5.1f ", "%08.3f"]),
    st.floats(-1e12, 1e12),
)
wholes = st.one_of(st.integers(-(2**65), 2**65), st.integers(-300, 300)).map(str)
odd = st.sampled_from(
    [
        "",
        "-",
        ".",
        "-.",
        "+",
        "1e",
        "1e+",
        "e5",
        "1.2.3",
        "--1",
        "+-1",
        "0x10",
        "1_0",
        "1d5",
        "٣",
        "inf",
        "-Infinity",
        "NaN",
        "nan",
        "NA",
        "-nan",
        "infinit",
        "00",
        "-00",
        "007",
        "1e400",
        "-1e-400",
        "9007199254740993",
        "18446744073709551616",
        "111111111111111111111111111111",
        "0.111111111111111111111111111111",
        "1-2",
        "12345-78",
        " 1 ",
    ]
)
number_texts = st.one_of(digits, decimals, floats, formatted, wholes, odd)
number_types = st.sampled_from(
    [
        ColumnType(np.dtype(code))
        for code in ("f8", "f4", "i8", "i4", "i2", "i1", "u8", "u4", "u2", "u1")
    ]
    + [ColumnType(np.dtype("f8"), whole=True), ColumnType(np.dtype("f8"), guessed=False)]
)


@settings(deadline=None)
@given(st.lists(number_texts, min_size=1, max_size=40), number_types)
def test_numbers_are_those_of_python(texts, given):
    # All up to the first that does not fit; then each alone, in every lane.
    lines = "".join(f"{text};x\n" for text in texts)
    check(lines, {0: given}, 2, Dialect(";"), WORDS)
    for text in texts[:5]:
        check(f"1;x\n{text};x\n" * 8, {0: given}, 2, Dialect(";"))


@settings(deadline=None)
@given(st.lists(st.one_of(floats, formatted), min_size=8, max_size=64), st.sampled_from("fe"))
def test_floats_of_one_length_are_exact_in_every_lane(texts, style):
    values = [float(text) for text in texts]
    for width in range(19):
        texts = [f"{value:.{width}{style}}" for value in values if abs(value) < 1e30]
        check("".join(f"{text}\n" for text in texts if text), {0: FLOAT}, 1, Dialect("\n"))


@pytest.mark.parametrize("digits", [1, 3, 7, 8, 9, 15, 16, 17, 18, 19, 20, 24])
@pytest.mark.parametrize("style", ["plain", "scientific", "comma"])
def test_random_decimals_are_exact(digits, style):
    rng = np.random.default_rng(digits)
    texts = []
    for value in rng.integers(0, 10, (4000, digits)).astype("U1"):
        text = "".join(value)
        point = rng.integers(0, digits + 1)
        text = f"{'-' * rng.integers(0, 2)}{text[:point]}.{text[point:]}"
        if style == "scientific":
            text = f"{text}e{rng.integers(-30, 30):+03d}"
        texts.append(text)
    arrays, *_ = parsed(
        "".join(f"{text}\n" for text in texts).replace(".", "," if style == "comma" else "."),
        {0: FLOAT},
        1,
        Dialect("\n", decimal="," if style == "comma" else "."),
    )
    assert arrays[0].tobytes() == np.array([float(text) for text in texts]).tobytes()


def test_halfway_cases_round_to_even_in_every_lane():
    texts = []
    for value in (2**53 + 1, 2**54 + 2, 9007199254740993, 1152921504606847105):
        texts += [str(value), f"{value}.0", f"{value / 1e6!r}", f"{value}e-05", f"{value}e-22"]
    texts += [
        "0.500000000000000166533453693773481063544750213623046875",
        "1.00000000000000011102230246",
    ]
    for text in texts:
        check(f"{text}\n" * 16, {0: FLOAT}, 1, Dialect("\n"))


FLOAT, INT = ColumnType(np.dtype("f8")), ColumnType(np.dtype("i8"))


def text_of(n):
    return ColumnType(np.dtype(f"S{n}"))


# ---- quotes, lines, delimiters ------------------------------------------------------------------

cells = st.one_of(
    st.text("ab \t1.-é€\0", max_size=9),
    st.text('ab,;"\n #x', max_size=9),
    st.sampled_from(["", "NA", "1", "2.5", "-3", "true", "2024-02-29", '"', '""', "a" * 20]),
)


def quoted(cell):
    return '"' + cell.replace('"', '""') + '"'


@st.composite
def csv_texts(draw):
    fields = draw(st.integers(1, 4))
    delimiter = draw(st.sampled_from([",", ";", "\t", "|"]))
    quotechar = draw(st.sampled_from(['"', "'", None]))
    comment = draw(st.sampled_from([None, "#"]))
    line_end = draw(st.sampled_from(["\n", "\r\n"]))
    lines = []
    for _ in range(draw(st.integers(0, 12))):
        row = []
        for _ in range(fields if draw(st.integers(0, 30)) else draw(st.integers(1, 5))):
            cell = draw(cells)
            style = draw(st.sampled_from(["auto", "auto", "always", "raw"]))
            special = any(c in cell for c in f'{delimiter}"\n\t \0')
            if quotechar and (style == "always" or (style == "auto" and special)):
                cell = quoted(cell).replace('"', quotechar) if quotechar != '"' else quoted(cell)
            elif "\n" in cell:
                cell = cell.replace("\n", "")
            row.append(cell)
        lines.append(delimiter.join(row))
        if not draw(st.integers(0, 10)):
            lines.append(draw(st.sampled_from(["", "  ", '# a "comment', "#"])))
    text = "".join(f"{line}{line_end}" for line in lines)
    return text, fields, Dialect(delimiter, quotechar, comment)


text_types = st.sampled_from([text_of(3), text_of(8), text_of(60), text_of(60), FLOAT, INT])


@pytest.mark.slow
@settings(deadline=None, max_examples=400)
@given(
    csv_texts(),
    st.lists(text_types, min_size=4, max_size=4),
    st.sampled_from([(), WORDS]),
    st.data(),
)
def test_fields_are_those_of_csv(drawn, types, missing, data):
    text, fields, dialect = drawn
    chosen = data.draw(st.sets(st.integers(0, fields - 1), min_size=1))
    check(text, {i: types[i] for i in sorted(chosen)}, fields, dialect, missing)


@settings(deadline=None)
@given(csv_texts(), st.integers(1, 40), st.integers(1, 5))
def test_blocks_and_room_make_no_difference(drawn, block, room):
    text, fields, dialect = drawn
    types = {i: text_of(60) for i in range(fields)}
    whole, _, done, misfit, _ = parsed(text, types, fields, dialect)
    parts, _, done_in_parts, part_misfit, _ = parsed(
        text, types, fields, dialect, rows=room, block=block
    )
    assert [a.tobytes() for a in whole] == [a.tobytes() for a in parts]
    # A block that ends inside of quotes has less of them to go by, and is read again when longer.
    assert (done, misfit) == (done_in_parts, part_misfit)


@settings(deadline=None)
@given(csv_texts(), st.data())
def test_count_tells_the_lines_of_any_part(drawn, data):
    text, _fields, dialect = drawn
    dialect = dialect._replace(comment=None)
    nbytes = text.encode()
    delimiter, quotechar = dialect.delimiter, dialect.quotechar
    cuts = sorted(data.draw(st.lists(st.integers(0, len(nbytes)), max_size=4)))
    for build in BUILDS:
        inside = lines = empty = strays = 0
        for begin, end in zip([0, *cuts], [*cuts, len(nbytes)], strict=True):
            found = build.count(
                b"\n\n" + nbytes, begin + 2, end + 2, delimiter=delimiter, quotechar=quotechar
            )
            part = found[inside]
            first = _first_end(nbytes, begin, end, quotechar)
            if not strays and not part[2]:
                assert part[3] == first
            lines, empty, strays = lines + part[0], empty + part[1], strays + part[2]
            inside ^= found[2]
        if not strays:
            rows = list(records(text, dialect))
            blank = sum(1 for _ in re.finditer(r"(?m)^[ \t]+\r?$", text))
            if not inside:
                assert len(rows) <= lines - empty <= len(rows) + blank


def _first_end(nbytes, begin, end, quotechar):
    """Of the line ends outside of quotes, by counting quotes from the begin of the text."""
    for i in range(begin, end):
        quotes = nbytes.count(quotechar.encode(), 0, i) if quotechar else 0
        if nbytes[i : i + 1] == b"\n" and quotes % 2 == 0:
            return i - begin
    return -1


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ('a,"b\nc",d\n', [["a", "b\nc", "d"]]),
        ('5" pipe,b,"c"\n', [['5" pipe', "b", "c"]]),
        ('"a"x,b"",""""\n', [["ax", 'b""', '"']]),
        ('a, "b,c", d\n', [["a", "b,c", "d"]]),
        ('"a",b,c\r\n\r\n"x\r\ny",,""\r\n', [["a", "b", "c"], ["x\r\ny", "", ""]]),
        ("a,b,\n,,\n", [["a", "b", ""], ["", "", ""]]),
    ],
)
def test_split_gives_the_fields_of_a_sample(text, rows):
    skip = '", "' in text or ', "' in text
    for build in BUILDS:
        found = build.split(text.encode(), delimiter=",", skip_blanks=skip)
        assert [[cell.decode() for cell in row] for row in found] == rows
        assert build.widths(text.encode(), delimiter=",", skip_blanks=skip) == [3] * len(rows)


@settings(deadline=None)
@given(
    st.lists(
        st.lists(st.sampled_from(["a", "1.5", "-2", "é", "x#y"]), min_size=3, max_size=3),
        max_size=30,
    ),
    st.lists(st.sampled_from([" ", "  ", "\t", " \t "]), min_size=3, max_size=3),
    st.sampled_from(["", " ", "\t"]),
    st.sampled_from(["\n", " \n", "\r\n", "\n\n", "\n  \n", "\n# no row\n"]),
)
def test_white_space_separates(rows, gaps, begin, end):
    text = "".join(f"{begin}{gaps[0].join(row[:2])}{gaps[1]}{row[2]}{end}" for row in rows)
    types = dict.fromkeys(range(3), text_of(4))
    dialect = Dialect(None, comment="#")
    arrays, _, done, misfit, _ = parsed(text, types, 3, dialect)
    assert misfit is None
    assert done == len(text.encode())
    assert [list(row) for row in zip(*(a.tolist() for a in arrays), strict=True)] == [
        [cell.encode() for cell in row] for row in rows
    ]


def test_quotes_hold_white_space_together():
    arrays, *_ = parsed('a "b c"  1\n"" "d""e" 2\n', {1: text_of(5), 2: INT}, 3, Dialect(None))
    assert arrays[0].tolist() == [b"b c", b'd"e']
    assert arrays[1].tolist() == [1, 2]


def test_lines_longer_than_a_piece_and_many_pieces():
    long = "x" * 200_000
    text = f"1,{long}\n2,{long}y\n3,z\n"
    arrays, *_ = parsed(text, {0: INT, 1: text_of(200_001)}, 2, Dialect(","), rows=2)
    assert arrays[0].tolist() == [1, 2, 3]
    assert arrays[1].tolist() == [long.encode(), (long + "y").encode(), b"z"]
    text = "".join(f'{i},"s{i % 7}"\n' for i in range(60_000))
    arrays, _, done, misfit, _ = parsed(text, {0: INT, 1: text_of(2)}, 2, Dialect(","), rows=999)
    assert misfit is None
    assert done == len(text)
    assert arrays[0].tolist() == [*range(60_000)]
    assert arrays[1].tolist() == [f"s{i % 7}".encode() for i in range(60_000)]


def test_the_first_misfit_ends_it_and_counts_stop_there():
    text = "".join(f"{i},,{i}\n" for i in range(20_000)) + "7,x,7\n" + "1,,y\n" * 20_000
    arrays, gaps, done, misfit, _ = parsed(
        text, {0: INT, 1: FLOAT, 2: INT}, 3, Dialect(","), {1: MISSING}
    )
    assert len(arrays[0]) == gaps[1] == 20_000
    assert misfit.fit is Fit.NO_NUMBER
    assert misfit.column == 1
    assert text[misfit.start : misfit.stop] == "x"
    assert text[done:].startswith("7,x,7\n")


def test_a_ragged_line_ends_it_after_the_rows_before():
    text = "1,2\n3,4\n5\n6,7\n"
    arrays, _, done, misfit, _ = parsed(text, {0: INT}, 2, Dialect(","))
    assert arrays[0].tolist() == [1, 3]
    assert (misfit.fit, misfit.column) == (Fit.RAGGED, 1)
    assert text[misfit.start : misfit.stop] == "5"
    assert done == 8


# ---- missing words, truth, times ----------------------------------------------------------------


def test_words_that_are_numbers_mean_the_number():
    text = "-9999,1\n-9999.0,2\n5,3\n,4\n" * 5
    arrays, gaps, *_ = parsed(text, {0: FLOAT, 1: INT}, 2, Dialect(","), {0: b"\n-9999"})
    assert np.isnan(arrays[0]).tolist() == [True, True, False, True] * 5
    assert gaps == [15, 0]
    *_, misfit, _ = parsed(text, {0: INT}, 2, Dialect(","), {0: b"-9999"})
    assert misfit.fit is Fit.MISSING


def test_no_words_and_no_gaps():
    *_, misfit, _ = parsed("1\n \n,\n", {0: FLOAT}, 1, Dialect("\n"), None)
    assert misfit.fit is Fit.NO_NUMBER
    *_, misfit, _ = parsed("a,1\nb,\n", {1: FLOAT}, 2, Dialect(","), None)
    assert misfit.fit is Fit.NO_NUMBER
    *_, misfit, _ = parsed("a,1\nb,\n", {1: INT}, 2, Dialect(","), {1: MISSING})
    assert misfit.fit is Fit.MISSING


def test_missing_times_are_nat_and_truth_has_none():
    when = ColumnType(np.dtype("M8[D]"))
    arrays, gaps, *_ = parsed("2024-02-29\n NA \n", {0: when}, 1, Dialect("\n"), MISSING)
    assert arrays[0].tolist() == [np.datetime64("2024-02-29").item(), None]
    assert gaps == [1]
    truth = ColumnType(np.dtype("?"))
    arrays, _, _done, misfit, _ = parsed(
        "TRUE\nfalse\nTrue\nNA\n", {0: truth}, 1, Dialect("\n"), MISSING
    )
    assert arrays[0].tolist() == [True, False, True]
    assert misfit.fit is Fit.MISSING


stamps = st.one_of(
    st.builds(
        lambda t, mark, digits, offset: (
            t.strftime(f"%Y-%m-%d{mark}%H:%M:%S").zfill(19)
            + (f".{t.microsecond:06d}000"[: 1 + digits] if digits else "")
            + offset
        ),
        st.datetimes(),
        st.sampled_from("T t"),
        st.integers(0, 9),
        st.sampled_from(["", "", "Z", "+01:00", "-0330", "+05", "+25:00", "+01:60"]),
    ),
    st.dates().map(str),
    st.sampled_from(
        [
            "2024-02-30",
            "2023-02-29",
            "1900-02-29",
            "2000-02-29",
            "2024-13-01",
            "2024-1-1",
            "20240101",
            "2024-01",
            "now",
            "2024-01-01 24:00",
            "2024-01-01T23:59:60",
            "2024-01-01 1:00",
            "2024-01-01T12:30",
            "2024-01-01T12:30.5",
            "2024-01-01 12:00:00.",
            "2024-01-01T12:30Z",
            "2024-01-01 12:00:5",
            "2024-01-01T12:00:00.1234567890",
            "2024-01-01T12:00:00.1234567891",
            "0000-01-01",
            "2262-04-11T23:47:16.854775807",
            "2024-01-01Z",
            "2262-04-11T23:47:16.854775808",
            "1677-09-21T00:12:43.145224192",
            "2024-01-01T",
            "2024/01/01",
            "2024-01-01 12:00:00 +01:00",
            "\uff11024-01-01",
        ]
    ),
)


@settings(deadline=None, max_examples=300)
@given(
    st.lists(stamps, min_size=1, max_size=20),
    st.sampled_from(["D", "s", "ms", "us", "ns"]),
    st.booleans(),
)
def test_times_are_those_of_numpy(texts, unit, offsets):
    given = ColumnType(np.dtype(f"M8[{unit}]"), offsets=offsets)
    check("".join(f"{text}\n" for text in texts), {0: given}, 1, Dialect("\n"))
    for text in texts[:4]:
        check(f"{text}\n", {0: given}, 1, Dialect("\n"))


# ---- text ---------------------------------------------------------------------------------------


def test_text_is_utf8_and_counted():
    text = "é,a\nb,ü€\nc,d\n"
    arrays, *_, columns = parsed(text, {0: text_of(2), 1: text_of(5)}, 2, Dialect(","))
    assert arrays[1].tolist() == [b"a", "ü€".encode(), b"d"]
    assert columns.not_ascii == {0: 1, 1: 1}
    for bad in (b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xc0\x80", b"\xf5\x80\x80\x80"):
        *_, misfit, _ = parsed(b"a\n" + bad + b"\n", {0: text_of(4)}, 1, Dialect("\n"))
        assert misfit.fit is Fit.NOT_UTF8
    *_, misfit, _ = parsed(b"a\nb\0\n", {0: text_of(4)}, 1, Dialect("\n"))
    assert misfit.fit is Fit.NUL


@pytest.mark.parametrize("lead", range(60, 68))  # around the end of what is looked at in one go
def test_a_return_amid_a_line_separates_no_quotes(lead):
    dialect, types = Dialect("\n"), {0: text_of(99)}
    for line, text in ((b'^\r"O', b'^\r"O'), (b'"a"\rb', b"a\rb"), (b'"a"\r', b"a")):
        lines = b"x" * lead + b"\n" + line + b"\n"
        arrays, *_ = parsed(lines, types, 1, dialect)
        assert arrays[0].tolist() == [b"x" * lead, text]
        arrays, *_ = parsed(b'5"\n' + lines, types, 1, dialect)  # by the rules, one after another
        assert arrays[0].tolist() == [b'5"', b"x" * lead, text]


def test_categories_have_codes_in_the_order_in_which_they_come():
    names = category([])
    types = {0: ColumnType(names), 1: INT, 2: ColumnType(names)}
    text = 'b,1,x\na,2,"y ""z"""\nb,3,x\n' * 100 + "new,oops,x\n"
    arrays, *_, misfit, columns = parsed(text, types, 3, Dialect(","))
    assert arrays[0].tolist() == [0, 1, 0] * 100
    assert columns.tables["names"][0, :3].tolist() == [
        b"b",
        b"a",
        b"",
    ]  # not of the row that is none
    assert columns.tables["names"][1, :2].tolist() == [b"x", b'y "z"']
    assert misfit.column == 1
    many = "".join(f"{i}\n" for i in range(70_000))
    arrays, *_, misfit, _ = parsed(many, {0: ColumnType(names)}, 1, Dialect("\n"))
    assert len(arrays[0]) == 1 << 16
    assert misfit.fit is Fit.TOO_MANY


# ---- inference ----------------------------------------------------------------------------------


def class_of(text):
    """The class of a field, by the references."""
    text = text.strip(" \t\r")
    if not text:
        return Class.EMPTY
    if text in WORDS:
        return Class.MISSING
    if text in WEAK_WORDS:
        return Class.WEAK
    if WHOLE.fullmatch(text):
        if re.match(r"[+-]?0[0-9]", text):
            return Class.ZERO_FIRST
        size = int(text)
        if abs(size) <= EXACT:
            return Class.WHOLE
        if -(2**63) <= size < 2**63:
            return Class.WHOLE_INT64
        return Class.WHOLE_UINT64 if 0 <= size < 2**64 else Class.WHOLE_LARGE
    if number(text) is not None:
        return Class.REAL
    if text.lower() in ("true", "false"):
        return Class.TRUTH
    time = time_of(text)
    if time is None:
        return Class.TEXT
    return Class.DATE if not time[1] else Class((Class.DATE, Class.TIME_NANO)[time[2]] + time[1])


any_text = st.one_of(
    number_texts, stamps, cells, st.sampled_from([*WORDS, *WEAK_WORDS, "TRUE", "False", "é"])
).map(lambda text: text.replace("\n", "").replace(";", "").replace('"', ""))


@pytest.mark.slow
@settings(deadline=None, max_examples=300)
@given(st.lists(any_text, min_size=1, max_size=40))
def test_facts_are_those_of_the_references(texts):
    lines = "".join(f"{text};1\n" for text in texts)
    sampled = on_every_cpu(lambda: facts(lines.encode(), 2, Dialect(";")))
    column = sampled.facts[0]
    assert sampled.rows == len(texts)
    classes = [class_of(text) for text in texts]
    for kind in Class:
        assert column["count"][kind] == classes.count(kind), kind
        if kind in classes:
            first = classes.index(kind)
            assert column["first_row"][kind] == first
            start, stop = column["first_start"][kind], column["first_stop"][kind]
            assert lines.encode()[start:stop].decode() == texts[first]
    assert column["nbytes"] == max(len(text.encode()) for text in texts)
    assert column["not_ascii"] == sum(not text.isascii() for text in texts)


@settings(deadline=None, max_examples=300)
@given(
    st.lists(any_text, min_size=1, max_size=30),
    st.sampled_from([number_texts, stamps, any_text]),
    st.data(),
)
def test_what_is_inferred_fits_its_own_column(texts, kind, data):
    texts = [
        text.replace(";", "").replace("\n", "").replace("\0", "")
        for text in data.draw(st.lists(kind, min_size=1, max_size=20)) + texts[:1]
    ]
    lines = "".join(f"{text};1\n" for text in texts)
    given = type_of(facts(lines.encode(), 2, Dialect(";")).facts[0])
    weak = given.dtype.kind == "f"
    words = MISSING + b"\n" + WEAK if weak else MISSING
    arrays, *_, misfit, _ = parsed(lines, {0: given}, 2, Dialect(";"), {0: words})
    if given.dtype == np.uint64 and misfit is not None:  # negative numbers among them
        assert any(text.strip().startswith("-") for text in texts)
        return
    assert misfit is None
    assert len(arrays[0]) == len(texts)


@pytest.mark.parametrize(
    ("values", "expected_type"),
    [
        (["1", "2"], "<i8"),
        (["1", "2.5"], "<f8"),
        (["1", "NA"], "<f8"),
        (["1", "-"], "<f8"),
        (["a", "-"], "|S1"),
        (["9007199254740993", ""], "|S16"),
        (["9007199254740993", "1"], "<i8"),
        (["18446744073709551615"], "<u8"),
        (["01001", "12345"], "|S5"),
        (["01001", "1.5"], "|S5"),
        (["0", "00.5"], "<f8"),
        (["<0.5", "0.7"], "|S4"),
        (["TRUE", "false"], "|b1"),
        (["TRUE", ""], "|S4"),
        (["2024-03-01", ""], "<M8[D]"),
        (["2024-03-01", "2024-03-01 12:00"], "<M8[s]"),
        (["2024-03-01 12:00:05.250", "2024-03-01"], "<M8[ms]"),
        (["2024-03-01T12:00:05.25Z", "2024-03-01T12:00:05.123456+01:00"], "<M8[us]"),
        (["2024-03-01T12:00:05Z", "2024-03-01T12:00:05"], "|S20"),
        (["2024-03-01", "5"], "|S10"),
        (["2262-01-01 00:00:00.000000001", "2262-01-01"], "<M8[ns]"),
        (["2262-01-01 00:00:00.000000001", "2263-01-01"], "|S29"),
        (["", "NA"], "<f8"),
        (["-", ""], "|S1"),
    ],
)
def test_types_by_their_values_wherever_these_stand(values, expected_type):
    for order in (values, values[::-1]):
        lines = "".join(f"{value};x\n" for value in order * 10)
        assert type_of(facts(lines.encode(), 2, Dialect(";")).facts[0]).dtype.str == expected_type


def test_facts_name_the_word_and_leave_ragged_lines_out():
    sample = b"1,a\n2,b\n3\n<0.5,c\n4,d,e\n\n5,f\n"
    sampled = on_every_cpu(lambda: facts(sample, 2, Dialect(",")))
    assert (sampled.rows, sampled.ragged, sampled.ragged_fields) == (4, 2, 1)
    assert sample[sampled.ragged_start : sampled.ragged_stop] == b"3"
    column = sampled.facts[0]
    assert column["first_row"][Class.TEXT] == 2
    word = slice(column["first_start"][Class.TEXT], column["first_stop"][Class.TEXT])
    assert sample[word] == b"<0.5"
    assert sample.count(b"\n", 0, word.start) + 1 == 4  # the line


def test_facts_tell_which_words_were_seen():
    found = facts(b"1\nNA\nnull\n-\n", 1, Dialect("\n")).facts[0]
    seen = [w for i, w in enumerate(WORDS) if int(found["words"]) >> i & 1]
    assert seen == ["NA", "null"]
    assert int(found["weak_words"]) == 1 << WEAK_WORDS.index("-")


@pytest.mark.parametrize(
    ("sample", "delimiter"),
    [
        (b"a\tb c\n1\t2\n", "\t"),
        (b"a;b\n1,5;2,5\n", ";"),
        (b"a,b\n1 2,2\n", ","),
        (b"a|b|c\n1|2|3\n", "|"),
        (b"a b\n1  2\n", None),
        (b"abc\nd\n", "\n"),
        (b'"a;b","c"\n"d;e;f","g"\n', ","),
    ],
)
def test_the_delimiter_that_splits_lines_alike(sample, delimiter):
    assert best_delimiter(sample, Dialect()) == delimiter


# ---- arguments ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changed",
    [
        {"start": 63},
        {"stop": 80},
        {"stop": 10},
        {"columns": np.zeros((1, 5), np.int64)},
        {"columns": np.array([[ord("f"), 3, 0, 0, 0, 0]])},
        {"columns": np.array([[ord("f"), 8, 2, 0, 0, 0]])},
        {"columns": np.array([[ord("f"), 8, -1, 0, 0, 0]])},
        {"columns": np.array([[ord("M"), 8, 0, 5, 0, 0]])},
        {"columns": np.array([[ord("C"), 2, 0, 0, 0, 0]])},
        {"columns": np.array([[ord("S"), 0, 0, 0, 0, 0]])},
        {"out": []},
        {"missing": []},
        {"tallies": np.zeros(3, np.int64)},
        {"delimiter": "ab"},
        {"delimiter": "é"},
        {"delimiter": "\r"},
        {"quotechar": ","},
        {"comment": "\n"},
        {"decimal": ","},
        {"decimal": "x"},
    ],
)
def test_arguments_that_would_lead_out_of_the_buffers_are_refused(changed):
    given = {
        "data": bytes(64) + b"1,2\n" + bytes(64),
        "start": 64,
        "stop": 68,
        "columns": np.array([[ord("f"), 8, 0, 0, 0, 0]]),
        "out": [np.zeros(8, np.uint8)],
        "missing": [None],
        "tallies": np.zeros((1, 2), np.int64),
        "fields": 2,
        "delimiter": ",",
    }
    for build in BUILDS:
        assert build.parse_columns(**given)[0] == 1
        with pytest.raises(ValueError, match=r"\w"):
            build.parse_columns(**given | changed)


def test_the_parser_leaves_everything_else_alone():
    data = GUARD * 64 + b"1,abc\n2,de\n3,f\n" + GUARD * 64
    for build in BUILDS:
        room = [np.full(3 * 8 + 16, 0xA5, np.uint8), np.full(3 * 5 + 16, 0xA5, np.uint8)]
        packed = np.array([[ord("i"), 8, 0, 0, 0, 0], [ord("S"), 5, 1, 0, 0, 0]])
        outs = [room[0][8:32], room[1][8:23]]
        tallies = np.zeros((2, 2), np.int64)
        found = build.parse_columns(
            data, 64, 79, packed, outs, [None, None], tallies, 2, delimiter=","
        )
        assert found == (3, 15, 0, 0, 64, 64)
        for block, width in zip(room, (8, 5), strict=True):
            assert (block[:8] == 0xA5).all()
            assert (block[8 + 3 * width :] == 0xA5).all()


def test_inf_and_nan_are_numbers():
    arrays, *_ = parsed("inf\n-Infinity\nnan\n1e400\n-1e-400\n", {0: FLOAT}, 1, Dialect("\n"))
    assert arrays[0][:2].tolist() == [math.inf, -math.inf]
    assert np.isnan(arrays[0][2])
    assert arrays[0][3:].tolist() == [math.inf, -0.0]
