"""`shared_map`: its arguments, checked; the map itself is in `loading`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar, overload

from shmkit import _limits
from shmkit.errors import BriefErrors
from shmkit.loaders.pool import LoaderPool
from shmkit.views.array import SharedArray
from shmkit.views.arrays import SharedArrays

__all__ = ["shared_map"]

_Array = TypeVar("_Array", bound=SharedArray)


@overload
def shared_map(
    function: Callable[..., Any],
    arrays: Iterable[Any],
    *iterables: Iterable[Any],
    out: _Array,
    processes: int | None = None,
    progress: bool | None = None,
) -> _Array: ...
@overload
def shared_map(
    function: Callable[..., Any],
    arrays: Iterable[Any],
    *iterables: Iterable[Any],
    out: None = None,
    processes: int | None = None,
    progress: bool | None = None,
) -> list[Any]: ...
def shared_map(
    function: Callable[..., Any],
    arrays: Iterable[Any],
    *iterables: Iterable[Any],
    out: SharedArray | None = None,
    processes: int | None = None,
    progress: bool | None = None,
) -> Any:
    """Call a function on each array, in the loader processes.

    As ``list(map(function, arrays, *iterables))``, on all CPUs. Shared arrays and tables go as
    references: the function sees, and may change, the same memory. It may be defined in a notebook
    cell, and use what is defined there; no script needs a ``__main__`` guard.

    Parameters
    ----------
    function : callable
        It is sent once, with what it uses, and made anew for each batch of items: what it changes
        of its own globals is lost.
    arrays : iterable
        What `shared_load` returned, or any other: a list of slices of one array, or of what is no
        array at all. The items have the names of the arrays, else ``item 0``, ``item 1``, ….
    *iterables
        More arguments for each item; the shortest ends the map, as `map` does.
    out : SharedArray, optional
        Results are written to ``out[0]``, ``out[1]``, … by the loader processes.
    processes : int, optional
        Loader processes; by default the CPUs that this process may use. They stay warm.
    progress : bool, optional
        As in `shared_load`.

    Returns
    -------
    list, or SharedArray
        The results in order. An array among them is a `SharedArray` in a segment of its own, a
        `Table` a `SharedTable`: no copy is sent; each is freed when nobody holds it any more.
        What a function returns of its argument (a slice) is a view of that. All else, arrays in a
        tuple too, is sent by pickle. With `out`, that is returned.

    Raises
    ------
    Exception
        What the function raised first, with a note: which item it was, and the traceback there.
    LoaderDiedError
        If a loader process was killed, crashed or exited; names the item.
    NotEnoughMemoryError
        If a result has no room.
    TypeError, ValueError
        If `out` is no shared array of as many rows as there are items, or may not be written to.

    By the time any of these, or a KeyboardInterrupt, is raised, the function runs nowhere any
    more, and no segment of a result is left.

    Examples
    --------
    >>> from shmkit import share
    >>> with share(range(1_000_000)) as a:
    ...     shared_map(lambda part, power: int((part**power).sum()), [a[:10], a[-10:]], [2, 1])
    [285, 9999945]
    """
    with BriefErrors():
        if processes is not None and processes < 1:
            raise ValueError(f"processes={processes} must be at least 1")
        processes = processes or _limits.cpus()
        items = list(zip(arrays, *iterables, strict=False))
        names = arrays.keys() if isinstance(arrays, SharedArrays) else ()
        names = [*names[: len(items)], *(f"item {n}" for n in range(len(names), len(items)))]
        if out is not None:
            _check_out(out, len(items))
        # The loaders start while this process imports what only a map needs.
        with LoaderPool(min(processes, max(len(items), 1))):
            from shmkit.display.progress import load_monitor  # noqa: PLC0415
            from shmkit.loading.calls.map import map_items  # noqa: PLC0415

        monitor = load_monitor(progress)
        results = map_items(function, names, items, processes=processes, out=out, monitor=monitor)
        return results if out is None else out


def _check_out(out: object, count: int) -> None:
    if not isinstance(out, SharedArray) or out.segment is None:
        raise TypeError(
            f"out= is a {type(out).__name__}, which no other process can write to; give a "
            "SharedArray, as shared_empty makes one"
        )
    if not out.flags.writeable or not out.segment.linked:
        raise ValueError("out= is read-only, or was closed; give an array that can be written to")
    if not out.ndim or len(out) != count:
        raise ValueError(f"out= has the shape {out.shape}, for {count} items; it needs a row each")
