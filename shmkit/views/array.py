"""The view: a numpy array over a segment.

    a = share(x)      a[1:], a.T, a["pct"]       np.asarray(a), pd.DataFrame(a, copy=False)
    SharedArray ◀─────── SharedArray ◀────────── numpy.ndarray
         │ base               base                    base
         ▼
      mapping ──▶ segment

An array shares the segment's memory if the chain of its bases ends in the segment's mapping. So a
view needs no attribute of its own, and costs what a view of any numpy array costs.

What shares the memory is a `SharedArray`, but for those who ask for a plain array; what does not is
a plain one. numpy gives a copy the type of the array it was made from, and some views another one:
each such result is looked at (`_honest`), be it of a method, of a function, or of indexing.
"""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, Self, SupportsIndex

import numpy as np
from numpy.typing import DTypeLike, NDArray

from shmkit._categories import compared, names_of
from shmkit._format import nbytes_text
from shmkit._html import array_html
from shmkit._text_dtype import is_text
from shmkit.errors import BriefErrors, SegmentGoneError
from shmkit.pools import reducers
from shmkit.segments.backing import choose_backing
from shmkit.segments.image.header import Header
from shmkit.segments.mapping import Mapped, SectionMemory, mapping_of
from shmkit.segments.segment import Segment, segment_nbytes
from shmkit.segments.writer import SegmentWriter
from shmkit.views.reference import Reference, reference_to, sent

if TYPE_CHECKING:
    from shmkit.views.of_segment import Sources

__all__ = ["SharedArray", "new_array", "state_of", "view"]


class SharedArray(np.ndarray[Any, np.dtype[Any]]):
    """A numpy array in shared memory; `shared_load`, `share`, `shared_empty`, `attach` make them.

    What shares its memory (slices, fields, transposes, ``np.broadcast_to(a, ...)``) is a
    SharedArray too; what does not (results of arithmetic, copies) is a plain array, and so is
    ``np.asarray(a)``.

    To another process of this machine, through a pool or a queue of multiprocessing, an executor,
    loky or joblib, it goes as a reference of a few hundred bytes: the worker maps the same memory,
    and what it writes is seen here. If that is not wanted, send ``a.readonly()``. Everywhere else,
    ``pickle.dump`` to a file for example, it goes as data, as any array does, and once its segment
    is unlinked, always.

    A view stays valid as long as you hold it, also after `close`: closing removes the segment's
    name, and the memory is given back when the last view is gone.

    Attributes
    ----------
    segment : Segment or None
        What it is a view of; None for ``np.array(a, subok=True)``, which is a copy.

    Examples
    --------
    >>> from shmkit import shared_empty
    >>> with shared_empty(3, "f4") as a:
    ...     a[:] = [1, 2, 3]
    ...     print(a.sum(), type(a[1:]).__name__, type(a + 1).__name__)
    6.0 SharedArray ndarray
    """

    def __new__(
        cls,
        mapped: Mapped | SectionMemory,
        dtype: DTypeLike,
        shape: tuple[int, ...],
        offset: int,
        strides: tuple[int, ...] | None = None,
        order: Literal["C", "F"] = "C",
    ) -> Self:
        """A view of a mapping; `offset` in bytes from the start of the segment."""
        return np.ndarray.__new__(cls, shape, dtype, mapped, offset, strides, order)

    def __array_wrap__(
        self, array: NDArray[Any], context: Any = None, return_scalar: bool = False
    ) -> Any:
        if array is self:  # the result of an in-place operation
            return array
        return array[()] if return_scalar else _honest(array)

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        return _honest(super().__array_function__(func, types, args, kwargs))

    def __getitem__(self, key: Any) -> Any:
        item = super().__getitem__(key)
        if isinstance(item, SharedArray) and mapping_of(item) is None:  # indexing that copied
            return item.view(np.ndarray)
        if isinstance(key, str) and is_text(item.dtype):
            from shmkit.views.text import SharedText  # noqa: PLC0415 - it stands on this module

            return SharedText(item)
        return item

    @property
    def flat(self) -> Any:
        """As `numpy.ndarray.flat`; parts of it are copies, and so plain arrays."""
        return np.asarray(self).flat

    @flat.setter
    def flat(self, values: Any) -> None:
        np.asarray(self).flat = values  # type: ignore[misc] # numpy's types have no setter

    def copy(self, order: Any = "C") -> NDArray[Any]:  # type: ignore[override] # a plain array
        """A plain array with the same data, in this process's own memory."""
        return np.array(self, copy=True, order=order, subok=False)

    def __copy__(self) -> NDArray[Any]:  # type: ignore[override] # as copy()
        return self.copy("K")

    def __deepcopy__(self, memo: Any) -> NDArray[Any]:  # type: ignore[override] # as copy()
        return self.copy("K")

    @property
    def segment(self) -> Segment | None:
        """The segment behind this view."""
        mapped = mapping_of(self)
        return None if mapped is None else mapped.segment

    def readonly(self) -> SharedArray:
        """A view that may not be written to, here by its flag, and in workers by the processor.

        Whatever a worker does with it, also through ctypes or another library, cannot change the
        memory.

        Examples
        --------
        >>> from shmkit import share
        >>> with share([1, 2, 3]) as a:
        ...     a.readonly().flags.writeable, a.flags.writeable
        (False, True)
        """
        view = self.view()
        view.flags.writeable = False
        return view

    def reference(self) -> Reference:
        """What stands for this view in another process of this machine: ``.attach()`` gives it.

        For ways between processes that send arrays as data: Ray, ipyparallel, a file that two
        notebooks share. It does not keep the array; who attaches finds it as long as somebody
        holds it.

        Raises
        ------
        SegmentGoneError
            If the segment is unlinked: no other process can attach to it any more.
        SegmentError
            If it came from the cache, and was written to here: others would not see that.

        Examples
        --------
        >>> from shmkit import share
        >>> with share([1, 2, 3]) as a:
        ...     a[1:].reference().attach()
        SharedArray([2, 3])
        """
        mapped = mapping_of(self)
        if mapped is None or not mapped.segment.linked:
            raise SegmentGoneError(
                repr(self) if mapped is None else mapped.segment.path,
                "nobody can attach to this array any more, as it was closed; make the reference "
                "before, or send numpy.array(a)",
            )
        mapped.segment.check_unchanged()
        return reference_to(self, mapped, writable=self.flags.writeable)

    @property
    def attrs(self) -> dict[str, Any]:
        """What the file said of the array that this is a view of: a copy of its attributes.

        Text is `str`, or an array of them; numbers are as numpy has them.

        Examples
        --------
        >>> import os, tempfile, h5py
        >>> from shmkit import shared_load
        >>> path = os.path.join(tempfile.mkdtemp(), "t.h5")
        >>> with h5py.File(path, "w") as file:
        ...     file["t"] = [273.15]
        ...     file["t"].attrs["units"] = "K"
        >>> with shared_load(path) as (t,):
        ...     t.attrs
        {'units': 'K'}
        """
        return {} if self.segment is None else dict(self.segment.header.attrs)

    @property
    def categories(self) -> NDArray[np.str_] | None:
        """The texts that the codes of this field stand for; None if it has no categories.

        Index it with codes: ``categories[field]`` is the text. Comparing the field with a `str`
        compares texts. The codes of all arrays of one load
        agree. Arrays that are not shared keep the names in their dtype alone, where
        ``h5py.check_enum_dtype`` finds them.

        Examples
        --------
        >>> from shmkit import shared_load
        >>> from shmkit.sample import METHYLATION, methylation
        >>> path = methylation("few.txt", rows=1000)
        >>> options = {"dtype": METHYLATION, "skiprows": 1, "categories": ["chr"]}
        >>> with shared_load(path, **options) as arrays:
        ...     chromosome = arrays[0]["chr"]
        ...     print(chromosome[:2], chromosome.categories[chromosome[:2]])
        [0 0] ['chr1' 'chr1']
        """
        return names_of(self.dtype)

    @property
    def sources(self) -> Sources:
        """The files whose rows these are, if ``shared_load(files, concat=True)`` loaded them.

        ``a.sources["data1"]`` is a view of the rows of that file, ``a.sources.files`` says the
        name, the path, start and stop of each, ``a.sources.failures`` what could not be loaded.
        Of a view it is what the whole array has, in the process that loaded it; else it is empty.
        """
        from shmkit.views.of_segment import Sources  # noqa: PLC0415 - which imports this module

        return Sources(self.segment)

    def close(self) -> None:
        """Unlink the segment: no other process can attach to it from now on.

        This view and every other stay valid; the memory is back when the last of them is gone. Of
        small files of one load, whose arrays share a segment, each is closed for itself, and the
        name goes with the last: until then a reference that was sent before still arrives. In a
        process that only attached, and a second time, it does nothing.
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
        >>> from shmkit import attach, share
        >>> with share([1, 2, 3]) as a:
        ...     a.publish(f"example-{os.getpid()}")
        ...     attach(f"example-{os.getpid()}").tolist()
        [1, 2, 3]
        """
        with BriefErrors():
            mapped = mapping_of(self)
            if mapped is None or not _same_place(self, _whole(mapped)):
                raise ValueError("only the whole array of a segment is published; publish that one")
            mapped.segment.publish(name)

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

    def __arrow_c_array__(self, requested_schema: object = None) -> tuple[object, object]:
        from shmkit.views.frames import (  # noqa: PLC0415 - only for those who hand it over
            arrow,
            capsule,
        )

        del requested_schema  # the library casts what it gets
        return capsule.array_capsules(arrow.arrow_column(self))

    def __eq__(self, other: object) -> Any:
        by_text = compared(np.equal, self, other)
        return super().__eq__(other) if by_text is None else by_text

    def __ne__(self, other: object) -> Any:
        by_text = compared(np.not_equal, self, other)
        return super().__ne__(other) if by_text is None else by_text

    def __lt__(self, other: Any) -> Any:
        by_text = compared(np.less, self, other)
        return super().__lt__(other) if by_text is None else by_text

    def __le__(self, other: Any) -> Any:
        by_text = compared(np.less_equal, self, other)
        return super().__le__(other) if by_text is None else by_text

    def __gt__(self, other: Any) -> Any:
        by_text = compared(np.greater, self, other)
        return super().__gt__(other) if by_text is None else by_text

    def __ge__(self, other: Any) -> Any:
        by_text = compared(np.greater_equal, self, other)
        return super().__ge__(other) if by_text is None else by_text

    __hash__ = None  # as numpy.ndarray's

    def __reduce_ex__(self, protocol: SupportsIndex) -> tuple[Any, ...]:
        # The data: the pickler takes a plain array as it takes any, joblib.dump to be mapped again.
        return np.asarray, (np.asarray(self),)

    def __reduce__(self) -> tuple[Any, ...]:
        return self.__reduce_ex__(2)


def _reduced(array: SharedArray) -> tuple[Any, ...]:
    """How a pool pickles it."""
    return sent(array) or array.__reduce__()


reducers.register(SharedArray, _reduced)
reducers.register_large(np.ndarray, functools.partial(sent, plain=True))


def _honest(result: Any) -> Any:
    """The result of a function or a method; its arrays are shared ones if their memory is."""
    if isinstance(result, np.ndarray):
        if result.base is None and type(result) is np.ndarray:  # nearly always
            return result
        shared = mapping_of(result) is not None
        if shared and type(result) is np.ndarray:
            return result.view(SharedArray)
        if not shared and type(result) is SharedArray:
            return result.view(np.ndarray)
    elif type(result) in (list, tuple):
        return type(result)(map(_honest, result))
    return result


def _with_honest_result(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def honest(*arguments: Any, **options: Any) -> Any:
        return _honest(method(*arguments, **options))

    honest.__doc__ = f"As `numpy.ndarray.{method.__name__}`."  # numpy's has examples of its own
    return honest


# Methods that may copy, and give the copy the type of the array.
for _name in (
    *("argpartition", "argsort", "astype", "byteswap", "choose", "clip", "compress", "conj"),
    *("conjugate", "cumprod", "cumsum", "diagonal", "dot", "flatten", "ravel", "repeat"),
    *("reshape", "round", "searchsorted", "take", "trace"),
):
    setattr(SharedArray, _name, _with_honest_result(getattr(np.ndarray, _name)))


def _same_place(a: SharedArray, b: SharedArray) -> bool:
    # Its __array_interface__ also says whether it may be written to, which is of no matter.
    same_memory = a.ctypes.data == b.ctypes.data and a.strides == b.strides
    return same_memory and a.dtype == b.dtype and a.shape == b.shape


def state_of(segment: Segment) -> str:
    """What has become of a segment that was ready, in a word."""
    if segment.linked:
        return "ready"
    return "unlinked" if segment.mapped else "freed"


def view(segment: Segment, header: Header | None = None, *, writable: bool = True) -> SharedArray:
    """The whole array in a segment; `header` is that of it, if it was written just now."""
    return _whole(segment.map(header, writable=writable))


def new_array(
    dtype: np.dtype[Any],
    shape: tuple[int, ...],
    *,
    fortran_order: bool = False,
    backing: str | os.PathLike[str] = "auto",
) -> SharedArray:
    """An array of zeros in a new segment; raises as `shared_empty`."""
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


def _whole(mapped: Mapped | SectionMemory) -> SharedArray:
    """The array of a segment, or of a section; of a section of a table the whole table."""
    segment = mapped.segment
    header = segment.header
    if segment.layout is not None:
        header = segment.whole.header
    dtype, shape, fortran_order, data_offset, _ = header
    return SharedArray(mapped, dtype, shape, data_offset, None, "F" if fortran_order else "C")
