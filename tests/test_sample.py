"""The sample data: reproducible, and of the form that is promised."""

import numpy as np
import pytest

from shmkit import sample


def test_calls_are_sorted_and_consistent(tmp_path):
    path = sample.methylation(tmp_path / "calls.txt", rows=300_000, seed=3)
    calls = np.loadtxt(path, sample.METHYLATION, skiprows=1)
    assert calls.shape == (300_000,)
    assert path.read_text(encoding="ascii").splitlines()[0] == "chr\tpos\tpct\tc\tt"
    depth = calls["c"] + calls["t"]
    assert depth.min() >= 1
    assert np.allclose(calls["pct"], 100 * calls["c"] / depth, atol=0.005)
    for name in np.unique(calls["chr"]):
        positions = calls["pos"][calls["chr"] == name]
        assert (np.diff(positions) > 0).all()
        assert positions[-1] < 250_000_000


def test_the_same_seed_gives_the_same_bytes(tmp_path):
    first, again, other = (
        sample.methylation(tmp_path / name, rows=1000, seed=seed).read_bytes()
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    assert first == again != other


@pytest.mark.parametrize("rows", [0, 1, 2])
def test_few_rows(tmp_path, rows):
    text = sample.methylation(tmp_path / "x.txt", rows=rows).read_text(encoding="ascii")
    assert len(text.splitlines()) == rows + 1


def test_the_grid_has_seasons():
    grid = sample.climate(steps=365, latitudes=37, longitudes=72)
    assert (grid.dtype, grid.shape) == (np.float32, (365, 37, 72))
    assert np.array_equal(grid, sample.climate(steps=365, latitudes=37, longitudes=72))
    north, south = grid[:, 6].mean(1), grid[:, -7].mean(1)
    assert north[180:210].mean() > north[:30].mean() + 10
    assert south[180:210].mean() < south[:30].mean() - 10
