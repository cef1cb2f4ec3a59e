"""The options of an export: the same ones, with the same defaults, however it is asked for."""

import inspect
import re
from dataclasses import fields

import pytest

from shmkit import to_hdf5
from shmkit.hdf5.settings import Settings


def test_to_hdf5_takes_them_with_their_defaults():
    parameters = inspect.signature(to_hdf5).parameters.values()
    taken = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}
    del taken["progress"]
    assert taken == {field.name: field.default for field in fields(Settings)}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "r"}, "mode='r' is none of 'w', 'x', 'a'"),
        ({"layout": "rows"}, "layout='rows' is none of 'table', 'columns'"),
        ({"group": "a//b"}, "'a//b' cannot be a name in HDF5"),
        ({"level": 10}, "level=10: gzip has 0 to 9"),
        ({"compression": "lzf", "level": 1}, "compression='lzf' has no levels"),
        ({"compression": "zip"}, 'compression=\'zip\' is none of "gzip", "zstd", "lzf", None, '),
        ({"compression": "zstd", "level": 0}, "level=0: zstd has 1 to 22"),
    ],
)
def test_what_cannot_be_is_an_error_before_there_is_anything_to_write(options, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        Settings(**options)
