"""How all pictures look: on light and on dark, quiet, with a word for each colour.

A figure of shmkit's own is transparent, and its text of a grey that is legible on light and on
dark: a notebook keeps a picture when its theme changes. Who has chosen a style, or gives an Axes,
gets the colours of that.

The labels of the y axis are a shade lighter. Where the labels of both axes are all dark, or all
light, IPython asks the notebook for a white or black background, which is glaring in a dark theme.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec, TypeVar

from matplotlib import pyplot as plt
from matplotlib import rcParamsDefault
from matplotlib.axes import Axes
from matplotlib.patches import Patch

__all__ = ["SMALL", "color_ticks", "explain", "on_any_background", "quiet"]

SMALL = 8  # points
_GREY = "#767676"  # contrast 4.5 with white, 4.2 with JupyterLab's dark
_LIGHTER = "#808080"  # 3.9 and 4.8; what matplotlib_inline calls light
_BACKGROUNDS: Any = "figure.facecolor", "axes.facecolor"
_INKS: Any = "text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"

_Given = ParamSpec("_Given")
_Drawn = TypeVar("_Drawn")


def on_any_background(draw: Callable[_Given, _Drawn]) -> Callable[_Given, _Drawn]:
    """Have a function draw so that it is legible on light and on dark; its `ax` comes second."""

    @functools.wraps(draw)
    def drawn(*given: _Given.args, **options: _Given.kwargs) -> _Drawn:
        chosen = any(plt.rcParams[name] != rcParamsDefault[name] for name in _INKS)
        if chosen or given[1:] not in ((), (None,)):
            return draw(*given, **options)
        style: Any = dict.fromkeys(_BACKGROUNDS, "none") | dict.fromkeys(_INKS, _GREY)
        style["ytick.color"] = _LIGHTER
        with plt.rc_context(style):
            return draw(*given, **options)

    return drawn


def explain(ax: Axes, handles: Sequence[Patch], below: float) -> None:
    """Say below what the colours mean."""
    at: Any = {"loc": "upper left", "bbox_to_anchor": (0, below), "borderaxespad": 0.2}
    ax.legend(handles=handles, ncols=len(handles), fontsize=SMALL, frameon=False, **at)


def quiet(ax: Axes, *sides: str) -> None:
    """Leave only these of the lines around it."""
    for side, line in ax.spines.items():
        line.set_visible(side in sides)
    ax.tick_params(axis="y", length=0)
    color_ticks(ax)


def color_ticks(ax: Axes) -> None:
    """Matplotlib makes ticks when it draws, with the colours of that time."""
    x, y = plt.rcParams["xtick.color"], plt.rcParams["ytick.color"]
    ax.tick_params("x", color=x, labelcolor=x)
    ax.tick_params("y", color=y, labelcolor=y)
