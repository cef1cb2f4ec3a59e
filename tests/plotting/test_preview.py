"""Previews: what the Axes hold, against the arrays."""

import numpy as np
import pytest
from axes import ticks
from matplotlib import dates

from shmkit import preview, share


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
@pytest.mark.slow
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


def test_long_texts_that_begin_alike_are_told_apart():
    ax = preview(np.array([f"a long remark of the observer, number {n}" for n in (1, 1, 2)]))
    assert [label.get_text() for label in ax.get_yticklabels()] == [
        "a long…umber 1",
        "a long…umber 2",
    ]
