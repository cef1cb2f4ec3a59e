r"""Text in memory: which dtypes hold text, and the ways between text and its bytes.

    "é"  ──encoded──▶  b"\xc3\xa9\0\0"    S4 with {"h5py_encoding": "utf-8"}
         ◀──decoded──

Text lies as UTF-8 of a fixed width, ended by zeros, or as the codes of categories. That it is text
and no bytes, or codes, is said by the metadata of its dtype: the one with which h5py marks text.
Bytes of UTF-8 have the order of their characters, so they are compared and sorted as they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shmkit._categories import category
from shmkit._metadata import dropped, given, said

__all__ = [
    "coded_text",
    "decoded",
    "encoded",
    "is_text",
    "text_dtype",
    "text_fields",
    "with_text",
    "without_text",
]

_KEY, _ENCODING = "h5py_encoding", "utf-8"
_LETTERS = np.dtype("u4")  # what an item of U is made of


def text_dtype(nbytes: int) -> np.dtype[Any]:
    """The dtype of text that takes up to so many bytes of UTF-8.

    >>> text_dtype(6), is_text(text_dtype(6)), is_text(np.dtype("S6"))
    (dtype('S6'), True, False)
    """
    return np.dtype(f"S{max(nbytes, 1)}", metadata={_KEY: _ENCODING})


def coded_text(names: Iterable[str]) -> np.dtype[Any]:
    """The dtype of text that is one of these, and lies as its code."""
    return with_text(category(names), [""])


def is_text(dtype: np.dtype[Any]) -> bool:
    """Whether an array of this dtype holds text: as UTF-8, or as codes."""
    metadata: Mapping[str, Any] = dtype.metadata or {}
    return dtype.kind in "Siu" and metadata.get(_KEY) == _ENCODING


def text_fields(dtype: np.dtype[Any]) -> list[str]:
    """The fields that hold text; ``outer.inner`` if nested, "" for a dtype without fields."""
    return [field for field, encoding in said(dtype, _KEY).items() if encoding == _ENCODING]


def with_text(dtype: np.dtype[Any], fields: Iterable[str]) -> np.dtype[Any]:
    """The dtype whose fields, as `text_fields` gives them, hold text."""
    return given(dtype, _KEY, dict.fromkeys(fields, _ENCODING), "Siu")


def without_text(dtype: np.dtype[Any], fields: Iterable[str]) -> np.dtype[Any]:
    """The dtype whose fields, as `text_fields` gives them, hold bytes and no text."""
    others = [field for field in text_fields(dtype) if field not in set(fields)]
    return with_text(dropped(dtype, _KEY), others)


def encoded(text: NDArray[Any]) -> NDArray[np.bytes_]:
    r"""The UTF-8 of text: of an array of `str_`, of StringDType, or of objects that are str.

    Raises UnicodeEncodeError for what UTF-8 does not have: half a surrogate pair.

    >>> encoded(np.array(["a", "é"]))
    array([b'a', b'\xc3\xa9'], dtype='|S2')
    """
    if text.dtype.kind == "T":
        text = text.astype(f"U{np.max(np.strings.str_len(text), initial=1)}")
    text = np.ascontiguousarray(text, np.str_).reshape(text.shape)
    letters = text.reshape(-1, 1).view(_LETTERS.newbyteorder(text.dtype.byteorder))
    if np.max(letters, initial=0) < 128:
        utf8: NDArray[Any] = letters.astype("u1").view(f"S{letters.shape[1]}")
    else:  # numpy calls Python for each
        utf8 = np.strings.encode(text, "utf-8")
    return utf8.reshape(text.shape)


def decoded(utf8: NDArray[np.bytes_]) -> NDArray[np.str_]:
    r"""The text of UTF-8; as many characters wide as that has bytes.

    Bytes that are no UTF-8 become U+FFFD.

    >>> decoded(np.array([b"a", b"\xc3\xa9"]))
    array(['a', 'é'], dtype='<U2')
    """
    width = utf8.dtype.itemsize
    units = np.ascontiguousarray(utf8).reshape(-1, 1).view(np.uint8)
    text: NDArray[Any] = units.astype(_LETTERS).view(f"U{width}")[:, 0]
    if np.max(units, initial=0) >= 128:  # numpy calls Python for each, so only for those
        others = np.flatnonzero((units >= 128).any(axis=1))
        text[others] = np.strings.decode(utf8.reshape(-1)[others], "utf-8", "replace")
    return text.reshape(utf8.shape)
