"""What an export wrote, as a person reads it."""

import numpy as np
import pytest

from shmkit.hdf5.export import Dataset, Export


def export(*nbytes, stored=None, seconds=2.0):
    datasets = tuple(
        Dataset(
            f"d{n}", (size // 8,), np.dtype("f8"), size, size // 4 if stored is None else stored
        )
        for n, size in enumerate(nbytes)
    )
    return Export("results.h5", datasets, 1_000_000, seconds)


def test_sizes_times_and_ratios_are_those_of_the_datasets():
    done = export(8_000_000, 4_000_000)
    assert done.nbytes == 12_000_000
    assert repr(done) == "<Export: 2 datasets in results.h5 (12.0 MB)>"
    text = str(done.table())
    assert "2 datasets · 12.0 MB in memory, 1.00 MB in the file · 2.0 s · 6.00 MB/s" in text
    assert "25.0 %" in text
    assert "1\u202f000\u202f000" in text


def test_nothing_is_divided_by_nothing():
    empty = str(export(0, seconds=0.0).table())
    assert "1 dataset · 0 B in memory" in empty
    assert "%" not in empty


@pytest.mark.parametrize("count", [30, 31, 40])
def test_of_many_datasets_some_are_shown_and_the_rest_summed(count):
    text = str(export(*[1000] * count).table())
    assert ("d29" in text, "d30" in text) == (True, False)
    assert ("more" in text) == (count > 30)
    if count == 40:
        assert "and 10 more (10.0 kB)" in text


def test_a_notebook_shows_a_table_with_escaped_names():
    done = Export("<b>.h5", (Dataset("<i>", (1,), np.dtype("f8"), 8, 8),), 1, 1.0)
    html = done._repr_html_()
    assert "&lt;i&gt;" in html
    assert "<i>" not in html
