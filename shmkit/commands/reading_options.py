"""The options of a load on a command line: those of `shmkit.shared_load` that text can say.

They have the same names, with hyphens, and mean the same. What is not given is not in what a parser
made with ``argument_default=SUPPRESS`` returns.
"""

from __future__ import annotations

import argparse
import re
from typing import Any

import numpy as np

__all__ = ["READING_OPTIONS", "add_reading_options"]

READING_OPTIONS = (
    "dtype",
    "delimiter",
    "comments",
    "skiprows",
    "usecols",
    "max_rows",
    "encoding",
    "quotechar",
    "ndmin",
    "categories",
    "dataset",
)


def add_reading_options(parser: argparse.ArgumentParser) -> Any:
    """Add them all; returns the group."""
    group = parser.add_argument_group("how files are read")
    group.add_argument(
        "--dtype",
        metavar="TYPE",
        type=_dtype,
        help="of text files: one for all columns, such as float32, or a name and a type for each, "
        "such as chr:S10,pos:i4 (default: inferred)",
    )
    group.add_argument("--delimiter", type=_character, help="of text files (default: inferred)")
    group.add_argument(
        "--comments", type=_or_none, help="what begins a comment in text files; none: nothing does"
    )
    group.add_argument("--skiprows", metavar="N", type=int, help="lines of text files to skip")
    group.add_argument(
        "--usecols",
        metavar="N[,N...]",
        type=_columns,
        help="columns of text files to read; the first is 0",
    )
    group.add_argument("--max-rows", metavar="N", type=int, help="rows of text files to read")
    group.add_argument("--encoding", help="of text files, such as latin-1")
    group.add_argument(
        "--quotechar", type=_or_none, help="what text files quote with; none: nothing"
    )
    group.add_argument("--ndmin", type=int, choices=(0, 1, 2), help="least number of dimensions")
    group.add_argument(
        "--categories",
        metavar="NAME[,NAME...]",
        type=lambda text: text.split(","),
        help="fields of text files with few different texts, to be stored as codes",
    )
    group.add_argument("--dataset", metavar="NAME", action="append", help="of HDF5 files; a glob")
    return group


def _dtype(text: str) -> np.dtype[Any]:
    try:
        if ":" not in text:
            return np.dtype(text)
        return np.dtype([_field(part) for part in text.split(",")])
    except (TypeError, ValueError) as error:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no type: {error}; it is like float32, or like chr:S10,pos:i4"
        ) from None


def _field(text: str) -> tuple[str, np.dtype[Any]]:
    name, _, kind = text.partition(":")
    if not (name and kind):
        raise ValueError(f"{text!r} is not like name:type")
    return name, np.dtype(kind)


def _columns(text: str) -> int | list[int]:
    if not re.fullmatch(r"-?\d+(,-?\d+)*", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not like 0 or 0,3,4")
    columns = [int(number) for number in text.split(",")]
    return columns[0] if len(columns) == 1 else columns


def _character(text: str) -> str:
    r"""What a shell can hardly write: ``\t`` is a tab."""
    return "\t" if text == r"\t" else text


def _or_none(text: str) -> str | None:
    return None if text == "none" else text
