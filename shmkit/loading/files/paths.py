"""Which files are meant, and what each is called."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Mapping, Sequence

from shmkit.readers.compression import ENDINGS

__all__ = ["PathType", "expanded", "named_paths", "with_names"]

PathType = str | os.PathLike[str]

_LEVELS = 32  # of detail that a name may have: two for each folder


def named_paths(files: PathType | Iterable[PathType] | Mapping[str, PathType]) -> dict[str, str]:
    """The files as name -> absolute path, in order; see `shmkit.shared_load`."""
    if isinstance(files, Mapping):
        named = {str(name): os.path.abspath(os.path.expanduser(p)) for name, p in files.items()}
        if len(named) < len(files):
            raise ValueError("two of the names are the same text")
    else:
        listed = [files] if isinstance(files, str | os.PathLike) else files
        named = with_names([path for item in listed for path in expanded(item)])
    if not named:
        raise ValueError("no files given")
    return named


def expanded(item: PathType) -> list[str]:
    """The absolute paths that a path or a glob stands for; raises if no file matches a glob."""
    path = os.path.abspath(os.path.expanduser(item))
    if not glob.has_magic(path) or os.path.exists(path):
        return [path]
    found = sorted(glob.glob(path, recursive=True))
    if not found:
        raise FileNotFoundError(f"no file matches {os.fspath(item)!r}")
    return found


def with_names(paths: Sequence[str]) -> dict[str, str]:
    """Name each path by its stem; where stems collide, by as much of the path as tells them apart.

    >>> list(with_names(["/a/x.txt", "/a/y.txt", "/b/y.txt", "/c/z.txt", "/c/z.txt.gz"]))
    ['x', 'a-y', 'b-y', 'z.txt', 'z.txt.gz']
    """
    stems = [_stem(path) for path in paths]
    by_stem: dict[str, set[str]] = {}
    for path, stem in zip(paths, stems, strict=True):
        by_stem.setdefault(stem, set()).add(path)
    levels = {
        stem: next((level for level in range(_LEVELS) if _tells_apart(group, level)), 0)
        for stem, group in by_stem.items()
        if len(group) > 1
    }
    named: dict[str, str] = {}
    for path, stem in zip(paths, stems, strict=True):
        name = tail = _tail(path, levels[stem]) if stem in levels else stem
        number = 1
        while name in named:  # one file twice
            number += 1
            name = f"{tail}-{number}"
        named[name] = path
    return named


def _stem(path: str) -> str:
    """The name without its ending, or its two if the file is compressed.

    >>> [_stem(name) for name in ("calls.v2.txt.gz", "calls.BGZ", ".gz")]
    ['calls.v2', 'calls', '.gz']
    """
    stem, ending = os.path.splitext(os.path.basename(path))
    return os.path.splitext(stem)[0] if ending.lower() in ENDINGS else stem


def _tells_apart(group: set[str], level: int) -> bool:
    return len({_tail(path, level) for path in group}) == len(group)


def _tail(path: str, level: int) -> str:
    """The end of a path: stem, file name, folder and stem, folder and file name, and so on."""
    folders = path.split(os.sep)[1:-1][-(level // 2) :] if level > 1 else ()
    return "-".join([*folders, os.path.basename(path) if level % 2 else _stem(path)])
