"""Which reader reads which file, and which options are of use to it.

    reader= given             ──▶ custom    no options
    .npy                      ──▶ npy       no options
    .h5 .hdf5 .hdf .he5 .nc4  ──▶ hdf5      dataset
    .nc that begins as HDF5   ──▶ hdf5
    anything else             ──▶ table     what is inferred, and what is said of columns
      with a dtype of rows    ──▶ text      np.loadtxt's, and categories

The notebook's process chooses; an opener travels to the loader processes, and opens files there.
Readers are imported where they are first needed: h5py takes longer to import than all the rest.
"""

from __future__ import annotations

import enum
import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

from shmkit.readers.base import Reader

__all__ = ["Format", "Opener", "check_options", "format_of", "opener"]

_HDF5_ENDINGS = frozenset([".h5", ".hdf5", ".hdf", ".he5", ".nc4"])
_NPY_SIGNATURE = b"\x93NUMPY"
_HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"


class Format(enum.Enum):
    """The formats that there are readers for, each as a message calls its files."""

    TEXT = "text files"
    NPY = ".npy files"
    HDF5 = "HDF5 files"
    CUSTOM = "files that reader= reads"


class Opener(NamedTuple):
    """Opens files of one format, with the same options for all.

    Attributes
    ----------
    format
        Which reader it is.
    options
        Those that the format has use for; of text files as `checked` gives them.
    function
        What ``reader=`` gave.
    guesses
        Whether types are inferred, which files that look alike share.
    """

    format: Format
    options: Mapping[str, Any] = {}
    function: Callable[[str], Any] | None = None
    guesses: bool = False

    def open(self, path: str) -> AbstractContextManager[Reader]:
        """The reader of a file; raises what its `open` raises."""
        if self.function is not None:
            from shmkit.readers.custom import CustomReader  # noqa: PLC0415 - see the module

            return CustomReader.open(path, self.function)
        if self.format is Format.NPY:
            from shmkit.readers.npy import NpyReader  # noqa: PLC0415

            return NpyReader.open(path)
        if self.format is Format.HDF5:
            from shmkit.readers.hdf5.reader import HDF5Reader  # noqa: PLC0415

            return HDF5Reader.open(path, self.options)
        if self.guesses:
            from shmkit.readers.text.table import TableReader  # noqa: PLC0415

            return TableReader.open(path, self.options)
        from shmkit.readers.text.reader import TextReader  # noqa: PLC0415

        return TextReader.open(path, self.options)


def opener(
    form: Format, function: Callable[[str], Any] | None, options: Mapping[str, Any]
) -> Opener:
    """What opens files of this format, with those of the options that it has use for.

    Raises
    ------
    TypeError, ValueError
        For options of text files that no text file satisfies.
    """
    if form is Format.HDF5:
        return Opener(form, {name: options[name] for name in options if name == "dataset"})
    if form is Format.TEXT:
        from shmkit.readers.text import reader, table_options  # noqa: PLC0415 - see the module

        given = {name: value for name, value in options.items() if name != "dataset"}
        if table_options.is_table(given):
            return Opener(form, table_options.checked(given), guesses=True)
        return Opener(form, reader.checked(given))
    return Opener(form, function=function)


def format_of(
    path: str, function: Callable[[str], Any] | None, *, begin: bytes | None = None
) -> Format:
    """The format that a file is read as; raises `OSError` if only its content could tell.

    `begin` is how the content begins, where the name says nothing: that of a pipe.
    """
    if function is not None:
        return Format.CUSTOM
    if begin is not None:
        if begin.startswith(_NPY_SIGNATURE):
            return Format.NPY
        return Format.HDF5 if begin.startswith(_HDF5_SIGNATURE) else Format.TEXT
    ending = os.path.splitext(path)[1].lower()
    if ending == ".npy":
        return Format.NPY
    if ending in _HDF5_ENDINGS or (ending == ".nc" and _begins_as_hdf5(path)):
        return Format.HDF5
    return Format.TEXT


def _begins_as_hdf5(path: str) -> bool:
    """Whether a NetCDF file is one of version 4; the older ones are another format."""
    with open(path, "rb") as file:
        return file.read(len(_HDF5_SIGNATURE)) == _HDF5_SIGNATURE


def check_options(formats: Iterable[Format], options: Iterable[str]) -> None:
    """Refuse options that are of no use to any file of these formats.

    Raises
    ------
    TypeError
        Names the options, what they are for, and what the files are instead.
    """
    there = dict.fromkeys(formats)
    wrong: dict[Format, list[str]] = {}
    for option in options:
        use = Format.HDF5 if option == "dataset" else Format.TEXT
        if use not in there:
            wrong.setdefault(use, []).append(option)
    if wrong:
        uses = "; ".join(f"{', '.join(names)}: for {use.value}" for use, names in wrong.items())
        files = " and ".join(form.value for form in there)
        raise TypeError(f"{uses} only, and these are {files}; leave out what is of no use to them")
