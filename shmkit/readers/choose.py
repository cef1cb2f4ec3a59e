"""Which reader reads which file, and which options are of use to it.

    formats: custom   npy   npz       hdf5      netcdf3   text                         foreign
    options: none    select dataset   dataset   dataset   of a table (select, too)     an error
                                      select    select    or np.loadtxt's
                                      decode    decode

The notebook's process chooses; an opener travels to the loader processes, and opens files there.
Readers are imported where they are first needed: h5py takes longer to import than all the rest.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

from shmkit.errors import LoadError
from shmkit.readers.base import Reader, Version
from shmkit.readers.formats import Format, foreign
from shmkit.readers.names import Listed

__all__ = ["Opener", "check_options", "let_go", "listed", "opener"]

_DATASETS = (Format.HDF5, Format.NPZ, Format.NETCDF3)
# Which formats have use for an option. All others are those of text.
_USES = {
    "dataset": _DATASETS,
    "decode": (Format.HDF5, Format.NETCDF3),
    "select": (Format.HDF5, Format.NETCDF3, Format.NPY, Format.TEXT),
}


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

    def open(self, path: str, *, keep: bool = False) -> AbstractContextManager[Reader]:
        """The reader of a file; raises what its `open` raises.

        A file that may hold many datasets is kept open for the next one, if told so, until
        `let_go`.
        """
        if self.function is not None:
            from shmkit.readers.custom import CustomReader  # noqa: PLC0415 - see the module

            return CustomReader.open(path, self.function)
        if self.format is Format.NPY:
            from shmkit.readers.npy.reader import NpyReader  # noqa: PLC0415

            return NpyReader.open(path, self.options)
        if self.format is Format.NPZ:
            from shmkit.readers.npy.npz import NpzReader  # noqa: PLC0415

            return NpzReader.open(path, self.options)
        if self.format is Format.NETCDF3:
            from shmkit.readers.netcdf.netcdf3 import NetCDF3Reader  # noqa: PLC0415

            return NetCDF3Reader.open(path, self.options)
        if self.format is Format.FOREIGN:
            about = foreign(path)
            raise LoadError(path, None, None, f"it is {about.name}; {about.advice}")
        if self.format is Format.HDF5:
            from shmkit.readers.hdf5.reader import HDF5Reader  # noqa: PLC0415

            return HDF5Reader.open(path, self.options, keep=keep)
        if self.guesses:
            from shmkit.readers.text.table.reader import TableReader  # noqa: PLC0415

            return TableReader.open(path, self.options)
        from shmkit.readers.text.rows.reader import TextReader  # noqa: PLC0415

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
    if form is Format.TEXT:
        from shmkit.readers.text.rows import reader  # noqa: PLC0415 - see the module
        from shmkit.readers.text.table import options as table_options  # noqa: PLC0415 - see the module

        given = {n: value for n, value in options.items() if form in _USES.get(n, (form,))}
        if isinstance(given.get("select"), Mapping):  # of the datasets of other files
            del given["select"]
        if table_options.is_table(given):
            return Opener(form, table_options.checked(given), guesses=True)
        return Opener(form, reader.checked(given))
    of_use = {name: options[name] for name in options if form in _USES.get(name, ())}
    if isinstance(of_use.get("select"), Mapping) and not form.has_datasets:  # of other files
        del of_use["select"]
    return Opener(form, of_use, function)


def let_go() -> None:
    """Close the file that an opener has kept open, if there is one."""
    if "shmkit.readers.hdf5.file" in sys.modules:
        from shmkit.readers.hdf5 import file  # noqa: PLC0415 - see the module

        file.let_go()


def listed(form: Format, path: str, patterns: Sequence[str]) -> tuple[list[Listed], Version]:
    """The datasets of a file that these names and globs mean, and the version of the file.

    Raises
    ------
    LoadError
        If the file is damaged, has none, or one of the patterns matches none.
    OSError
        If it cannot be read.
    """
    if form is Format.NPZ:
        from shmkit.readers.npy import npz  # noqa: PLC0415 - see the module

        return npz.listed(path, patterns)
    if form is Format.NETCDF3:
        from shmkit.readers.netcdf import netcdf3  # noqa: PLC0415

        return netcdf3.listed(path, patterns)
    from shmkit.readers.hdf5 import listing  # noqa: PLC0415

    return listing.listed(path, patterns)


def check_options(formats: Iterable[Format], options: Iterable[str]) -> None:
    """Refuse options that are of no use to any file of these formats.

    Raises
    ------
    TypeError
        Names the options, what they are for, and what the files are instead.
    """
    there = dict.fromkeys(formats)
    if Format.FOREIGN in there:  # which is an error of its own
        return
    wrong: dict[str, list[str]] = {}
    for option in options:
        formats_of_use = _USES.get(option, (Format.TEXT,))
        if not any(form in there for form in formats_of_use):
            use = _listed([form.value for form in formats_of_use])
            wrong.setdefault(use, []).append(option)
    if wrong:
        uses = "; ".join(f"{', '.join(names)}: for {use}" for use, names in wrong.items())
        files = _listed([form.value for form in there])
        raise TypeError(f"{uses} only, and these are {files}; leave out what is of no use to them")


def _listed(names: Sequence[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last
