"""Pictures: what the Axes hold, against the records, the limits and the arrays."""

import os
import pickle

import numpy as np
import pytest
from boards import board_of
from kinds import message_of
from matplotlib import dates
from matplotlib import pyplot as plt

from shmkit import SharedArrays, plotting, preview, share, shared_load
from shmkit.loading.record import RECORD, State


@pytest.fixture(autouse=True)
def drawn():
    """Without a screen; every picture is drawn, with no warning, and closed."""
    plt.switch_backend("Agg")
    settings = dict(plt.rcParams)
    yield
    try:
        for number in plt.get_fignums():
            plt.figure(number).canvas.draw()
    finally:
        plt.close("all")
    assert dict(plt.rcParams) == settings


def bars(ax):
    """(row, start, stop, whether it is filled) of each bar of a timeline."""
    return [
        (round(box.y0 + 0.4), round(box.x0, 7), round(box.x1, 7), bool(bars.get_facecolor().size))
        for bars in ax.collections[:-1]
        for box in (path.get_extents() for path in bars.get_paths())
    ]


def ticks(axis):
    return [label.get_text() for label in axis.get_ticklabels()]


def texts(ax):
    return [text.get_text() for text in ax.texts]


def record(pid, started, ended, rows=0, state=State.READY):
    return state, pid, 0, 0, rows, started, ended


@pytest.fixture
def board():
    """Of four files: read whole, failed, read in parts by two loaders, failed before reading."""
    records = np.array(
        [
            record(11, 100.25, 100.5, 3),
            record(12, 100.25, 100.375, 0, State.FAILED),
            record(11, 100.5, 101, 8),
            record(0, 0, 100.1, 0, State.FAILED),
        ],
        RECORD,
    )
    names = ["whole", "bad", "$^$", "odd"]  # no formula
    board = board_of(names, records)
    board.started, board.ended = 100.0, 101.0
    board.files[1].error, board.files[3].error = ValueError("bad"), ValueError("odd")
    parts = [record(11, 100.5, 101, 6), record(12, 100.375, 100.75, 2)]
    board.files[2].part_records = np.array(parts, RECORD)
    with share(np.zeros(3)) as whole, share(np.zeros(8)) as parts:
        board.files[0].segment, board.files[2].segment = whole.segment, parts.segment
        yield board


def test_a_timeline_shows_who_read_what_when(board):
    ax = plotting.timeline(board.timeline(), None)
    assert bars(ax) == [
        (0, 0.25, 0.5, True),
        (0, 0.5, 1.0, True),
        (1, 0.375, 0.75, True),
        (1, 0.25, 0.375, False),
    ]
    assert ticks(ax.yaxis) == ["loader 11", "loader 12", "arrays, 344 B"]
    assert texts(ax) == ["whole", "$^$", "bad", "$^$", "looking into the files"]
    assert ax.get_title(loc="left") == "4 files (2 failed) in 1.0 s by 2 loader processes"
    assert (ax.get_xlabel(), ax.get_xlim()) == ("seconds", (0, 1))


def test_below_a_timeline_is_how_many_bytes_were_ready(board):
    ax = plotting.timeline(board.timeline(), None)
    whole, parts = board.files[0].segment.nbytes, board.files[2].segment.nbytes
    bottom, _ = ax.get_ylim()
    x, y = ax.collections[-1].get_paths()[0].vertices.T
    ready = (bottom - y) / (bottom - y.min()) * (whole + parts)
    for time, expected in [
        (0.4, 0),
        (0.6, whole),
        (0.8, whole + parts / 4),
        (1.0, whole + parts),
    ]:
        assert max(ready[x <= time]) == pytest.approx(expected), time


def test_a_timeline_of_many_files_has_few_artists(board):
    records = np.resize(board.records[:1], 5000)
    records["pid"] += np.arange(5000) % 100
    records["started"] = 100 + np.arange(5000) / 5000
    records["ended"] = records["started"] + 1 / 5000
    names = [str(number) for number in range(5000)]
    many = board_of(names, records, 100)
    many.started, many.ended = 100.0, 101.0
    ax = plotting.timeline(many.timeline(), None)
    assert len(bars(ax)) == 5000
    assert len(ax.collections) == 101
    assert texts(ax) == []
    assert len(ticks(ax.yaxis)) < 40


def test_a_load_keeps_what_its_loaders_wrote(tmp_path):
    (tmp_path / "large.txt").write_bytes(b"1\t2.5\n" * 3_000_000)
    (tmp_path / "late.txt").write_bytes(b"1\t2.5\n" * 200_000 + b"1\t2\t3\n")
    np.save(tmp_path / "grid.npy", np.zeros((3, 4)))
    files = [tmp_path / name for name in ("large.txt", "late.txt", "grid.npy")]
    with shared_load(files, processes=2, progress=False, on_error="skip") as arrays:
        before = bars(arrays.plot_timeline())
    _, axes = plt.subplots(2)
    ax = arrays.plot_timeline(axes[0])  # closed, and into given axes
    assert ax is axes[0]
    assert bars(ax) == before
    rows, starts, stops, filled = map(np.array, zip(*before, strict=True))
    assert len(before) > 3
    assert set(rows) == {0, 1}
    assert list(filled).count(False) == 1
    assert (starts > 0).all()
    assert (starts < stops).all()
    assert (stops <= ax.get_xlim()[1]).all()
    assert ax.get_title(loc="left").startswith("3 files (1 failed) in ")


def test_only_the_loading_process_has_a_timeline(two_arrays):
    copy = pickle.loads(message_of(two_arrays))
    with pytest.raises(ValueError, match="in the process that loaded them"):
        copy.plot_timeline()
    assert copy.plot_memory().get_title(loc="left") == "2 arrays: 304 B"


def widths(ax):
    """Percent that these arrays, others, and nobody take; a row for each limit."""
    return [[bar.get_width() for bar in row] for row in ax.containers]


def test_memory_is_drawn_of_each_limit(backing):
    with share(np.zeros(1 << 20), backing=backing) as array:
        nbytes = array.segment.nbytes
        ax = SharedArrays({"a": array}).plot_memory()
        rows = dict(zip(ticks(ax.yaxis), widths(ax), strict=True))
        where = {"shm": "/dev/shm", "memfd": "memory"}.get(backing, str(backing))
        status = os.statvfs(where if where != "memory" else "/")
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = machine if where == "memory" else status.f_blocks * status.f_frsize
    assert where in rows
    assert "memory" in rows
    assert rows[where][0] == pytest.approx(100 * nbytes / limit)
    if where not in ("/dev/shm", "memory"):
        assert rows["memory"][0] == 0, "the page cache is free memory"
    assert texts(ax)[0].startswith("8.39 MB these arrays · ")
    assert ax.get_title(loc="left") == "1 array: 8.39 MB"


def test_memory_after_closing_is_what_views_map(two_arrays):
    view = two_arrays[1]
    two_arrays.close()
    (ours, *_), *_ = widths(ax := two_arrays.plot_memory())
    assert ours > 0
    assert ax.get_title(loc="left") == "2 arrays: 152 B still mapped"
    del view
    _, ax = plt.subplots()
    assert two_arrays.plot_memory(ax) is ax
    assert [row[0] for row in widths(ax)] == [0] * len(ticks(ax.yaxis))
    assert ax.get_title(loc="left") == "2 arrays: freed"


def histogram(ax):
    (steps,) = ax.patches
    data = steps.get_data()
    return data.values, data.edges


def test_a_table_has_a_picture_for_each_field():
    rng = np.random.default_rng(7)
    kinds = [("chr", "S4"), ("pos", "i8"), ("pct", "f4"), ("day", "M8[h]"), ("$^$", "U9")]
    table = np.zeros(1000, kinds)
    table["chr"][:600], table["chr"][600:] = b"chr1", b"$^$"
    table["pos"] = rng.integers(0, 10**9, 1000)
    table["pct"] = rng.random(1000)
    table["day"] = np.datetime64("2024-02-28T00") + np.arange(1000)
    table["$^$"] = [f"note\n{number}" for number in range(1000)]
    table["pct"][:5], table["day"][:7] = [np.nan, np.inf, -np.inf, np.nan, np.nan], "NaT"
    axes = preview(table)
    assert [ax.get_title(loc="left") for ax in axes] == list(table.dtype.names)
    assert axes[0].figure.get_suptitle() == "1\u202f000 rows"
    assert ticks(axes[0].yaxis) == ["chr1", "$^$"]
    assert [bar.get_width() for bar in axes[0].patches] == [600, 400]
    counts, edges = histogram(axes[1])
    assert counts.tolist() == np.histogram(table["pos"], edges)[0].tolist()
    assert counts.sum() == 1000
    assert histogram(axes[2])[0].sum() == 995
    assert axes[2].get_xlabel() == "under 1 % missing, 2 not drawn"
    assert dates.num2date(histogram(axes[3])[1][0]).isoformat() == "2024-02-28T07:00:00+00:00"
    assert ticks(axes[4].yaxis)[0] == r"note\n0"
    assert axes[4].get_xlabel() == "the most frequent of 1\u202f000"


def test_whole_numbers_fall_into_bins_of_as_many():
    counts, edges = histogram(preview(np.arange(125)))
    assert counts.tolist() == [3] * 41 + [2]
    assert edges[:2].tolist() == [-0.5, 2.5]
    assert histogram(preview(np.array([2, 4, 4])))[0].tolist() == [1, 0, 2]


def test_a_grid_is_an_image_whose_colours_leave_out_what_is_far_off():
    grid = np.arange(1200.0).reshape(30, 40)
    grid[0, :3] = np.nan, np.inf, 1e9
    ax = preview(grid)
    (image,) = ax.images
    shown = image.get_array()
    assert shown.mask.sum() == 2
    assert np.array_equal(shown.compressed(), grid[np.isfinite(grid)])
    assert image.get_clim() == tuple(np.percentile(grid[np.isfinite(grid)], [1, 99]))
    assert image.get_extent() == [-0.5, 39.5, 29.5, -0.5]
    assert image.colorbar.extend == "both"


def test_of_more_dimensions_the_middle_is_drawn():
    stack = np.arange(5 * 4 * 3 * 2).reshape(5, 4, 3, 2)
    ax = preview(stack)
    assert np.array_equal(ax.images[0].get_array(), stack[2, 2])
    assert ax.get_title(loc="left").endswith(", [2, 2, :, :]")


# Arrays of a single element, as long as no memory is: only a sample of them can be read.
@pytest.mark.parametrize(
    ("shape", "dtype", "title"),
    [
        (10**11, "f8", "100\u202f000 of 100\u202f000\u202f000\u202f000 values"),
        (10**11, "S3", "100\u202f000 of 100\u202f000\u202f000\u202f000 values"),
        ((10**6, 10**5), "S3", "100\u202f000 of 100\u202f000\u202f000\u202f000 values"),
        ((10**6, 5), "f8", ", 1\u202f000 of 1\u202f000\u202f000 rows"),
        ((3, 10**4, 10**6), "u1", ", 1\u202f000 of 1\u202f000\u202f000 columns"),
        (10**11, "i4,S3", "100\u202f000 of 100\u202f000\u202f000\u202f000 rows"),
        (3, [(f"x{n}", "u1") for n in range(99)], "3 rows, 24 of 99 fields"),
        (3, [("x", "f4", (1000, 1000))], "3 rows"),
    ],
)
def test_only_a_sample_of_a_large_array_is_read(shape, dtype, title):
    axes = preview(np.broadcast_to(np.zeros((), dtype), shape))
    if isinstance(axes, np.ndarray):
        assert axes[0].figure.get_suptitle() == title
    else:
        assert axes.get_title(loc="left").endswith(title)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros(0),
        np.zeros((0, 3)),
        np.zeros((3, 0, 2)),
        np.zeros(0, "f4,S2"),
        np.full(9, np.nan),
        np.full((3, 4), np.nan),
        np.array([np.inf, -np.inf, 1]),
        np.array([1e308, -1e308, 1e299, -1e299]),
        np.full((2, 2), 7),
        np.full(5, 1e20),
        np.array([1.0, np.nextafter(1, 2)]),
        np.array([-(2**63), 2**63 - 1]),
        np.array([0, 2**64 - 1], "u8"),
        np.array([True, False, True]),
        np.ones((3, 3), bool),
        np.array([[3 + 4j, np.nan]]),
        np.array([1e4000], "longdouble") if np.finfo("longdouble").max > 1e308 else np.zeros(1),
        np.ones((3, 3), "f2"),
        np.array(["NaT", "2024-02-29"], "M8[ns]"),
        np.array([10**9, 5], "M8[D]"),
        np.array(["0001-01-01", "9999-12-31"], "M8[D]"),
        np.array(["NaT"], "M8[us]"),
        np.array([[1, 2]], "m8[25s]"),
        np.array(["NaT", 3], "m8[M]"),
        np.array([b"\xff\x00\xe9", b"", b"a" * 90]),
        np.array([{1: 2}, None, "x"], object),
        np.array([((1, 2.0),)], [("nested", "i4,f4")]),
        np.array([b"ab"], "V2"),
        np.array(["a", "b"], np.dtypes.StringDType()),
        np.ma.masked_equal([[1, 2], [2, 3]], 2),
        np.ma.masked_equal([1, 2], 2),
        [[1, 2], [3, 4]],
    ],
)
def test_any_array_is_drawn_without_a_warning(array):
    preview(array)


def test_the_style_of_the_user_is_kept(board, two_arrays):
    with plt.style.context("dark_background"):
        for ax in (plotting.timeline(board.timeline(), None), two_arrays.plot_memory()):
            assert ax.figure.get_facecolor() == (0, 0, 0, 1)
            on_bars = [text for text in ax.texts if text.get_path_effects()]  # black, with a halo
            assert {text.get_color() for text in ax.texts if text not in on_bars} <= {"white"}
            assert {text.get_color() for text in on_bars} <= {"black"}
            assert ax.texts


@pytest.mark.parametrize("array", [3.5, np.zeros((), "f4,i4"), np.zeros(3, [])])
def test_without_dimensions_or_fields_there_is_nothing_to_draw(array):
    with pytest.raises(ValueError, match="no dimensions, or no fields"):
        preview(array)


def test_a_table_by_columns_is_drawn_as_records_are():
    with share({"x": np.arange(250_000.0), "s": ["a", "b"] * 125_000}) as table:
        axes = preview(table)
        assert [ax.get_title(loc="left") for ax in axes] == ["x", "s"]
        assert [label.get_text() for label in axes[1].get_yticklabels()] == ["a", "b"]
        title = axes[0].figure.get_suptitle()
        assert title == "83\u202f334 of 250\u202f000 rows"
        assert preview(table["s"]).get_title(loc="left").endswith("of 250\u202f000 values")
        assert len(preview(table.head())) == 2


def test_a_figure_of_its_own_suits_any_background_and_a_given_one_stays(two_arrays):
    axes = [two_arrays.plot_timeline(), two_arrays.plot_memory(), preview(np.zeros((3, 4)))]
    for ax in axes:
        assert ax.figure.get_facecolor()[3] == ax.get_facecolor()[3] == 0  # transparent
        inks = [label.get_color() for label in (*ax.get_xticklabels(), *ax.get_yticklabels())]
        assert set(inks) <= {"#767676"}
    named = [text.get_text() for text in axes[0].get_legend().get_texts()]
    assert named == ["file, or a part of one", "arrays that are ready"]
    named = [text.get_text() for text in axes[1].get_legend().get_texts()]
    assert named == ["these arrays", "others", "free"]
    with plt.style.context("dark_background"):
        assert two_arrays.plot_memory().get_facecolor() == (0, 0, 0, 1)
    _, ax = plt.subplots()
    two_arrays.plot_memory(ax)
    assert ax.get_facecolor() == (1, 1, 1, 1)
    assert plt.rcParams["text.color"] == "black"
