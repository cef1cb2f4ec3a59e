"""``shmkit cache``: what is kept on disk, as a table."""

from __future__ import annotations

import time

from shmkit._format import counted, nbytes_text, seconds_text, table_text
from shmkit.cache.directory import CacheDirectory

__all__ = ["clear_cache", "list_cache"]


def list_cache(cache: CacheDirectory) -> str:
    """The entries, the last used first, and what they take in all."""
    entries, now = cache.entries(), time.time()
    rows = [
        (str(entry.note.get("file", "?")), nbytes_text(entry.nbytes), _ago(now - entry.used))
        for entry in entries
    ]
    nbytes = sum(entry.nbytes for entry in entries)
    summary = (
        f"{cache.path}: {counted(len(entries), 'entry', 'entries')}, {nbytes_text(nbytes)} "
        f"of {nbytes_text(cache.budget)}"
    )
    return "\n".join([*([table_text(("<File", ">Bytes", ">Used"), rows)] if rows else []), summary])


def clear_cache(cache: CacheDirectory) -> str:
    """Remove all entries, and say what that was; who has mapped one keeps it."""
    nbytes = sum(entry.nbytes for entry in cache.entries())
    removed = counted(len(cache.shrink(0)), "entry", "entries")
    return f"{cache.path}: {removed} removed, {nbytes_text(nbytes)}"


def _ago(seconds: float) -> str:
    return f"{seconds_text(max(seconds, 0))} ago"
