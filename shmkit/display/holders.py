"""Which variables hold the memory of segments.

    variable, Out[3] ──▶ array, list, object, … ──▶ view ──base──▶ … ──base──▶ Mapped ──▶ segment

The memory of an unlinked segment comes back when its last view dies. So a person who waits for it
needs to know which variable to delete. Each variable, and what is one level below it (items of a
list or dict, columns of a data frame, attributes of an object, what a function has closed over), is
followed along ``base`` to the mapping at its end; arrays that hide deeper are not found.
`gc.get_referrers` would find those too, but looks at every object of the process, and names no
variable.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from types import FunctionType, ModuleType
from typing import Any, TypeVar

from shmkit.display.about_array import nbytes_of
from shmkit.segments.mapping import mapping_of
from shmkit.segments.segment import Segment
from shmkit.views.arrays import SharedArrays
from shmkit.views.table import SharedTable
from shmkit.views.text import SharedText

__all__ = ["forget_outputs", "held_by", "loaded_by", "shell", "shell_variables", "to_free"]

_Key = TypeVar("_Key")
_ECHO = re.compile(r"_\d+|_{1,3}")  # IPython's other names for an output
_MAX_ITEMS = 10_000  # of one list or dict in which arrays are looked for


def shell() -> Any:
    """IPython's shell; None where there is none, as where no code has imported IPython."""
    ipython = sys.modules.get("IPython")
    return ipython.get_ipython() if ipython is not None else None


def shell_variables() -> Mapping[str, Any]:
    """The variables of IPython's shell; none where there is no shell."""
    return getattr(shell(), "user_ns", {})


def held_by(
    segments: Mapping[_Key, Segment | None], variables: Mapping[str, Any]
) -> dict[_Key, list[str]]:
    """The variables that keep each segment mapped, by the segment's key.

    `variables` are those of an IPython shell, with its outputs as ``_oh``.
    """
    keys = {id(s): key for key, s in segments.items() if s is not None and s.mapped}
    outputs = variables.get("_oh", {})  # what Out is, unless somebody bound that name anew
    named = [(variable, value) for variable, value in variables.items() if value is not outputs]
    named.sort(key=lambda pair: bool(_ECHO.fullmatch(pair[0])))  # a person's own come first
    named += [(f"Out[{number}]", value) for number, value in outputs.items()]
    found: dict[_Key, dict[str, None]] = {}  # dicts keep the order and drop what comes twice
    for variable, value in named:
        for item in _items(value):
            segment = _segment_of(item)
            if segment is None:
                continue
            for one in {id(segment), id(segment.whole)} & keys.keys():
                found.setdefault(keys[one], {})[variable] = None
    return {key: _without_echoes(list(names)) for key, names in found.items()}


def to_free(holders: Sequence[str]) -> str:
    """What to type, so that these variables let go of what they hold.

    >>> to_free(["a", "Out[3]"]), to_free(["b"])
    ('del a; %shm forget', 'del b')
    """
    own = [name for name in holders if not name.startswith("Out[") and not _ECHO.fullmatch(name)]
    steps = [f"del {', '.join(own)}"] if own else []
    return "; ".join([*steps, *(["%shm forget"] if len(own) < len(holders) else [])])


def loaded_by(
    variables: Mapping[str, Any], files: Collection[str], without: Collection[Segment | None]
) -> dict[str, int]:
    """Which variables have arrays that were loaded from these files, and how many bytes of them.

    Arrays in the segments `without` do not count, and neither do those that were closed.
    """
    found = {}
    for name, value in variables.items():
        if isinstance(value, SharedArrays) and not value.closed and not _ECHO.fullmatch(name):
            segments = [getattr(array, "segment", None) for array in value]
            again = {s for s in segments if s is not None and (s.source or {}).get("file") in files}
            if nbytes := sum(nbytes_of(s.header) for s in again.difference(without)):
                found[name] = nbytes
    return found


def _items(value: Any) -> Iterable[Any]:
    """A variable's value and what is one level below it."""
    if isinstance(value, list | tuple):
        return islice(value, _MAX_ITEMS)
    if isinstance(value, dict):
        return islice(value.values(), _MAX_ITEMS)
    if isinstance(value, ModuleType | type):
        return ()
    return (item for part in (value, *_parts(value)) for item in _arrays(part))


def _arrays(value: Any) -> Iterable[Any]:
    """The arrays of a load; any other value as it is."""
    if isinstance(value, SharedArrays):
        return () if value.closed else iter(value)
    return (value,)


def _parts(value: Any) -> Iterator[Any]:
    """The columns of a data frame, what a function has closed over, the attributes of an object."""
    pandas = sys.modules.get("pandas")
    if pandas is not None and isinstance(value, pandas.DataFrame | pandas.Series):
        columns = (c for _, c in value.items()) if value.ndim == 2 else iter([value])
        for column in islice(columns, _MAX_ITEMS):
            if column.dtype.kind in "biufcmM" and hasattr(column.dtype, "newbyteorder"):
                yield column.to_numpy()  # a numpy array of pandas': no copy
    elif isinstance(value, FunctionType):
        for cell in value.__closure__ or ():
            try:
                yield cell.cell_contents
            except ValueError:  # it is not bound yet
                continue
    elif not isinstance(value, SharedArrays | SharedTable | SharedText):
        yield from islice([*getattr(value, "__dict__", {}).values()], _MAX_ITEMS)


def _segment_of(value: Any) -> Segment | None:
    """The segment that a value keeps mapped."""
    if isinstance(value, SharedTable | SharedText):
        return value.segment
    mapped = mapping_of(value)
    return None if mapped is None else mapped.segment


def forget_outputs(shell: Any) -> int:
    """Have IPython forget those values of cells that keep segments; how many of ``Out``.

    ``Out[3]`` is gone then; ``_3``, ``_``, ``__`` and ``___`` are None if they kept one. The
    person's own variables stay, and all other outputs.
    """
    outputs = shell.user_ns.get("_oh", {})
    kept = [number for number, value in outputs.items() if _holds_a_segment(value)]
    for number in kept:
        del outputs[number]
    for names in (shell.user_ns, shell.user_ns_hidden):  # IPython keeps each under both
        for name in [name for name in names if _ECHO.fullmatch(name)]:
            if _holds_a_segment(names[name]):
                names[name] = None
    for name in ("_", "__", "___"):
        if _holds_a_segment(getattr(shell.displayhook, name, None)):
            setattr(shell.displayhook, name, None)
    result = shell.last_execution_result
    if result is not None and _holds_a_segment(result.result):
        result.result = None
    return len(kept)


def _holds_a_segment(value: Any) -> bool:
    return any(_segment_of(item) is not None for item in _items(value))


def _without_echoes(names: list[str]) -> list[str]:
    """Leave out IPython's other names for an output (_, __, _3), unless there is no better one."""
    better = [name for name in names if not _ECHO.fullmatch(name)]
    return better or names
