"""Pictures with matplotlib: how a load went, what memory it takes, what is in an array.

    timeline                                        memory
    loader 4711 ▐ sample1 ▌▐ sample3  ▌▐ s5 ▌       /dev/shm ▐█▒▒▒▒░░░░░░░░░░░▌ ours, others, free
    loader 4712 ▐  sample2   ▌▐ sample4   ▌         memory   ▐█▒▒▒▒▒▒▒▒░░░░░░░▌
    arrays                 ▂▂▂▃▃▃▃▅▅▅▅▅▆▆▆██
                0         1         2  seconds

A figure of shmkit's own is transparent, and its text of a grey that is legible on light and on
dark: a notebook keeps a picture when its theme changes. Who has chosen a style, or gives an Axes,
gets the colours of that.
"""

from __future__ import annotations

import functools
import math
import os
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec, Protocol, Self, TypeVar, runtime_checkable

import numpy as np
from matplotlib import dates, rcParamsDefault
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke
from matplotlib.ticker import EngFormatter, MaxNLocator
from numpy.typing import ArrayLike, NDArray

from shmkit import _limits
from shmkit._categories import names_of
from shmkit._format import count_text, counted, cut_text, nbytes_text, seconds_text, shape_text
from shmkit._timeline import Timeline

__all__ = ["memory", "preview", "timeline"]

_STRONG, _LIGHT, _FAINT = 0.6, 0.35, 0.12  # opacities; text is legible on each of them
_GREY = "#767676"  # contrast 4.5 with white, 4.2 with JupyterLab's dark
_SMALL = 8  # points
_HALO = withStroke(linewidth=2, foreground="white")
_ON_BAR: Any = {"size": _SMALL, "color": "black", "path_effects": [_HALO]}  # on any colour
_BACKGROUNDS: Any = "figure.facecolor", "axes.facecolor"
_INKS: Any = "text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"
_LETTER = 0.6  # the width of a letter, in heights

_MAX_ROWS = 100_000  # that are drawn: of more, a sample is
_MAX_PIXELS = 1000  # of an image, on a side
_MAX_FIELDS = 24
_BINS = 50
_MAX_WORDS = 8
_MAX_LETTERS = 16
_MAX_NUMBER = 1e300  # matplotlib takes differences, which are to be finite too
_DAYS = -719_162, 2_932_896  # from 1970, of the years 1 to 9999: it knows no other


_Given = ParamSpec("_Given")
_Drawn = TypeVar("_Drawn")


class TakesMemory(Protocol):
    """A segment, as far as `memory` looks at it."""

    path: str
    backing: str

    @property
    def nbytes(self) -> int: ...
    @property
    def linked(self) -> bool: ...
    @property
    def mapped(self) -> bool: ...


def _on_any_background(draw: Callable[_Given, _Drawn]) -> Callable[_Given, _Drawn]:
    """Have a function draw so that it is legible on light and on dark; its `ax` comes second."""

    @functools.wraps(draw)
    def drawn(*given: _Given.args, **options: _Given.kwargs) -> _Drawn:
        chosen = any(plt.rcParams[name] != rcParamsDefault[name] for name in _INKS)
        if chosen or given[1:] not in ((), (None,)):
            return draw(*given, **options)
        style: Any = dict.fromkeys(_BACKGROUNDS, "none") | dict.fromkeys(_INKS, _GREY)
        with plt.rc_context(style):
            return draw(*given, **options)

    return drawn


@_on_any_background
def timeline(load: Timeline, ax: Axes | None) -> Axes:
    """See `SharedArrays.plot_timeline`."""
    reads = load.reads
    files, start, stop, seconds = reads["file"], reads["start"], reads["stop"], load.seconds
    failed = np.isin(files, load.failed)
    loaders = list(dict.fromkeys(reads["pid"].tolist()))
    bars = np.column_stack([start, stop - start])
    if ax is None:
        _, ax = plt.subplots(figsize=(8, min(1.6 + 0.3 * len(loaders), 8)), layout="constrained")
    letters = bars[:, 1] / seconds * ax.bbox.width / (_LETTER * _SMALL / 72 * ax.figure.dpi)
    ink = plt.rcParams["text.color"]
    for row, pid in enumerate(loaders):
        mine, place = reads["pid"] == pid, (row - 0.4, 0.8)
        # Two shades in turn: narrow bars would be lost between lines, or in whole pixels.
        good = ax.broken_barh(bars[mine & ~failed], place, snap=False, lw=0)
        good.set_facecolor([("C0", _STRONG), ("C0", _LIGHT)])
        if (mine & failed).any():
            ax.broken_barh(bars[mine & failed], place, fc="none", ec=ink, lw=0.8)
        for number in np.flatnonzero(mine & (letters > 1)):
            file = load.names[files[number]]
            if len(file) < letters[number]:
                at = (start[number] + stop[number]) / 2, row
                ax.text(*at, file, ha="center", va="center", parse_math=False, **_ON_BAR)
    if len(start) and start[0] / seconds > 0.2:
        ax.text(start[0] / 2, 0, "looking into the files", size=_SMALL, ha="center", va="center")
    order = np.argsort(stop)
    ready = np.cumsum(reads["nbytes"][order])
    total = ready[-1] if len(ready) else 0
    bottom = len(loaders) + 0.7
    top = bottom - 1.2 * np.array([0, *ready, total]) / max(total, 1)
    times = [0, *stop[order], seconds]
    ax.fill_between(times, top, bottom, step="post", color=ink, alpha=_LIGHT, lw=0)
    every = math.ceil(len(loaders) / 30)
    ticks = {float(row): f"loader {pid}" for row, pid in enumerate(loaders) if row % every == 0}
    ticks[bottom - 0.6] = f"arrays, {nbytes_text(total)}"
    ax.set_yticks(list(ticks), labels=list(ticks.values()), size=_SMALL)
    ax.set(xlim=(0, seconds), ylim=(bottom, -0.6), xlabel="seconds")
    title = counted(len(load.names), "file", "files")
    if load.failed:
        title += f" ({count_text(len(load.failed))} failed)"
    by = counted(len(loaders), "loader process", "loader processes")
    ax.set_title(f"{title} in {seconds_text(seconds)} by {by}", loc="left", size="medium")
    parts = [("C0", _STRONG, "file, or a part of one"), (ink, _LIGHT, "arrays that are ready")]
    handles = [Patch(fc=(color, opacity), label=label) for color, opacity, label in parts]
    if failed.any():
        handles.append(Patch(fc="none", ec=ink, lw=0.8, label="failed"))
    _explain(ax, handles, -0.3)
    _quiet(ax, "bottom")
    return ax


@_on_any_background
def memory(segments: Sequence[TakesMemory], ax: Axes | None) -> Axes:
    """See `SharedArrays.plot_memory`."""
    held = [segment for segment in segments if segment.mapped or segment.linked]
    rooms = []
    places = [os.path.dirname(s.path) for s in segments if s.backing != "memfd"]
    for place in dict.fromkeys(places):
        if os.path.isdir(place):  # the user's own may be gone
            ours = sum(s.nbytes for s in held if os.path.dirname(s.path) == place)
            rooms.append((_limits.room_in(place), ours))
    machine, *groups = _limits.memories()
    ours = sum(s.nbytes for s in held if s.backing != "file")
    rooms += [(room, ours) for room in (machine, *sorted(groups, key=lambda g: g.free)[:1])]
    if ax is None:
        _, ax = plt.subplots(figsize=(8, 0.4 + 0.5 * len(rooms)), layout="constrained")
    ink = plt.rcParams["text.color"]
    colors: dict[str, Any] = {"these arrays": "C0", "others": (ink, _LIGHT), "free": (ink, _FAINT)}
    for row, (room, ours) in enumerate(rooms):
        others = max(room.limit - room.free - ours, 0)
        parts = [ours, others, room.free]
        percent = 100 * np.array(parts) / max(room.limit, 1)
        ax.barh(row, percent, 0.4, np.cumsum(percent) - percent, color=[*colors.values()])
        text = " · ".join(
            f"{nbytes_text(part)} {what}" for part, what in zip(parts, colors, strict=True)
        )
        ax.text(0, row - 0.28, text, size=_SMALL)
    labels = [room.where for room, _ in rooms]
    ax.set_yticks(range(len(rooms)), labels=labels, size=_SMALL, parse_math=False)
    ax.set(xlim=(0, 100), ylim=(len(rooms) - 0.75, -0.6), xticks=[])
    text = nbytes_text(sum(segment.nbytes for segment in held))
    if segments and not any(segment.linked for segment in held):
        text = f"{text} still mapped" if held else "freed"
    ax.set_title(f"{counted(len(segments), 'array', 'arrays')}: {text}", loc="left", size="medium")
    _explain(ax, [Patch(fc=color, label=what) for what, color in colors.items()], 0)
    _quiet(ax)
    return ax


@runtime_checkable
class _ByColumns(Protocol):
    """A table by columns: shmkit's, or a data frame of pandas."""

    def __len__(self) -> int: ...
    def __getitem__(self, rows: slice, /) -> Self: ...
    def to_records(self) -> NDArray[Any]: ...


@_on_any_background
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
        ax.xaxis.get_offset_text().set_fontsize(_SMALL)
    notes = []
    if kind == "m":
        unit, count = np.datetime_data(values.dtype)
        notes.append(unit if count == 1 else f"{count} {unit}")
    missing = int(np.count_nonzero(_is_missing(values)))
    if missing:
        notes.append(f"{_percent(missing, values.size)} missing")
    if without := values.size - numbers.count() - missing:
        notes.append(f"{count_text(without)} not drawn")
    ax.set_xlabel(", ".join(notes), size=_SMALL)


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
    ax.tick_params(labelsize=_SMALL)
    _quiet(ax, "left", "bottom")


def _draw_counts(ax: Axes, values: NDArray[Any]) -> None:
    counts = Counter(map(_word, values.tolist()))
    if not counts:
        _say_empty(ax)
        return
    most = counts.most_common(_MAX_WORDS)
    bars = ax.barh(range(len(most)), [count for _, count in most], 0.8, color="C0")
    shares = [_percent(count, values.size) for _, count in most]
    ax.bar_label(bars, shares, size=_SMALL, padding=2)
    ax.margins(x=0.15)
    labels = [cut_text(word, _MAX_LETTERS) for word, _ in most]
    ax.set_yticks(range(len(most)), labels=labels, parse_math=False)
    ax.invert_yaxis()
    if len(counts) > len(most):
        ax.set_xlabel(f"the most frequent of {count_text(len(counts))}", size=_SMALL)
    _scale(ax.xaxis)
    ax.tick_params(labelsize=_SMALL)
    _quiet(ax, "bottom")


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
    _color_ticks(ax)
    _color_ticks(beside)
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
    ax.text(0.5, 0.5, "no values", transform=ax.transAxes, ha="center", va="center", size=_SMALL)
    ax.set(xticks=[], yticks=[])
    _quiet(ax)


def _scale(axis: Axis) -> None:
    """A few whole numbers: 0, 50k, 100k."""
    axis.set_major_locator(MaxNLocator(4, integer=True, steps=[1, 2, 5, 10], min_n_ticks=1))
    axis.set_major_formatter(EngFormatter(sep=""))


def _explain(ax: Axes, handles: Sequence[Patch], below: float) -> None:
    """Say below what the colours mean."""
    at: Any = {"loc": "upper left", "bbox_to_anchor": (0, below), "borderaxespad": 0.2}
    ax.legend(handles=handles, ncols=len(handles), fontsize=_SMALL, frameon=False, **at)


def _quiet(ax: Axes, *sides: str) -> None:
    """Leave only these of the lines around it."""
    for side, line in ax.spines.items():
        line.set_visible(side in sides)
    ax.tick_params(axis="y", length=0)
    _color_ticks(ax)


def _color_ticks(ax: Axes) -> None:
    """Matplotlib makes ticks when it draws, with the colours of that time."""
    ink = plt.rcParams["xtick.color"]
    ax.tick_params(color=ink, labelcolor=ink)
