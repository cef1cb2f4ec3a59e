"""The command ``shmkit``, also ``python -m shmkit``."""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from shmkit import _limits
from shmkit._format import nbytes_text, table_text
from shmkit.cache.directory import CacheDirectory
from shmkit.cache.where import cache_path
from shmkit.commands.cache import clear_cache, list_cache
from shmkit.commands.convert import convert
from shmkit.commands.demo import demo
from shmkit.commands.options import add_no_progress, add_options, as_typed, settings_of
from shmkit.commands.reading_options import READING_OPTIONS, add_reading_options
from shmkit.display.listing import list_segments, remove_left
from shmkit.errors import ShmkitError
from shmkit.readers.text.rows.rows import PARSER
from shmkit.segments.backing import NAMES

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; ends with exit code 0, or with 1 when the demo finds a difference."""
    parser = argparse.ArgumentParser(
        "shmkit", description="Data files in shared memory, as numpy arrays."
    )
    parser.add_argument("--version", action="version", version=f"shmkit {version('shmkit')}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    command = commands.add_parser(
        "demo", help="load two genomics files, export them to HDF5, and time it beside np.loadtxt"
    )
    command.add_argument(
        "--rows", type=_positive, default=3_000_000, help="rows of each file (default: 3 million)"
    )
    command.set_defaults(run=lambda given: demo(given.rows))
    for word, run, text in (
        ("ls", _ls, "list the segments of this machine: what is in them, and whose they are"),
        ("gc", _gc, "remove the segments that killed processes left"),
    ):
        command = commands.add_parser(word, help=text, description=text.capitalize() + ".")
        command.add_argument(
            "directories",
            metavar="DIRECTORY",
            nargs="*",
            type=_directory,
            default=[],
            help=f"where to look besides {NAMES}: what backing= was",
        )
        command.set_defaults(run=lambda given, run=run: run(given.directories))
    _add_cache(commands)
    _add_convert(commands)
    command = commands.add_parser("info", help="what shmkit finds here: versions, parser, memory")
    command.set_defaults(run=lambda _: _info())
    given = parser.parse_args(arguments)
    given.run(given)


def _add_cache(commands: Any) -> None:
    text = "list, or remove, what shared_load(cache=) keeps on disk"
    command = commands.add_parser("cache", help=text, description=f"{text.capitalize()}.")
    command.add_argument("what", choices=["ls", "clear"])
    command.add_argument(
        "directory",
        metavar="DIRECTORY",
        nargs="?",
        help="what cache= was (default: SHMKIT_CACHE, or ~/.cache/shmkit)",
    )
    command.set_defaults(run=lambda given: _cache(given.what, given.directory))


def _cache(what: str, directory: str | None) -> None:
    path = cache_path(directory) or cache_path(cache=True)
    assert path is not None
    if not os.path.isdir(path):
        print(f"{path}: there is no cache")
        return
    try:
        cache = CacheDirectory(path)
    except (OSError, ValueError) as error:
        sys.exit(f"shmkit cache: {error}")
    print(list_cache(cache) if what == "ls" else clear_cache(cache))


def _add_convert(commands: Any) -> None:
    text = "load files and save them as one HDF5 file, however large they are together"
    command = commands.add_parser(
        "convert",
        help=text,
        description=f"{text.capitalize()}.".replace("hdf5", "HDF5"),
        allow_abbrev=False,
        argument_default=argparse.SUPPRESS,  # what is not given is for to_hdf5 and load to say
    )
    command.add_argument(
        "files",
        metavar="FILE",
        nargs="+",
        help="a file or a glob to be loaded; - is standard input",
    )
    command.add_argument("path", metavar="OUT", help="the HDF5 file")
    group = add_reading_options(command)
    group.add_argument("--processes", metavar="N", type=_positive, help="loader processes")
    group.add_argument("--backing", help="auto (the default), shm, memfd or a directory")
    group.add_argument(
        "--skip-failed", action="store_true", help="leave out files that cannot be read, and say so"
    )
    add_no_progress(add_options(command))
    command.set_defaults(run=_convert)


def _convert(arguments: argparse.Namespace) -> None:
    given = vars(arguments)
    del given["run"]
    loading = {
        "reader": None,
        "options": {option: given.pop(option) for option in READING_OPTIONS if option in given},
        "processes": given.pop("processes", _limits.cpus()),
        "backing": given.pop("backing", "auto"),
        "skip_failed": given.pop("skip_failed", False),
    }
    files, path, progress = given.pop("files"), given.pop("path"), given.pop("progress", None)
    try:
        settings = settings_of(given)
        export, failures = convert(files, path, settings, loading=loading, progress=progress)
    except (ShmkitError, OSError, ValueError, TypeError) as error:
        sys.exit(f"shmkit convert: {as_typed(str(error))}")
    print(export)
    for failure in failures.values():
        print(f"left out: {failure}")
    if failures:
        sys.exit(1)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a number above 0")
    return number


def _directory(text: str) -> str:
    if not os.path.isdir(text):
        raise argparse.ArgumentTypeError(f"{text} is not a directory")
    if not os.access(text, os.R_OK | os.X_OK):
        raise argparse.ArgumentTypeError(f"{text} may not be read")
    return os.path.abspath(text)


def _ls(directories: Sequence[str]) -> None:
    print(list_segments(directories))


def _gc(directories: Sequence[str]) -> None:
    removed, summary = remove_left(directories)
    print(*removed, summary, sep="\n")


def _info() -> None:
    rooms = [_limits.memory(), _limits.room_in(NAMES)]
    rows = [
        ("Python", platform.python_version()),
        ("numpy", version("numpy")),
        ("text parser", PARSER),
        ("loader processes", str(_limits.cpus())),
        *((r.where, f"{nbytes_text(r.free)} free of {nbytes_text(r.limit)}") for r in rooms),
    ]
    print(table_text(["<shmkit", f"<{version('shmkit')}"], rows))
