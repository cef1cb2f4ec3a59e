"""What a load takes from the cache, and what it leaves there.

    files ──▶ keys ──▶ take ──▶ segments of entries: ready at once
                │
                └─ those without an entry ──▶ turn: one process reads them ──▶ into the cache's
                                              directory ──▶ seal, view ──▶ keep

Arrays that depend on one another (by codes of categories, or types that were inferred) have a key
of all their files together.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from shmkit.cache.directory import CacheDirectory
from shmkit.cache.keys import file_key, options_key, together
from shmkit.cache.turn import turn
from shmkit.errors import NotEnoughMemoryError
from shmkit.loading.file import LoadingFile
from shmkit.readers.formats import Format
from shmkit.segments.backing import Backing, choose_backing
from shmkit.segments.sealed import seal
from shmkit.segments.segment import Segment
from shmkit.segments.writer import SegmentWriter
from shmkit.views.array import SharedArray
from shmkit.views.of_segment import view_of
from shmkit.views.table import SharedTable
from shmkit.views.text import SharedText

__all__ = ["CachedFiles"]


class CachedFiles:
    """The files of one load that have keys."""

    def __init__(
        self,
        directory: CacheDirectory,
        files: Sequence[LoadingFile],
        functions: Mapping[str, Callable[..., Any] | None],
    ) -> None:
        self.directory = directory
        self._functions = functions
        self._how: dict[int, str | None] = {}
        own = {file: key for file in files if (key := self._own_key(file))}
        alike = [file for file in files if _depends_on_others(file)]
        if all(file in own for file in alike):
            group = together([own[file] for file in alike])
        else:  # one of them is not told
            own, group = {file: key for file, key in own.items() if file not in alike}, ""
        self._own = own  # keys of the files alone
        self._keys = {
            file: together([key, group]) if file in alike else key for file, key in own.items()
        }
        self._sealed: dict[LoadingFile, Segment] = {}
        self._elsewhere = 0  # files that found no room in the directory

    def _own_key(self, file: LoadingFile) -> str | None:
        if file.form is Format.NPY and self._functions["transform"] is None:
            return None  # it is an image already
        if not file.alone or file.opened not in ("", file.path):  # a copy of what a pipe gave
            return None
        how = id(file.options)  # most files have the same
        if how not in self._how:
            functions = dict(self._functions)
            if file.form is not Format.CUSTOM:
                functions["reader"] = None
            self._how[how] = options_key(file.form.name, file.options, functions)
        key = self._how[how]
        return None if key is None else file_key(file.path, key)

    def take(
        self, files: Sequence[LoadingFile]
    ) -> Iterator[tuple[LoadingFile, SharedArray | SharedText | SharedTable]]:
        """The arrays of those of the files that have an entry; the files have its segment."""
        for file in files:
            if file in self._keys and (taken := self.directory.take(self._keys[file])):
                file.segment, header, note = taken
                file.segment.source = note | {"file": file.path}
                file.notes = note.get("notes", ())
                yield file, view_of(file.segment, header)

    @contextlib.contextmanager
    def turn(self, files: Sequence[LoadingFile], tick: Callable[[], None]) -> Iterator[None]:
        """In this block nobody else reads these files, unless all of them are kept by now."""
        keys = [self._keys[file] for file in files if file in self._keys]
        if not keys:
            yield
            return

        def kept() -> bool:
            return all(self.directory.has(key) for key in keys)

        # Of all files, not only of those that are missed: others may have come when more were.
        with turn(self.directory.path, together(sorted(self._keys.values())), kept, tick):
            yield

    def backings(self, need: int) -> list[Backing]:
        """Where files that are to be kept are read into; none if there is no room."""
        try:
            return [choose_backing(self.directory.path, need)]
        except NotEnoughMemoryError:
            return []

    def has_key(self, file: LoadingFile) -> bool:
        """Whether what is read of it may be kept."""
        return file in self._keys

    def seal(self, file: LoadingFile) -> None:
        """Have nobody write to the array of a file any more, if it is to be kept."""
        segment = file.segment
        assert segment is not None
        if file not in self._keys:
            return
        if os.path.dirname(segment.path) != self.directory.path:
            self._elsewhere += 1
            return
        note = json.loads(json.dumps(segment.source, default=repr))
        with SegmentWriter(segment) as writer:
            writer.add_note(note)
        seal(segment.path)
        self._sealed[file] = segment

    def keep(self) -> str | None:
        """Keep what was sealed, of files that have not changed since; a note if that fails."""
        found = []
        for file, segment in self._sealed.items():
            if self._own_key(file) == self._own[file]:
                found.append((self._keys[file], segment))
        try:
            self.directory.keep(found)
            why = "there is no room" if self._elsewhere else ""
        except OSError as error:
            why = error.strerror or ""
        if not why:
            return None
        return f"not all arrays are kept in the cache {self.directory.path}: {why}"


def _depends_on_others(file: LoadingFile) -> bool:
    """Whether its array may be another one in a load of other files."""
    return file.guessed or "categories" in file.options
