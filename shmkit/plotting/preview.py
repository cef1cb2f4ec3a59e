"""What is in an array: histograms and counts of a table, an image of a grid."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np
from matplotlib import dates
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import EngFormatter, MaxNLocator
from numpy.typing import ArrayLike, NDArray

from shmkit._categories import names_of
from shmkit._format import count_text, counted, cut_text, shape_text
from shmkit.plotting.style import SMALL, color_ticks, on_any_background, quiet

__all__ = ["preview"]

_MAX_ROWS = 100_000  # are drawn; of more rows, a sample is
_MAX_PIXELS = 1000  # of an image, on a side
_MAX_FIELDS = 24
_BINS = 50
_MAX_WORDS = 8
_MAX_LETTERS = 16
_MAX_NUMBER = 1e300  # matplotlib takes differences, which are to be finite too
_DAYS = -719_162, 2_932_896  # from 1970; matplotlib draws the years 1 to 9999


@runtime_checkable
class _ByColumns(Protocol):
    """A table by columns: shmkit's, or a data frame of pandas."""

    def __len__(self) -> int: ...
    def __getitem__(self, rows: slice, /) -> Self: ...
    def to_records(self) -> NDArray[Any]: ...


@on_any_background
def preview(array: ArrayLike | _ByColumns) -> Axes | NDArray[Any]:
    """Draw what is in an array: histograms and counts of a table, an image of a grid.

    Of a large array an evenly spaced sample is read; then the title says so.

    Parameters
    ----------
    array : array_like
        - A table (a structured array): for each of its first 24 fields a histogram of numbers or
          times, or the most frequent texts.
        - An array of one dimension: the same of its values.
        - An array of numbers of two dimensions: an image, whose colours leave out the hundredth of
          the values at either end; of more dimensions: the image in the middle of the first ones.

        Of complex numbers it is the magnitude.

    Returns
    -------
    matplotlib Axes
        In a new figure; of a table a 1-D array of Axes, one a field.

    Raises
    ------
    ValueError
        If the array has no dimensions, or no fields.

    Examples
    --------
    >>> preview(np.arange(12).reshape(3, 4)).get_title(loc="left")
    '3 \N{MULTIPLICATION SIGN} 4'
    """
    if isinstance(array, _ByColumns):
        rows = array[:: math.ceil(len(array) / _MAX_ROWS) or 1].to_records()
        return _draw_fields(rows, len(array))
    data = array if isinstance(array, np.ma.MaskedArray) else np.asarray(array)
    if data.ndim == 0 or data.dtype.names == ():
        raise ValueError(f"nothing to draw in {data!r}: it has no dimensions, or no fields")
    if data.dtype.names is not None:
        return _draw_fields(_sample(data), data.size)
    _, ax = plt.subplots(layout="constrained")
    if data.ndim > 1 and data.dtype.kind in "biufc":
        title = _draw_image(ax, data)
    else:
        sample = _sample(data)
        _draw_values(ax, sample)
        title = _of(len(sample), data.size, "value", "values")
    ax.set_title(title, loc="left", size="medium")
    return ax


def _draw_fields(sample: NDArray[Any], size: int) -> NDArray[Any]:
    """A small picture of each field of some of so many rows."""
    names = list(sample.dtype.names or ())
    shown = names[:_MAX_FIELDS]
    columns = min(len(shown), 3)
    rows = math.ceil(len(shown) / columns)
    inches = 3.2 * columns, 0.4 + 2 * rows
    figure, axes = plt.subplots(rows, columns, squeeze=False, figsize=inches, layout="constrained")
    for ax in axes.flat[len(shown) :]:
        ax.remove()
    for ax, field in zip(axes.flat, shown, strict=False):
        _draw_values(ax, sample[field].ravel()[:_MAX_ROWS])  # a field may hold an array a row
        ax.set_title(field, loc="left", size="medium", parse_math=False)
    title = _of(len(sample), size, "row", "rows")
    if len(shown) < len(names):
        title += f", {_of(len(shown), len(names), 'field', 'fields')}"
    figure.suptitle(title, x=0.01, ha="left", size="medium")
    drawn: NDArray[Any] = axes.flatten()[: len(shown)]
    return drawn


def _draw_values(ax: Axes, values: NDArray[Any]) -> None:
    """A histogram, or counts of the most frequent values."""
    kind = values.dtype.kind
    names = names_of(values.dtype)
    if names is not None and values.max(initial=0) < len(names):
        values, kind = names[values], "U"
    if kind not in "iufcmM":
        _draw_counts(ax, values)
        return
    numbers = _numbers(values)
    _draw_histogram(ax, numbers.compressed(), whole=kind in "iu")
    if kind == "M":
        locator = dates.AutoDateLocator(maxticks=5)
        ax.xaxis.set_major_locator(locator)
        ax.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator))
        ax.xaxis.get_offset_text().set_fontsize(SMALL)
    notes = []
    if kind == "m":
        unit, count = np.datetime_data(values.dtype)
        notes.append(unit if count == 1 else f"{count} {unit}")
    missing = int(np.count_nonzero(_is_missing(values)))
    if missing:
        notes.append(f"{_percent(missing, values.size)} missing")
    if without := values.size - numbers.count() - missing:
        notes.append(f"{count_text(without)} not drawn")
    ax.set_xlabel(", ".join(notes), size=SMALL)


def _draw_histogram(ax: Axes, numbers: NDArray[Any], *, whole: bool) -> None:
    if not len(numbers):
        _say_empty(ax)
        return
    low, high = float(numbers.min()), float(numbers.max())
    if low == high:
        pad = max(0.5, abs(low) / 1e6)
        edges = np.array([low - pad, low + pad])
    elif whole:  # as many whole numbers in each bin, or it would look like a comb
        width = float(math.ceil((high - low + 1) / _BINS))
        edges = low - 0.5 + width * np.arange(math.ceil((high - low + 1) / width) + 1)
    else:
        edges = np.linspace(low, high, _BINS + 1)
    counts, _ = np.histogram(numbers, edges)
    ax.stairs(counts, edges, fill=True, color="C0")
    _scale(ax.yaxis)
    if whole:
        _scale(ax.xaxis)
    else:
        ax.locator_params(axis="x", nbins=4)
    ax.tick_params(labelsize=SMALL)
    quiet(ax, "left", "bottom")


def _draw_counts(ax: Axes, values: NDArray[Any]) -> None:
    counts = Counter(map(_word, values.tolist()))
    if not counts:
        _say_empty(ax)
        return
    most = counts.most_common(_MAX_WORDS)
    bars = ax.barh(range(len(most)), [count for _, count in most], 0.8, color="C0")
    shares = [_percent(count, values.size) for _, count in most]
    ax.bar_label(bars, shares, size=SMALL, padding=2)
    ax.margins(x=0.15)
    labels = _told_apart([word for word, _ in most])
    ax.set_yticks(range(len(most)), labels=labels, parse_math=False)
    ax.invert_yaxis()
    if len(counts) > len(most):
        ax.set_xlabel(f"the most frequent of {count_text(len(counts))}", size=SMALL)
    _scale(ax.xaxis)
    ax.tick_params(labelsize=SMALL)
    quiet(ax, "bottom")


def _told_apart(words: Sequence[str]) -> list[str]:
    """The words, cut at their end; in their middle if else two of them would look the same.

    >>> _told_apart(["a remark on day 1", "a remark on day 2"])
    ['a remar…n day 1', 'a remar…n day 2']
    """
    cut = [cut_text(word, _MAX_LETTERS) for word in words]
    half = (_MAX_LETTERS - 1) // 2
    return [
        f"{word[:half].rstrip()}…{word[-half:]}" if cut.count(text) > 1 else text
        for word, text in zip(words, cut, strict=True)
    ]


def _word(value: object) -> str:
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    if not text.isprintable():
        text = repr(text)[1:-1]
    return text or "(empty)"


def _draw_image(ax: Axes, array: NDArray[Any]) -> str:
    """The image in the middle; returns what it is an image of."""
    title = shape_text(array.shape)
    if array.size == 0:
        _say_empty(ax)
        return title
    middle = tuple(length // 2 for length in array.shape[:-2])
    if middle:
        title += f", [{', '.join(map(str, middle))}, :, :]"
    rows, columns = array.shape[-2:]
    by_row, by_column = (math.ceil(length / _MAX_PIXELS) for length in (rows, columns))
    numbers = _numbers(array[middle][::by_row, ::by_column])
    if by_row > 1:
        title += f", {_of(len(numbers), rows, 'row', 'rows')}"
    if by_column > 1:
        title += f", {_of(numbers.shape[1], columns, 'column', 'columns')}"
    finite = numbers.compressed()
    if not len(finite):
        _say_empty(ax)
        return title
    least, most = finite.min(), finite.max()
    low, high = np.percentile(finite, [1, 99])
    if low == high:
        low, high = least, most
    image = ax.imshow(
        numbers,
        vmin=low,
        vmax=high,
        extent=(-0.5, columns - 0.5, rows - 0.5, -0.5),
        aspect="equal" if 1 / 4 < rows / columns < 4 else "auto",
        interpolation="nearest",
    )
    ax.locator_params(integer=True)
    beyond = ("neither", "min", "max", "both")[(least < low) + 2 * (most > high)]
    beside = ax.inset_axes((1.03, 0, 0.03, 1))  # as high as the image
    ax.figure.colorbar(image, beside, extend=beyond)
    color_ticks(ax)
    color_ticks(beside)
    return title


def _numbers(values: NDArray[Any]) -> np.ma.MaskedArray[Any, Any]:
    """As float64; masked are those that have no place on a scale."""
    data, (low, high) = np.ma.getdata(values), (-_MAX_NUMBER, _MAX_NUMBER)
    with np.errstate(all="ignore"):  # what becomes infinite is masked
        if data.dtype.kind == "M":
            numbers, (low, high) = dates.date2num(data), _DAYS
        elif data.dtype.kind == "m":
            numbers = np.where(np.isnat(data), np.nan, data.astype(float))
        else:
            numbers = (np.abs(data) if data.dtype.kind == "c" else data).astype(float)
        left_out = ~((low < numbers) & (numbers < high))
    return np.ma.array(numbers, mask=np.ma.getmaskarray(values) | left_out)


def _is_missing(values: NDArray[Any]) -> NDArray[np.bool_]:
    data, masked = np.ma.getdata(values), np.ma.getmaskarray(values)
    if data.dtype.kind not in "fcmM":
        return masked
    missing: NDArray[np.bool_] = masked | np.isnan(data)
    return missing


def _percent(count: int, size: int) -> str:
    percent = 100 * count / size
    return f"{percent:.0f} %" if percent >= 1 else "under 1 %"


def _sample(array: NDArray[Any]) -> NDArray[Any]:
    """At most `_MAX_ROWS` elements, evenly spaced, in one dimension."""
    step = math.ceil(array.size / _MAX_ROWS) or 1
    sample: NDArray[Any] = array[::step] if array.ndim == 1 else array.flat[::step]
    return sample


def _of(shown: int, count: int, one: str, many: str) -> str:
    """How many are shown of how many there are."""
    whole = counted(count, one, many)
    return f"{count_text(shown)} of {whole}" if shown < count else whole


def _say_empty(ax: Axes) -> None:
    ax.text(0.5, 0.5, "no values", transform=ax.transAxes, ha="center", va="center", size=SMALL)
    ax.set(xticks=[], yticks=[])
    quiet(ax)


def _scale(axis: Axis) -> None:
    """A few whole numbers: 0, 50k, 100k."""
    axis.set_major_locator(MaxNLocator(4, integer=True, steps=[1, 2, 5, 10], min_n_ticks=1))
    axis.set_major_formatter(EngFormatter(sep=""))
