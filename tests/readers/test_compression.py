"""Compressed text is read as the text itself is, and damage to it is an error that says where."""

import bz2
import gzip
import io
import itertools
import lzma
import os
import re
import struct

import numpy as np
import pytest
import reading
from backports import zstd
from bgzip import bgzip
from hypothesis import given
from hypothesis import strategies as st
from reading import probe, read

from shmkit import LoadError, shared_load
from shmkit.readers.compression import content_nbytes, decompressed


def zstandard(data):
    return zstd.compress(data, options={zstd.CompressionParameter.checksum_flag: 1})  # as zstd does


def xz(data):
    return lzma.compress(data, preset=0)


def lzma_alone(data):
    return lzma.compress(data, lzma.FORMAT_ALONE, preset=0)


COMPRESS = {
    ".gz": gzip.compress,
    ".bgz": bgzip,
    ".bz2": bz2.compress,
    ".xz": xz,
    ".lzma": lzma_alone,
    ".zst": zstandard,
}
CHECKED = [ending for ending in COMPRESS if ending != ".lzma"]  # which has no checksum
CALL = np.dtype([("chr", "S5"), ("pos", "i4"), ("pct", "f4")])
ROWS = 70_000  # too many to be sampled whole
TEXT = "chr\tpos\tpct\n" + "".join(
    f"chr{pos % 22}\t{pos}\t{pct / 10}\n"
    for pos, pct in enumerate(np.random.default_rng(1).integers(0, 1000, ROWS).tolist())
)
SMALL = "1\t2\n3\t4\n"


@pytest.fixture(params=COMPRESS)
def ending(request):
    return request.param


@pytest.fixture
def file(tmp_path):
    def write(data, name):
        path = tmp_path / name
        path.write_bytes(data)
        return str(path)

    return write


def refused(path, **options):
    with pytest.raises(LoadError) as caught:
        read(path, **options)
    assert caught.value.path == path
    return caught.value


def number(pattern, error):
    """The number in the reason, and that the rest of it is as it should be."""
    found = re.fullmatch(pattern.replace("NUMBER", "([0-9,]+)"), error.reason)
    assert found, error.reason
    return int(found[1].replace(",", ""))


# What is in the file


@pytest.mark.parametrize(
    "options",
    [
        {"dtype": CALL, "skiprows": 1, "delimiter": "\t"},
        {"dtype": float, "skiprows": 60_001, "usecols": (2, 1), "max_rows": 100},
    ],
)
def test_compressed_text_is_read_as_the_text_itself(file, ending, options):
    content = TEXT.encode()
    array, plan, _ = read(file(COMPRESS[ending](content), "calls.txt" + ending), **options)
    assert plan.options == probe(file(content, "plain.txt"), **options).options
    expected = np.loadtxt(io.StringIO(TEXT), **{**plan.options, "encoding": None})
    assert (array.dtype, array.shape) == (expected.dtype, expected.shape)
    assert array.tobytes() == expected.tobytes()


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [{}, {"encoding": "utf-16-le", "skiprows": 1}, {"encoding": "latin-1", "comments": "chr1\t"}],
)
def test_compressed_tables_are_read_as_the_tables_themselves(file, ending, options):
    content = TEXT.encode(options.get("encoding", "utf-8"))
    files = file(COMPRESS[ending](content), "calls.txt" + ending), file(content, "plain.txt")
    with shared_load(files, progress=False, **options) as (table, plain):
        assert len(plain) > 10_000
        assert table.dtypes == plain.dtypes
        assert table.to_records().tobytes() == plain.to_records().tobytes()


@pytest.mark.parametrize("name", ["calls", "calls.txt", "calls.gz", "calls.xz"])
def test_the_first_bytes_decide_and_not_the_name(file, ending, name):
    path = file(COMPRESS[ending](SMALL.encode()), name)
    with shared_load(path, progress=False) as arrays:
        assert arrays["calls"].tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize("fill", [b"", bytes(512)])
def test_one_member_follows_another(file, ending, fill):
    members = [f"{n}\t{n}\n".encode() * (n % 3) for n in range(100)]
    data = b"".join(map(COMPRESS[ending], members)) + fill
    array, *_ = read(file(data, "calls.txt" + ending), dtype=int)
    assert array.tolist() == [[n, n] for n in range(100) for _ in range(n % 3)]


def test_headers_that_are_cut_by_a_piece_of_the_file_are_whole(file):
    # The header of the second member, with all it may have, lies across byte 65536 of the file.
    filled = gzip.compress(b"")[:3] + b"\x04" + bytes(6) + struct.pack("<H", 60_000) + bytes(60_000)
    filled += gzip.compress(b"1\n")[10:]
    fields = b"\x05\0extra" + b"a name\0" + b"a comment\0"
    second = b"\x1f\x8b\x08\x1c" + bytes(6) + fields + gzip.compress(b"2\n")[10:]
    for nbytes in range(len(second)):
        comment = b"x" * ((1 << 16) - nbytes - len(filled) - 21 - 2)
        first = b"\x1f\x8b\x08\x10" + bytes(6) + comment + b"\0" + gzip.compress(b"")[10:]
        path = file(filled + first + second, "calls.txt.gz")
        array, *_ = read(path, dtype=int)
        assert array.tolist() == [1, 2]


def test_frames_of_zstd_that_hold_no_data_are_passed_over(file):
    frame = struct.pack("<II", 0x184D2A5E, 5) + b"notes"
    path = file(frame + zstandard(b"1\n") + frame + zstandard(b"2\n") + frame, "calls")
    assert read(path, dtype=int)[0].tolist() == [1, 2]


@given(
    content=st.binary(min_size=1, max_size=300),
    nbytes=st.lists(st.integers(0, 40), min_size=1, max_size=5).filter(any),
    places=st.lists(st.tuples(st.integers(0, 320), st.integers(1, 99)), max_size=5),
)
def test_a_seek_leads_to_any_place(file, ending, content, nbytes, places):
    path = file(bgzip(content, nbytes) if ending == ".bgz" else COMPRESS[ending](content), "calls")
    with decompressed(path) as data:
        assert content_nbytes(data) in ({len(content)} if ending == ".bgz" else {None})
        raw = data.raw  # without a buffer that holds all of it
        for place, count in places:
            assert raw.seek(place) == min(place, len(content))
            assert content[place:].startswith(raw.read(count))
            assert raw.tell() <= len(content)


@pytest.mark.slow
def test_memory_is_bounded(file, run_script):
    content = (b"7 " + b"0" * 1021 + b"\n") * 60_000
    paths = [file(compress(content), "many" + form) for form, compress in COMPRESS.items()]
    done = run_script(
        "import resource, sys\n"
        f"sys.path.insert(0, {os.path.dirname(reading.__file__)!r})\n"
        "from reading import read\n"
        "from shmkit.readers.text.rows import reader\n"
        "nbytes = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (nbytes + (48 << 20),) * 2)\n"
        f"for path in {paths!r}:\n"
        "    print(read(path, usecols=0, dtype=float)[0].sum())\n"
    )
    assert done.stdout == "420000.0\n" * len(COMPRESS)


# What is damaged


def test_a_name_that_says_compressed_of_plain_text_is_an_error(file, ending):
    for content in (SMALL, ""):
        error = refused(file(content.encode(), "calls.txt" + ending.upper()), dtype=int)
        assert error.reason.startswith("its name says that it is compressed, its first bytes do")


def test_what_is_cut_short_anywhere_is_an_error(file, ending):
    member = COMPRESS[ending](SMALL.encode())
    for nbytes in {*range(2 * len(member))} - {len(member)}:
        error = refused(file((member * 2)[:nbytes], "calls" + ending), dtype=int)
        said = rf"cut short: the file ends at byte {nbytes}\b|first bytes do not|is no \w+ data;"
        assert re.search(said, error.reason)
        assert (error.line or 1) <= 5


def test_bgzip_without_its_last_block_is_cut_short(file):
    data = bgzip(SMALL.encode(), (4,)).removesuffix(bgzip(b""))
    path = file(data, "calls.gz")
    with decompressed(path) as opened:
        assert content_nbytes(opened) is None  # it is not read in parts, which would not see it
    error = refused(path, dtype=int)
    assert f"ends at byte {len(data)}, without the empty block that bgzip writes" in error.reason
    assert error.line == 3


@pytest.mark.parametrize("half", [0.3, 0.9])
def test_what_is_cut_short_names_the_line_and_the_byte(file, ending, half):
    data = COMPRESS[ending](TEXT.encode())
    data = data[: int(half * len(data))]
    for options in ({}, {"dtype": CALL, "skiprows": 1}):
        error = refused(file(data, "calls.txt" + ending), **options)
        end = r", in the block at [0-9,]+" if ending == ".bgz" else ""
        pattern = rf"its \w+ data are cut short: the file ends at byte NUMBER{end}; copy it again"
        assert number(pattern, error) == len(data)
        assert half - 0.5 < error.line / ROWS <= half + 0.05


@pytest.mark.parametrize("ending", CHECKED, indirect=True)
def test_a_byte_that_changed_is_an_error_or_does_not_matter(file, ending):
    data = COMPRESS[ending](SMALL.encode())
    refusals = 0
    for at, bit in itertools.product(range(len(data)), (0, 5)):
        changed = bytearray(data)
        changed[at] ^= 1 << bit
        try:
            array, *_ = read(file(changed, "calls.txt" + ending), dtype=int)
        except LoadError:
            refusals += 1
        else:
            assert array.tolist() == [[1, 2], [3, 4]]
    assert refusals > len(data)


@pytest.mark.parametrize("ending", CHECKED, indirect=True)
def test_damage_in_the_middle_names_the_line_and_the_byte(file, ending):
    data = bytearray(COMPRESS[ending](TEXT.encode()))
    at = len(data) // 2
    data[at] ^= 0x55
    error = refused(file(data, "calls.txt" + ending), dtype=CALL, skiprows=1)
    where = "in the block at byte" if ending == ".bgz" else "near byte"
    found = number(rf"its \w+ data are damaged {where} NUMBER \(.+\); copy it again", error)
    if ending == ".bgz":
        starts = [begin.start() for begin in re.finditer(re.escape(bgzip(b"")[:12]), data)]
        assert found == max(start for start in starts if start <= at)
    assert found >= at - (1 << 16)
    assert error.line <= TEXT.count("\n") + 1


def test_damage_that_first_shows_as_a_misfit_is_named_as_damage(file):
    data = gzip.compress("".join(f"{n}\n" for n in range(10**6)).encode(), 0)  # as it stands
    at = data.index(b"\n1234\n")
    data = data[:at] + b"\n12x4\n" + data[at + 6 :]
    error = refused(file(data, "calls.gz"), dtype=int)
    assert "gzip data are damaged" in error.reason
    assert error.line == 1235


def test_garbage_behind_the_end_is_an_error(file, ending):
    data = COMPRESS[ending](SMALL.encode())
    for garbage in (b"\n", b"PK" * 10):
        error = refused(file(data + garbage, "calls.txt" + ending), dtype=int)
        assert number(r"what begins at byte NUMBER is no \w+ data; .*", error) == len(data)
        assert error.line == 3
