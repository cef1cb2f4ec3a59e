"""A table of every kind of column; what tests hand over by the Arrow interface is let go of."""

import gc

import pytest
from kinds import COLUMNS

from shmkit import share
from shmkit.views.frames import capsule


@pytest.fixture
def table():
    with share(COLUMNS) as table:
        yield table


@pytest.fixture(autouse=True)
def nothing_held():
    """Whatever was handed over is let go of."""
    yield
    if capsule.in_use():
        gc.collect()  # a second, of all that the tests have imported
    assert capsule.in_use() == 0
