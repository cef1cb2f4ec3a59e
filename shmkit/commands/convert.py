"""Files to one HDF5 file, however large they are together: ``shmkit convert``.

    this thread       load 1 ──▶ load 2 ─────▶ load 3 ─────▶ …          a batch of files each
                          │          │             │
    writer's thread       └▶ write 1 ───▶ write 2 ────▶ write 3 …

1. Files are taken in batches: many small ones together, a large one alone.
2. A batch is loaded while the one before is written. When both is done, that one is released and
   this one given to the writer: no more than two are in memory.
3. A batch that finds no room waits until the one before is released. If there is none, or that is
   not enough, it is cut in two; a single file that finds no room is an error.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from shmkit._monitor import Monitor, NoMonitor, Work
from shmkit.display.progress import export_monitor
from shmkit.errors import NotEnoughMemoryError
from shmkit.hdf5.contents.datasets import contents
from shmkit.hdf5.export import Export
from shmkit.hdf5.settings import Settings
from shmkit.hdf5.storage.place import check_path, superblock_of
from shmkit.hdf5.write import Writing, writing
from shmkit.loading.board.board import Board
from shmkit.loading.files.inputs import Input, inputs
from shmkit.loading.files.paths import named_paths
from shmkit.loading.load import load
from shmkit.readers.choose import check_options
from shmkit.views.arrays import SharedArrays

__all__ = ["convert"]

_BATCH_NBYTES = 1 << 26  # of files: many small ones are loaded together
_BATCH_FILES = 500


def convert(
    files: Sequence[str],
    path: str,
    settings: Settings,
    *,
    loading: Mapping[str, Any],
    progress: bool | None,
) -> tuple[Export, dict[str, Exception]]:
    """Write the arrays of the files; gives what was written, and the files that failed.

    `loading` are arguments of `load`. With ``concat``, all files are in memory at once. A file that
    is there is replaced only if it is an HDF5 file and the settings say `overwrite`.
    """
    path = check_path(path, settings.mode, beside_readers=settings.concat)
    _check_replaced(path, settings)
    named = named_paths("/dev/stdin" if file == "-" else file for file in files)
    how = loading["reader"], loading["backing"]
    with inputs(named, *how, skip_failed=loading["skip_failed"]) as found:
        # Here, for all files: an option may be of use to none in a batch.
        check_options([file.form for file in found.values()], loading["options"])
        return _in_batches(found, path, settings, loading, export_monitor(progress))


def _in_batches(
    files: Mapping[str, Input],
    path: str,
    settings: Settings,
    loading: Mapping[str, Any],
    shown: Monitor[Work],
) -> tuple[Export, dict[str, Exception]]:
    waiting = list(_batches(files, concat=settings.concat))[::-1]
    failures: dict[str, Exception] = {}
    before: SharedArrays | None = None  # what is being written
    monitor = _LoadAndExport(shown, sum(file.nbytes for file in files.values()))
    # In this order: the writer has ended when the arrays that it reads are closed.
    with contextlib.ExitStack() as loaded, writing(path, settings, monitor) as export:
        while waiting:
            batch = waiting.pop()
            try:
                arrays = load(batch, monitor=monitor, prefix=len(files) > 1, **loading)
            except NotEnoughMemoryError:
                if before is not None:
                    export.wait()
                    before.close()
                    before = None
                    waiting.append(batch)
                elif len(batch) == 1:
                    raise
                else:
                    items, half = list(batch.items()), len(batch) // 2
                    waiting += dict(items[half:]), dict(items[:half])
                continue
            loaded.enter_context(arrays)
            failures |= arrays.failures
            export.wait()
            if before is not None:
                before.close()
            before = arrays
            if len(arrays):
                found = contents(arrays, layout=settings.layout, concat=settings.concat)
                settings.check(found.datasets)
                export.write(found)
                del found  # its memory is to come back when it is written
    return export.export, failures


def _check_replaced(path: str, settings: Settings) -> None:
    """Raise a FileExistsError rather than replace what nobody has said is to be replaced.

    A shell expands ``*.csv``: if the output is forgotten, the last of them stands in its place.
    """
    if not os.path.exists(path):
        return
    with open(path, "rb") as file:
        is_hdf5 = superblock_of(file.fileno()) is not None
    if not is_hdf5:
        reason = "is there, and is no HDF5 file: it stays; name the file to write after the others"
    elif settings.mode == "w" and not settings.overwrite:
        reason = "is there already; --overwrite replaces it, --append adds to it"
    else:
        return
    raise FileExistsError(errno.EEXIST, reason, path)


class _LoadAndExport(NoMonitor):
    """How far a conversion is: it is told of its loads and of its export, and tells the user's.

    A file that is loaded is half done; the other half is done when as much is written.
    """

    def __init__(self, monitor: Monitor[Work], nbytes_total: int) -> None:
        self.nbytes_total = nbytes_total
        self._monitor = monitor
        self._read = self._reading = 0  # bytes of files, of loads that ended and of one that runs

    @property
    def nbytes_done(self) -> int:
        """Bytes of files."""
        share = self._export.nbytes_done / max(self._export.nbytes_total, 1)
        return int((self._read + self._reading) * (1 + share) / 2)

    def begin(self, work: Work) -> None:
        """Begin with the export, the first that says so."""
        if isinstance(work, Writing):
            self._export = work
            self._monitor.begin(self)

    def update(self, work: Work) -> None:
        """Count what a load has read."""
        if isinstance(work, Board):
            self._reading = work.nbytes_done
        self._monitor.update(self)

    def end(self, work: Work) -> None:
        """Count what a load has read, and end with the export, the last that says so."""
        if isinstance(work, Board):
            self._read += 0 if work.failed else work.nbytes_done
            self._reading = 0
        else:
            self._monitor.end(self)


def _batches(files: Mapping[str, Input], *, concat: bool) -> Iterator[dict[str, Input]]:
    batch: dict[str, Input] = {}
    nbytes = 0
    for name, file in files.items():
        nbytes += file.nbytes
        if batch and not concat and (nbytes > _BATCH_NBYTES or len(batch) == _BATCH_FILES):
            yield batch
            batch, nbytes = {}, file.nbytes
        batch[name] = file
    yield batch
