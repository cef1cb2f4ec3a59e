"""Text to records, where it is sure to do as np.loadtxt does; not there if it was not compiled."""

import sys

from typing_extensions import Buffer

def code(table: Buffer, name: bytes) -> int:
    """The code of a name in a table of `parse`, a new one if need be; -1 if it does not fit.

    Raises ValueError if the table has not the size of one.
    """

def ends(text: Buffer, start: int, stop: int, mark: int) -> tuple[int, int]:
    r"""How many lines end in these bytes of a text, and how many are sure to give no row there.

    A lone ``\r`` ends a line too: what comes behind it shows that, so the two bytes before `start`
    are looked at. No row is in a line that is empty or begins with the byte `mark`.

    Examples
    --------
    >>> from shmkit.readers.text._parser import ends
    >>> ends(b"\n\n1\n\n# two\r\n3\n", 2, 14, ord("#"))
    (4, 2)
    """

def parse(
    data: Buffer,
    start: int,
    stop: int,
    out: Buffer,
    itemsize: int,
    fields: Buffer,
    *,
    delimiter: str | None = None,
    comments: str | None = None,
    quotechar: str | None = None,
    columns: int = -1,
    utf8: bool = False,
    tables: Buffer = ...,
    max_rows: int = sys.maxsize,
) -> tuple[int, int, int]:
    r"""Parse lines of text into records, up to the first line that is not covered.

    That a line is not covered says nothing about it: np.loadtxt, given that line and the lines
    after it, gives the values or the error. A row is only ever what np.loadtxt makes of the line.

    Parameters
    ----------
    data : bytes-like
        The text, without a byte order mark, in an encoding in which ASCII bytes are always ASCII
        characters (UTF-8, Latin-1). An mmap of the file is as good as a block of it.
    start, stop : int
        Bytes of the data: whole lines. Behind them are at least 16 more, which may be anything.
    out : writable bytes-like
        C-contiguous, records of `itemsize` bytes, for example ``array.view(np.uint8)``. Bytes of
        a record that belong to no field are left alone. Records after the last row may have been
        begun.
    itemsize : int
        Bytes of a record.
    fields : bytes-like
        int64 of shape (fields, 5), sorted by column; a row has

        - kind: ``ord`` of the dtype's ``i``, ``u``, ``f``, ``b``, ``S`` or ``U``; of ``C`` for
          text that becomes a code of type uint16
        - width: bytes in the record
        - offset: in the record
        - column: of the file, from 0; if two fields have the same one, nothing is covered
        - swapped: 1 if the byte order is not native

        They must not change meanwhile.
    delimiter, comments, quotechar : str or None
        As for np.loadtxt: ``delimiter=None`` is white space, and the others' None is none.
        With text of other than one character, or a character that can be part of a number,
        nothing is covered. Neither is a line with a field that begins with `quotechar`, or one
        without a line end.
    columns : int
        How many columns a line must have to be covered; -1 for any number with those of `fields`.
    utf8 : bool
        Whether the text is UTF-8. Otherwise only ASCII lines are covered. In either case a field
        of kind ``S`` is ASCII.
    tables : writable bytes-like
        For each field of kind ``C``, in their order, the names that have a code; of the dtype
        `shmkit.readers.text.codes.TABLE`, zeros at first. A name that is not in it gets the next
        code. A line with one that does not fit is not covered.
    max_rows : int
        Rows to stop after; never more than `out` has room for.

    Returns
    -------
    rows : int
        Records that were filled.
    nbytes : int
        Bytes of the data, from `start`, that are done: whole lines.
    lines : int
        Lines in these bytes; empty lines and comments are lines but not rows.

    Raises
    ------
    ValueError
        If `start`, `stop` or the fields are not inside of the buffers, or a table is missing.

    Examples
    --------
    >>> import numpy as np
    >>> from shmkit.readers.text._parser import parse
    >>> text = b"# position and per cent\n10469\t87.5\n10471\tunknown\n"
    >>> array = np.zeros(2, [("pos", "i4"), ("pct", "f4")])
    >>> fields = np.array([[ord("i"), 4, 0, 0, 0], [ord("f"), 4, 4, 1, 0]])
    >>> out = array.view(np.uint8)
    >>> parse(text + bytes(16), 0, len(text), out, 8, fields, delimiter="\t", comments="#")
    (1, 35, 2)
    >>> array[:1]
    array([(10469, 87.5)], dtype=[('pos', '<i4'), ('pct', '<f4')])
    """
