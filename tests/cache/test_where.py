"""Where the cache is: the argument, then the environment, then nowhere."""

import os
from pathlib import Path

import pytest

from shmkit.cache.where import cache_path


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("SHMKIT_CACHE", raising=False)
    monkeypatch.chdir(tmp_path)
    return str(tmp_path)


@pytest.mark.parametrize(
    ("variable", "cache", "expected"),
    [
        (None, None, None),
        ("", None, None),
        ("0", None, None),
        ("1", None, ".cache/shmkit"),
        ("~/there", None, "there"),
        (None, True, ".cache/shmkit"),
        ("there", True, ".cache/shmkit"),
        ("there", False, None),  # the call says more than the environment
        ("there", "here", "here"),
        (None, Path("a/../b"), "b"),
    ],
)
def test_the_call_then_the_variable_decide(monkeypatch, home, variable, cache, expected):
    if variable is not None:
        monkeypatch.setenv("SHMKIT_CACHE", variable)
    assert cache_path(cache) == (expected and os.path.join(home, expected))


def test_the_usual_one_is_in_the_users_cache(monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/var/mine")
    assert cache_path(True) == "/var/mine/shmkit"
