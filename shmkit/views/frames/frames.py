"""Data frames: tables of others as columns that a segment can hold, and columns for pandas.

    pandas, polars, pyarrow, a mapping of arrays ──▶ {"station": S6 that is text, "temp": <f8, …}
    pandas                                       ◀── (the others take a table by arrow.py)

None of the three packages is imported for `share`: who has a table of one has it. Missing values
become NaN and NaT; a missing text becomes the empty one. Text that a frame holds by categories
becomes codes.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from shmkit._categories import MAX_NAMES, names_of
from shmkit._text_dtype import coded_text, encoded, text_dtype
from shmkit.views.table import Table
from shmkit.views.text import SharedText

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["columns_of", "stored_columns", "to_pandas"]

_MAX_EXACT = 2**53  # whole numbers up to here are exact as float64


def columns_of(source: Any) -> dict[str, Any] | None:
    """The columns of a table of whatever kind, by name; None for what is no table."""
    if isinstance(source, Table):
        return {name: source[name] for name in source}
    if isinstance(source, Mapping):
        return {str(name): values for name, values in source.items()}
    if _is_of("pandas", "DataFrame", source):
        return _of_pandas(source)
    if _is_of("polars", "DataFrame", source):
        return {column.name: _of_polars(column) for column in source}
    if _is_of("pyarrow", "Table", source) or _is_of("pyarrow", "RecordBatch", source):
        names = source.schema.names
        return {name: _of_arrow(name, column) for name, column in zip(names, source, strict=True)}
    return None


def stored_columns(columns: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    """The columns as they lie in a segment.

    Raises
    ------
    TypeError
        For a column of Python objects that are no text, or with a mask.
    ValueError
        If they are not of one length, or have more dimensions than one.
    """
    stored = {name: _stored(name, values) for name, values in columns.items()}
    lengths = {name: len(column) for name, column in stored.items()}
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{name!r} has {length}" for name, length in lengths.items())
        raise ValueError(f"the columns of a table have one length, but {told}")
    return stored


def to_pandas(columns: Mapping[str, Any]) -> pd.DataFrame:
    """A data frame of these columns, over their memory where pandas can have it so."""
    import pandas as pd  # noqa: PLC0415 - only for those who have it

    return pd.DataFrame({name: _for_pandas(column) for name, column in columns.items()}, copy=False)


def _for_pandas(column: Any) -> Any:
    names = column.categories if isinstance(column, SharedText) else names_of(column.dtype)
    if names is not None:
        import pandas as pd  # noqa: PLC0415 - as above

        return pd.Categorical.from_codes(np.asarray(getattr(column, "stored", column)), names)
    if isinstance(column, SharedText):
        return _text_for_pandas(column)
    array = np.asarray(column)
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _text_for_pandas(column: SharedText) -> Any:
    """Text as pandas has it; where that is Arrow's, by way of Arrow, in a fifth of the time."""
    import pandas as pd  # noqa: PLC0415 - as above

    dtype = pd.Series([""]).dtype
    if getattr(dtype, "storage", None) != "pyarrow":
        return np.asarray(column)
    import pyarrow as pa  # noqa: PLC0415 - which pandas has imported

    return pd.array(pa.array(column), dtype=dtype)


def _stored(name: str, values: Any) -> NDArray[Any]:
    if isinstance(values, SharedText):
        return np.asarray(values.stored)
    if isinstance(values, np.ma.MaskedArray):
        raise TypeError(f"column {name!r} has a mask, which would be lost; share its filled(...)")
    array = np.asarray(values)
    if array.ndim != 1:
        raise ValueError(f"column {name!r} has the shape {array.shape}; a column has one dimension")
    if array.dtype.kind == "O":
        array = _of_objects(name, array)
    if array.dtype.kind not in "UT":
        return array
    try:
        utf8 = encoded(array)
    except UnicodeEncodeError as error:
        raise TypeError(f"column {name!r} holds text that UTF-8 does not have: {error}") from None
    return utf8.astype(text_dtype(int(np.max(np.strings.str_len(utf8), initial=1))))


def _of_objects(name: str, array: NDArray[Any]) -> NDArray[Any]:
    """Objects that are all str, or all bytes, where they are not missing."""
    items = array.tolist()
    if float in set(map(type, items)):
        items = [None if item != item else item for item in items]  # noqa: PLR0124 - NaN
    kinds = set(map(type, items)) - {type(None)}
    for kind in (str, bytes):
        if all(issubclass(found, kind) for found in kinds):
            return np.array([kind() if item is None else item for item in items], kind)
    told = ", ".join(sorted(found.__name__ for found in kinds))
    raise TypeError(
        f"column {name!r} holds Python objects ({told}), which cannot lie in shared "
        "memory; give it a numeric, time or string dtype first"
    )


def _codes(codes: NDArray[Any], names: Iterable[Any]) -> NDArray[Any] | None:
    """Codes of text, -1 where it is missing; None if they are too many, or stand for no text."""
    names = list(names)
    if not all(isinstance(text, str) for text in names):
        return None
    if np.min(codes, initial=0) < 0 and "" not in names:
        names.append("")
    if len(names) > MAX_NAMES:
        return None
    missing = names.index("") if "" in names else 0
    return np.where(codes < 0, missing, codes).astype(coded_text(names))


def _whole_with_missing(name: str, numbers: NDArray[np.float64]) -> NDArray[np.float64]:
    """Whole numbers, some of them missing, which are NaN."""
    if np.nanmax(np.abs(numbers), initial=0) >= _MAX_EXACT:
        raise ValueError(
            f"column {name!r} has missing values beside whole numbers of 2**53 and more, which "
            "float64 does not hold exactly; fill the missing ones first"
        )
    return numbers


def _is_of(package: str, kind: str, source: Any) -> bool:
    module = sys.modules.get(package)
    return module is not None and isinstance(source, getattr(module, kind))


def _of_pandas(frame: Any) -> dict[str, Any]:
    if any(name is not None for name in frame.index.names):  # the row numbers have no name
        frame = frame.reset_index()
    if not frame.columns.is_unique:
        raise ValueError("two columns of the table have the same name")
    return {str(name): _of_series(str(name), frame[name]) for name in frame.columns}


def _of_series(name: str, series: Any) -> NDArray[Any]:
    dtype = series.dtype
    if hasattr(dtype, "categories"):
        codes = _codes(series.cat.codes.to_numpy(), dtype.categories)
        return series.to_numpy() if codes is None else codes
    if getattr(dtype, "tz", None) is not None:
        series = series.dt.tz_convert("UTC").dt.tz_localize(None)
    elif dtype.kind in "iub" and series.isna().any():
        numbers: NDArray[np.float64] = series.to_numpy(np.float64, na_value=np.nan)
        return _whole_with_missing(name, numbers)
    elif dtype.kind == "f":
        return series.to_numpy(getattr(dtype, "numpy_dtype", dtype), na_value=np.nan)  # type: ignore[no-any-return]
    elif dtype.kind == "O":
        return series.to_numpy(object, na_value=None)  # type: ignore[no-any-return]
    return series.to_numpy()  # type: ignore[no-any-return]


def _of_polars(series: Any) -> NDArray[Any]:
    pl = sys.modules["polars"]

    if series.dtype in (pl.Categorical, pl.Enum):
        texts = series.cast(pl.String)
        names = texts.unique(maintain_order=True).drop_nulls()
        codes = texts.cast(pl.Enum(names)).to_physical().cast(pl.Int64).fill_null(-1)
        found = _codes(codes.to_numpy(), names)
        return texts.to_numpy() if found is None else found
    if series.dtype.is_integer() and series.null_count():
        return _whole_with_missing(series.name, series.cast(pl.Float64).to_numpy())
    return series.to_numpy()  # type: ignore[no-any-return]


def _of_arrow(name: str, column: Any) -> NDArray[Any]:
    pa = sys.modules["pyarrow"]

    if isinstance(column, pa.Array):
        column = pa.chunked_array([column])
    if pa.types.is_dictionary(column.type):
        joined = column.unify_dictionaries().combine_chunks()
        joined = joined.chunk(0) if isinstance(joined, pa.ChunkedArray) else joined
        codes = joined.indices.cast(pa.int64()).fill_null(-1).to_numpy(zero_copy_only=False)
        found = _codes(codes, joined.dictionary.to_pylist())
        if found is not None:
            return found
        column = column.cast(column.type.value_type)
    if pa.types.is_integer(column.type) and column.null_count:
        return _whole_with_missing(name, column.cast(pa.float64(), safe=False).to_numpy())
    return column.to_numpy()  # type: ignore[no-any-return]
