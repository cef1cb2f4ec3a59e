"""A text column: characters for whoever asks, UTF-8 or codes in shared memory.

    t["station"] == "STA003"
         │              │ encoded, once
         ▼              ▼
    SharedText ──▶ b"STA003" against the bytes in memory          no column is decoded
               ──▶ or the texts of the categories, and then their codes

It is an array of `str` by numpy's protocols and no `ndarray`, so what `numpy.asarray` makes of it,
in whatever library, is text. As a subclass over the same memory it would be bytes, or numbers,
wherever a library takes the array below, and equal to no text.

Comparing, `numpy.isin`, `numpy.unique` and sorting work on what lies in memory. For all else that
numpy has the text is decoded into a copy first, four bytes a character.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin
from numpy.typing import DTypeLike, NDArray

from shmkit._categories import enum_of, names_of
from shmkit._text_dtype import decoded, encoded
from shmkit.segments.segment import Segment
from shmkit.views.array import SharedArray

if TYPE_CHECKING:
    from shmkit.views.of_segment import Sources

__all__ = ["SharedText"]

_COMPARISONS = {
    np.equal,
    np.not_equal,
    np.less,
    np.less_equal,
    np.greater,
    np.greater_equal,
}
_EDGE = 3  # texts at each end that the repr shows
_NUMBER_NBYTES = 8  # text up to here is sorted as a number, several times as fast


class SharedText(NDArrayOperatorsMixin):
    """A column of text in shared memory: an array of `str` for whoever uses it.

    Comparing, indexing, ``in``, sorting and numpy's functions mean characters. Slices are views of
    the same memory; whatever copies gives a plain array of `str`. What is assigned is written to
    the memory, for every process to see. A view stays valid as long as you hold it.

    Attributes
    ----------
    stored : SharedArray
        What lies in memory: UTF-8 of a fixed width (dtype ``S``), or the codes of categories.

    Examples
    --------
    >>> from shmkit import share
    >>> with share({"station": ["Oslo", "Århus", "Oslo"]}) as t:
    ...     station = t["station"]
    ...     print(station == "Oslo", station[1], station[:2].tolist(), "Rom" in station)
    [ True False  True] Århus ['Oslo', 'Århus'] False
    """

    __hash__ = None  # type: ignore[assignment] # as an array has none

    def __init__(self, stored: SharedArray) -> None:
        self.stored = stored
        self._names: NDArray[np.str_] | None = None

    @property
    def categories(self) -> NDArray[np.str_] | None:
        """The texts that the codes stand for; None if it lies as UTF-8."""
        if self._names is None and self.stored.dtype.kind != "S":
            names = names_of(self.stored.dtype)
            self._names = np.array([""]) if names is None else names
        return self._names

    @property
    def segment(self) -> Segment | None:
        """The segment behind it."""
        return self.stored.segment

    @property
    def attrs(self) -> dict[str, Any]:
        """The attributes, as `SharedArray.attrs`."""
        return self.stored.attrs

    @property
    def dtype(self) -> np.dtype[np.str_]:
        """The dtype of the texts as an array: as many characters as one may have."""
        names = self.categories
        return np.dtype(f"U{self.stored.itemsize}") if names is None else names.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        """The lengths, as of an array."""
        shape: tuple[int, ...] = self.stored.shape
        return shape

    @property
    def ndim(self) -> int:
        """The number of dimensions."""
        return self.stored.ndim

    @property
    def size(self) -> int:
        """The number of texts."""
        return self.stored.size

    @property
    def nbytes(self) -> int:
        """Bytes that it takes in shared memory."""
        return self.stored.nbytes

    @property
    def sources(self) -> Sources:
        """The files whose rows these are, as `SharedArray.sources`."""
        from shmkit.views.of_segment import Sources  # noqa: PLC0415 - which imports this module

        return Sources(self.segment)

    def close(self) -> None:
        """Unlink the segment, as `SharedArray.close`."""
        self.stored.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __len__(self) -> int:
        return len(self.stored)

    def __getitem__(self, key: Any) -> Any:
        found = self.stored[key]
        if isinstance(found, SharedArray):
            view = SharedText(found)
            view._names = self._names
            return view
        texts = self._texts(np.asarray(found))
        return texts if isinstance(found, np.ndarray) else texts.item()

    def __setitem__(self, key: Any, value: Any) -> None:
        """Write texts.

        Raises
        ------
        TypeError
            For what is no text.
        ValueError
            For a text that is too long, or none of the categories.
        """
        utf8 = _utf8(value)
        if utf8 is None:
            raise TypeError(f"a text column holds str, not {np.asarray(value).dtype}")
        if self.categories is None:
            longest, room = int(np.max(np.strings.str_len(utf8), initial=0)), self.stored.itemsize
            if longest > room:
                raise ValueError(
                    f"a text of {longest} bytes in UTF-8 does not fit into this column, which has "
                    f"{room} a text; share a new table with longer texts"
                )
            self.stored[key] = utf8
            return
        enum = enum_of(self.stored.dtype) or {}
        texts, places = np.unique(utf8, return_inverse=True)
        names: list[str] = decoded(texts).tolist()
        unknown = [name for name in names if name not in enum]
        if unknown:
            raise ValueError(
                f"{unknown[0]!r} is none of the {len(enum)} texts that this column has codes for"
            )
        codes = np.array([enum[name] for name in names], self.stored.dtype)
        self.stored[key] = codes[places.reshape(utf8.shape)]

    def __iter__(self) -> Iterator[Any]:
        return iter(self.tolist()) if self.ndim == 1 else (self[i] for i in range(len(self)))

    def __contains__(self, text: object) -> bool:
        return bool(np.any(self == text))

    def tolist(self) -> Any:
        """The texts as a list of `str`."""
        names = self.categories
        if names is None:
            return self.copy().tolist()
        return names.astype(object)[np.asarray(self.stored)].tolist()  # one str a category

    def item(self) -> str:
        """The text, if there is just one."""
        return self.copy().item()

    def copy(self) -> NDArray[np.str_]:
        """The texts as a plain array of `str`, in this process's own memory."""
        return self._texts(np.asarray(self.stored))

    def __copy__(self) -> NDArray[np.str_]:
        return self.copy()

    def __deepcopy__(self, memo: Any) -> NDArray[np.str_]:
        return self.copy()

    def astype(self, dtype: DTypeLike) -> NDArray[Any]:
        """The texts as a plain array: of `str`, StringDType, `object`, or the numbers they say.

        As bytes (``"S"``) they are UTF-8.
        """
        wanted = np.dtype(dtype)
        if wanted.kind in "ST":  # numpy reads UTF-8 itself
            return self._of_each(np.asarray).astype(wanted)
        return self.copy().astype(wanted, copy=False)

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError("text is decoded into a copy; its .stored is what lies in memory")
        return self.copy() if dtype is None else self.astype(dtype)

    def _texts(self, stored: NDArray[Any]) -> NDArray[np.str_]:
        """What lies in memory as text."""
        names = self.categories
        return decoded(stored) if names is None else names[stored]

    def _of_each(self, found: Callable[[NDArray[np.bytes_]], NDArray[Any]]) -> NDArray[Any]:
        """What a function finds of each text, given UTF-8: of each category once, if there are."""
        stored = np.asarray(self.stored)
        names = self.categories
        return found(stored) if names is None else found(encoded(names))[stored]

    def __eq__(self, other: object) -> Any:
        found = _compared(np.equal, self, other)
        return np.asarray(self) == other if found is None else found

    def __ne__(self, other: object) -> Any:
        found = _compared(np.not_equal, self, other)
        return np.asarray(self) != other if found is None else found

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        if any(isinstance(out, SharedText) for out in options.get("out", ())):
            return NotImplemented
        if ufunc in _COMPARISONS and method == "__call__" and not options:
            found = _compared(ufunc, *inputs)
            if found is not None:
                return found
        return getattr(ufunc, method)(*_decoded(inputs), **options)

    def __array_function__(
        self, function: Callable[..., Any], types: Any, args: Any, options: Any
    ) -> Any:
        del types
        if function in _FUNCTIONS:
            return _FUNCTIONS[function](*args, **options)
        return function(*_decoded(args), **{name: _decoded(x) for name, x in options.items()})

    def _numbered(self) -> tuple[NDArray[Any], Callable[[NDArray[Any]], NDArray[np.str_]]]:
        """Keys in the order of the texts, quicker to sort than those; and the way back."""
        stored = np.ascontiguousarray(self.stored)
        if self.categories is not None:
            names, ranks = np.unique(self.categories, return_inverse=True)
            return ranks.astype(np.uint16)[stored], lambda keys: names[keys]
        if stored.itemsize > _NUMBER_NBYTES:
            return stored, decoded
        dtype, wide = stored.dtype, f"S{_NUMBER_NBYTES}"
        keys = stored.astype(wide).view(">u8").astype(np.uint64)
        return keys, lambda keys: decoded(keys.astype(">u8").view(wide).astype(dtype))

    def __arrow_c_array__(self, requested_schema: object = None) -> tuple[object, object]:
        from shmkit.views.frames import (  # noqa: PLC0415 - only for those who hand it over
            arrow,
            capsule,
        )

        del requested_schema  # the library casts what it gets
        return capsule.array_capsules(arrow.arrow_column(self))

    def __reduce__(self) -> Any:
        return _text_of, (self.stored,)

    def __repr__(self) -> str:
        if self.ndim != 1 or len(self) <= 2 * _EDGE:
            return f"SharedText({self.tolist()!r})"
        edges = self[:_EDGE].tolist(), self[-_EDGE:].tolist()
        first, last = (", ".join(map(repr, edge)) for edge in edges)
        return f"SharedText([{first}, ..., {last}])"


def _text_of(stored: Any) -> Any:
    """What arrives where a column was sent: a view of the same memory, or a plain array."""
    if isinstance(stored, SharedArray):
        return SharedText(stored)
    if not isinstance(stored, np.ndarray):
        return stored  # it is gone, and says so when it is used
    if stored.dtype.kind == "S":
        return decoded(stored)
    names = names_of(stored.dtype)
    return (np.array([""]) if names is None else names)[stored]


def _utf8(value: Any) -> NDArray[np.bytes_] | None:
    """The UTF-8 of what is text, or an array of it; None for all else."""
    if isinstance(value, SharedText):
        return value._of_each(np.asarray)  # noqa: SLF001 - of this module
    array = np.asarray(value)
    if array.dtype.kind == "S":
        return array
    is_text = array.dtype.kind in "UT"
    if array.dtype.kind == "O":
        is_text = all(isinstance(item, str) for item in array.flat)
    try:
        return encoded(array) if is_text else None
    except UnicodeEncodeError:  # half a surrogate pair, which no column holds
        return None


def _compared(comparison: np.ufunc, left: Any, right: Any) -> NDArray[np.bool_] | None:
    """Each text with the other, by their UTF-8; None if one side is no text."""
    if isinstance(left, SharedText) and isinstance(right, str | bytes):
        text = _utf8(right)
        return None if text is None else left._of_each(lambda utf8: comparison(utf8, text))  # noqa: SLF001 - of this module
    sides = _utf8(left), _utf8(right)
    if sides[0] is None or sides[1] is None:
        return None
    found: NDArray[np.bool_] = comparison(sides[0], sides[1])
    return found


def _decoded(value: Any) -> Any:
    """With plain arrays for the columns in it."""
    if isinstance(value, SharedText):
        return value.copy()
    if isinstance(value, list | tuple):
        return type(value)([_decoded(item) for item in value])
    return value


def _isin(element: Any, test_elements: Any, *args: Any, **options: Any) -> Any:
    tested = _utf8(test_elements)
    if tested is None or not isinstance(element, SharedText):
        return np.isin(_decoded(element), _decoded(test_elements), *args, **options)
    return element._of_each(lambda utf8: np.isin(utf8, tested, *args, **options))  # noqa: SLF001 - of this module


def _unique(ar: SharedText, *args: Any, **options: Any) -> Any:
    keys, texts = ar._numbered()  # noqa: SLF001 - of this module
    found = np.unique(keys, *args, **options)
    return (texts(found[0]), *found[1:]) if isinstance(found, tuple) else texts(found)


def _sort(a: SharedText, *args: Any, **options: Any) -> NDArray[np.str_]:
    keys, texts = a._numbered()  # noqa: SLF001 - of this module
    return texts(np.sort(keys, *args, **options))


def _argsort(a: SharedText, *args: Any, **options: Any) -> NDArray[np.intp]:
    return np.argsort(a._numbered()[0], *args, **options)  # noqa: SLF001 - of this module


def _shape(a: SharedText) -> tuple[int, ...]:
    return a.shape


def _ndim(a: SharedText) -> int:
    return a.ndim


# What needs no copy of the text.
_FUNCTIONS: dict[Callable[..., Any], Callable[..., Any]] = {
    np.argsort: _argsort,
    np.isin: _isin,
    np.ndim: _ndim,
    np.shape: _shape,
    np.sort: _sort,
    np.unique: _unique,
}
