"""Files to one HDF5 file, however large they are together: ``shmkit convert``.

    this thread       load 1 ──▶ load 2 ─────▶ load 3 ─────▶ …          a batch of files each
                          │          │             │
    writer's thread       └▶ write 1, release ──▶ write 2, release ──▶ …

So the next batch is loaded while this one is written, and no more than these two are in memory.
"""

from __future__ import annotations

import os
import queue
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from shmkit._api.to_hdf5 import write_batches
from shmkit.display.progress import export_progress
from shmkit.errors import NotEnoughMemoryError
from shmkit.hdf5.datasets import Rows, datasets
from shmkit.hdf5.export import Export
from shmkit.hdf5.storage import check_path
from shmkit.hdf5.writer import Settings
from shmkit.loading.board import Board, NoMonitor
from shmkit.loading.load import load
from shmkit.loading.paths import named_paths
from shmkit.memory.arrays import SharedArrays

__all__ = ["convert"]

_BATCH_NBYTES = 1 << 26  # of files: many small ones are loaded together
_BATCH_FILES = 500
_IN_MEMORY = 2  # batches


def convert(
    files: Sequence[str],
    path: str,
    *,
    loading: Mapping[str, Any],
    mode: str,
    group: str,
    settings: Settings,
    attrs: Mapping[str, str],
    layout: str,
    concat: bool,
    progress: bool | None,
) -> tuple[Export, dict[str, Exception]]:
    """Write the arrays of the files; gives what was written, and the files that failed.

    `loading` are arguments of `_load.load`. With `concat`, all files are in memory at once.
    """
    path = check_path(path, mode)
    settings.check({})
    batches = _Batches(named_paths(files), loading, layout=layout, concat=concat)
    try:
        with export_progress(progress) as show:
            export = write_batches(
                path,
                mode,
                group,
                settings,
                attrs,
                batches,
                lambda nbytes: batches.feed(nbytes, show),
                batches.close,
            )
    finally:
        batches.close()
    return export, batches.failures


class _Batches:
    """The datasets of batches of files, which `feed` loads and the iterator gives to the writer."""

    def __init__(
        self, named: Mapping[str, str], loading: Mapping[str, Any], *, layout: str, concat: bool
    ) -> None:
        self.failures: dict[str, Exception] = {}
        self._waiting = list(_batches(named, concat=concat))[::-1]
        self._loading = loading
        self._layout = layout
        self._concat = concat
        self._loaded: queue.SimpleQueue[SharedArrays | None] = queue.SimpleQueue()
        self._given = self._written = 0  # batches; each is counted by one thread
        self._monitor = _Count()
        self._nbytes_of_files = sum(map(os.path.getsize, named.values()))
        self._nbytes_of_arrays = 0

    def __iter__(self) -> Iterator[dict[str, Rows]]:
        while (arrays := self._loaded.get()) is not None:
            with arrays:
                if len(arrays):
                    yield datasets(arrays, layout=self._layout, concat=self._concat)
            del arrays
            self._written += 1

    def feed(self, written: int, show: Any) -> None:
        """Load the next batch if there is room for it; say how far all of it is."""
        share = written / max(self._nbytes_of_arrays, 1)  # of what is loaded
        done = self._monitor.done * (1 + share) / 2
        show(int(done), self._nbytes_of_files)
        held = self._given - self._written
        if held == _IN_MEMORY or not self._waiting:
            return
        batch = self._waiting[-1]
        nbytes = list(map(os.path.getsize, batch.values()))
        try:
            arrays = load(batch, nbytes, monitor=self._monitor, prefix=True, **self._loading)
        except NotEnoughMemoryError:
            if not held and len(batch) == 1:
                raise
            if not held:  # else there is more room when that batch is written
                items, half = list(batch.items()), len(batch) // 2
                self._waiting[-1:] = [dict(items[half:]), dict(items[:half])]
            return
        self._waiting.pop()
        self.failures |= arrays.failures
        self._nbytes_of_arrays += arrays.nbytes
        self._given += 1
        self._loaded.put(arrays)
        if not self._waiting:
            self._loaded.put(None)

    def close(self) -> None:
        """Let the writer end, and release what it has not taken."""
        while True:
            try:
                arrays = self._loaded.get_nowait()
            except queue.Empty:
                break
            if arrays is not None:
                arrays.close()
        self._loaded.put(None)


class _Count(NoMonitor):
    """Counts the bytes of files that are read."""

    def __init__(self) -> None:
        self.done = 0
        self._before = 0

    def update(self, board: Board) -> None:
        """Count those of a load that runs."""
        self.done = self._before + int(board.records["bytes_done"].sum())

    def end(self, board: Board) -> None:
        """Count those of a load that has ended."""
        self.update(board)
        self._before = self.done


def _batches(named: Mapping[str, str], *, concat: bool) -> Iterator[dict[str, str]]:
    batch: dict[str, str] = {}
    nbytes = 0
    for name, path in named.items():
        nbytes += os.path.getsize(path)
        if batch and not concat and (nbytes > _BATCH_NBYTES or len(batch) == _BATCH_FILES):
            yield batch
            batch, nbytes = {}, os.path.getsize(path)
        batch[name] = path
    yield batch
