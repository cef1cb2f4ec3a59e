"""How a load went, and what memory it takes.

timeline                                        memory
loader 4711 ▐ sample1 ▌▐ sample3  ▌▐ s5 ▌       /dev/shm ▐█▒▒▒▒░░░░░░░░░░░▌ ours, others, free
loader 4712 ▐  sample2   ▌▐ sample4   ▌         memory   ▐█▒▒▒▒▒▒▒▒░░░░░░░▌
arrays                 ▂▂▂▃▃▃▃▅▅▅▅▅▆▆▆██
0         1         2  seconds
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke

from shmkit import _limits
from shmkit._format import count_text, counted, nbytes_text, seconds_text
from shmkit._timeline import Timeline
from shmkit.plotting.style import SMALL, explain, on_any_background, quiet

__all__ = ["TakesMemory", "memory", "timeline"]

_STRONG, _LIGHT, _FAINT = 0.6, 0.35, 0.12  # opacities; text is legible on each of them
_HALO = withStroke(linewidth=2, foreground="white")
_ON_BAR: Any = {"size": SMALL, "color": "black", "path_effects": [_HALO]}  # on any colour
_LETTER = 0.6  # the width of a letter, in heights


class TakesMemory(Protocol):
    """A segment, as far as `memory` looks at it."""

    path: str
    backing: str

    @property
    def nbytes(self) -> int:
        """Bytes of memory that it takes."""

    @property
    def linked(self) -> bool:
        """Whether it has its name."""

    @property
    def mapped(self) -> bool:
        """Whether a view here holds it."""


@on_any_background
def timeline(load: Timeline, ax: Axes | None) -> Axes:
    """See `SharedArrays.plot_timeline`."""
    reads = load.reads
    files, start, stop, seconds = reads["file"], reads["start"], reads["stop"], load.seconds
    failed = np.isin(files, load.failed)
    loaders = list(dict.fromkeys(reads["pid"].tolist()))
    bars = np.column_stack([start, stop - start])
    if ax is None:
        _, ax = plt.subplots(figsize=(8, min(1.6 + 0.3 * len(loaders), 8)), layout="constrained")
    letters = bars[:, 1] / seconds * ax.bbox.width / (_LETTER * SMALL / 72 * ax.figure.dpi)
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
        ax.text(start[0] / 2, 0, "looking into the files", size=SMALL, ha="center", va="center")
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
    ax.set_yticks(list(ticks), labels=list(ticks.values()), size=SMALL)
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
    explain(ax, handles, -0.3)
    quiet(ax, "bottom")
    return ax


@on_any_background
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
        _, ax = plt.subplots(figsize=(8, 0.6 + 0.5 * len(rooms)), layout="constrained")
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
        ax.text(0, row - 0.28, text, size=SMALL)
    labels = [room.where for room, _ in rooms]
    ax.set_yticks(range(len(rooms)), labels=labels, size=SMALL, parse_math=False)
    ax.set(xlim=(0, 100), ylim=(len(rooms) - 0.75, -0.6))
    shares = range(0, 101, 25)
    ax.set_xticks(shares, labels=[f"{percent} %" for percent in shares], size=SMALL)
    text = nbytes_text(sum(segment.nbytes for segment in held))
    if segments and not any(segment.linked for segment in held):
        text = f"{text} still mapped" if held else "freed"
    ax.set_title(f"{counted(len(segments), 'array', 'arrays')}: {text}", loc="left", size="medium")
    explain(ax, [Patch(fc=color, label=what) for what, color in colors.items()], -0.4 / len(rooms))
    quiet(ax)
    return ax
