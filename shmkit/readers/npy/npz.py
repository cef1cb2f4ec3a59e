"""Files that np.savez wrote: a zip archive of .npy files, each of which is a dataset."""

from __future__ import annotations

import contextlib
import os
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self

from shmkit.errors import LoadError
from shmkit.readers.base import Version
from shmkit.readers.names import Listed, matched
from shmkit.readers.npy.reader import NpyReader

__all__ = ["NpzReader", "listed"]

_ENDING = ".npy"


def listed(path: str, patterns: Sequence[str]) -> tuple[list[Listed], Version]:
    """The arrays that these names and globs mean, and the version of the file.

    Raises
    ------
    LoadError
        If it is no archive, or is damaged, or a pattern matches none.
    OSError
        If it cannot be read.
    """
    with _opened(path) as archive:
        members = {_name(member): member for member in archive.infolist()}
        version = _version(archive)
    meant = matched(path, patterns, list(members))
    return [
        Listed((name,), members[name].compress_size, members[name].file_size) for name in meant
    ], version


class NpzReader(NpyReader):
    """Reads one array of a ``.npz`` file."""

    @classmethod
    @contextlib.contextmanager
    def open(cls, path: str, options: Mapping[str, Any]) -> Iterator[Self]:
        """The reader of the array ``options["dataset"]``.

        Raises
        ------
        LoadError
            If the archive is damaged, within the block too.
        OSError
            If it cannot be read.
        """
        with _opened(path) as archive:
            (member,) = (one for one in archive.infolist() if _name(one) == options["dataset"])
            with archive.open(member) as file:
                reader = cls(path, options, file, member.file_size)
                reader._archive = archive
                yield reader

    _archive: zipfile.ZipFile

    def version(self) -> Version:
        """The version of the archive."""
        return _version(self._archive)


@contextlib.contextmanager
def _opened(path: str) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
        reason = f"it is no .npz archive, or is damaged ({error}); copy or save it again"
        raise LoadError(path, None, None, reason) from None


def _version(archive: zipfile.ZipFile) -> Version:
    assert archive.fp is not None
    return Version.of(os.fstat(archive.fp.fileno()))


def _name(member: zipfile.ZipInfo) -> str:
    return member.filename.removesuffix(_ENDING)
