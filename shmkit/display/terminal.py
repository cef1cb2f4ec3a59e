"""The progress bar of a load in a terminal: one line while it runs, one line that stays.

3 of 12 files:  59%|█████▉    | 1.84G/3.10G [00:04<00:03, 412MB/s]
12 files, 3.10 GB in 7.5 s (412 MB/s), 2 loader processes

And in IPython, when the arrays are closed and their memory is not back, whom to ask:
data1: unlinked, still mapped by a, Out[3]
"""

from __future__ import annotations

import sys

from tqdm import tqdm

from shmkit._format import count_text, counted, nbytes_text, printable, seconds_text
from shmkit._monitor import NoMonitor, Work
from shmkit.display.holders import held_by, shell_variables
from shmkit.loading.board.board import Board
from shmkit.loading.board.record import State

__all__ = ["Bar", "LoadBar"]

_ITEMS = "{desc}: {percentage:3.0f}%|{bar}| [{elapsed}<{remaining}]"
_PATIENCE = 0.5  # seconds that nobody minds waiting


class _Tqdm(tqdm):  # type: ignore[misc] # tqdm publishes no types
    """A bar that follows some work, and is wiped at its end."""

    monitor_interval = 0  # no thread of tqdm's own: the work draws ten times a second

    def __init__(self, work: Work, **options: object) -> None:
        total = work.nbytes_total
        super().__init__(
            total=total, unit="B", unit_scale=True, leave=False, file=sys.stderr, **options
        )

    def follow(self, work: Work) -> None:
        self.total = work.nbytes_total
        self.update(work.nbytes_done - self.n)


class Bar(NoMonitor):
    """A `Monitor` of an export that draws on stderr, for a terminal; nothing of it stays."""

    def begin(self, work: Work) -> None:
        """Draw the bar, if the work is not done in a moment."""
        self._bar = _Tqdm(work, delay=_PATIENCE)

    def update(self, work: Work) -> None:
        """Draw it anew."""
        self._bar.follow(work)

    def end(self, _work: Work) -> None:
        """Wipe it."""
        self._bar.close()


class LoadBar:
    """A `Monitor` of a load that draws on stderr; a line stays, which says what was loaded.

    Parameters
    ----------
    plain
        Without the bar: only the line that stays.

    Examples
    --------
    `shmkit.shared_load` makes one by itself where stderr is a terminal.
    """

    def __init__(self, *, plain: bool = False) -> None:
        self.plain = plain

    def begin(self, board: Board) -> None:
        """Draw the bar."""
        form = {} if board.words.read else {"bar_format": _ITEMS}
        self._bar = _Tqdm(board, desc=_done(board), disable=self.plain, **form)

    def update(self, board: Board) -> None:
        """Draw it anew."""
        self._bar.set_description_str(_done(board), refresh=False)
        self._bar.follow(board)

    def end(self, board: Board) -> None:
        """Wipe the bar; if any file was loaded, say what was."""
        self._bar.close()
        board.refresh()  # a failed load has unlinked what was ready
        ready = board.records["state"] == State.READY
        if not ready.any():
            return  # the error that follows says why
        nbytes, seconds = int(board.records["bytes_done"][ready].sum()), board.ended - board.started
        files = board.words.counted(len(ready)) if ready.all() else _done(board)
        loaders = counted(board.processes, "loader process", "loader processes")
        kinds = {f.segment.backing for f in board.files if f.segment is not None} - {"shm"}
        backing = f", in a {kinds.pop()} each" if kinds else ""
        speed = f"{nbytes_text(nbytes / max(seconds, 1e-3))}/s"
        read = (f", {nbytes_text(nbytes)}", f" ({speed})") if board.words.read else ("", "")
        sys.stderr.write(
            f"{files}{read[0]} in {seconds_text(seconds)}{read[1]}, {loaders}{backing}\n"
        )

    def close(self, board: Board) -> None:
        """Say which of IPython's variables keep memory that could be back."""
        held = held_by({n: file.segment for n, file in enumerate(board.files)}, shell_variables())
        for number, variables in held.items():
            name = printable(board.files[number].name)
            sys.stderr.write(f"{name}: unlinked, still mapped by {', '.join(variables)}\n")


def _done(board: Board) -> str:
    ready = int((board.records["state"] == State.READY).sum())
    return f"{count_text(ready)} of {board.words.counted(len(board.files))}"
