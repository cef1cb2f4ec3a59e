"""Attributes of an array as JSON, for the trailer of its segment.

"K" ──▶ "K"      [1, 2] of int32 ──▶ {"dtype": "<i4", "shape": [2], "data": "AQAAAAIAAAA="}
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import numpy as np

__all__ = ["from_json", "to_json"]

_KINDS = "biufcSUmM"


def to_json(attrs: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes that are text, numbers, bytes or times, or arrays of these, as JSON has them.

    >>> to_json({"units": "K", "scale": np.float32(0.5)})["scale"]
    {'dtype': '<f4', 'shape': [], 'data': 'AAAAPw=='}
    """
    return {
        name: value if isinstance(value, str) else _array(value) for name, value in attrs.items()
    }


def _array(value: Any) -> dict[str, Any]:
    array = np.asarray(value)
    data = base64.b64encode(array.tobytes()).decode()
    return {"dtype": array.dtype.str, "shape": list(array.shape), "data": data}


def from_json(found: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes as they were; raises TypeError, KeyError or ValueError for anything else.

    >>> from_json(to_json({"scale": np.float32(0.5)}))
    {'scale': np.float32(0.5)}
    """
    return {
        name: value if isinstance(value, str) else _value(value) for name, value in found.items()
    }


def _value(found: Mapping[str, Any]) -> Any:
    dtype = np.dtype(found["dtype"])
    if dtype.kind not in _KINDS or dtype.names is not None or not dtype.itemsize:
        raise ValueError(f"an attribute of {dtype}")
    data = base64.b64decode(found["data"], validate=True)
    return np.frombuffer(data, dtype).reshape(found["shape"]).copy()[()]
