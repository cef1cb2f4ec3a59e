"""One export from its first byte to its last: batches of datasets become one whole file.

    this thread        write(batch 1)   write(batch 2)       end of the block
                            │                │ waits for 1        │ waits for 2
    writer's thread   open  └──▶ HDF5 ───────└──▶ HDF5 ───────────└──▶ close
                                                                         │
                                             storage: the file is put in its place

1. The storage makes a new file, or opens the one to add to (see `hdf5.storage`).
2. A thread opens it with HDF5, writes each batch as it is given, and closes it.
3. The calling thread tells the monitor how far that is, a few times a second, whenever it waits.
   Between two calls of `write` it may do something else, such as to load the next batch.
4. The storage brings the file to the disk and gives it its name.

HDF5 runs in a thread of its own, as Ctrl-C is raised in the main thread alone: among h5py's
destructors it would get lost, and in the middle of a write it would do harm. So after an error, or
Ctrl-C, the thread is asked to end: the error is put where the writer looks between two chunks. Not
to wait for that does not work: the file would be closed under HDF5, and its descriptor may be
another file's by then.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor, wait

from shmkit._monitor import Monitor, Work
from shmkit.hdf5.contents.datasets import Contents
from shmkit.hdf5.export import Export
from shmkit.hdf5.settings import Settings
from shmkit.hdf5.storage.adding import appending
from shmkit.hdf5.storage.growing import growing
from shmkit.hdf5.storage.replacing import replacing
from shmkit.hdf5.storage.turn import turn
from shmkit.hdf5.writer import Writer

__all__ = ["Writing", "writing"]

_TICK = 0.2  # seconds between two changes of what is shown


class Writing:
    """An export that is under way.

    Attributes
    ----------
    nbytes_total : int
        Bytes in memory of all datasets that were given.
    export : Export
        What was written; there when the block of `writing` has ended well.
    """

    export: Export

    def __init__(self, writer: Writer, thread: Executor, monitor: Monitor[Work]) -> None:
        self.nbytes_total = 0
        self._writer = writer
        self._thread = thread
        self._monitor = monitor
        self._last = thread.submit(writer.open)

    @property
    def nbytes_done(self) -> int:
        """Bytes in memory of what is written."""
        return self._writer.nbytes

    def write(self, contents: Contents) -> None:
        """Have datasets written, after those before; raises what went wrong with those."""
        self.wait()
        self.nbytes_total += sum(source.nbytes for source in contents.datasets.values())
        self._last = self._thread.submit(self._writer.write, contents)

    def wait(self) -> None:
        """Wait until all that was given is written; raises what went wrong with it."""
        while not wait([self._last], _TICK).done:
            self._monitor.update(self)
        self._last.result()

    def finish(self) -> None:
        """Wait until all is written and the HDF5 file is closed; raises what went wrong."""
        self.wait()
        self._last = self._thread.submit(self._writer.close)
        self.wait()


@contextlib.contextmanager
def writing(path: str, settings: Settings, monitor: Monitor[Work]) -> Iterator[Writing]:
    """A file to write datasets to in the block; it is in its place after that, or as it was."""
    started = time.perf_counter()
    with contextlib.ExitStack() as stack:
        if settings.mode == "a":
            stack.enter_context(turn(path, settings.timeout))
        mode = "r+" if settings.mode == "a" and os.path.exists(path) else "w"
        if mode == "w":
            target = replacing(path, exclusive=settings.mode != "w")
        else:
            target = growing(path) if settings.concat else appending(path)
        storage = stack.enter_context(target)
        thread = stack.enter_context(ThreadPoolExecutor(1))
        writer = Writer(storage, mode, settings)
        try:
            under_way = Writing(writer, thread, monitor)
            monitor.begin(under_way)
            try:
                yield under_way
                under_way.finish()
            finally:
                monitor.end(under_way)
        except BaseException as error:
            closed = None
            while closed is None or not closed.done():
                with contextlib.suppress(KeyboardInterrupt):  # a second Ctrl-C ends no wait
                    storage.error = storage.error or error  # ends the writer at its next check
                    closed = closed or thread.submit(writer.close)
                    wait([closed])
            raise
        storage.flush()
        nbytes_file = os.fstat(storage.fileno()).st_size
    seconds = time.perf_counter() - started
    under_way.export = Export(path, tuple(writer.written), nbytes_file, seconds)
