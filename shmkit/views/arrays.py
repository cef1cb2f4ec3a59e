"""What `shared_load` returns: the arrays of one load, in file order and by name."""

from __future__ import annotations

import os
from collections.abc import Callable, ItemsView, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self, TypeVar, overload

import numpy as np

from shmkit._format import counted, dtype_text, nbytes_text, shape_text
from shmkit._html import table_html
from shmkit._timeline import Timeline
from shmkit.errors import SegmentGoneError
from shmkit.pools.gone import GoneArray
from shmkit.segments.segment import Segment
from shmkit.views.array import SharedArray, state_of
from shmkit.views.failures import Failures
from shmkit.views.table import SharedTable, Table
from shmkit.views.text import SharedText

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["NamedArrays", "SharedArrays"]

_Item = TypeVar("_Item")
_Array = SharedArray | SharedText | SharedTable
_SHOWN = 30  # arrays, and failures, that a table names
_COLUMNS = "<Name", "<State", ">Shape", "<Array", ">Memory", "<Where"


class NamedArrays(Sequence[_Item]):
    """The arrays of one load until they are closed: in file order, and by name."""

    def __init__(self, arrays: Mapping[str, _Item], failures: Mapping[str, Exception]) -> None:
        self.failures = Failures(failures)
        self._names = list(arrays)
        self._arrays: dict[str, _Item] | None = dict(arrays)

    @overload
    def __getitem__(self, key: int | str) -> _Item: ...
    @overload
    def __getitem__(self, key: slice) -> list[_Item]: ...
    def __getitem__(self, key: int | str | slice) -> _Item | list[_Item]:
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

    def __iter__(self) -> Iterator[_Item]:
        return iter(list(self._open().values()))

    def __contains__(self, item: object) -> bool:
        """Whether there is an array of this name, or whether this is one of the arrays."""
        if isinstance(item, str):
            return item in self._names
        return any(item is array for array in self._open().values())

    def keys(self) -> list[str]:
        """The names, in file order."""
        return list(self._names)

    def items(self) -> ItemsView[str, _Item]:
        """Pairs of name and array, in file order."""
        return dict(self._open()).items()

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._arrays is None

    def close(self) -> None:
        """Let go of the arrays; a second time does nothing."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _ipython_key_completions_(self) -> list[str]:
        return self.keys()

    def _open(self) -> dict[str, _Item]:
        if self._arrays is None:
            raise SegmentGoneError(
                repr(self),
                "these arrays were closed; use them before close(), inside the with block, or load "
                "the files again",
            )
        return self._arrays


class SharedArrays(NamedArrays[_Array]):
    """The arrays and tables of one load: a sequence in file order that also answers to names.

    It is a context manager, and ``close()`` does in a later cell what the end of a ``with`` block
    does. Closing unlinks every segment, so that no worker can attach any more, and lets go of the
    views. Views that you still hold stay valid; the memory of a segment is given back when the
    last view of it is gone.

    Attributes
    ----------
    failures : dict of str to Exception
        The files that could not be loaded, with ``on_error="skip"``. It shows itself as a table:
        the file, the line, what is wrong there, and the option to try.

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
    <SharedArrays: one, two (77.9 kB)>
    >>> arrays.close()
    >>> arrays
    <SharedArrays: one, two (closed)>
    >>> first["pos"].size                                    # a view outlives it
    1000
    """

    def __init__(
        self,
        arrays: Mapping[str, _Array],
        failures: Mapping[str, Exception] | None = None,
        on_close: Callable[[], None] | None = None,
        timeline: Callable[[], Timeline] | None = None,
    ) -> None:
        super().__init__(arrays, failures or {})
        # What is shown of them after close(). Copies, which a worker may return, have no segment.
        self._about = [_about(array) for array in arrays.values()]
        self._segments: list[Segment | None] = [
            getattr(array, "segment", None) for array in arrays.values()
        ]
        self._on_close = on_close
        self._timeline = timeline

    @property
    def nbytes(self) -> int:
        """Bytes of memory that the arrays take; 0 once closed."""
        arrays = {id(array): array for array in (self._arrays or {}).values()}  # each once
        segments = (getattr(array, "segment", None) for array in arrays.values())
        return sum(
            array.nbytes if segment is None else segment.nbytes
            for array, segment in zip(arrays.values(), segments, strict=True)
        )

    def close(self) -> None:
        """Unlink every segment and let go of the views; a second time does nothing.

        Views that are held elsewhere stay valid, and keep the memory of their segment.
        """
        if self._arrays is None:
            return
        for segment in self._segments:
            if segment is not None:
                segment.unlink()
        # Last, so that after an interrupt the rest can be closed; once, if several threads do.
        arrays, self._arrays = self._arrays, None
        if arrays is not None and self._on_close is not None:
            del arrays
            self._on_close()

    def plot_timeline(self, ax: Axes | None = None) -> Axes:
        """Draw which loader process read which file when, and how the arrays became ready.

        A row is a loader process, by its pid; a bar is a file, or a part of one that was read in
        parts, with its name where there is room; it is empty if the file could not be loaded.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; by default in a new figure.

        Returns
        -------
        matplotlib Axes
            Seconds since the start of the load, to the right.

        Raises
        ------
        ValueError
            If these arrays came from another process: only that which loaded them knows.

        Examples
        --------
        >>> import shmkit
        >>> from shmkit.sample import methylation
        >>> path = methylation("one.txt", rows=1000)
        >>> with shmkit.shared_load(path) as arrays:
        ...     arrays.plot_timeline().get_xlabel()
        'seconds'
        """
        from shmkit.plotting import load  # noqa: PLC0415 - matplotlib only for those who draw

        if self._timeline is None:
            raise ValueError(
                "nothing is known here of how these arrays were loaded; draw the timeline in the "
                "process that loaded them"
            )
        return load.timeline(self._timeline(), ax)

    def plot_memory(self, ax: Axes | None = None) -> Axes:
        """Draw what these arrays take, others take, and is free, of each limit on memory.

        The limits are the room where the segments live, the machine's memory, and the container's.
        After `close` it is what views still map.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; by default in a new figure.

        Returns
        -------
        matplotlib Axes
            Percent of the limit, to the right; figures above each bar.

        Examples
        --------
        >>> import shmkit
        >>> from shmkit.sample import methylation
        >>> path = methylation("one.txt", rows=1000)
        >>> with shmkit.shared_load(path) as arrays:
        ...     arrays.plot_memory().get_title(loc="left")
        '1 array: 37.5 kB'
        """
        from shmkit.plotting import load  # noqa: PLC0415 - as above

        segments = [segment for segment in self._segments if segment is not None]
        return load.memory(segments, ax)

    def __reduce__(self) -> Any:
        # To a pool the arrays go as references to the same memory; it is the owner that closes.
        return _received, (self._open(), self.failures)

    def __repr__(self) -> str:
        shown = ", ".join(self._names[:4]) + (", …" if len(self._names) > 4 else "")
        return f"<SharedArrays: {shown} ({'closed' if self.closed else nbytes_text(self.nbytes)})>"

    def _repr_html_(self) -> str:
        """A table: what arrays there are, where they live, and what could not be loaded."""
        rows = []
        for name, (shape, dtype, nbytes), segment in zip(
            self._names[:_SHOWN], self._about, self._segments, strict=False
        ):
            state, where = "copy", ""
            if segment is not None:
                state, where = state_of(segment), segment.backing
                where = where if where == "memfd" else os.path.dirname(segment.path)
            taken = nbytes_text(0 if state == "freed" else nbytes)
            rows.append((name, state, shape_text(shape), dtype_text(dtype), taken, where))
        summary = [counted(len(self), "array", "arrays")]
        summary.append("closed" if self.closed else nbytes_text(self.nbytes))
        notes = [f"and {len(self) - _SHOWN} more"] if len(self) > _SHOWN else []
        if self.failures:
            summary.append(f"{len(self.failures)} failed")
            failed = [f"{name} failed: {error}" for name, error in self.failures.items()]
            notes += failed[:_SHOWN]
            if len(failed) > _SHOWN:
                notes.append(f"and {len(failed) - _SHOWN} more failed")
        columns = _COLUMNS if rows else ()
        return table_html("SharedArrays", " · ".join(summary), columns, rows, notes)


def _about(array: _Array) -> tuple[tuple[int, ...], np.dtype[Any], int]:
    """Shape, dtype and bytes; those of its rows for a table."""
    if isinstance(array, Table):
        return (len(array),), np.dtype(list(array.dtypes.items())), array.nbytes
    return array.shape, array.dtype, array.nbytes


def _received(
    arrays: Mapping[str, _Array | GoneArray], failures: Mapping[str, Exception]
) -> SharedArrays | GoneArray:
    """Those that were pickled; what stands for one that is gone, if one is (memory.gone)."""
    here = {}
    for name, array in arrays.items():
        if isinstance(array, GoneArray):
            return array
        here[name] = array
    return SharedArrays(here, failures)
