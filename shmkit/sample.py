"""Sample data to try things on: methylation calls as a text file, and a climate grid.

The same arguments give the same data on every machine.
"""

from __future__ import annotations

import os
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

__all__ = ["METHYLATION", "climate", "methylation"]

METHYLATION = np.dtype([("chr", "S10"), ("pos", "i4"), ("pct", "f4"), ("c", "i4"), ("t", "i4")])
"""The dtype of a methylation call: chromosome, position, per cent methylated, reads C and T."""

_CHROMOSOMES = [*(f"chr{n}" for n in range(1, 23)), "chrX"]
_DEEPEST = 40  # reads of one kind at one position
_BLOCK = 1 << 18  # rows; keeps the memory small however many rows there are

Path = TypeVar("Path", str, os.PathLike[str])


def methylation(path: Path, rows: int = 3_000_000, seed: int = 0) -> Path:
    """Write a tab-separated file of methylation calls, with a header line ``chr pos pct c t``.

    Calls are sorted by chromosome and position, as aligners write them; most sites are almost
    fully or hardly methylated, and each chromosome has its own share of both.

    Parameters
    ----------
    path : path
        Where to write; a file that is there is replaced.
    rows : int
        Calls; about 25 bytes each.
    seed : int
        Another seed is another sample.

    Returns
    -------
    path
        As given.

    Examples
    --------
    >>> import numpy as np
    >>> path = methylation("calls.txt", rows=1000, seed=1)
    >>> calls = np.loadtxt(path, METHYLATION, skiprows=1)
    >>> calls.shape, bool((calls["pct"] <= 100).all())
    ((1000,), True)
    """
    generator = np.random.default_rng(seed)
    reads = range(_DEEPEST + 1)
    # Formatting is the slow part, so every pair of counts is formatted once.
    counts = np.array(
        [f"{100 * c / max(c + t, 1):.2f}\t{c}\t{t}\n".encode() for c in reads for t in reads]
    )
    chromosomes = np.sort(generator.integers(0, len(_CHROMOSOMES), rows))
    names = np.array([f"{name}\t".encode() for name in _CHROMOSOMES])
    share_methylated = generator.uniform(0.4, 0.8, len(_CHROMOSOMES))
    with open(path, "wb") as file:
        file.write(b"chr\tpos\tpct\tc\tt\n")
        position = np.zeros(len(_CHROMOSOMES), np.int64)
        for start in range(0, rows, _BLOCK):
            chromosome = chromosomes[start : start + _BLOCK]
            many = len(chromosome)
            # Gaps whose sum fits in a chromosome of 200 million bases whatever the rows.
            gaps = generator.integers(1, max(2, 8_000_000_000 // (rows + 1)), many)
            positions = np.empty(many, np.int64)
            for number in np.unique(chromosome):
                here = chromosome == number
                positions[here] = position[number] + np.cumsum(gaps[here])
                position[number] = positions[here][-1]
            methylated = generator.random(many) < share_methylated[chromosome]
            level = np.where(methylated, generator.beta(9, 1, many), generator.beta(1, 9, many))
            depth = np.clip(generator.poisson(18, many), 1, _DEEPEST)
            c = generator.binomial(depth, level)
            line = np.empty(
                many, [("chr", names.dtype), ("pos", "S10"), ("tab", "S1"), ("rest", counts.dtype)]
            )
            line["chr"] = names[chromosome]
            line["pos"] = positions.astype("S10")
            line["tab"] = b"\t"
            line["rest"] = counts[c * len(reads) + depth - c]
            characters = line.view(np.uint8)
            file.write(characters[characters != 0].tobytes())
    return path


def climate(
    steps: int = 365, latitudes: int = 181, longitudes: int = 360, seed: int = 0
) -> NDArray[np.float32]:
    """A grid of daily mean temperatures in degrees Celsius.

    Parameters
    ----------
    steps, latitudes, longitudes : int
        Days from 1 January, rows from the north to the south pole, and columns.
    seed : int
        Another seed is other weather.

    Returns
    -------
    ndarray of float32, shape (steps, latitudes, longitudes)

    Examples
    --------
    >>> grid = climate(steps=2, latitudes=19, longitudes=36)
    >>> grid.shape, bool(grid[:, 9].mean() > grid[:, 0].mean())     # equator and north pole
    ((2, 19, 36), True)
    """
    generator = np.random.default_rng(seed)
    latitude = np.linspace(np.pi / 2, -np.pi / 2, latitudes, dtype="f4")[:, None]
    longitude = np.linspace(0, 2 * np.pi, longitudes, endpoint=False, dtype="f4")
    mean = 45 * np.cos(latitude) - 18 + 4 * np.sin(2 * longitude) * np.cos(latitude)
    grid = np.empty((steps, latitudes, longitudes), np.float32)
    weather = np.zeros((latitudes, longitudes), np.float32)
    for day in range(steps):
        season = -np.cos(2 * np.pi * (day - 15) / 365)
        fresh = generator.standard_normal(weather.shape, dtype=np.float32)
        # Neighbours share their weather, and today's remembers yesterday's.
        weather = 0.8 * weather + fresh + np.roll(fresh, 1, 1) + np.roll(fresh, 2, 1)
        grid[day] = mean + 15 * season * np.sin(latitude) + weather
    return grid.round(2)
