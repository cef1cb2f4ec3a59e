"""Names that tests give, of segments and such as lead to one; and images that they put there."""

from __future__ import annotations

import os
from pathlib import Path

from shmkit.cleanup.owner import this_process

NAME = f"test-{os.getpid()}"  # names are the user's, so other runs of the suite see them


def published() -> list[str]:
    """The links of `NAME`, and of others that begin as it does."""
    return [name for name in os.listdir("/dev/shm") if name.startswith("shmkit.") and NAME in name]


def planted(folder: Path, content: bytes) -> str:
    """The path of a file that has the name of a segment of this process."""
    path = folder / f"shmkit-{this_process()}-1000000.npy"
    path.unlink(missing_ok=True)  # what is mapped may not be cut short
    path.write_bytes(content)
    return str(path)


def image(
    descr: object, shape: object, behind: bytes = b"", *, fortran_order: object = False
) -> bytes:
    """A segment with any header: a text for what is not a Python value."""
    fields = {"descr": descr, "fortran_order": fortran_order, "shape": shape}
    text = "{" + ", ".join(f"{key!r}: {value}" for key, value in fields.items()) + "}"
    encoded = text.encode()
    return b"\x93NUMPY\x03\x00" + len(encoded).to_bytes(4, "little") + encoded + behind
