"""Pictures suit what they stand on, and what the user has chosen."""

import numpy as np
from matplotlib import pyplot as plt
from matplotlib_inline.backend_inline import _fetch_figure_metadata

from shmkit import preview, share
from shmkit.plotting.load import timeline


def test_the_style_of_the_user_is_kept(board, two_arrays):
    with plt.style.context("dark_background"):
        for ax in (timeline(board.timeline(), None), two_arrays.plot_memory()):
            assert ax.figure.get_facecolor() == (0, 0, 0, 1)
            on_bars = [text for text in ax.texts if text.get_path_effects()]  # black, with a halo
            assert {text.get_color() for text in ax.texts if text not in on_bars} <= {"white"}
            assert {text.get_color() for text in on_bars} <= {"black"}
            assert ax.texts


def test_a_figure_of_its_own_suits_any_background_and_a_given_one_stays(two_arrays):
    axes = [two_arrays.plot_timeline(), two_arrays.plot_memory(), preview(np.zeros((3, 4)))]
    for ax in axes:
        assert ax.figure.get_facecolor()[3] == ax.get_facecolor()[3] == 0  # transparent
        for axis, grey in ((ax.xaxis, "#767676"), (ax.yaxis, "#808080")):
            assert {label.get_color() for label in axis.get_ticklabels()} <= {grey}
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


def test_a_notebook_puts_no_white_behind_a_picture(two_arrays):
    # Private, but what a notebook does: it says in the output that a background is needed.
    with share({"x": [1.5, 2.5], "name": ["a", "b"]}) as t:
        drawn = [preview(t)[0], preview(np.zeros((3, 4))), preview(np.arange(9))]
    for ax in (*drawn, two_arrays.plot_timeline(), two_arrays.plot_memory()):
        ax.figure.canvas.draw()
        assert _fetch_figure_metadata(ax.figure) is None
