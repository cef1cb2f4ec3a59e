"""Categories: text of few different values as small codes, whose names are in the dtype.

    chr1 chr1 chrX chr1 ──▶ 0 0 1 0   uint16, with the metadata {"enum": {"chr1": 0, "chrX": 1}}

The metadata are those of h5py's enums, so HDF5 stores one and gives one back. numpy hands them on
to fields, slices and pickles, but no .npy header has them: in a segment they are behind the data.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "MAX_NAMES",
    "MAX_NAME_NBYTES",
    "category",
    "coded",
    "enum_of",
    "enums",
    "names_of",
    "too_many",
    "with_enums",
    "with_formats",
]

MAX_NAMES = 1 << 16
MAX_NAME_NBYTES = 255  # bytes of UTF-8


def category(names: Iterable[str]) -> np.dtype[Any]:
    """The dtype of codes for these names; without any it says that names are to come.

    >>> category(["chr1", "chrX"]).metadata["enum"]["chrX"]
    1
    """
    enum = {name: code for code, name in enumerate(names)}
    return np.dtype("u2", metadata={"enum": enum})


def enum_of(dtype: np.dtype[Any]) -> dict[str, int] | None:
    """The code of each name; None if the dtype is no category."""
    metadata: Mapping[str, Any] = dtype.metadata or {}
    found = metadata.get("enum")
    return found if isinstance(found, dict) else None


def names_of(dtype: np.dtype[Any]) -> NDArray[np.str_] | None:
    """The names by code, empty where a code has none; None if the dtype has no names for codes."""
    enum = enum_of(dtype)
    if not enum or min(enum.values()) < 0 or max(enum.values()) >= MAX_NAMES:
        return None
    names = [""] * (max(enum.values()) + 1)
    for name, code in enum.items():
        names[code] = name
    return np.array(names)


def enums(dtype: np.dtype[Any], name: str = "") -> dict[str, dict[str, int]]:
    """The names of codes in a dtype by field, ``outer.inner`` if nested, or "" if it has none.

    >>> enums(np.dtype([("chr", category(["chr1"])), ("pos", "i4")]))
    {'chr': {'chr1': 0}}
    """
    base: np.dtype[Any] = dtype.base
    found: dict[str, dict[str, int]] = {}
    for field in base.names or ():
        found |= enums(base[field], f"{name}.{field}".lstrip("."))
    return {name: enum} if (enum := enum_of(base)) else found


def with_enums(
    dtype: np.dtype[Any], enums: Mapping[str, Mapping[str, int]], name: str = ""
) -> np.dtype[Any]:
    """The dtype with names for its codes, as `enums` gives them."""
    if not enums:
        return dtype
    if dtype.subdtype is not None:
        return np.dtype((with_enums(dtype.base, enums, name), dtype.shape))
    if dtype.names is None:
        named = dtype.kind in "iu" and bool(enums.get(name))
        return np.dtype(dtype, metadata={"enum": enums[name]}) if named else dtype
    paths = [f"{name}.{field}".lstrip(".") for field in dtype.names]
    formats = [with_enums(dtype[i], enums, path) for i, path in enumerate(paths)]
    return with_formats(dtype, formats)


def with_formats(dtype: np.dtype[Any], formats: Sequence[np.dtype[Any]]) -> np.dtype[Any]:
    """The dtype with others for its fields, which are as long, in the same places."""
    assert dtype.names is not None
    assert dtype.fields is not None
    offsets = [dtype.fields[field][1] for field in dtype.names]
    layout: Any = {"names": dtype.names, "formats": formats, "offsets": offsets}
    found: np.dtype[Any] = np.dtype(layout | {"itemsize": dtype.itemsize})
    return found


def coded(
    codes: Mapping[str, Mapping[str, int]], found: Iterable[Mapping[str, Iterable[str]]]
) -> dict[str, dict[str, int]]:
    """The codes of names by field, with the next ones for the names that are new.

    Raises ValueError if they are too many.

    >>> coded({"chr": {"chr1": 0}}, [{"chr": ["chr2", "chr1"]}])
    {'chr': {'chr1': 0, 'chr2': 1}}
    """
    all_codes = {field: dict(known) for field, known in codes.items()}
    for field, names in (item for piece in found for item in piece.items()):
        known = all_codes.setdefault(field, {})
        for name in names:
            known.setdefault(name, len(known))
        if len(known) > MAX_NAMES:
            raise ValueError(too_many(field))
    return all_codes


def too_many(field: str) -> str:
    """What to say where a field has too many different texts."""
    return (
        f'field "{field}" has more than {MAX_NAMES:,} different texts in the files of this load, '
        "too many for categories; leave it out of categories="
    )
