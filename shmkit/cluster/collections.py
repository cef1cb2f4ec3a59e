"""The arrays of a cluster as one collection of Dask's: a chunk is a range of rows of one of them.

    s00  [ rows 0..n │ n..2n │ … ]   s01  [ rows 0..n │ … ]
              │          │                     │
         chunk 0      chunk 1   …           chunk k         a task each, on the node of its array

A chunk is a view of its array: no byte is copied for it, and none travels. Where texts of one
array are longer than those of another, the shorter ones are copied.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import dask
import dask.array as da
import numpy as np

if TYPE_CHECKING:
    from shmkit.cluster.arrays import RemoteArray

__all__ = ["collection"]


def collection(arrays: Sequence[RemoteArray], rows: int | None) -> Any:
    """A dask.array of arrays, or a dask.dataframe of tables; raises as `RemoteArrays.to_dask`."""
    first = arrays[0]
    for array in arrays:
        if not array.shape:
            raise ValueError(f"{array.name} is a single number: it has no rows")
        if (array.shape[1:], array.dtype.names) != (first.shape[1:], first.dtype.names):
            raise ValueError(
                f"{array.name} ({array.dtype}, rows of {array.shape[1:]}) and {first.name} "
                f"({first.dtype}, rows of {first.shape[1:]}) are not alike; take those that are: "
                "one of these arrays alone has to_dask as well"
            )
    if rows is not None and rows < 1:
        raise ValueError(f"rows={rows} must be at least 1")
    if rows is None:
        nbytes = dask.utils.parse_bytes(dask.config.get("array.chunk-size"))
        rows = max(nbytes * max(len(first), 1) // max(first.nbytes, 1), 1)
    return _frame(arrays, rows) if first.columns else _array(arrays, rows)


def _chunks(arrays: Sequence[RemoteArray], rows: int) -> Iterator[tuple[RemoteArray, int, int]]:
    for array in arrays:
        for start in range(0, max(len(array), 1), rows):
            yield array, start, min(start + rows, len(array))


def _array(arrays: Sequence[RemoteArray], rows: int) -> Any:
    rows_of = dask.delayed(_rows, pure=True)
    dtype = np.result_type(*(array.dtype for array in arrays))  # texts may differ in length
    chunks = [
        da.from_delayed(
            rows_of(array, start, stop, dtype), (stop - start, *array.shape[1:]), dtype=dtype
        )
        for array, start, stop in _chunks(arrays, rows)
    ]
    return da.concatenate(chunks)


def _frame(arrays: Sequence[RemoteArray], rows: int) -> Any:
    import dask.dataframe as dd  # noqa: PLC0415 - pandas for tables only

    frame_of = dask.delayed(_rows_as_frame, pure=True)
    first = arrays[0]
    like = first.client.submit(_rows_as_frame, first, 0, 0, pure=False).result()
    chunks = [frame_of(array, start, stop) for array, start, stop in _chunks(arrays, rows)]
    return dd.from_delayed(chunks, meta=like, verify_meta=False)


def _rows(array: Any, start: int, stop: int, dtype: np.dtype[Any]) -> Any:
    return array[start:stop].astype(dtype, copy=False)


def _rows_as_frame(table: Any, start: int, stop: int) -> Any:
    return table[start:stop].to_pandas()
