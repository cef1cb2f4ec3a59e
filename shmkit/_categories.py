"""Categories: text of few different values as small codes, whose names are in the dtype.

    chr1 chr1 chrX chr1 ──▶ 0 0 1 0   uint16, with the metadata {"enum": {"chr1": 0, "chrX": 1}}

The metadata are those of h5py's enums, so HDF5 stores one and gives one back. numpy hands them on
to fields, slices and pickles, but no .npy header has them: in a segment they are behind the data.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shmkit._metadata import given, said

__all__ = [
    "MAX_NAMES",
    "MAX_NAME_NBYTES",
    "category",
    "coded",
    "compared",
    "enum_of",
    "enums",
    "names_of",
    "too_many",
    "with_enums",
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


def compared(comparison: np.ufunc, codes: NDArray[Any], other: object) -> NDArray[np.bool_] | None:
    """The texts of codes compared with a text; None for another `other`, or what are no codes.

    >>> compared(np.less, np.array([0, 1], category(["chr2", "chr1"])), "chr2").tolist()
    [False, True]
    """
    if not isinstance(other, str):
        return None
    names = names_of(codes.dtype)
    if names is None:
        return None
    found: NDArray[np.bool_] = comparison(names, other)[np.asarray(codes)]
    return found


def enums(dtype: np.dtype[Any], name: str = "") -> dict[str, dict[str, int]]:
    """The names of codes in a dtype by field, ``outer.inner`` if nested, or "" if it has none.

    >>> enums(np.dtype([("chr", category(["chr1"])), ("pos", "i4")]))
    {'chr': {'chr1': 0}}
    """
    found = said(dtype, "enum", name)
    return {field: enum for field, enum in found.items() if isinstance(enum, dict) and enum}


def with_enums(
    dtype: np.dtype[Any], enums: Mapping[str, Mapping[str, int]], name: str = ""
) -> np.dtype[Any]:
    """The dtype with names for its codes, as `enums` gives them."""
    return given(dtype, "enum", enums, "iu", name)


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
