"""The trailer of a segment: behind the data, as JSON, what a .npy header cannot say of a dtype.

    {"enums": {"chr": {"chr1": 0}}, "text": ["station"], "table": {"rows": 3, "columns": […]},
       names of codes, by field       fields of text       the columns of a table above 2 GiB
     "attrs": {"units": "K", …}}
       what the file said of the array

In a process, the dtype itself has all but the attributes as metadata. An entry of the cache has a
"note" besides, which says of what file it is, and how that was read.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np

from shmkit._categories import enums, with_enums
from shmkit._text_dtype import text_fields, with_text
from shmkit.segments.image.attrs import from_json, to_json
from shmkit.segments.image.layout import Layout, described_in_trailer

__all__ = ["read_trailer", "trailer_bytes"]

_MARK = b"shmkit trailer\n"
_MAX_NBYTES = 1 << 25  # the names of one field take 17 MB at most


def trailer_bytes(
    dtype: np.dtype[Any], attrs: Mapping[str, Any], note: Mapping[str, Any] | None = None
) -> bytes:
    """What stands behind the data: nothing, if the dtype has no metadata, and nothing else is said.

    Raises ValueError if it is too long, or the note cannot be written as JSON.
    """
    table = described_in_trailer(dtype)
    fields = table.row_dtype() if table else dtype
    found: dict[str, Any] = {"enums": enums(fields), "text": text_fields(fields)}
    if table:
        found["table"] = table.to_json()
    if attrs:
        found["attrs"] = to_json(attrs)
    if note is not None:
        found["note"] = note
    if not any(found.values()):
        return b""
    import json  # noqa: PLC0415 - few segments have a trailer

    trailer = _MARK + json.dumps(found, default=int).encode()
    if len(trailer) > _MAX_NBYTES:
        raise ValueError(f"the names of its categories and columns take {len(trailer)} bytes")
    return trailer


def read_trailer(
    file: BinaryIO, start: int, dtype: np.dtype[Any], shape: tuple[int, ...]
) -> tuple[np.dtype[Any], dict[str, Any], Any]:
    """The dtype that the header says, with the metadata that the file has from byte `start` on.

    Also the attributes of the array; and the note that is there, or None.

    Anything else there is no part of the image: what is being loaded may be longer. Raises
    ValueError for a trailer that is damaged.
    """
    text = _text(file, start)
    if text is None:
        return dtype, {}, None
    if len(text) > _MAX_NBYTES:
        raise ValueError("its trailer is too long")
    import json  # noqa: PLC0415 - as above

    try:
        found = json.loads(text)
        attrs = from_json(found.get("attrs", {}))
        return _with_metadata(dtype, shape, found), attrs, found.get("note")
    except (
        AttributeError,
        LookupError,
        OverflowError,
        RecursionError,
        TypeError,
        ValueError,
    ) as error:
        raise ValueError(f"its trailer: {type(error).__name__}: {error}") from None


def _text(file: BinaryIO, start: int) -> bytes | None:
    """What the trailer from byte `start` on says; None if none is there."""
    nbytes = os.fstat(file.fileno()).st_size - start
    if nbytes < len(_MARK):
        return None
    file.seek(start)
    found = file.read(min(nbytes, len(_MARK) + _MAX_NBYTES + 1))
    return found.removeprefix(_MARK) if found.startswith(_MARK) else None


def _with_metadata(
    dtype: np.dtype[Any], shape: tuple[int, ...], found: dict[str, Any]
) -> np.dtype[Any]:
    """The dtype with what a trailer says, which is not trusted."""
    names = {field: dict(enum) for field, enum in found["enums"].items()}
    if not names and found["text"] == [] and "table" not in found:  # a note, or attributes only
        return dtype
    table = None
    if "table" in found:
        if dtype != np.uint8 or len(shape) != 1:
            raise ValueError("it has the columns of a table, but the header has others")
        table = Layout.from_json(found["table"], shape[0])
        dtype = table.row_dtype()
    dtype = with_text(with_enums(dtype, names), found["text"])
    if (
        enums(dtype) != names
        or text_fields(dtype) != found["text"]
        or not all(type(code) is int for enum in names.values() for code in enum.values())
    ):
        raise ValueError("it names fields that are not there, or their codes are no numbers")
    if table is None:
        return dtype
    return table.with_dtypes([dtype[column.name] for column in table.columns]).as_bytes()
