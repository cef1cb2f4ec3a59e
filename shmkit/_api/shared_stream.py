"""`shared_stream`: files one after another, of which only some are in memory."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from shmkit import _limits
from shmkit._api.shared_load import how_to_load, shared_load
from shmkit.display.holders import held_by, shell_variables
from shmkit.errors import BriefErrors
from shmkit.loading.files.inputs import inputs
from shmkit.loading.files.paths import PathType, named_paths
from shmkit.readers.choose import check_options
from shmkit.segments.segment import Segment
from shmkit.views.array import SharedArray
from shmkit.views.table import SharedTable

__all__ = ["shared_stream"]

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}


def shared_stream(
    files: PathType | Iterable[PathType] | Mapping[str, PathType],
    *,
    memory: int | str | None = None,
    **options: Any,
) -> Iterator[tuple[str, SharedArray | SharedTable]]:
    """Load files one after another, the next ones while one is used: more than memory holds.

    ``for name, array in shared_stream("*.csv", memory="4 GB"): ...`` gives the arrays in file
    order. Each is let go of when the next is taken; its memory is back when no variable holds it.

    Parameters
    ----------
    files : path, glob, list of these, or mapping of name to path
        As in `shared_load`.
    memory : int or str, optional
        Bytes that the arrays may take at once, as a number or ``"4 GB"``: those that are loaded
        ahead, the one that is used, and those whose views you keep. A file may have half of that;
        a larger one comes in pieces of rows, one after another under the same name. By default half
        of the memory that is available to this process.
    **options
        Those of `shared_load`, but for `progress`: nothing is shown. Types that are inferred are
        those of the files that are loaded together, and of each piece.

    Yields
    ------
    name : str
    array : SharedArray or SharedTable

    Raises
    ------
    NotEnoughMemoryError
        If a file has no room in `memory` and does not come in pieces: text with a `dtype` of whole
        rows, files of several datasets, and what is loaded with `reader`, `transform`, `select` or
        `max_rows` do not. Or if it has none because of arrays that you still hold, whose variables
        it names. Nothing waits for ever.
    Exception
        What `shared_load` raises, when the file's turn has come.

    By the time any of these, or a KeyboardInterrupt, is raised, or the loop is left, no load runs
    any more, and what was loaded ahead is given back.

    Examples
    --------
    >>> from shmkit.sample import methylation
    >>> paths = [methylation(f"part{n}.txt", rows=1000, seed=n) for n in range(3)]
    >>> for name, calls in shared_stream(paths, memory="1 GB"):
    ...     print(name, len(calls))
    part0 1000
    part1 1000
    part2 1000
    """
    with BriefErrors():
        if "progress" in options:
            raise TypeError("shared_stream has no progress=: the loop itself shows how far it is")
        if options.get("concat"):
            raise TypeError("shared_stream has no concat=: its arrays come one after another")
        bound = inspect.signature(shared_load).bind(files, **options)
        bound.apply_defaults()
        how, budget = how_to_load(bound.arguments), _nbytes(memory)
        named = named_paths(files)
        return _stream(named, how, budget, prefix=len(named) > 1 or isinstance(files, Mapping))


def _stream(
    named: Mapping[str, str], how: dict[str, Any], budget: int, *, prefix: bool
) -> Iterator[tuple[str, Any]]:
    from shmkit.loading.stream import stream  # noqa: PLC0415 - only a load needs it

    skip_failed = how["skip_failed"]
    with (
        BriefErrors(),
        inputs(named, how["reader"], how["backing"], skip_failed=skip_failed) as found,
    ):
        if how["options"]:
            check_options([file.form for file in found.values()], how["options"])
        yield from stream(found, how, prefix=prefix, budget=budget, holders=_holders)


def _holders(segments: Sequence[Segment]) -> list[str]:
    """The variables of the notebook that hold these."""
    held = held_by(dict(enumerate(segments)), shell_variables())
    return sorted({name for names in held.values() for name in names})


def _nbytes(memory: int | str | None) -> int:
    if memory is None:
        return _limits.memory().free // 2
    found = re.fullmatch(r"\s*([0-9]+\.?[0-9]*|\.[0-9]+)\s*([kmgt]?)b?\s*", str(memory).lower())
    if not found or not (nbytes := int(float(found[1]) * _UNITS[found[2]])):
        raise ValueError(f'memory={memory!r} is no number of bytes above 0, such as "4 GB"')
    return nbytes
