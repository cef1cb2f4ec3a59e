"""Items to planes of bytes and back: what HDF5's shuffle filter does, by whoever does it fastest.

    items   a0 a1 a2 │ b0 b1 b2  ──shuffle──▶  planes  a0 b0 │ a1 b1 │ a2 b2
                                 ◀─unshuffle──

The compiled module needs a tenth of numpy's time. numpy does it where that could not be compiled.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

try:
    from shmkit.hdf5.compression import _shuffle
except ImportError:
    _shuffle = None  # type: ignore[assignment] # numpy does its work

__all__ = ["shuffle", "unshuffle"]


def shuffle(items: NDArray[Any]) -> NDArray[np.uint8]:
    """The planes of items, a C-contiguous array; other threads run meanwhile.

    >>> shuffle(np.array([0x0102, 0x0304], "<u2")).tolist()
    [2, 4, 1, 3]
    """
    data = items.reshape(-1).view(np.uint8)
    if _shuffle is None or items.itemsize == 1:
        return data.reshape(-1, items.itemsize).T.copy().reshape(-1)
    planes = np.empty(data.size, np.uint8)
    _shuffle.shuffle(data.data, planes.data, items.itemsize)
    return planes


def unshuffle(planes: NDArray[np.uint8], items: NDArray[np.uint8], itemsize: int) -> None:
    """Fill the bytes of items from planes, which may hold more items than there are here.

    >>> items = np.empty(2, "<u2")
    >>> unshuffle(np.array([2, 4, 1, 3], np.uint8), items.view(np.uint8), 2)
    >>> items.tolist() == [0x0102, 0x0304]
    True
    """
    if _shuffle is not None:
        _shuffle.unshuffle(planes.data, items.data, itemsize)
        return
    rows = items.reshape(-1, itemsize)
    for place, plane in enumerate(planes.reshape(itemsize, -1)):  # 3 times as fast as .T
        rows[:, place] = plane[: len(rows)]
