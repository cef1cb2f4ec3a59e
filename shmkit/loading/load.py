"""One load: all or nothing.

    what is left of others ──▶ loader processes ──▶ files ──▶ board ──▶ steps ──▶ arrays
    is removed                                                            ✕ error, interrupt:
                                                                            all is unlinked

The notebook's process names and owns every segment before a loader touches it. So whatever
becomes of a loader, unlinking all of them, in one place, leaves nothing behind.
"""

from __future__ import annotations

import contextlib
import os
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

import numpy as np

from shmkit._monitor import Monitor
from shmkit.cache.directory import CacheDirectory
from shmkit.cleanup.orphans import kill_orphaned_loaders, remove_orphans
from shmkit.loaders.pickling import pickled_by_value, users_modules
from shmkit.loaders.pool import LoaderPool, useful_processes
from shmkit.loading.board.board import Board
from shmkit.loading.board.record import RECORD
from shmkit.loading.cached import CachedFiles
from shmkit.loading.file import LoadingFile
from shmkit.loading.files.inputs import Input
from shmkit.loading.files.listing import to_load
from shmkit.loading.files.peers import Alone, Peers
from shmkit.loading.steps import Steps
from shmkit.segments.backing import NAMES
from shmkit.segments.files import finish_interrupted
from shmkit.views.array import SharedArray, new_array
from shmkit.views.arrays import SharedArrays
from shmkit.views.table import SharedTable
from shmkit.views.text import SharedText

__all__ = ["load"]

_DATASET_NBYTES = 1 << 17  # of text that take as long to be read as the smallest dataset


def load(
    files: Mapping[str, Input],
    *,
    reader: Callable[[str], Any] | None,
    transform: Callable[[Any], Any] | None = None,
    options: Mapping[str, Any],
    processes: int,
    backing: str | os.PathLike[str],
    skip_failed: bool,
    monitor: Monitor[Board],
    prefix: bool = False,
    cache: CacheDirectory | None = None,
    concat: bool | Literal["column"] = False,
    most: int | None = None,
    peers: Peers | None = None,
) -> SharedArrays:
    """Load `files`; else see `shmkit.shared_load`.

    Each file takes those of the options that its format has use for. Datasets of HDF5 files are
    loaded as if they were files, and named after their file too if `prefix` is true. With `concat`
    there is one array, which has no name. Arrays of more than `most` bytes in all find no room.
    `peers` are the loads of the same call on other nodes.
    """
    as_lines = bool(concat) and "ndmin" not in options
    if as_lines:
        options = {**options, "ndmin": 2}  # a text of one line is a row, as others have several
    _remove_left(backing, cache)
    sizes = [file.nbytes for file in files.values()]
    with _all_or_nothing() as made, contextlib.ExitStack() as stack:
        # Where all is in the cache, no loader is needed.
        count = useful_processes(sizes, processes) if cache is None else 0
        pool = stack.enter_context(LoaderPool(count))
        function = None
        if transform is not None:
            function = pickled_by_value(transform, [transform]).shared(stack)
            pool.renew(users_modules())
        by_name, failed = to_load(files, reader, options, pool, prefix=prefix)
        found = list(dict.fromkeys(by_name.values()))
        made.extend(found)
        # Only now it is known what compressed datasets become.
        least = _DATASET_NBYTES if len(found) > len(files) else 0
        work = sum(max(file.nbytes, file.loaded_nbytes, least) for file in found)
        processes = useful_processes([work, *[0] * (len(files) - 1)], processes)
        records = stack.enter_context(new_array(RECORD, (len(found),)))
        records["bytes_total"] = [file.nbytes for file in found]
        board = Board(found, np.asarray(records), processes)
        monitor.begin(board)
        functions = {"reader": reader, "transform": transform}
        cached = None if cache is None else CachedFiles(cache, found, functions)
        loading = Steps(
            *(found, function, cached, board, records, pool, monitor, peers or Alone()),
            skip_failed=skip_failed,
            as_one=bool(concat),
            most=most,
        )
        try:
            loading.run(backing, failed)
            if concat:
                arrays = _one(loading, backing, concat, as_lines=as_lines)
            else:
                arrays = {
                    name: loading.arrays[file.number]
                    for name, file in by_name.items()
                    if file.number in loading.arrays
                }
            board.end()
            monitor.end(board)
            records.close()  # inside of try: an interrupt may come here too
        except BaseException as error:
            loading.arrays.clear()  # the traceback holds `loading`; the memory is to come back
            board.fail(error, monitor)
            raise

    failures = {name: file.error for name, file in by_name.items() if file.error is not None}
    if concat and (segment := arrays[""].segment) is not None:
        segment.source = {**segment.source, "failures": failures}
    loaded = SharedArrays(arrays, failures, _closer(board, monitor), board.timeline)
    try:
        for note in loading.notes:
            warnings.warn(note, stacklevel=3)  # of who calls shared_load
    except UserWarning:  # the user has made errors of them
        loaded.close()
        raise
    return loaded


def _one(
    loading: Steps,
    backing: str | os.PathLike[str],
    concat: bool | Literal["column"],
    *,
    as_lines: bool,
) -> dict[str, SharedArray | SharedText | SharedTable]:
    """The one array of all files, without a name; an error if no file could be loaded."""
    from shmkit.loading.concat.concatenated import concatenated  # noqa: PLC0415 - few loads need it

    whole = concatenated(loading, backing, column=concat == "column", as_lines=as_lines)
    if whole is None:
        raise next(file.error for file in loading.files if file.error is not None)
    return {"": whole}


def _closer(board: Board, monitor: Monitor[Board]) -> Callable[[], None]:
    """What the arrays call when they are closed: the panel shows it."""
    here = os.getpid(), threading.get_ident()

    def close() -> None:
        board.closed = True
        # A front end takes messages from the thread that made it only, and never from a forked
        # child. Closed elsewhere, the panel shows it after the next cell.
        if (os.getpid(), threading.get_ident()) == here:
            monitor.close(board)

    return close


@contextlib.contextmanager
def _all_or_nothing() -> Iterator[list[LoadingFile]]:
    """Unlink what was made for the files in the list if the block fails: at its end, too.

    An interrupt may come when all is loaded, and the loaders and the board are given back.
    """
    files: list[LoadingFile] = []
    try:
        yield files
    except BaseException:
        for file in files:
            if file.segment is not None:
                file.segment.unlink()
        finish_interrupted()
        raise


def _remove_left(backing: str | os.PathLike[str], cache: CacheDirectory | None) -> None:
    """Remove what calls and processes before have left where this load puts something."""
    directories = [NAMES, *([cache.path] if cache is not None else [])]
    if backing not in ("auto", "shm", "memfd"):
        directories.append(os.path.abspath(os.path.expanduser(backing)))
    finish_interrupted()  # names that an interrupt of an earlier call left
    # A guard removes what its owner leaves. Where there are orphans, it was killed too, so nobody
    # has ended the owner's loaders either.
    if remove_orphans(directories):
        kill_orphaned_loaders()
