"""A text file that is read in parts gives what np.loadtxt gives, wherever it is cut."""

import itertools
import os
from dataclasses import replace

import numpy as np
import pytest
from bgzip import bgzip
from hypothesis import given
from hypothesis import strategies as st
from processes import loaders_of, stat
from reading import MemoryWriter, open_reader, probe

from shmkit import LoaderDiedError, LoadError, shared_load
from shmkit._monitor import NoMonitor
from shmkit.loading.file import LoadingFile, files_to_read_whole, split_spans, to_count
from shmkit.loading.files.inputs import Input
from shmkit.loading.load import load
from shmkit.readers.base import Plan
from shmkit.readers.choose import Format
from shmkit.readers.compression import content_nbytes, decompressed
from shmkit.readers.text.lines import line_start, loadtxt

DTYPE = np.dtype([("name", "S6"), ("pos", "i4"), ("x", "f8")])

rows = st.tuples(
    st.sampled_from(["chr1", "chrX", "a", "scaff"]), st.integers(-9, 10**6), st.floats(width=32)
).map(lambda row: "\t".join(map(str, row)))
lines = st.one_of(rows, st.sampled_from(["", "# a comment", "#"]), rows)
texts = st.tuples(
    st.lists(lines, max_size=30),
    st.sampled_from(["\n", "\r\n"]),
    st.booleans(),
).map(lambda drawn: drawn[1].join(drawn[0]) + drawn[1] * drawn[2])
cuts = st.lists(st.floats(0, 1), max_size=6)
block_nbytes = st.lists(st.integers(1, 40), min_size=1, max_size=5)


def in_parts(path, positions, **options):
    """The rows of the file, cut at these fractions of it."""
    options = {"dtype": DTYPE, "delimiter": "\t", **options}
    plan = probe(path, **options)
    with decompressed(str(path)) as data:
        first, last = (
            line_start(data, options.get("skiprows", 0), "utf-8-sig"),
            content_nbytes(data),
        )
    plan = replace(plan, span=(first, last))
    edges = [first, *(first + int((last - first) * f) for f in sorted(positions)), last]
    writer, rows = MemoryWriter(), 0
    file = LoadingFile("calls", str(path), path.stat().st_size, plan=plan)
    with open_reader(path, **options) as reader:
        file.set_parts([reader.count(plan, a, b) for a, b in itertools.pairwise(edges)])
        starts, stops = [p.start for p in file.parts], [p.stop for p in file.parts]
        assert [*starts, last] == [starts[0], *stops]
        for part in file.parts:
            piece = reader.read(plan, part, writer)
            assert piece.rows <= part.rows
            rows += piece.rows
    writer.resize((rows,))
    return writer.array


@pytest.fixture
def path(tmp_path):
    return tmp_path / "calls.txt"


@given(content=texts, positions=cuts, bom=st.booleans(), nbytes=st.none() | block_nbytes)
def test_any_cut_gives_the_same_rows(path, content, positions, bom, nbytes):
    data = b"\xef\xbb\xbf" * bom + content.encode()
    path.write_bytes(bgzip(data, nbytes) if data and nbytes else data)
    expected = loadtxt(content.splitlines(), dtype=DTYPE, delimiter="\t", ndmin=1)
    assert in_parts(path, positions).tobytes() == expected.tobytes()


@given(
    content=texts.filter(len),
    positions=cuts,
    skip=st.integers(0, 4),
    nbytes=st.none() | block_nbytes,
)
def test_any_cut_behind_skipped_lines_gives_the_same_rows(path, content, positions, skip, nbytes):
    path.write_bytes(bgzip(content.encode(), nbytes) if nbytes else content.encode())
    given = {"delimiter": "\t", "skiprows": skip}
    expected = loadtxt(content.splitlines(), dtype=DTYPE, ndmin=1, **given)
    assert in_parts(path, positions, skiprows=skip).tobytes() == expected.tobytes()


@given(
    before=st.lists(lines, max_size=12),
    after=st.lists(lines, max_size=12),
    positions=cuts,
    nbytes=st.none() | block_nbytes,
)
def test_any_cut_names_the_same_line(path, before, after, positions, nbytes):
    data = "\n".join([*before, "chr1\tten\t2.5", *after]).encode()
    path.write_bytes(bgzip(data, nbytes) if nbytes else data)
    with pytest.raises(LoadError) as caught:
        in_parts(path, positions)
    assert (caught.value.line, caught.value.column) == (len(before) + 1, 2)
    assert "'ten' is not an int32" in caught.value.reason


ROWS = 600_000


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A file that is read in parts, as lines: comments, blank lines and odd numbers among them."""
    lines = [f"chr{n % 22}\t{n}\t{n / 8}" for n in range(ROWS)]
    for n in range(0, ROWS, 50_000):
        lines[n] = "# from here on"
        lines[n + 1] = ""
        lines[n + 2] = f"chrX\t {n}\t{n}_000.5".replace("_", "")
        lines[n + 3] = "   # not at the begin of the line" if n == 0 else lines[n + 3]
    path = tmp_path_factory.mktemp("large") / "large.txt"
    path.write_text("\n".join(lines))
    assert path.stat().st_size < 1 << 24  # not yet: the names below make it so
    path.write_text("\n".join(line.replace("chr", "chromosome") for line in lines))
    assert path.stat().st_size > 1 << 24
    return path


@pytest.fixture(scope="module")
def blocks(large):
    """The same in blocks of bgzip."""
    path = large.with_suffix(".txt.gz")
    path.write_bytes(bgzip(large.read_bytes()))
    assert probe(str(path), dtype=LARGE).span == (0, large.stat().st_size)
    return path


LARGE = np.dtype([("name", "S12"), ("pos", "i4"), ("x", "f8")])


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2, 3])
@pytest.mark.parametrize(
    "options",
    [
        {"dtype": LARGE},
        {"dtype": float, "usecols": (1, 2)},
    ],
)
def test_any_number_of_processes_gives_the_same_array(large, blocks, processes, options):
    with shared_load([large, blocks], processes=processes, progress=False, **options) as arrays:
        source = arrays[0].segment.source["options"]
        expected = np.loadtxt(large, **source)
        for array in arrays:
            assert array.segment.source["options"] == source
            assert array.dtype == expected.dtype
            assert array.tobytes() == expected.tobytes()


def test_a_bad_token_in_the_last_line_is_named_with_its_line(large, tmp_path):
    path = tmp_path / "bad.txt"
    path.write_bytes(large.read_bytes() + b"\nchr1\tten\t2\n")
    with pytest.raises(LoadError) as caught:
        shared_load(path, dtype=LARGE, progress=False)
    assert (caught.value.path, caught.value.line, caught.value.column) == (str(path), ROWS + 1, 2)


@pytest.mark.parametrize("share", [0.01, 0.5, 0.99])
def test_a_damaged_block_is_named_with_its_byte_and_about_its_line(blocks, tmp_path, share):
    data = bytearray(blocks.read_bytes())
    at = int(share * len(data))
    data[at] ^= 0x55
    begin = data.rfind(bgzip(b"")[:14], 0, at)
    path = tmp_path / "bad.txt"
    path.write_bytes(data)
    with pytest.raises(LoadError, match=f"in the block at byte {begin:,} ") as caught:
        shared_load(path, dtype=LARGE, processes=2, progress=False)
    assert abs(caught.value.line - share * ROWS) < ROWS / 100


class OpenEnd(Plan):
    """One whose rows lie behind one another."""

    open_end = True


@pytest.mark.parametrize("processes", [1, 2, 3, 4])
@pytest.mark.parametrize("nbytes", [1 << 20, 100 << 20, 3 << 30])
@pytest.mark.parametrize("kind", [Plan, OpenEnd])
def test_the_parts_of_a_large_file_keep_all_loaders_busy(processes, nbytes, kind):
    plan = kind(np.dtype(float), (0,), span=(99, nbytes))
    file = LoadingFile("large", "/large", nbytes, plan=plan)
    parts = split_spans([file], processes)[file]
    assert [parts[0][0], parts[-1][1]] == [99, nbytes]
    assert all(one[1] == two[0] for one, two in itertools.pairwise(parts))
    lengths = [stop - start for start, stop in parts]
    if nbytes == 1 << 20:
        assert len(parts) == 1
        return
    busy = [0] * processes
    for length in sorted(lengths, reverse=True):
        busy[busy.index(min(busy))] += length
    assert max(busy) < 1.1 * nbytes / processes
    counted = sum(stop - start for start, stop in to_count(plan, parts))
    uncounted = lengths[-1] if kind is OpenEnd and len(parts) > 1 else 0
    assert counted == pytest.approx(nbytes - uncounted, rel=0.01)
    if processes > 1:
        assert lengths[-1] == pytest.approx(nbytes / processes, rel=0.6)


def test_skipping_the_whole_file_leaves_no_rows(large):
    for skip in (ROWS, 10**9):
        with shared_load(large, dtype=LARGE, skiprows=skip, progress=False) as (array,):
            assert array.shape == (0,)


@pytest.mark.slow
@pytest.mark.parametrize("backing", ["shm", "memfd", "directory"])
def test_a_limit_of_the_size_of_files_is_named(large, tmp_path, run_script, backing):
    backing = str(tmp_path) if backing == "directory" else backing
    done = run_script(
        "import resource, shmkit\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))\n"
        "try:\n"
        f"    shmkit.shared_load({str(large)!r}, backing={backing!r})\n"
        "except shmkit.NotEnoughMemoryError as error:\n"
        "    print(error)\n"
    )
    assert "RLIMIT_FSIZE, ulimit -f) has 1.05 MB free" in done.stdout
    assert done.stderr == ""


def test_of_several_bad_lines_the_first_is_named(large, tmp_path):
    lines = large.read_bytes().split(b"\n")
    lines[200_011] = lines[-1] = b"chr1\tten\t2"
    path = tmp_path / "bad.txt"
    path.write_bytes(b"\n".join(lines))
    for _ in range(3):
        with pytest.raises(LoadError) as caught:
            shared_load(path, dtype=LARGE, processes=2, progress=False)
        assert caught.value.line == 200_012


def test_failed_parts_of_one_file_leave_the_other_files_alone(large, tmp_path):
    lines = large.read_bytes().split(b"\n")
    lines[100] = lines[-1] = b"chr1\tten\t2"
    (tmp_path / "bad.txt").write_bytes(b"\n".join(lines))
    files = [tmp_path / "bad.txt", large]
    with shared_load(files, dtype=LARGE, on_error="skip", progress=False) as arrays:
        assert arrays.keys() == ["large"]
        assert arrays.failures["bad"].line == 101
        assert arrays["large"].tobytes() == np.loadtxt(large, LARGE).tobytes()


def test_a_loader_that_dies_in_a_part_fails_the_file(large):
    def die(text):
        if text == "400000":
            _exit(7)
        return float(text)

    from os import _exit

    with pytest.raises(LoaderDiedError, match=r"large\.txt.*code 7"):
        shared_load(large, dtype=float, usecols=1, converters=die, progress=False)
    with shared_load(large, dtype=LARGE, progress=False) as (array,):
        assert array["pos"][-1] == ROWS - 1


@pytest.mark.parametrize(
    ("lengths", "processes", "whole"),
    [
        ([10, 10], 2, [0, 1]),
        ([10, 9], 2, [0, 1]),
        ([10, 7], 2, []),  # the second loader would wait for the first
        ([10], 2, []),
        ([10, 10, 10], 2, [0, 1]),  # the third is for both
        ([2, 10, 5, 2, 2], 2, [0, 1, 2, 3]),
        ([10, 9, 1, 5], 2, [0, 1]),
        ([10, 10, 10, 10], 2, [0, 1, 2, 3]),
        ([3, 10, 1], 1, [0, 1, 2]),
        ([10, (10, 3)], 2, []),  # compressed
        ([(10, 3), (10, 4)], 2, [0, 1]),
    ],
)
def test_files_are_read_whole_where_no_loader_waits(lengths, processes, whole):
    pairs = [length if isinstance(length, tuple) else (length, length) for length in lengths]
    files = [
        LoadingFile(str(n), f"{n}.txt", packed, plan=Plan(LARGE, (1,), span=(0, content)))
        for n, (content, packed) in enumerate(pairs)
    ]
    assert files_to_read_whole(files, processes) == {files[n] for n in whole}


def test_a_file_for_each_loader_is_read_whole_and_one_more_by_all(large, tmp_path):
    files = [large] + [tmp_path / f"{n}.txt" for n in (1, 2)]
    for number, path in enumerate(files[1:], 1):
        path.write_bytes(large.read_bytes() + b"# nothing\n" * number + b"last\t-1\t0.5")
    board, monitor = [], NoMonitor()
    monitor.end = board.append
    with load(
        {
            path.stem: Input(str(path), str(path), path.stat().st_size, Format.TEXT)
            for path in files
        },
        reader=None,
        options={"dtype": LARGE},
        processes=2,
        backing="auto",
        skip_failed=False,
        monitor=monitor,
    ) as arrays:
        reads = board[0].timeline().reads
        counts = np.bincount(reads["file"])
        assert counts[0] > 1
        assert counts[1:].tolist() == [1, 1]
        rows = len(arrays[0])
        assert [len(array) for array in arrays] == [rows, rows + 1, rows + 1]
        for array in arrays:
            assert array[:rows].tobytes() == arrays[0].tobytes()
        assert len(set(reads["pid"][reads["file"] > 0])) == 2


@pytest.mark.parametrize("count", [1, 2])
def test_a_guess_of_the_rows_refuses_no_load(tmp_path, count):
    """The begin of each file tells of a million rows, each of which takes 1,600 bytes."""
    row = b"7 " * 199 + b"7\n"
    files = [tmp_path / f"{n}.txt" for n in range(count)]
    for path in files:
        path.write_bytes(b"\n" * (1 << 20) + row * ((1 << 24) // len(row)))
    with shared_load(files, dtype="i8", processes=count, progress=False) as arrays:
        for array in arrays:
            assert array.shape == ((1 << 24) // len(row), 200)
            assert (array == 7).all()


def test_one_file_is_read_by_all_loaders(large):
    shared_load(large, dtype=LARGE, processes=2, progress=False).close()
    before = _times()
    for _ in range(6):
        shared_load(large, dtype=LARGE, processes=2, progress=False).close()
    worked = [pid for pid, spent in _times().items() if spent > before.get(pid, spent)]
    assert len(worked) >= 2


def _times():
    """CPU time of each loader, in ticks: in user mode and in the kernel."""
    times = {}
    for loader in loaders_of(os.getpid()):
        times[loader] = sum(map(int, stat(loader)[11:13]))
    return times


def test_a_file_that_is_cut_short_after_it_was_counted_is_an_error(path):
    path.write_text("a\t1\t2\n" * 1000)
    plan = replace(probe(str(path), dtype=DTYPE), span=(0, path.stat().st_size))
    with open_reader(path, dtype=DTYPE) as reader:
        part = reader.count(plan, 0, path.stat().st_size)
    path.write_text("a\t1\t2\n" * 900)
    with (
        open_reader(path, dtype=DTYPE) as reader,
        pytest.raises(LoadError, match="changed while loading"),
    ):
        reader.read(plan, part, MemoryWriter())
    path.write_text("a\t1\t2\n" * 1000)
    with (
        open_reader(path, dtype=DTYPE) as reader,
        pytest.raises(LoadError, match="changed while loading"),
    ):
        reader.read(plan, part._replace(rows=10), MemoryWriter())
