"""The options of an export on a command line: those of ``%%to_hdf5`` and of ``shmkit convert``.

They are those of `shmkit.to_hdf5`, and mean the same. What is not given is not in what a parser
made with ``argument_default=SUPPRESS`` returns, so the defaults are those of `hdf5.settings`.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, get_args

from shmkit.commands.reading_options import READING_OPTIONS
from shmkit.hdf5.settings import Layout, Mode, Settings

__all__ = ["add_no_progress", "add_options", "as_typed", "settings_of"]

_OPTIONS = (*(field.name for field in fields(Settings)), *READING_OPTIONS, "processes", "backing")
_KEYWORD = re.compile(rf"(?<![\w-])({'|'.join(_OPTIONS)})=(?:True|(?=[^\w\"'])|(?P<value>))")


def add_options(parser: argparse.ArgumentParser) -> Any:
    """Add them all; returns the last group."""
    where = parser.add_argument_group("where they are put")
    where.add_argument(
        "--mode",
        choices=get_args(Mode),
        help="whether an existing file is replaced (w, the default), is an error (x) or is added "
        "to (a)",
    )
    same = "the same as --mode a"
    where.add_argument("--append", dest="mode", action="store_const", const="a", help=same)
    where.add_argument(
        "--overwrite",
        action="store_true",
        help="with --append, replace datasets of the same name; else they are an error",
    )
    where.add_argument("--group", help="the group of the file, such as 2024/night (default: /)")
    how = parser.add_argument_group("how they are stored")
    how.add_argument(
        "--compression",
        metavar="NAME",
        type=lambda text: None if text == "none" else text,
        help="gzip (the default; any HDF5 reader has it), lzf (h5py only), none, or a filter of "
        "the package hdf5plugin, such as zstd",
    )
    level = "of the compression: gzip has 0 to 9"
    how.add_argument("--level", metavar="N", type=int, help=level)
    how.add_argument(
        "--no-shuffle",
        dest="shuffle",
        action="store_false",
        help="do not sort the bytes of numbers by their place before they are compressed",
    )
    how.add_argument(
        "--chunks",
        metavar="N[,N...]",
        type=_chunks,
        help="rows of a chunk, or its shape (default: whole rows, up to 1 MiB)",
    )
    how.add_argument(
        "--layout",
        choices=get_args(Layout),
        metavar="KIND",
        help="table: an array with fields is one dataset; columns: it is a group with a dataset "
        "for each field (the default for a table by columns)",
    )
    how.add_argument(
        "--concat",
        action="store_true",
        help='all arrays, one after another, as one dataset "data"; "source" says which rows came '
        "from where; with --append, rows are added to it",
    )
    how.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=float,
        help="how long to wait with --append for others that add to the file (default: 60)",
    )
    how.add_argument(
        "--attr",
        dest="attrs",
        metavar="KEY=VALUE",
        type=_attribute,
        action="append",
        help="an attribute of the file or the group, as text; may be given several times",
    )
    return how


def add_no_progress(group: Any) -> None:
    """Add ``--no-progress``, where a command says what it shows."""
    group.add_argument(
        "--no-progress", dest="progress", action="store_const", const=False, help="show no bar"
    )


def settings_of(given: Mapping[str, Any]) -> Settings:
    """What was given, checked; `progress` says nothing about the file."""
    options = {option: value for option, value in given.items() if option != "progress"}
    return Settings(**options | {"attrs": dict(given.get("attrs", ()))})


def as_typed(message: str) -> str:
    """The message of an error, with options as they are given on a command line.

    >>> as_typed('mode="w" replaces it, overwrite=True some of it; level=12 is none')
    '--mode "w" replaces it, --overwrite some of it; --level 12 is none'
    """
    return _KEYWORD.sub(lambda found: f"--{found[1]}{' ' * (found['value'] is not None)}", message)


def _chunks(text: str) -> int | tuple[int, ...]:
    if not re.fullmatch(r"[1-9]\d*(,[1-9]\d*)*", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not like 1000 or 100,20")
    lengths = [int(length) for length in text.split(",")]
    return lengths[0] if len(lengths) == 1 else tuple(lengths)


def _attribute(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise argparse.ArgumentTypeError(f"{text!r} is not like key=value")
    return key, value
