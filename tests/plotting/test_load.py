"""Pictures of loads: what the Axes hold, against the records and the limits."""

import os
import pickle

import numpy as np
import pytest
from axes import texts, ticks
from boards import board_of
from kinds import message_of
from matplotlib import pyplot as plt

from shmkit import SharedArrays, share, shared_load
from shmkit.plotting.load import timeline


def bars(ax):
    """(row, start, stop, whether it is filled) of each bar of a timeline."""
    return [
        (round(box.y0 + 0.4), round(box.x0, 7), round(box.x1, 7), bool(bars.get_facecolor().size))
        for bars in ax.collections[:-1]
        for box in (path.get_extents() for path in bars.get_paths())
    ]


def test_a_timeline_shows_who_read_what_when(board):
    ax = timeline(board.timeline(), None)
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
    ax = timeline(board.timeline(), None)
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
    ax = timeline(many.timeline(), None)
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
