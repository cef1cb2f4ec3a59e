"""A file that others have written, to add to."""

import h5py
import numpy as np
import pytest

NOISE = np.random.default_rng(0).random(60_000)


@pytest.fixture(
    params=[{}, {"libver": "latest"}, {"userblock_size": 1024}, {"track_order": True}],
    ids=["plain", "latest", "user block", "ordered"],
)
def old(request, tmp_path):
    """A file that h5py wrote."""
    path = tmp_path / "old.h5"
    with h5py.File(path, "w", **request.param) as file:
        file["group/noise"] = NOISE
        file["small"] = np.arange(5)
        file.attrs["title"] = "mine"
        for number in range(30):  # so many that old tables of names must change
            file[f"group/n{number}"] = number
    return path
