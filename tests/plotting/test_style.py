"""Pictures suit what they stand on, and what the user has chosen."""

import numpy as np
from matplotlib import pyplot as plt

from shmkit import preview
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
