"""What can go wrong, as one tree.

    ShmkitError
    ├── LoadError               a file could not be read: which file, line, column, and why
    ├── LoaderDiedError         a loader process ended in the middle of a file
    ├── NotEnoughMemoryError    (also a MemoryError) there is no room for the arrays
    ├── TooManySegmentsError    more arrays at once than a limit of the system allows
    ├── ClusterError            a Dask cluster has no workers, or another shmkit, or none
    └── SegmentError            what lies at a path is not a segment, or is damaged
        ├── SegmentGoneError    it was unlinked, or its arrays were closed
        └── SegmentExistsError  the name to publish it under is taken

By the time one of these is raised, whatever the call had begun is cleaned up. Every one survives
pickling: each argument goes to ``super().__init__`` (loaders raise them in other processes).
"""

from __future__ import annotations

import functools
import os
import signal
import traceback

from shmkit._format import nbytes_text, printable

__all__ = [
    "BriefErrors",
    "ClusterError",
    "LoadError",
    "LoaderDiedError",
    "NotEnoughMemoryError",
    "SegmentError",
    "SegmentExistsError",
    "SegmentGoneError",
    "ShmkitError",
    "TooManySegmentsError",
]

_FOLDER = os.path.join(os.path.dirname(__file__), "")


class ShmkitError(Exception):
    """The base of every error that shmkit raises on its own account.

    IPython shows it without frames of shmkit's own: the message, the line of the user's that
    called shmkit, and the message with all there is to read about it.
    """

    def _render_traceback_(self) -> list[str]:
        """What IPython shows, a text each."""
        return _rendered(self, _call_of_shmkit(self))


class LoadError(ShmkitError):
    """A file could not be read.

    Attributes
    ----------
    path : str
        The file.
    line : int or None
        Its line, counted from 1 in the file itself (header and comments included).
    column : int or None
        The column, counted from 1.
    reason : str
        What is wrong there and which option helps.

    Examples
    --------
    >>> print(LoadError("calls.txt", 20345, 3, "'n/a' is not a float32; try converters="))
    calls.txt, line 20345, column 3: 'n/a' is not a float32; try converters=
    """

    def __init__(self, path: str, line: int | None, column: int | None, reason: str) -> None:
        super().__init__(path, line, column, reason)
        self.path = path
        self.line = line
        self.column = column
        self.reason = reason

    def __str__(self) -> str:
        where = printable(self.path)
        if self.line is not None:
            where += f", line {self.line}"
        if self.column is not None:
            where += f", column {self.column}"
        return f"{where}: {self.reason}"


class LoaderDiedError(ShmkitError):
    """A loader process ended in the middle of a file: killed, crashed, or exited by a reader.

    Attributes
    ----------
    path : str
        The file that this loader process was reading, or the item of `shared_map`.
    exitcode : int
        As in `subprocess.Popen.returncode`: negative for a signal.

    Examples
    --------
    >>> print(LoaderDiedError("calls.txt", -11))
    calls.txt: its loader process was ended by SIGSEGV
    """

    def __init__(self, path: str, exitcode: int) -> None:
        super().__init__(path, exitcode)
        self.path = path
        self.exitcode = exitcode

    def __str__(self) -> str:
        path = printable(self.path)
        if self.exitcode >= 0:
            return (
                f"{path}: its loader process exited with code {self.exitcode}; "
                "a function of yours must return or raise, not exit"
            )
        try:
            name = signal.Signals(-self.exitcode).name
        except ValueError:
            name = f"signal {-self.exitcode}"
        if name == "SIGKILL":
            return (
                f"{path}: its loader process was ended by SIGKILL (the kernel does this when "
                "memory runs out); try fewer processes=, or fewer files at once"
            )
        return f"{path}: its loader process was ended by {name}"


# MemoryError first: it has a __new__ of its own, without which tblib (of Dask) cannot unpickle it.
class NotEnoughMemoryError(MemoryError, ShmkitError):
    """There is no room for the arrays: an error instead of a dead kernel; nothing is left.

    Attributes
    ----------
    need, free, limit : int
        Bytes that the arrays need, bytes that are free, and bytes there are in all.
    where : str
        What was asked: ``"/dev/shm"``, ``"memory"``, or a directory.
    """

    def __init__(self, need: int, free: int, limit: int, where: str) -> None:
        super().__init__(need, free, limit, where)
        self.need = need
        self.free = free
        self.limit = limit
        self.where = where

    def __str__(self) -> str:
        return (
            f"the arrays need {nbytes_text(self.need)}, but {self.where} has "
            f"{nbytes_text(self.free)} free of {nbytes_text(self.limit)}; close arrays that you no "
            "longer need, load fewer files or columns (usecols=), or give backing= a directory on "
            "a disk with room"
        )


class TooManySegmentsError(ShmkitError):
    """More arrays at once than a limit of the system allows. Nothing is left of the attempt.

    Attributes
    ----------
    limit : int
        How many the limit allows, whatever else uses it included.
    setting : str
        ``"RLIMIT_NOFILE"`` (open descriptors of a process: a memfd takes one, and before Python
        3.13 every mapped segment) or ``"vm.max_map_count"`` (mappings of a process).
    """

    def __init__(self, limit: int, setting: str) -> None:
        super().__init__(limit, setting)
        self.limit = limit
        self.setting = setting

    def __str__(self) -> str:
        cure = "sysctl -w vm.max_map_count=1048576, as root"
        if self.setting == "RLIMIT_NOFILE":
            cure = "ulimit -n, before Python starts; or Python 3.13, where arrays need none"
        return (
            f"too many arrays at once: {self.setting} allows {self.limit:,} for the whole process; "
            f"close arrays that you no longer need, load fewer files at once, or raise it ({cure})"
        )


class ClusterError(ShmkitError):
    """A Dask cluster cannot be used: it has no workers, or another shmkit than the client, or none.

    Nothing was loaded. The message says where, and what to type there.
    """


class SegmentError(ShmkitError):
    """Something is wrong with a segment: what lies at its path is not one, or is damaged.

    Attributes
    ----------
    path : str
        The segment's path.
    reason : str
        What is wrong and what to do.
    """

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"{printable(self.path)}: {self.reason}"


class SegmentGoneError(SegmentError):
    """A segment was unlinked before somebody could attach to it, or its arrays were closed."""


class SegmentExistsError(SegmentError):
    """The name that a segment is to be published under leads to another segment."""


class BriefErrors:
    """A block whose OSErrors and ValueErrors IPython shows as it shows a ShmkitError."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if not isinstance(error, OSError | ValueError) or isinstance(error, ShmkitError):
            return
        stack = traceback.extract_stack()
        before = [frame for frame in stack if not frame.filename.startswith(_FOLDER)]
        # As texts, now: what makes them later would hold the error, which would hold it.
        lines = _rendered(error, before[-1] if before else None)
        error._render_traceback_ = functools.partial(list, lines)  # type: ignore[union-attr]


def _rendered(error: Exception, caller: traceback.FrameSummary | None) -> list[str]:
    """The message, the line that called shmkit, and the message with its notes."""
    message = f"\x1b[31m{type(error).__name__}\x1b[0m: {error}"
    call = []
    if caller is not None:
        where = caller.filename if os.path.exists(caller.filename) else "this cell"
        call = [f"{where}, line {caller.lineno}\n----> {caller.lineno} {caller.line}\n"]
    return [message, *call, "\n".join([message, *getattr(error, "__notes__", [])])]


def _call_of_shmkit(error: BaseException) -> traceback.FrameSummary | None:
    """The line of code, outside of shmkit, at which a call of shmkit led to the error."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame.filename.startswith(_FOLDER) for frame in frames]
    before = ours.index(True) - 1 if True in ours else len(frames) - 1
    return frames[before] if before >= 0 else None
