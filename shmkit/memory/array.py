"""The view: a numpy array over a segment, which travels between processes as a reference.

    notebook                                     worker process
    SharedArray ──pickle──▶ path, offset, ──▶    SharedArray
        │                   dtype, shape,            │
        ▼                   strides                  ▼
     mapping ────────────▶ same memory ◀────────── mapping

It is a `numpy.memmap` subclass, so joblib and scikit-learn, which know a memmap by its file name,
pass it on without a copy too.
"""

from __future__ import annotations

import math
import operator
import os
from collections.abc import Sequence
from typing import Any, Literal, Self, SupportsIndex

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from shmkit._categories import names_of
from shmkit._format import nbytes_text
from shmkit._html import array_html
from shmkit.cleanup import published as _published
from shmkit.errors import SegmentError, SegmentGoneError
from shmkit.memory.backing import choose_backing
from shmkit.memory.files import Identity
from shmkit.memory.header import Header
from shmkit.memory.segment import Mapped, Segment, is_worker, segment_nbytes
from shmkit.memory.writer import SegmentWriter

__all__ = ["SharedArray", "attach", "share", "shared_empty", "state_of", "view"]


class SharedArray(np.memmap[Any, np.dtype[Any]]):
    """A numpy array in shared memory; `shared_load`, `share`, `shared_empty`, `attach` make them.

    Slices, fields and transposes of it are views of the same memory; results of arithmetic,
    reductions and copies are plain arrays. Pickling one, as every process pool does with its
    arguments, sends a reference of a few hundred bytes: the worker maps the same memory, and what
    it writes is seen here. Once its segment is unlinked, pickling sends a copy.

    A view stays valid as long as you hold it, also after `close`: closing removes the segment's
    name, and the memory is given back when the last view is gone.

    Attributes
    ----------
    segment : Segment or None
        What it is a view of; None for an array that only looks like one (``np.empty_like(a)``).

    Examples
    --------
    >>> with shared_empty(3, "f4") as a:
    ...     a[:] = [1, 2, 3]
    ...     print(a.sum(), type(a[1:]).__name__, type(a + 1).__name__)
    6.0 SharedArray ndarray
    """

    _mmap: Mapped | None
    offset: Any  # as in numpy.memmap, and None where nothing is mapped
    mode: Any

    def __new__(
        cls,
        mapped: Mapped,
        dtype: DTypeLike,
        shape: tuple[int, ...],
        offset: int,
        strides: tuple[int, ...] | None = None,
        order: Literal["C", "F"] = "C",
    ) -> Self:
        """A view of a mapping; `offset` in bytes from the start of the segment."""
        self = np.ndarray.__new__(cls, shape, dtype, mapped, offset, strides, order)
        self._mmap = mapped
        self.offset = offset
        self.mode = "r+"
        return self

    def __array_finalize__(self, obj: Any) -> None:
        if (
            isinstance(obj, SharedArray)
            and obj._mmap is not None
            and np.may_share_memory(self, obj)
        ):
            self._mmap, self.offset, self.mode = obj._mmap, obj.offset, obj.mode
        else:
            self._mmap, self.offset, self.mode = None, None, None

    def __array_wrap__(
        self, array: NDArray[Any], context: Any = None, return_scalar: bool = False
    ) -> Any:
        if array is self:  # the result of an in-place operation
            return array
        return array[()] if return_scalar else array.view(np.ndarray)

    def __getitem__(self, key: Any) -> Any:
        item = super().__getitem__(key)
        if isinstance(item, SharedArray) and item._mmap is None:  # indexing that copied
            return item.view(np.ndarray)
        return item

    def copy(self, order: Any = "C") -> NDArray[Any]:  # type: ignore[override] # a plain array
        """A plain array with the same data, in this process's own memory."""
        return np.array(self, copy=True, order=order, subok=False)

    def astype(  # type: ignore[override] # numpy's overloads say the same in 30 lines
        self,
        dtype: DTypeLike,
        order: Any = "K",
        casting: Any = "unsafe",
        subok: bool = False,
        copy: bool = True,
    ) -> NDArray[Any]:
        """As `numpy.ndarray.astype`; a plain array."""
        return np.asarray(self).astype(dtype, order, casting, subok, copy)

    @property
    def segment(self) -> Segment | None:
        """The segment behind this view."""
        return None if self._mmap is None else self._mmap.segment

    @property
    def categories(self) -> NDArray[np.str_] | None:
        """The texts that the codes of this field stand for; None if it has no categories.

        Index it with codes: ``categories[field]`` is the text. The codes of all arrays of one load
        agree. Arrays that are not shared keep the names in their dtype alone, where
        ``h5py.check_enum_dtype`` finds them.

        Examples
        --------
        >>> from shmkit import shared_load
        >>> from shmkit.sample import methylation
        >>> with shared_load(methylation("few.txt", rows=1000), categories=["chr"]) as arrays:
        ...     chromosome = arrays[0]["chr"]
        ...     print(chromosome[:2], chromosome.categories[chromosome[:2]])
        [0 0] ['chr1' 'chr1']
        """
        return names_of(self.dtype)

    @property
    def filename(self) -> str | None:  # type: ignore[override] # numpy.memmap's is never gone
        """The segment's path, as long as it is linked: what joblib sends instead of the data."""
        if self.segment is None:
            return None
        if not self.segment.linked:  # joblib would map whatever has this path by now
            raise SegmentGoneError(
                self.segment.path,
                "this segment is unlinked, so its memory cannot be sent; send numpy.array(view), "
                "or keep the arrays open until the workers have finished",
            )
        return self.segment.path

    def close(self) -> None:
        """Unlink the segment: no other process can attach to it from now on.

        This view and every other stay valid; the memory is back when the last of them is gone. In
        a process that only attached, and a second time, it does nothing.
        """
        if self.segment is not None:
            self.segment.unlink()

    def publish(self, name: str) -> None:
        """Give the segment a name by which other processes can `attach` to it.

        The name is good until the segment is unlinked, and for this user alone.

        Parameters
        ----------
        name : str
            Up to 100 letters, digits, ``_``, ``-`` and ``.``.

        Raises
        ------
        SegmentExistsError
            If it leads to another segment already.
        SegmentError
            If this process does not own the segment, or has unlinked it.
        ValueError
            If the name has other characters, or this is not the whole array of its segment.

        Examples
        --------
        >>> import os
        >>> with share([1, 2, 3]) as a:
        ...     a.publish(f"example-{os.getpid()}")
        ...     attach(f"example-{os.getpid()}").tolist()
        [1, 2, 3]
        """
        if self.segment is None or not _same_place(self, view(self.segment)):
            raise ValueError("only the whole array of a segment is published; publish that one")
        self.segment.publish(name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _repr_html_(self) -> str:
        """What and where it is, and its first and last values."""
        summary = [nbytes_text(self.nbytes)]
        if self.segment is not None:
            summary += [state_of(self.segment), self.segment.path]
        return array_html("SharedArray", " · ".join(summary), np.asarray(self))

    def __reduce_ex__(self, protocol: SupportsIndex) -> Any:
        segment = self.segment
        # The segment that a worker made and returns would be gone before its reference arrives.
        fleeting = segment is not None and segment.owned and is_worker()
        if segment is None or fleeting or not segment.linked:
            return np.asarray(self).__reduce_ex__(protocol)
        assert self._mmap is not None
        start = np.frombuffer(self._mmap, np.uint8).__array_interface__["data"][0]
        offset = self.__array_interface__["data"][0] - start
        return _attach_view, (
            segment.path,
            segment.identity,
            offset,
            self.dtype,
            self.shape,
            self.strides,
            self.flags.writeable,
        )

    def __reduce__(self) -> Any:
        return self.__reduce_ex__(2)


def _attach_view(
    path: str,
    identity: Identity,
    offset: int,
    dtype: np.dtype[Any],
    shape: tuple[int, ...],
    strides: tuple[int, ...],
    writeable: bool,
) -> SharedArray:
    mapped = Segment.attach(path, identity).map()
    try:
        array = SharedArray(mapped, dtype, shape, offset, strides)
    except (TypeError, ValueError) as error:
        raise SegmentError(path, f"is smaller than the view that was sent: {error}") from None
    array.flags.writeable = writeable
    return array


def _same_place(a: SharedArray, b: SharedArray) -> bool:
    # Its __array_interface__ also says whether it may be written to, which is of no matter.
    same_memory = a.ctypes.data == b.ctypes.data and a.strides == b.strides
    return same_memory and a.dtype == b.dtype and a.shape == b.shape


def state_of(segment: Segment) -> str:
    """What has become of a segment that was ready, in a word."""
    if segment.linked:
        return "ready"
    return "unlinked" if segment.mapped else "freed"


def view(segment: Segment, header: Header | None = None) -> SharedArray:
    """The whole array in a segment; `header` is that of it, if it was written just now."""
    mapped, (dtype, shape, fortran_order, data_offset) = segment.map(header), segment.header
    return SharedArray(mapped, dtype, shape, data_offset, None, "F" if fortran_order else "C")


def attach(
    path_or_name: str | os.PathLike[str], *, writable: bool = False, any_user: bool = False
) -> SharedArray:
    """The array in a segment of another process or notebook.

    Parameters
    ----------
    path_or_name : path or str
        The segment's path (``array.segment.path``, or what ``shmkit ls`` lists), or the name it was
        given with `SharedArray.publish`.
    writable : bool, default False
        Whether what is written to the array is to change it for its owner too.
    any_user : bool, default False
        Attach also what belongs to another user, or what other users may write to. Whoever may
        write to it can cut it short, and the next look at the array ends this process (SIGBUS).

    Returns
    -------
    SharedArray
        With dtype and shape from the segment. Its memory stays valid as long as you hold it, also
        when the owner closes it or ends. The owner unlinks the segment: closing this array, or
        the end of this process, does nothing to it.

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
    >>> with share([1, 2, 3]) as a:
    ...     b = attach(a.segment.path)
    ...     a[0] = 7
    >>> b
    SharedArray([7, 2, 3])
    """
    text = os.fspath(path_or_name)
    path = os.path.abspath(text) if os.sep in text else _published.published_path(text)
    array = view(Segment.attach(path, any_user=any_user))
    array.flags.writeable = writable
    return array


def shared_empty(
    shape: SupportsIndex | Sequence[SupportsIndex],
    dtype: DTypeLike = float,
    *,
    backing: str | os.PathLike[str] = "auto",
) -> SharedArray:
    """A new array of zeros in shared memory, for workers to fill.

    Parameters
    ----------
    shape : int or sequence of int
    dtype : dtype, default float64
        Anything but Python objects.
    backing : {"auto", "shm", "memfd"} or a directory
        Where the segment lives; see `shared_load`.

    Returns
    -------
    SharedArray
        Also a context manager. The segment is unlinked by ``close()``, at the end of a ``with``
        block, when the last view is gone, or when the interpreter exits, whichever is first.

    Raises
    ------
    NotEnoughMemoryError
        If there is no room. Nothing is left behind.
    TypeError
        If the dtype holds Python objects.

    Examples
    --------
    >>> with shared_empty((2, 3), "i4") as a:
    ...     a += 7
    ...     print(a.sum())
    42
    """
    dtype = np.dtype(dtype)
    lengths = shape if isinstance(shape, Sequence) else [shape]
    shape = tuple(operator.index(length) for length in lengths)
    return _new(dtype, shape, fortran_order=False, backing=backing)


def share(array: ArrayLike, *, backing: str | os.PathLike[str] = "auto") -> SharedArray:
    """Copy an array into a new segment.

    Parameters
    ----------
    array : array_like
        Any shape and dtype but Python objects; a Fortran-ordered array stays so.
    backing : {"auto", "shm", "memfd"} or a directory
        Where the segment lives; see `shared_load`.

    Returns
    -------
    SharedArray
        With the same lifetime as that of `shared_empty`.

    Raises
    ------
    NotEnoughMemoryError
        If there is no room. Nothing is left behind.
    TypeError
        If the array holds Python objects, or is masked.

    Examples
    --------
    >>> import pickle
    >>> with share(range(1_000_000)) as a:
    ...     len(pickle.dumps(a)) < 400, pickle.loads(pickle.dumps(a)).sum() == a.sum()
    (True, np.True_)
    """
    if isinstance(array, np.ma.MaskedArray):
        raise TypeError("a masked array's mask would be lost; share array.filled(...) instead")
    array = np.asarray(array)
    fortran_order = array.flags.f_contiguous and not array.flags.c_contiguous
    shared = _new(array.dtype, array.shape, fortran_order=fortran_order, backing=backing)
    shared[...] = array
    return shared


def _new(
    dtype: np.dtype[Any],
    shape: tuple[int, ...],
    *,
    fortran_order: bool,
    backing: str | os.PathLike[str],
) -> SharedArray:
    if min(shape, default=0) < 0:
        raise ValueError(f"shape {shape} has a negative length")
    need = segment_nbytes(math.prod(shape) * dtype.itemsize)
    segment = Segment.create(choose_backing(backing, need))
    try:
        with SegmentWriter(segment) as writer:
            writer.allocate(dtype, shape, fortran_order=fortran_order)
        return view(segment, writer.header)
    except BaseException:
        segment.unlink()
        raise
