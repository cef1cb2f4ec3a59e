r"""Text to records, where it is sure to do as np.loadtxt does; delimited text to columns.

Not there if it was not compiled. `parse`, `ends` and `code` are of the records. All else is of the
columns, and `shmkit.readers.text.columns` is the way to it.

The text of columns
-------------------
- Bytes of UTF-8. A line ends with ``\n``, before which a ``\r`` is no part of it; ``\r`` alone ends
  none. A line that is empty or blank is no row, nor is one that begins with the comment sign,
  which elsewhere is a character as any other.
- A field that begins with the quotechar goes on to the next one that is not doubled: delimiters and
  line ends inside are text, and two quotechars are one. A quotechar elsewhere is a character as any
  other, and what is behind the closing one is appended: the rules of Python's csv.
- With ``skip_blanks``, blanks behind a delimiter are no part of the field, so that a quote may come
  after them (csv's ``skipinitialspace``). With ``delimiter=None`` fields are between white space:
  blanks and tabs, any number, at the begin and the end of the line too. With ``delimiter="\n"``
  each line is one field.
- Numbers, times and truth may have blanks around them; text keeps its own. Quotes change nothing
  about what a field means: ``"NA"`` is as missing as ``NA``.
- A number is what float() takes but for ``_`` and other scripts' digits: rounded to the nearest
  double, the even one of two; beyond a double's range infinity or zero. With ``decimal=","`` that
  is its point, and ``.`` is no part of a number. float32 is rounded from float64, as by np.loadtxt.
- Truth is ``true`` or ``false`` in any case.
- A time is a date of ISO 8601, ``2024-03-01``, or one with a time of day behind ``T`` or a blank:
  ``12:00``, ``12:00:05``, ``12:00:05.25`` (any digits that are zeros behind the ninth), and then
  perhaps ``Z`` or an offset from UTC, ``+01``, ``+0100`` or ``+01:00``, which is taken off.
- Missing words are compared with the field without blanks around it; those that are numbers are
  compared as such (-9999 is -9999.0, too). Text and categories have none: all of it is text.
"""

import sys
from collections.abc import Sequence

from typing_extensions import Buffer

def code(table: Buffer, name: bytes) -> int:
    """The code of a name in a table of `parse`, a new one if need be; -1 if it does not fit.

    Raises ValueError if the table has not the size of one.
    """

def count(
    text: Buffer,
    start: int,
    stop: int,
    *,
    delimiter: str | None = None,
    quotechar: str | None = '"',
    comment: str | None = None,
) -> tuple[tuple[int, int, int, int], tuple[int, int, int, int], bool]:
    r"""Count the lines of a part of a text, as if it began outside of quotes, and as if inside.

    So parts are counted side by side, and a quoted file can be split anywhere: the first part
    begins outside, and the last result says whether the next one begins on the other side.

    Parameters
    ----------
    text : bytes-like
        The two bytes before `start` are looked at: at the begin of a file, two line ends.
    start, stop : int
        The part.
    delimiter, quotechar, comment
        As for `parse_columns`.

    Returns
    -------
    outside, inside : tuple of int
        If it begins there: how many line ends are outside of quotes; how many lines among these
        are sure to give no row, as they are empty or begin with the comment sign (a line of
        blanks is not counted here); how many quotes are out of place, neither at the begin nor
        the end of a field nor doubled; and where the first such line end is, from `start`, or -1.
        With quotes out of place, or with quotes in comments, nothing else here is sure: such a
        text is read in one part.
    other_side : bool
        Whether the part ends inside of quotes if it begins outside.

    Raises
    ------
    ValueError
        If `start` and `stop` are not in the text, or the signs are not told apart.

    Examples
    --------
    >>> from shmkit.readers.text.parser._parser import count
    >>> count(b'\n\n1,"a\nb"\n\n2,c\n', 2, 15, delimiter=",")
    ((3, 1, 0, 7), (1, 0, 2, 4), False)
    """

def ends(text: Buffer, start: int, stop: int, mark: int) -> tuple[int, int]:
    r"""How many lines end in these bytes of a text, and how many are sure to give no row there.

    A lone ``\r`` ends a line too: what comes behind it shows that, so the two bytes before `start`
    are looked at. No row is in a line that is empty or begins with the byte `mark`.

    Examples
    --------
    >>> from shmkit.readers.text.parser._parser import ends
    >>> ends(b"\n\n1\n\n# two\r\n3\n", 2, 14, ord("#"))
    (4, 2)
    """

def infer(
    text: Buffer,
    fields: int,
    facts: Buffer,
    missing: Buffer | None,
    weak: Buffer | None,
    *,
    delimiter: str | None = None,
    quotechar: str | None = '"',
    comment: str | None = None,
    decimal: str = ".",
    skip_blanks: bool = False,
) -> tuple[int, int, int, int, int, int]:
    r"""What the fields of a sample are, column by column.

    Parameters
    ----------
    text : bytes-like
        Whole lines; a last one without an end is one too.
    fields : int
        How many each line has that is a row.
    facts : writable bytes-like
        Of dtype `columns.FACTS`, one a field; zeros at first. The counts are added.
    missing, weak : bytes-like or None
        Missing words, and those that mean missing where all else is numbers, with ``\n`` between
        them; an empty one is the empty field, which is counted as such in any case.
    delimiter, quotechar, comment, decimal, skip_blanks
        As for `parse_columns`.

    Returns
    -------
    rows, nbytes : int
        That were looked at. Lines inside of a quote that never closes are not.
    ragged, ragged_fields, ragged_start, ragged_stop : int
        Lines with another number of fields, which are no rows; how many the first of these has,
        and its bytes.

    Raises
    ------
    ValueError
        If the facts are not one a field, or the signs are not told apart.
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
        `shmkit.readers.text.rows.codes.TABLE`, zeros at first. A name that is not in it gets
        the next code. A line with one that does not fit is not covered.
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
    >>> from shmkit.readers.text.parser._parser import parse
    >>> text = b"# position and per cent\n10469\t87.5\n10471\tunknown\n"
    >>> array = np.zeros(2, [("pos", "i4"), ("pct", "f4")])
    >>> fields = np.array([[ord("i"), 4, 0, 0, 0], [ord("f"), 4, 4, 1, 0]])
    >>> out = array.view(np.uint8)
    >>> parse(text + bytes(16), 0, len(text), out, 8, fields, delimiter="\t", comments="#")
    (1, 35, 2)
    >>> array[:1]
    array([(10469, 87.5)], dtype=[('pos', '<i4'), ('pct', '<f4')])
    """

def parse_columns(
    data: Buffer,
    start: int,
    stop: int,
    columns: Buffer,
    out: Sequence[Buffer],
    missing: Sequence[Buffer | None],
    tallies: Buffer,
    fields: int,
    *,
    delimiter: str | None = None,
    quotechar: str | None = '"',
    comment: str | None = None,
    decimal: str = ".",
    skip_blanks: bool = False,
    tables: Buffer = ...,
    max_rows: int = sys.maxsize,
) -> tuple[int, int, int, int, int, int]:
    r"""Parse lines of text into columns, up to the first field that does not fit.

    Other threads run meanwhile.

    Parameters
    ----------
    data : bytes-like
        The text, with at least 64 more bytes before `start` and behind `stop`, which may be
        anything. An mmap of the file is as good as a block of it.
    start, stop : int
        Bytes of the data, from the begin of a line. A last line without an end is left.
    columns : bytes-like
        int64 of shape (columns, 6); a row has

        - kind: ``ord`` of the dtype's ``i``, ``u``, ``f``, ``b``, ``M`` or ``S``; of ``w`` for
          whole numbers as float64, where it holds each exactly; of ``C`` for text that becomes a
          code of type uint16
        - width: bytes of a value
        - field: of the line, from 0; several may have the same one
        - unit: of ``M``, by its number in D, s, ms, us, ns
        - guessed: 1 if a whole number that begins with a zero does not fit, in a column of numbers
        - offsets: 1 if all times have an offset from UTC; 0 if none has
    out : sequence of writable bytes-like
        For each column, C-contiguous, in native byte order, from the first value on; all must
        have room for the rows. Values behind the last row may have been begun.
    missing : sequence of bytes-like or None
        For each column, words with ``\n`` between them; an empty one is the empty field. None is
        no words: then an empty field fits nothing but text.
    tallies : writable bytes-like
        int64 of shape (columns, 2): how many values of the column are missing, and how many of
        its texts are not ASCII, are added.
    fields : int
        How many each line has.
    delimiter, quotechar, comment : str or None
        One ASCII character; for `delimiter` None is white space, for the others none. No two are
        the same.
    decimal : str
        ``.`` or ``,``.
    skip_blanks : bool
        Whether blanks behind a delimiter are no part of the field.
    tables : writable bytes-like
        For each column of kind ``C``, in their order, as for `parse`.
    max_rows : int
        Rows to stop after; never more than each of `out` has room for.

    Returns
    -------
    rows : int
        Values that were written to each column.
    nbytes : int
        Bytes of the data, from `start`, that are done: whole lines, up to the begin of the line
        that did not fit, if one did not. Less than all of them, with all fitting, if there was no
        more room, or a line has no end: the rest may be inside of a quote that never closes.
    fit : int
        0, or why a field did not fit, by its number in `columns.Fit`. It is the first one of the
        first such row, but that categories come last.
    column : int
        Its column, by its number in `columns`; of a ragged line, how many fields it has.
    first, last : int
        Its bytes in the data, with its quotes; of a ragged line, the line.

    Raises
    ------
    ValueError
        If something is not inside of its buffer, or of no known kind; or signs are not told apart.
    MemoryError
        If there is none for the ends of the fields of a line.

    Examples
    --------
    >>> import numpy as np
    >>> from shmkit.readers.text.parser._parser import parse_columns
    >>> text = bytes(64) + b"10469;87,5\n10471;NA\n10484;unknown\n" + bytes(64)
    >>> pos, pct = np.zeros(9, "i4"), np.zeros(9, "f8")
    >>> columns = np.array([[ord("i"), 4, 0, 0, 1, 0], [ord("f"), 8, 1, 0, 1, 0]])
    >>> tallies = np.zeros((2, 2), np.int64)
    >>> parse_columns(text, 64, len(text) - 64, columns, [pos, pct], [None, b"\nNA"], tallies, 2,
    ...               delimiter=";", decimal=",")
    (2, 20, 6, 1, 90, 97)
    >>> pos[:2], pct[:2], tallies[:, 0]
    (array([10469, 10471], dtype=int32), array([87.5,  nan]), array([0, 1]))
    """

def split(
    text: Buffer,
    *,
    delimiter: str | None = None,
    quotechar: str | None = '"',
    comment: str | None = None,
    skip_blanks: bool = False,
    max_rows: int = sys.maxsize,
) -> list[list[bytes]]:
    r"""The fields of each line of a sample, without their quotes, for names and messages.

    >>> from shmkit.readers.text.parser._parser import split
    >>> split(b'a,"b, ""c"" d"\n', delimiter=",")
    [[b'a', b'b, "c" d']]
    """

def widths(
    text: Buffer,
    *,
    delimiter: str | None = None,
    quotechar: str | None = '"',
    comment: str | None = None,
    skip_blanks: bool = False,
    max_rows: int = sys.maxsize,
) -> list[int]:
    r"""How many fields each line of a sample has.

    >>> from shmkit.readers.text.parser._parser import widths
    >>> widths(b"a b\n\nc  d e\n")
    [2, 3]
    """
