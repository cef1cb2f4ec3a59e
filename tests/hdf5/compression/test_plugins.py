"""Filters that others have compiled, called without HDF5: both ways, from many threads."""

from concurrent.futures import ThreadPoolExecutor

import hdf5plugin
import numpy as np
import pytest

from shmkit.hdf5.compression.plugins import plugin

DATA = np.repeat(np.arange(2000, dtype="i4"), 25).tobytes()
NOISE = np.random.default_rng(0).bytes(10_000)
CODES = {"lzf": 32000, "bzip2": 307, "blosc": 32001, "lz4": 32004, "bshuf": 32008}
VALUES = {  # as HDF5 hands them on, once the filter has filled in what the dataset is
    "lzf": (4, 0, 200_000),
    "bzip2": (9,),
    "blosc": (2, 2, 4, 200_000, 5, 1, 0),
    "lz4": (0,),
    "bshuf": (0, 4, 4, 0, 2),
}


@pytest.mark.parametrize("name", CODES)
def test_what_was_encoded_is_decoded_in_any_thread(name):
    found = plugin(CODES[name])
    encoded = found.encode(DATA, VALUES[name])
    assert len(encoded) < len(DATA) / 1.3
    with ThreadPoolExecutor(4) as threads:
        both = threads.map(
            lambda _: (found.encode(DATA, VALUES[name]), found.decode(encoded, VALUES[name])),
            range(4),
        )
        assert all(pair == (encoded, DATA) for pair in both)


def test_what_would_not_be_less_is_not_encoded():
    assert plugin(CODES["lzf"]).encode(NOISE, (4, 0, len(NOISE))) is None


def test_damaged_data_are_an_error():
    with pytest.raises(ValueError, match="damaged"):
        plugin(CODES["bzip2"]).decode(b"no bzip2", (9,))


def test_a_filter_that_is_not_known_or_holds_a_state_is_none():
    assert hdf5plugin.SZ.filter_id == 32017
    assert plugin(32017) is None
    assert plugin(1) is None
    assert plugin(CODES["lz4"]) is plugin(CODES["lz4"])
