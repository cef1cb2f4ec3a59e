"""Attaching to what another process shares: an array or a table, as the segment says."""

from __future__ import annotations

import os

from shmkit.cleanup.published import published_path
from shmkit.errors import BriefErrors
from shmkit.segments.section import attached
from shmkit.views.array import SharedArray
from shmkit.views.of_segment import view_of
from shmkit.views.table import SharedTable
from shmkit.views.text import SharedText

__all__ = ["attach"]


def attach(
    path_or_name: str | os.PathLike[str], *, writable: bool = False, any_user: bool = False
) -> SharedArray | SharedText | SharedTable:
    """The array, the text or the table in a segment of another process or notebook.

    Parameters
    ----------
    path_or_name : path or str
        The segment's path (``array.segment.path``, or what ``shmkit ls`` lists), or the name it was
        given with `SharedArray.publish`.
    writable : bool, default False
        Whether what is written to it is to change it for its owner too. Without it, nothing
        can be written: neither with other flags, nor by other libraries.

    any_user : bool, default False
        Whether it may be another user's.

    Returns
    -------
    SharedArray, SharedText or SharedTable
        With dtype and shape, or columns, from the segment. Its memory stays valid as long as you
        hold it, also when the owner closes it or ends. The owner unlinks the segment: in any other
        process, closing it, or the end of that process, does nothing to it. In the owner's own,
        closing it is closing the owner's array.

    Raises
    ------
    SegmentGoneError
        If there is no segment (any more) at this path, or under this name.
    SegmentError
        If what is there is not a segment, is damaged, may not be opened, or is another user's
        (see `any_user`). Nothing in it was run.
    ValueError
        If it is neither a path nor a name: a path has a ``/`` in it.

    Examples
    --------
    >>> from shmkit import share
    >>> with share([1, 2, 3]) as a:
    ...     b = attach(a.segment.path)
    ...     a[0] = 7
    >>> b
    SharedArray([7, 2, 3])
    """
    with BriefErrors():
        text = os.path.expanduser(path_or_name)
        path = os.path.abspath(text) if os.sep in text else published_path(text)
        return view_of(attached(path, any_user=any_user), writable=writable)
