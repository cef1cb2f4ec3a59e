"""What `shared_load` returns: the arrays of one load, in file order and by name."""

from __future__ import annotations

from collections.abc import Callable, ItemsView, Iterator, Mapping, Sequence
from typing import Any, Self, overload

from numpy.typing import NDArray

from shmkit._array import SharedArray
from shmkit._format import nbytes_text
from shmkit._segment import Segment
from shmkit.errors import SegmentGoneError

__all__ = ["SharedArrays"]


class SharedArrays(Sequence[SharedArray]):
    """The arrays of one load: a sequence in file order that also answers to names.

    It is a context manager, and ``close()`` does in a later cell what the end of a ``with`` block
    does. Closing unlinks every segment, so that no worker can attach any more, and lets go of the
    views. Views that you still hold stay valid; the memory of a segment is given back when the
    last view of it is gone.

    Attributes
    ----------
    failures : dict of str to Exception
        The files that could not be loaded, with ``on_error="skip"``.

    Examples
    --------
    >>> import shmkit
    >>> from shmkit.sample import methylation
    >>> paths = [methylation(name, rows=1000) for name in ("one.txt", "two.txt")]
    >>> arrays = shmkit.shared_load(paths)
    >>> first, second = arrays
    >>> arrays.keys(), first is arrays[0] is arrays["one"]
    (['one', 'two'], True)
    >>> arrays
    <SharedArrays: one, two (74.4 kB)>
    >>> arrays.close()
    >>> arrays
    <SharedArrays: one, two (closed)>
    >>> first["pos"].size                                    # a view outlives it
    1000
    """

    def __init__(
        self,
        arrays: Mapping[str, SharedArray],
        failures: Mapping[str, Exception] | None = None,
        on_close: Callable[[], None] | None = None,
    ) -> None:
        self.failures = dict(failures or {})
        self._names = list(arrays)
        self._arrays: dict[str, SharedArray] | None = dict(arrays)
        self._on_close = on_close

    @overload
    def __getitem__(self, key: int | str) -> SharedArray: ...
    @overload
    def __getitem__(self, key: slice) -> list[SharedArray]: ...
    def __getitem__(self, key: int | str | slice) -> SharedArray | list[SharedArray]:
        """The array of a file, by its number or its name; or a list, by a slice."""
        arrays = self._open()
        if not isinstance(key, str):
            return list(arrays.values())[key]
        try:
            return arrays[key]
        except KeyError:
            if key in self.failures:
                raise KeyError(f"{key!r} could not be loaded: {self.failures[key]}") from None
            raise KeyError(f"{key!r} is none of {', '.join(self._names)}") from None

    def __len__(self) -> int:
        return len(self._names)

    def __iter__(self) -> Iterator[SharedArray]:
        return iter(list(self._open().values()))

    def __contains__(self, item: object) -> bool:
        """Whether there is an array of this name, or whether this is one of the arrays."""
        if isinstance(item, str):
            return item in self._names
        return any(item is array for array in self._open().values())

    def keys(self) -> list[str]:
        """The names, in file order."""
        return list(self._names)

    def items(self) -> ItemsView[str, SharedArray]:
        """Pairs of name and array, in file order."""
        return dict(self._open()).items()

    @property
    def nbytes(self) -> int:
        """Bytes of memory that the arrays take; 0 once closed."""
        return sum(
            array.nbytes if segment is None else segment.nbytes
            for array, segment in _with_segments(self._arrays or {})
        )

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._arrays is None

    def close(self) -> None:
        """Unlink every segment and let go of the views; a second time does nothing.

        Views that are held elsewhere stay valid, and keep the memory of their segment.
        """
        arrays, self._arrays = self._arrays, None  # first: another thread may close them too
        if arrays is None:
            return
        segments = [segment for _, segment in _with_segments(arrays)]
        del arrays
        for segment in segments:
            if segment is not None:
                segment.unlink()
        if self._on_close is not None:
            self._on_close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __reduce__(self) -> Any:
        # A worker gets references to the same memory; it is the owner that closes.
        return SharedArrays, (self._open(), self.failures)

    def __repr__(self) -> str:
        shown = ", ".join(self._names[:4]) + (", …" if len(self._names) > 4 else "")
        return f"<SharedArrays: {shown} ({'closed' if self.closed else nbytes_text(self.nbytes)})>"

    def _ipython_key_completions_(self) -> list[str]:
        return self.keys()

    def _open(self) -> dict[str, SharedArray]:
        if self._arrays is None:
            raise SegmentGoneError(
                repr(self),
                "these arrays were closed; use them before close(), inside the with block, or load "
                "the files again",
            )
        return self._arrays


def _with_segments(
    arrays: Mapping[str, SharedArray],
) -> Iterator[tuple[NDArray[Any], Segment | None]]:
    """The arrays, and the segments of those that are not copies: what a worker returns is one."""
    for array in arrays.values():
        yield array, array.segment if isinstance(array, SharedArray) else None
