"""The ``%shm`` line magic: the shared memory of this machine, and who holds it.

%shm      ──▶ the table of `shmkit ls`, with the variables of this notebook that hold each segment
%shm gc   ──▶ removes what killed processes left
"""

from __future__ import annotations

from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell
from IPython.core.magic import Magics, line_magic, magics_class

from shmkit.display.listing import Listing, list_segments, remove_left

__all__ = ["register", "unregister"]


@magics_class
class _SharedMemoryMagics(Magics):
    @line_magic
    def shm(self, line: str) -> Listing | None:
        """Show the shared memory of this machine that shmkit knows of.

        %shm shows a table of segments: this notebook's and the variables that hold them, those of
        other processes, and those that killed processes left; and what room there is. %shm gc
        removes those that killed processes left.
        """
        assert self.shell is not None
        if line.strip() == "gc":
            removed, summary = remove_left()
            print(*removed, summary, sep="\n")  # noqa: T201 - what was asked for
            return None
        if line.strip():
            raise UsageError(f"%shm {line.strip()}: there are %shm and %shm gc")
        return list_segments(variables=self.shell.user_ns)


def register(shell: InteractiveShell) -> None:
    """Make the magic known to a shell; a second time is fine."""
    shell.register_magics(_SharedMemoryMagics)


def unregister(shell: InteractiveShell) -> None:
    """Undo `register`."""
    shell.magics_manager.magics["line"].pop("shm", None)
