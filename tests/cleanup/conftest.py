"""Owners that have ended, and what they have left."""

import os

import pytest
from processes import Owner

from shmkit.cleanup.owner import Owner as Identity
from shmkit.cleanup.owner import lock_path


@pytest.fixture
def dead():
    """The identity of a process that has ended."""
    with Owner("from shmkit.cleanup.owner import this_process\nprint(this_process())") as owner:
        return Identity.parse(owner.says()[0])


@pytest.fixture
def leave(tmp_path):
    """Put there what an owner that was killed leaves in a directory: its names and its lock."""

    def leave(owner, *names, directory=tmp_path):
        paths = [os.path.join(directory, name.format(owner)) for name in names]
        for path in (lock_path(str(directory), owner), *paths):
            os.close(os.open(path, os.O_CREAT, 0o600))
        return paths

    return leave
