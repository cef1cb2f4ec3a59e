"""Text in a dataset: how long it is, and whether it is what its label says.

HDF5 labels text as ASCII or UTF-8, and checks neither. What is not as labelled is no text, but the
bytes that it is: only who wrote it knows what they mean.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["mislabelled", "widths"]


def widths(blocks: Iterable[NDArray[Any]], fields: Iterable[str]) -> dict[str, int]:
    """Bytes of the longest text in each field, ``.name`` or "", of text of varying length."""
    longest = dict.fromkeys(fields, 1)
    for block in blocks:
        for field in longest:
            found = max(map(len, _field(block, field).flat), default=1)
            longest[field] = max(longest[field], found)
    return longest


def mislabelled(block: NDArray[Any], labels: Mapping[str, tuple[str, bool]]) -> Iterator[str]:
    """The fields whose bytes are not what their label says."""
    for field, (encoding, _) in labels.items():
        text = _field(block, field)
        if text.dtype.kind != "S":
            continue
        data = np.ascontiguousarray(text).reshape(-1).view(np.uint8)
        if np.max(data, initial=0) < 128:
            continue
        try:
            if encoding == "ascii":
                raise UnicodeError
            data.tobytes().decode("utf-8")
        except UnicodeError:
            yield field


def _field(block: NDArray[Any], field: str) -> NDArray[Any]:
    for name in _names(block.dtype, field):
        block = block[name]
    return block


def _names(dtype: np.dtype[Any], field: str) -> Iterator[str]:
    """The names that lead to a field; a name may have points in it."""
    if not field:
        return
    for name in dtype.names or ():
        if field == f".{name}" or field.startswith(f".{name}."):
            try:
                rest = list(_names(dtype[name].base, field[len(name) + 1 :]))
            except LookupError:
                continue
            yield from (name, *rest)
            return
    raise LookupError(field)
