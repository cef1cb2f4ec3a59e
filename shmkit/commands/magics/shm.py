"""The ``%shm`` line magic: the shared memory of this machine, and who holds it.

%shm         ──▶ the segments, with the variables of this notebook that hold each
%shm gc      ──▶ removes what killed processes left
%shm forget  ──▶ has IPython forget the arrays that it keeps as the values of cells
"""

from __future__ import annotations

from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell
from IPython.core.magic import Magics, line_magic, magics_class

from shmkit._format import counted
from shmkit.display.holders import forget_outputs
from shmkit.display.listing import Listing, list_segments, remove_left

__all__ = ["register", "unregister"]


@magics_class
class _SharedMemoryMagics(Magics):
    @line_magic
    def shm(self, line: str) -> Listing | None:
        """Show the shared memory of this machine that shmkit knows of.

        %shm shows a table of segments: this notebook's and the variables that hold them, those of
        other processes, and those that killed processes left; and what room there is. %shm gc
        removes those that killed processes left. %shm forget has IPython forget the arrays that
        cells have shown as their value, which Out and _ keep.
        """
        assert self.shell is not None
        if line.strip() == "gc":
            removed, summary = remove_left()
            print(*removed, summary, sep="\n")  # noqa: T201 - what was asked for
            return None
        if line.strip() == "forget":
            forgotten = counted(forget_outputs(self.shell), "output", "outputs")
            print(f"forgot {forgotten}")  # noqa: T201 - what was asked for
            return None
        if line.strip():
            raise UsageError(f"%shm {line.strip()}: there are %shm, %shm gc and %shm forget")
        return list_segments(variables=self.shell.user_ns)


def register(shell: InteractiveShell) -> None:
    """Make the magic known to a shell; a second time is fine."""
    shell.register_magics(_SharedMemoryMagics)


def unregister(shell: InteractiveShell) -> None:
    """Undo `register`."""
    shell.magics_manager.magics["line"].pop("shm", None)
