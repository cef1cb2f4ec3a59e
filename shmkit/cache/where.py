"""Where the cache is: what ``cache=`` says, else the environment variable SHMKIT_CACHE."""

from __future__ import annotations

import os

__all__ = ["cache_path"]

_VARIABLE = "SHMKIT_CACHE"


def cache_path(cache: bool | str | os.PathLike[str] | None) -> str | None:
    """The directory that ``cache=`` means; None for none.

    Not given, it is what the environment variable SHMKIT_CACHE says: a directory, or ``1`` for the
    usual one, in the user's own cache.
    """
    if cache is None:
        said = os.environ.get(_VARIABLE, "")
        cache = said not in ("", "0") and (said == "1" or said)
    if isinstance(cache, bool):
        if not cache:
            return None
        home = os.environ.get("XDG_CACHE_HOME") or os.path.join("~", ".cache")
        cache = os.path.join(home, "shmkit")
    return os.path.abspath(os.path.expanduser(os.fspath(cache)))
