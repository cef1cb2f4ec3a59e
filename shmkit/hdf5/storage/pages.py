"""Pages of a file that change together, also where the process is killed meanwhile.

    this process                               another one, in a session of its own
    old pages, new pages ──all, by a pipe──▶ reads to the end ──▶ pwrite, pwrite, … ──▶ ends
                         ◀──────────── 0, or the number of the error ──────────────┘

1. The other process gets the descriptor of the file, and with it the lock that HDF5's readers
   respect.
2. It reads what is to be written. If less comes than was said, this process was killed, and nothing
   is written.
3. It writes. Whoever kills this process now, alone or with its group, does not stop that.

What does not work: to write the pages here. Linux stops a process that is killed between two pages,
and a busy machine gives that moment milliseconds: so a file was seen with a name in one page whose
text was to be in another.
"""

from __future__ import annotations

import errno
import os
import struct
import sys
from collections.abc import Iterable

from shmkit._descriptors import above_standard
from shmkit.cleanup.guard import python_options

__all__ = ["put", "serve"]

_LENGTH = struct.Struct("<Q")  # of all that follows
_PAGE = struct.Struct("<QQ")  # where it starts, how long it is
_CODE = """
import sys
sys.path.append(sys.argv[1])
from shmkit.hdf5.storage.pages import serve
serve(int(sys.argv[2]))
"""


def put(file: int, pages: Iterable[tuple[bytes, int]]) -> None:
    """Write each of the pages where it starts: all, or none if this process is killed before.

    Raises OSError if some cannot be written; the others have been.
    """
    import subprocess  # noqa: PLC0415 - the process that writes imports this module too

    data = b"".join(_PAGE.pack(start, len(page)) + page for page, start in pages)
    folder = os.path.abspath(os.path.join(os.path.dirname(__file__), *[".."] * 3))  # of shmkit
    with above_standard():
        process = subprocess.Popen(
            [
                *(sys.executable, *python_options(), "-I", "-S", "-c", _CODE),
                *(folder, str(file)),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            pass_fds=[file],
            cwd="/",
            start_new_session=True,
        )
    answer, _ = process.communicate(_LENGTH.pack(len(data)) + data)
    if not answer:
        raise OSError(errno.EIO, "the process that writes its pages was killed")
    if error := int(answer):
        raise OSError(error, os.strerror(error))


def serve(file: int) -> None:
    """The other process: write what standard input says, and print the number of the error."""
    data = memoryview(sys.stdin.buffer.read())
    if len(data) < _LENGTH.size or _LENGTH.unpack_from(data)[0] != len(data) - _LENGTH.size:
        return
    at, error = _LENGTH.size, 0
    while at < len(data):
        start, count = _PAGE.unpack_from(data, at)
        at += _PAGE.size
        try:
            _write(file, data[at : at + count], start)
        except OSError as found:  # the others are written all the same: they may be the old ones
            error = error or found.errno or errno.EIO
        at += count
    sys.stdout.write(str(error))


def _write(file: int, data: memoryview, start: int) -> None:
    while data:
        count = os.pwrite(file, data, start)
        data, start = data[count:], start + count
