"""Small datasets that are alike, read one behind another.

    a/x0  ──h5d.read──▶ items ──decode──▶ │ a/x0 │ a/x1 │ b/x7 │ …    rows of one array
    a/x1  ──────▶

The listing has told that all are of one type, have no attributes, and differ in their first length
alone (`Listed.kind`). So what the first one becomes holds for all, and nothing is asked of the
others but their items: h5py's own objects take several times as long as HDF5 takes to read these.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import h5py
import numpy as np

from shmkit._text_dtype import text_fields
from shmkit.hdf5.encoding import decode, text_labels
from shmkit.readers.hdf5.file import DAMAGED
from shmkit.readers.hdf5.text import mislabelled
from shmkit.segments.writer import SegmentWriter

__all__ = ["read_alike"]


def read_alike(
    file: h5py.File,
    names: Sequence[str],
    stored: np.dtype[Any],
    dtype: np.dtype[Any],
    writer: SegmentWriter,
) -> Iterator[int | None]:
    """Write the items of each dataset; how many rows it has, or None for what cannot be read so.

    They have one dtype in the file, and one in the array.
    """
    in_memory, texts = h5py.h5t.py_create(stored), text_fields(dtype)
    labels = {field: label for field, label in text_labels(stored).items() if field[1:] in texts}
    everything, position = h5py.h5s.ALL, 0
    for name in names:
        try:
            dataset = h5py.h5d.open(file.id, name.encode("utf-8", "surrogateescape"))
            items = np.empty(dataset.shape, stored)
            dataset.read(everything, everything, items, in_memory)
            if labels and [*mislabelled(items, labels)]:
                yield None
                continue
            array = np.ascontiguousarray(decode(items, dtype))
        except (*DAMAGED, OSError):
            yield None
            continue
        writer.seek(position)
        writer.write(array)
        position += array.nbytes
        yield len(items) if items.ndim else 1
