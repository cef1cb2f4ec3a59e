"""A reference: what a message holds in place of a view, from which its receiver makes that view.

    sender                              message                          receiver
    view ──▶ sent(view) ──▶ path, identity, offset, dtype, ──▶ received() ──▶ view
      │                     shape, strides; a lease                             │
      ▼                                                                         ▼
    mapping ──────────────────────▶ same memory ◀──────────────────────── mapping

The identity tells the segment from a file that has its path later. The offset is that of the first
element, so strides may be negative or 0. A dtype that the segment's header has, as a whole or as
one of its fields, is sent as the names that lead to it: with 50 fields, or 20,000 categories, it
would be most of the message. A read-only view is mapped read-only.

A message goes by `sent` and `received`, with a lease, and `received` raises nothing (see
`shmkit.pools`, which also says which messages). `Reference` alone is for those who know what they
do.
"""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shmkit.errors import SegmentError, SegmentGoneError, ShmkitError
from shmkit.pools import lease as _lease
from shmkit.pools.gone import GoneArray
from shmkit.pools.lease import Lease
from shmkit.segments.files import Identity
from shmkit.segments.image.layout import as_rows
from shmkit.segments.mapping import Mapped, SectionMemory, mapping_of
from shmkit.segments.sealed import changed
from shmkit.segments.section import attached, referred
from shmkit.segments.segment import is_worker

if TYPE_CHECKING:
    from shmkit.segments.segment import Segment
    from shmkit.views.array import SharedArray

__all__ = ["Reference", "received", "received_plain", "reference_to", "sent", "sent_by"]

Way = Callable[["Reference", "Segment"], tuple[Any, ...]]
_way = contextvars.ContextVar[Way | None]("how references go, if not to a pool", default=None)


class Reference(NamedTuple):
    """What stands for a view in another process of this machine; `SharedArray.reference` makes it.

    It is a few hundred bytes however it is pickled, and does not keep the array: that is there as
    long as somebody holds it.

    Attributes
    ----------
    path : str
        The segment's path.
    identity : tuple of int
        The segment's device and inode.
    offset : int
        Bytes from the start of the segment to the view's first element.
    dtype : dtype or tuple of str
        The view's dtype, or the names of fields that lead to it in the segment's own.
    shape, strides : tuple of int
        Those of the view; strides in bytes.
    writable : bool
        Whether `attach` gives an array that may be written to.

    Examples
    --------
    >>> import pickle
    >>> from shmkit import share
    >>> with share(range(1_000_000)) as a:
    ...     message = pickle.dumps(a.reference())
    ...     len(message) < 400, pickle.loads(message).attach().sum() == a.sum()
    (True, np.True_)
    """

    path: str
    identity: Identity
    offset: int
    dtype: np.dtype[Any] | tuple[str, ...]
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    writable: bool

    def attach(self) -> SharedArray:
        """The view, over the same memory.

        Returns
        -------
        SharedArray
            Its memory stays valid as long as you hold it.

        Raises
        ------
        SegmentGoneError
            If the array was closed, no variable held it any more, or the process that made it has
            ended.
        SegmentError
            If what is at its path is damaged.
        """
        segment = attached(self.path, self.identity)
        return self.view(segment.map(writable=self.writable))

    def view(self, mapped: Mapped | SectionMemory) -> SharedArray:
        """The view of this mapping of its segment."""
        from shmkit.views.array import SharedArray  # noqa: PLC0415 - it stands on this module

        try:
            header = mapped.segment.whole.header
            dtype = header.dtype if isinstance(self.dtype, tuple) else self.dtype
            if isinstance(self.dtype, tuple) and self.dtype:
                dtype, _ = as_rows(dtype, header.shape)
                for name in self.dtype:
                    dtype = dtype[name]
            return SharedArray(mapped, dtype, self.shape, self.offset, self.strides)
        except (KeyError, TypeError, ValueError) as error:
            raise SegmentError(
                self.path, f"is another array than the one that was sent: {error}"
            ) from None


def reference_to(
    array: NDArray[Any], mapped: Mapped | SectionMemory, *, writable: bool
) -> Reference:
    """The reference to an array that stands on this mapping."""
    segment = mapped.segment
    start = np.frombuffer(mapped, np.uint8).__array_interface__["data"][0]
    offset = array.__array_interface__["data"][0] - start
    header = segment.whole.header
    whole: np.dtype[Any] = header.dtype
    if array.dtype is not whole:
        whole, _ = as_rows(whole, header.shape)
    dtype = _fields_to(array.dtype, whole)
    place = segment.path, segment.identity, offset
    writable = writable and not segment.sealed  # what another process writes there would be lost
    return Reference(*place, dtype, array.shape, array.strides, writable)


def _fields_to(dtype: np.dtype[Any], whole: np.dtype[Any]) -> np.dtype[Any] | tuple[str, ...]:
    """The names of fields that lead to a long dtype in another; itself if it is short, or none."""
    if dtype.names is None and dtype.metadata is None:
        return dtype
    if dtype is whole:
        return ()
    for name in whole.names or ():
        inner = _fields_to(dtype, whole[name])
        if isinstance(inner, tuple):
            return (name, *inner)
    return dtype


@contextlib.contextmanager
def sent_by(way: Way) -> Iterator[None]:
    """In this block `sent` asks `way` how a reference goes, for who has another way than pools.

    Its messages arrive, or are sent again: a worker's own arrays go by reference there as well.
    """
    token = _way.set(way)
    try:
        yield
    finally:
        _way.reset(token)


def sent(array: NDArray[Any], *, plain: bool = False) -> tuple[Any, ...] | None:
    """How a pickler sends a view as a reference, as `object.__reduce__` says it; None if it cannot.

    It cannot if the array is in no segment, or in one that is unlinked, or that is sealed and was
    written to here. What a worker has made and
    returns is data too: its memory may end with the worker before anybody has taken it. A `plain`
    one arrives as a plain array, read-only.
    """
    mapped = mapping_of(array)
    way = _way.get()
    if mapped is None or (way is None and mapped.segment.owned and is_worker()):
        return None
    if isinstance(mapped, Mapped) and mapped.segment.sealed and changed(mapped):
        return None
    reference = reference_to(array, mapped, writable=array.flags.writeable and not plain)
    if not 0 <= reference.offset <= len(mapped):  # the chain of bases led somewhere else
        return None
    whole = mapped.segment.whole
    if way is not None:  # for a segment as a whole; of a section, the values are sent
        is_sent = mapped.segment is whole and whole.linked
        return way(reference, whole) if is_sent else None
    if mapped.segment is not whole and not mapped.segment.linked:  # others keep the name
        return None
    # In this order: an executor pickles in a thread, while a ``with`` block ends in another.
    lease = _lease.give(whole)
    if lease is None and not whole.linked:
        return None
    return received_plain if plain else received, (reference, lease)


def received(reference: Reference, lease: Lease | None) -> SharedArray | GoneArray:
    """The view that was sent; in its place, if it is gone, an object that says so when used."""
    try:
        return reference.view(_received(reference, lease))
    except (ShmkitError, OSError) as error:
        return GoneArray(error)
    finally:
        if lease is not None:
            _lease.end(lease)


def _received(reference: Reference, lease: Lease | None) -> Mapped | SectionMemory:
    """The segment's memory: what this process has of it, or by the lease, or by its own name."""
    segment = referred(reference.path, reference.identity)
    if lease is not None:
        with contextlib.suppress(SegmentGoneError):  # it has ended, or this is its second use
            return segment.map(writable=reference.writable, name=lease.path)
    return segment.map(writable=reference.writable)


def received_plain(reference: Reference, lease: Lease | None) -> NDArray[Any] | GoneArray:
    """As `received`; a plain array, as it was sent."""
    array = received(reference, lease)
    return array if isinstance(array, GoneArray) else np.asarray(array)
