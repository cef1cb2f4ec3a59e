"""What the dtypes of fields say beside their layout, as numpy's metadata: read and given by field.

    [("chr", u2 with {"enum": {"chr1": 0}}), ("pos", i4)]  ◀──▶  {"chr": {"chr1": 0}}

numpy hands metadata on to fields, slices, copies and pickles. It compares dtypes without them, and
no .npy header has them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

__all__ = ["dropped", "given", "said", "with_formats"]


def said(dtype: np.dtype[Any], key: str, name: str = "") -> dict[str, Any]:
    """What a dtype says under a key, by field: ``outer.inner`` if nested, "" if it has no fields.

    >>> said(np.dtype([("chr", np.dtype("u2", metadata={"enum": {"chr1": 0}}))]), "enum")
    {'chr': {'chr1': 0}}
    """
    base: np.dtype[Any] = dtype.base
    found: dict[str, Any] = {}
    for field in base.names or ():
        found |= said(base[field], key, f"{name}.{field}" if name else field)
    metadata: Mapping[str, Any] = base.metadata or {}
    return {name: metadata[key]} if key in metadata else found


def given(
    dtype: np.dtype[Any], key: str, values: Mapping[str, Any], kinds: str, name: str = ""
) -> np.dtype[Any]:
    """The dtype that says these values under a key, by field, where its kind is one of `kinds`."""
    if not values:
        return dtype
    if dtype.subdtype is not None:
        return np.dtype((given(dtype.base, key, values, kinds, name), dtype.shape))
    if dtype.names is None:
        if dtype.kind not in kinds or not values.get(name):
            return dtype
        # Of two dicts numpy would keep the older value.
        return np.dtype(dtype.str, metadata={**dict(dtype.metadata or {}), key: values[name]})
    paths = [f"{name}.{field}" if name else field for field in dtype.names]
    formats = [given(dtype[i], key, values, kinds, path) for i, path in enumerate(paths)]
    return with_formats(dtype, formats)


def dropped(dtype: np.dtype[Any], key: str) -> np.dtype[Any]:
    """The dtype that says nothing under a key, nor do its fields."""
    if dtype.subdtype is not None:
        return np.dtype((dropped(dtype.base, key), dtype.shape))
    if dtype.names is not None:
        return with_formats(dtype, [dropped(dtype[name], key) for name in dtype.names])
    metadata = {other: value for other, value in (dtype.metadata or {}).items() if other != key}
    return np.dtype(dtype.str, metadata=metadata) if metadata else np.dtype(dtype.str)


def with_formats(dtype: np.dtype[Any], formats: Sequence[np.dtype[Any]]) -> np.dtype[Any]:
    """The dtype with others for its fields, which are as long, in the same places."""
    assert dtype.names is not None
    assert dtype.fields is not None
    offsets = [dtype.fields[field][1] for field in dtype.names]
    layout: Any = {"names": dtype.names, "formats": formats, "offsets": offsets}
    found: np.dtype[Any] = np.dtype(layout | {"itemsize": dtype.itemsize})
    return found
