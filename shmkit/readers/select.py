"""Parts of an array: which items of each axis are wanted, and which chunks of a file hold them.

    select=(slice(10, 30, 5), slice(-1, 3, -1))  ──picked──▶  range(10, 30, 5), range(9, 3, -1)

    cuts of range(10, 30, 5) by chunks of 8    │ 8 … 10 … 15 │ 16 … 20 … │ 24 25 … │
                                                     ▲    ▲         ▲        ▲

Steps and negative indices mean what they mean for numpy.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

__all__ = ["Cut", "Select", "as_slice", "check_select", "cuts", "picked", "stop_of_chunk"]

Select = slice | tuple[slice, ...]


class Cut(NamedTuple):
    """The items of one axis that are in one chunk.

    Attributes
    ----------
    chunk
        Where the chunk begins.
    there
        Which items of the chunk they are.
    here
        Their places among all that are wanted.
    """

    chunk: int
    there: slice
    here: slice


def check_select(select: Select | Mapping[str, Select]) -> None:
    """Raise TypeError for what `shared_load` does not take, ValueError for a step of 0."""
    parts = select.values() if isinstance(select, Mapping) else [select]
    for part in parts:
        slices = part if isinstance(part, tuple) else (part,)
        if not all(isinstance(one, slice) for one in slices):
            raise TypeError(
                f"select={part!r} is no slice; it takes slice(start, stop, step), a tuple of "
                "these, one for each axis, or a mapping from the names of datasets to these"
            )
        for one in slices:
            one.indices(0)


def picked(select: Select, shape: tuple[int, ...]) -> tuple[range, ...]:
    """Which items of each axis are wanted; raises ValueError if there are fewer axes.

    >>> picked(slice(-2, None), (5, 3))
    (range(3, 5), range(0, 3))
    """
    slices = select if isinstance(select, tuple) else (select,)
    if len(slices) > len(shape):
        raise ValueError(f"select= has {len(slices)} slices, but the shape is {shape}")
    slices += (slice(None),) * (len(shape) - len(slices))
    return tuple(range(*one.indices(n)) for one, n in zip(slices, shape, strict=True))


def stop_of_chunk(wanted: range, first: int, chunk: int) -> int:
    """The place behind the last of those that are in the same chunk as the one at `first`.

    >>> stop_of_chunk(range(10, 30, 5), 0, 8), stop_of_chunk(range(9, -1, -1), 1, 8)
    (2, 2)
    """
    at = wanted[first]
    begin = at // chunk * chunk
    last = begin + chunk - 1 if wanted.step > 0 else begin
    steps = (last - at) // wanted.step
    return min(first + steps + 1, len(wanted))


def cuts(wanted: range, chunk: int) -> Iterator[Cut]:
    """Where the wanted items of an axis are, chunk by chunk."""
    first = 0
    while first < len(wanted):
        stop = stop_of_chunk(wanted, first, chunk)
        begin = wanted[first] // chunk * chunk
        yield Cut(begin, as_slice(wanted[first:stop], begin), slice(first, stop))
        first = stop


def as_slice(wanted: range, begin: int = 0) -> slice:
    """The slice that picks these, counted from `begin` on."""
    stop = wanted.stop - begin
    return slice(wanted.start - begin, stop if stop >= 0 else None, wanted.step)
