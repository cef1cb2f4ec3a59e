"""The command ``shmkit``, also ``python -m shmkit``."""

from __future__ import annotations

import argparse
import os
import platform
import time
from collections.abc import Sequence
from importlib.metadata import version

from shmkit import _limits
from shmkit._backing import NAMES
from shmkit._demo import demo
from shmkit._format import counted, nbytes_text, seconds_text, table_text
from shmkit._machine import Found, find_segments
from shmkit._orphans import kill_orphaned_loaders, remove_orphans
from shmkit.readers._rows import PARSER

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; ends with exit code 0, or with 1 when the demo finds a difference."""
    parser = argparse.ArgumentParser(
        "shmkit", description="Data files in shared memory, as numpy arrays."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    command = commands.add_parser(
        "demo", help="load two genomics files, export them to HDF5, and time it beside np.loadtxt"
    )
    command.add_argument(
        "--rows", type=_positive, default=3_000_000, help="rows of each file (default: 3 million)"
    )
    command.set_defaults(run=lambda given: demo(given.rows))
    for name, run, text in (
        ("ls", _ls, "list the segments of this machine: what is in them, and whose they are"),
        ("gc", _gc, "remove the segments that killed processes left"),
    ):
        command = commands.add_parser(name, help=text, description=text.capitalize() + ".")
        command.add_argument(
            "directories",
            metavar="DIRECTORY",
            nargs="*",
            type=_directory,
            default=[NAMES],
            help=f"where to look, if backing= was a directory (default: {NAMES})",
        )
        command.set_defaults(run=lambda given, run=run: run(given.directories))
    command = commands.add_parser("info", help="what shmkit finds here: versions, parser, memory")
    command.set_defaults(run=lambda _: _info())
    given = parser.parse_args(arguments)
    given.run(given)


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
    found = find_segments(directories)
    if not found:
        print("no segments")
        return
    rows = [("SEGMENT", "NAME", "BYTES", "DTYPE", "SHAPE", "OWNER", "AGE")]
    for segment in found:
        dtype = shape = "?"
        if segment.header is not None:
            fields = segment.header.dtype.names
            dtype = " ".join(fields) if fields is not None else str(segment.header.dtype)
            shape = str(segment.header.shape)
        rows.append(
            (
                segment.path,
                " ".join(segment.names),
                nbytes_text(segment.nbytes),
                dtype,
                shape,
                f"{segment.owner.pid} {'ended' if segment.orphan else 'alive'}",
                seconds_text(max(time.time() - segment.written, 0)),
            )
        )
    print(table_text(rows, right=(2, 6)))
    orphans = [segment for segment in found if segment.orphan]
    print(_total(found))
    if orphans:
        print(f"{_total(orphans)}, left by processes that were killed: shmkit gc removes them")


def _gc(directories: Sequence[str]) -> None:
    orphans = [segment for segment in find_segments(directories) if segment.orphan]
    kill_orphaned_loaders()
    removed = remove_orphans(directories)
    for path in removed:
        print(path)
    print(f"removed {_total([segment for segment in orphans if segment.path in removed])}")


def _info() -> None:
    rooms = [_limits.memory(), _limits.room_in(NAMES)]
    rows = [
        ("shmkit", version("shmkit")),
        ("Python", platform.python_version()),
        ("numpy", version("numpy")),
        ("text parser", PARSER),
        ("loader processes", str(_limits.cpus())),
        *((r.where, f"{nbytes_text(r.free)} free of {nbytes_text(r.limit)}") for r in rooms),
    ]
    print(table_text(rows, right=()))


def _total(segments: Sequence[Found]) -> str:
    nbytes = sum(segment.nbytes for segment in segments)
    return f"{counted(len(segments), 'segment', 'segments')}, {nbytes_text(nbytes)}"
