"""What a load plans before it reads."""

import h5py
import numpy as np

from shmkit import shared_load


def test_there_is_a_loader_for_what_a_compressed_dataset_becomes(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        zeros = np.zeros(1 << 23)
        file.create_dataset("zeros", data=zeros, chunks=(1 << 16,), compression="gzip")
    assert (tmp_path / "a.h5").stat().st_size < 1 << 20
    with shared_load(tmp_path / "a.h5", processes=2) as arrays:
        title = arrays.plot_timeline().get_title(loc="left")
    assert title.endswith("by 2 loader processes")
