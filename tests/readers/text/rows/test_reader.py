"""Text files are read as np.loadtxt reads them, and what does not fit is named."""

import gzip
import os
import time
import warnings
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reading import CALL, MANY, many, probe, read, read_planned, refused

from shmkit.errors import LoadError


def loadtxt(path, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # no data; blank lines under max_rows
        return np.loadtxt(path, **options)


def same(path, **options):
    """Read it, compare with np.loadtxt of the plan's options, and give the array."""
    array, plan, target = read(path, **options)
    expected = loadtxt(path, **plan.options)
    assert array.dtype == expected.dtype == plan.dtype
    assert array.shape == expected.shape
    assert array.tobytes() == expected.tobytes()
    assert target.declared == plan.shape
    rows = [rows for _, rows in target.advances]
    assert rows == sorted(rows)
    given_only = loadtxt(path, **{"encoding": "utf-8", **options})
    if array.dtype.kind not in "SU" or np.dtype(options["dtype"]).itemsize == 0:
        assert array.tobytes() == given_only.tobytes()
        assert array.shape == given_only.shape
    return array


# The same as np.loadtxt


def test_many_blocks_give_one_array_and_progress(file):
    path = file(many())
    assert same(path, dtype=CALL)["pos"].tolist() == list(range(MANY))
    _, _, target = read(path, dtype=CALL)
    assert len(target.advances) >= 4
    assert target.advances[-1] == (os.path.getsize(path), MANY)


@pytest.mark.parametrize("ndmin", [0, 1, 2])
@pytest.mark.parametrize("content", ["", "\n# nothing\n", "1\n", "1 2\n", "1\n2\n", "1 2\n3 4\n"])
@pytest.mark.parametrize("dtype", [float, ">i2", str, "S", "U9"])
def test_shapes_are_squeezed_as_loadtxt_does(file, content, ndmin, dtype):
    same(file(content), ndmin=ndmin, dtype=dtype)


@pytest.mark.parametrize("ndmin", [0, 1, 2])
@pytest.mark.parametrize("content", ["", "1 2\n", "1 2\n3 4\n"])
def test_shapes_of_structured_arrays(file, content, ndmin):
    same(file(content), ndmin=ndmin, dtype="i4,f8")


@pytest.mark.parametrize("usecols", [0, (1,), (1, 0), (-1,), [0, 0]])
@pytest.mark.parametrize("content", ["", "1 2\n", "1 2\n3 4\n"])
@pytest.mark.parametrize("dtype", [float, str])
def test_usecols(file, content, usecols, dtype):
    same(file(content), usecols=usecols, dtype=dtype)


def test_usecols_reads_lines_of_unlike_width(file):
    path = file("a 1 2\nb 3\nc 4 5 6\n")
    assert same(path, usecols=(1,), dtype=int).tolist() == [1, 3, 4]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("last", [True, False])
def test_line_ends(file, end, last):
    content = end.join(["a 1", "", "b 2", "# note", "c 3 # note", " ", "d 4"]) + (
        end if last else ""
    )
    array = same(file(content), dtype="U1,i4")
    assert array["f1"].tolist() == [1, 2, 3, 4]
    _, plan, _ = read(file(content), dtype="U1,i4")
    assert plan.shape == (7,)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends_across_the_pieces_that_are_counted(file, end):
    lines = 3 * (1 << 20) // (7 + len(end))
    path = file(f"{1234567}{end}" * lines)
    assert probe(path, dtype=int).shape == (lines, 1)
    assert same(path, dtype=int).shape == (lines,)


@pytest.mark.parametrize("skiprows", [0, 1, 3, 99])
@pytest.mark.parametrize("max_rows", [None, 0, 1, 2, 99])
def test_skiprows_and_max_rows(file, skiprows, max_rows):
    path = file("# top\n1 2\n\n3 4\n5 6\n")
    same(path, dtype=float, skiprows=skiprows, max_rows=max_rows)


def test_a_large_file_is_not_counted_for_its_first_rows(file):
    # From so many bytes on it may be read in parts.
    path = file("1\n2\n#" + " long" * ((1 << 24) // 5) + "\n3\n")
    array, plan, _ = read(path, dtype="i4", max_rows=5)
    assert plan.shape[0] == 5  # and not the 4 lines that there are
    assert array.tolist() == [1, 2, 3]


def test_max_rows_across_blocks(file):
    assert len(same(file(many()), dtype=CALL, max_rows=20_001)) == 20_001


@pytest.mark.parametrize("comments", [None, "%", ["%", "//"], b"%", []])
def test_comments(file, comments):
    mark = "%" if comments else ""
    path = file(f"{mark and mark + ' top'}\n1 2\n3 4 {mark and mark + 'end'}\n")
    same(path, dtype=int, comments=comments)


@pytest.mark.parametrize("converters", [{1: lambda s: float(s or -1)}, {-1: len}])
def test_converters_for_columns(file, converters):
    path = file("a,1.5\nb,\n")
    same(path, dtype="U1,f8", delimiter=",", converters=converters)


def test_one_converter_for_all(file):
    path = file("1%,2%\n3%,4%\n")
    array = same(path, converters=lambda s: float(s.rstrip("%")), dtype=float, delimiter=",")
    assert array.tolist() == [[1, 2], [3, 4]]


def test_quoted_fields_hold_delimiters_quotes_and_line_ends(file):
    rows = "".join(f'"line {i}\nof ""{i}""; one",{i}\r\n' for i in range(MANY))
    array = same(file(rows), dtype="U40,i4", delimiter=",", quotechar='"')
    assert array["f0"][-1] == f'line {MANY - 1}\nof "{MANY - 1}"; one'


def test_nested_fields(file):
    nested = np.dtype([("id", "U4"), ("at", [("x", "f4"), ("tags", "S3", (2, 2))])], align=True)
    content = "".join(f"n{i % 7} {i} a b c {i % 100}\n" for i in range(100))
    expected = loadtxt([*content.splitlines()], dtype=nested)
    array, plan, _ = read(file(content), dtype=nested)
    assert plan.dtype == nested
    for name in ("id", "at"):
        assert np.array_equal(array[name], expected[name])
    narrow = np.dtype([("id", "U4"), ("x", "f4"), ("tags", "S2", (2, 2))])
    assert refused(file("n1 1 a b c d\nn2 1 a b ccc d\n"), dtype=narrow).column == 5


def test_dates_and_booleans(file):
    same(file("2020-01-01 1\n2021-01-01 0\n"), dtype="M8[D],?")


@pytest.mark.parametrize("dtype", [str, "S"])
def test_text_of_no_given_width_is_as_wide_as_the_widest(file, dtype):
    path = file(many({MANY: "chr1\tfarlongerthanall\t0"}))
    assert same(path, dtype=dtype).shape == (MANY, 3)


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16", "utf-16-be", "utf-8", "cp1252"])
def test_encodings(file, encoding):
    path = file("é 1\nü 2\n".encode(encoding))
    assert same(path, encoding=encoding, dtype="U1,i4")["f0"].tolist() == ["é", "ü"]


def test_byte_order_mark_is_no_text(file):
    array, plan, _ = read(file("\ufeff1 2\n3 4\n".encode()), dtype="i4,i4")
    assert plan.options["encoding"] == "utf-8-sig"
    assert array[0].tolist() == (1, 2)


def test_wide_rows_are_read_in_smaller_blocks(file):
    row = " ".join(map(str, range(50_000)))
    _, _, target = read(file(f"{row}\n" * 60), dtype=float)
    assert len(target.advances) > 2
    assert target.array.shape == (60, 50_000)
    assert (target.array == np.arange(50_000)).all()


cells = {
    "number": st.one_of(st.floats(width=32).map(str), st.integers(-(2**40), 2**40).map(str)),
    "whole": st.integers(-(2**70), 2**70).map(str),
    "small": st.integers(-9, 9).map(str),
    "word": st.text("abcéXYZ_.", min_size=1, max_size=9),
    "any": st.text('ab1 .-+e#"é', max_size=5),
}


@st.composite
def tables(draw):
    kinds = draw(st.lists(st.sampled_from(sorted(cells)), min_size=1, max_size=5))
    rows = draw(st.lists(st.tuples(*(cells[kind] for kind in kinds)), max_size=8))
    if draw(st.booleans()):
        rows.insert(0, tuple(f"name{i}" for i in range(len(kinds))))
    delimiter = draw(st.sampled_from(["\t", ";", ",", " "]))
    end = draw(st.sampled_from(["\n", "\r\n", "\r"]))
    lines = [delimiter.join(row) for row in rows]
    for extra in draw(st.lists(st.sampled_from(["", "# note", " "]), max_size=3)):
        lines.insert(draw(st.integers(0, len(lines))), extra)
    options = draw(
        st.fixed_dictionaries(
            {},
            optional={
                "delimiter": st.just(None if delimiter == " " else delimiter),
                "usecols": st.lists(
                    st.integers(-len(kinds), len(kinds) - 1), min_size=1, max_size=3
                ),
                "max_rows": st.integers(1, 9),
                "skiprows": st.integers(0, 3),
                "ndmin": st.integers(0, 2),
                "comments": st.sampled_from([None, "#", ["#", "note"]]),
                "quotechar": st.sampled_from([None, '"']),
                "dtype": st.sampled_from([float, str, "U30", "i8"]),
            },
        )
    )
    options.setdefault("dtype", float)
    if not isinstance(options.get("comments", "#"), str | None):
        options.pop("quotechar", None)  # np.loadtxt has not both
    return end.join(lines) + draw(st.sampled_from(["", end])), options


@given(tables())
def test_drawn_tables_are_read_as_loadtxt_reads_them(file, drawn):
    content, options = drawn
    path = file(content)
    refusal = None
    try:
        plan = probe(path, **options)
        array, _, _ = read(path, **options)
    except LoadError as error:
        refusal = error
    if refusal is not None:
        # Then np.loadtxt refuses it too, or would have cut a text or guessed nothing.
        if np.dtype(options["dtype"]).kind != "U":
            with pytest.raises(ValueError, match=r"."):
                loadtxt(path, **{"encoding": "utf-8", **options})
        assert refusal.line is not None
        return
    expected = loadtxt(path, **plan.options)
    assert (array.dtype, array.shape) == (expected.dtype, expected.shape)
    assert array.tobytes() == expected.tobytes()


def test_encoding_bytes_is_refused(file):
    with pytest.raises(ValueError, match="name the encoding"):
        probe(file("1 2\n"), dtype=float, encoding="bytes")


# Wide files


@pytest.mark.slow
def test_time_grows_with_the_columns_not_with_their_square(file):
    def seconds(columns):
        names, row = "\t".join(["n"] * columns), "\t".join(map(str, range(columns)))
        path = file(f"{names}\n{row}\n{row}x\n")
        begin = time.process_time()
        assert refused(path, dtype=int, skiprows=1).column == columns
        assert refused(path, dtype=",".join(["i8"] * columns), skiprows=1).column == columns
        return time.process_time() - begin

    seconds(10)
    # 4 times the columns; their square would be 16. The least of three: the garbage collector may
    # run in the one and not in the other.
    few, many = (min(seconds(columns) for _ in range(3)) for columns in (8000, 32_000))
    assert many < 10 * few


def test_undecodable_text_names_the_line_and_encoding(file):
    data = many().encode()
    at = data.index(b"\n", 600_000) + 1
    path = file(data[:at] + b"\xe9t\xe9\t1\t2\n" + data[at:])
    error = refused(path, dtype=CALL)
    assert error.line == data[:at].count(b"\n") + 1
    assert "byte 0xe9 is not utf-8" in error.reason
    assert "encoding=" in error.reason
    error = refused(file("a 1\n".encode("utf-16")), dtype="U1,i4")
    assert error.line == 1
    assert 'encoding=, for example "utf-16"' in error.reason


@pytest.mark.parametrize("dtype", [object, "M8", "i4,M8"])
def test_types_without_a_fixed_meaning_are_refused(file, dtype):
    with pytest.raises(TypeError, match="Python objects, and times without a unit"):
        probe(file("1 2\n"), dtype=dtype)


@pytest.mark.parametrize(
    "options",
    [{"delimiter": ",,"}, {"comments": ""}, {"ndmin": 3}, {"skiprows": -1}, {"quotechar": "ab"}],
)
def test_options_that_loadtxt_refuses_with_any_file_are_its_errors(file, options):
    with pytest.raises((TypeError, ValueError)):
        probe(file("1 2\n"), dtype=float, **options)


def test_file_that_grew_after_the_probe_is_loaded_as_it_is_now(file):
    path = file("1 2\n")
    plan = probe(path, dtype=float)
    file("1 2\n3 4\n")
    assert read_planned(path, plan, dtype=float).tolist() == [[1, 2], [3, 4]]


def test_rows_of_a_compressed_file_are_estimated_and_the_array_grows(file):
    # Digits that do not compress, then many lines that take next to nothing.
    digits = np.random.default_rng(1).integers(10**17, 10**18, 300_000)
    rows = [*digits.tolist(), *[7] * 1_000_000]
    path = file(gzip.compress("\n".join(map(str, rows)).encode(), 1), "digits.txt.gz")
    array, plan, _ = read(path, dtype="i8")
    assert plan.shape[0] < len(rows) / 2
    assert array.tolist() == rows


def test_missing_file_and_directory_pass_as_they_are(tmp_path):
    with pytest.raises(FileNotFoundError):
        probe(str(tmp_path / "none.txt"))
    with pytest.raises(IsADirectoryError):
        probe(str(tmp_path))


def test_no_warning_escapes(file):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        read(file(""), dtype=float)
        read(file("1\n\n2\n"), dtype=float, max_rows=2)
        read(file("# x\n"), dtype=float)
    assert caught == []


def test_files_are_closed_after_an_error(file):
    path = file("1 x\n")
    with suppress(LoadError):
        read(path, dtype=float)
    opened = [os.path.realpath(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")]
    assert path not in opened


def test_undecodable_line_is_named_behind_one_with_a_replacement_character(file):
    error = refused(file("a 1\n\ufffd 2\n".encode() + b"c 3\nd\xff 4\n"), dtype="U1,i4")
    assert error.line == 4


@pytest.mark.parametrize("change", [lambda text: text[:-8], lambda text: text + b"1 2\n"])
def test_a_large_file_that_changes_after_the_probe_is_refused(file, change):
    content = b"1 2\n" * (1 << 22)
    path = file(content)
    plan = probe(path, dtype=float)
    assert plan.span == (0, len(content))
    file(change(content))
    with pytest.raises(LoadError, match="changed while loading"):
        read_planned(path, plan, dtype=float)
