"""Series and data frames of pandas and polars, as columns for the file.

    DataFrame ──▶ a column each; the index before them, unless it only counts the rows
    Series    ──▶ an array; with such an index, two columns
    column    ──▶ text, numbers, times: an array, masked where a value is missing
                  categories of text: codes, whose names the file says (an HDF5 enum)
                  times of a time zone: in UTC, with the attribute "timezone"

Neither library is imported here: who has such an object has imported it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shmkit._categories import category
from shmkit.hdf5.contents.columns import Rows
from shmkit.hdf5.contents.values import Value, array_value, object_value, text_array
from shmkit.hdf5.encoding import MAX_ENUM_NBYTES, enum_nbytes

__all__ = ["frame_value", "is_frame", "package_of"]


def package_of(value: Any) -> str:
    """The library that a value is of, such as ``"pandas"``."""
    return type(value).__module__.partition(".")[0]


def is_frame(value: Any) -> bool:
    """Whether it is a series, an index, a column or a data frame."""
    methods = {"pandas": ("to_numpy", "isna"), "polars": ("to_arrow", "to_arrow")}
    return all(hasattr(value, name) for name in methods.get(package_of(value), ["no"]))


def frame_value(name: str, value: Any) -> Value | None:
    """A series, an index or a data frame for the file; None if it is none.

    Raises
    ------
    TypeError
        If a column holds what HDF5 cannot.
    ValueError
        If two columns have one name, or there is none.
    """
    package, kind = package_of(value), type(value).__name__
    if package == "pandas":
        if hasattr(value, "columns"):
            return _rows(name, [*_index(value.index), *value.items()], _of_pandas)
        if hasattr(value, "index"):  # a series
            if index := _index(value.index):
                column = "values" if value.name is None else value.name
                return _rows(name, [*index, (column, value)], _of_pandas)
            return _of_pandas(name, value)
        if hasattr(value, "to_frame"):  # an index
            if value.nlevels > 1:
                return _rows(name, value.to_frame(index=False).items(), _of_pandas)
            return _of_pandas(name, value.to_series())
        if hasattr(value, "isna"):  # a Categorical, or another array of pandas
            import pandas as pd  # noqa: PLC0415 - who has one has imported it

            return _of_pandas(name, pd.Series(value))
    if package == "polars":
        if kind == "DataFrame":
            return _rows(name, [(series.name, series) for series in value], _of_polars)
        if kind == "Series":
            return _of_polars(name, value)
        if kind == "LazyFrame":
            raise TypeError(f"{name} is a LazyFrame of polars; collect() makes a DataFrame of it")
    return None


def _index(index: Any) -> list[tuple[Any, Any]]:
    """The columns of an index; none if it only counts the rows."""
    if index.nlevels == 1:
        if index.name is None and index.equals(type(index)(range(len(index)))):
            return []
        return [("index" if index.name is None else index.name, index.to_series())]
    names = [f"level_{i}" if n is None else n for i, n in enumerate(index.names)]
    return list(index.to_frame(index=False, name=names).items())


def _rows(name: str, columns: Iterable[tuple[Any, Any]], convert: Any) -> Value:
    found: dict[str, Value] = {}
    for key, column in columns:
        text = "/".join(map(str, key)) if isinstance(key, tuple) else str(key)
        if text in found:
            raise ValueError(f"{name} has two columns of the name {text!r}; rename one")
        found[text] = convert(f"{name}/{text}", column)
    if not found:
        raise ValueError(f"{name} has no columns to save")
    arrays = {text: value.array for text, value in found.items()}
    missing = {text: _missing_in(array) for text, array in arrays.items() if _may_miss(array)}
    return Value(Rows(arrays, missing, attrs={text: value.attrs for text, value in found.items()}))


def _may_miss(array: Any) -> bool:
    return array.dtype.kind in "fcmM" or isinstance(array, np.ma.MaskedArray)


def _missing_in(array: Any) -> int:
    if isinstance(array, np.ma.MaskedArray):
        return int(np.count_nonzero(np.ma.getmaskarray(array)))
    return int(np.count_nonzero(np.isnan(array)))


def _of_pandas(name: str, series: Any) -> Value:
    dtype = series.dtype
    if isinstance(dtype, np.dtype):
        return array_value(name, series.to_numpy())
    kind = type(dtype).__name__
    missing = series.isna().to_numpy()
    if kind == "CategoricalDtype":
        texts = dtype.categories.to_numpy()
        if all(isinstance(text, str) for text in texts):
            return Value(_coded(series.cat.codes.to_numpy(), texts.tolist(), missing))
        return _of_pandas(name, series.astype(object if missing.any() else dtype.categories.dtype))
    if kind == "SparseDtype":
        return _of_pandas(name, series.sparse.to_dense())
    if kind == "PeriodDtype":
        start = _of_pandas(name, series.dt.to_timestamp())  # str(dtype) is like period[M]
        return start._replace(attrs={"period": str(dtype)[7:-1]})
    zone = getattr(getattr(dtype, "pyarrow_dtype", dtype), "tz", None)
    if zone is not None:
        utc = series.dt.tz_convert("UTC").dt.tz_localize(None)
        return _of_pandas(name, utc)._replace(attrs={"timezone": str(zone)})
    if dtype.kind == "U" or kind == "StringDtype":
        return Value(text_array(_texts(series.to_numpy(object), missing), missing))
    if dtype.kind in "biufcmM" and isinstance(getattr(dtype, "numpy_dtype", None), np.dtype):
        nothing = "NaT" if dtype.kind in "mM" else 0
        empty = np.array([nothing], dtype.numpy_dtype)[0]
        values = series.to_numpy(dtype.numpy_dtype, na_value=empty)
        return array_value(name, _where_missing(values, missing))
    return object_value(name, series.to_numpy(object))


def _of_polars(name: str, series: Any) -> Value:
    kind = series.dtype.base_type().__name__
    missing = series.is_null().to_numpy()
    if kind in ("Categorical", "Enum"):
        texts = series.cast(str).to_numpy()
        names = (
            series.dtype.categories.to_list()
            if kind == "Enum"
            else list(dict.fromkeys(texts[~missing].tolist()))
        )
        codes = {text: code for code, text in enumerate(names)}
        return Value(_coded(np.array([codes.get(text, -1) for text in texts]), names, missing))
    if kind in ("String", "Utf8"):
        return Value(text_array(_texts(np.array(series.to_list(), object), missing), missing))
    if kind == "Datetime" and series.dtype.time_zone is not None:
        utc = series.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
        return _of_polars(name, utc)._replace(attrs={"timezone": series.dtype.time_zone})
    if kind in ("Date", "Datetime", "Duration"):
        return array_value(name, series.to_numpy())
    if series.dtype.is_numeric() and kind != "Decimal":
        return array_value(name, _where_missing(series.fill_null(0).to_numpy(), missing))
    if kind == "Boolean":
        return array_value(name, _where_missing(series.fill_null(value=False).to_numpy(), missing))
    if kind == "Array" and not missing.any():
        return array_value(name, series.to_numpy())
    if kind == "Binary":
        return object_value(name, np.array(series.to_list(), object))
    raise TypeError(
        f"{name} is a column of polars' {series.dtype}, which HDF5 cannot hold; make it one of "
        "numbers, texts or times first: cast, unnest, explode"
    )


def _texts(objects: NDArray[Any], missing: NDArray[np.bool_]) -> NDArray[Any]:
    return np.where(missing, "", objects)


def _where_missing(values: NDArray[Any], missing: NDArray[np.bool_]) -> NDArray[Any]:
    """Values that may be missing: NaN and NaT stand for themselves, others are masked."""
    if not missing.any():
        return values
    if values.dtype.kind in "mM":
        return values
    return np.ma.MaskedArray(values, missing)


def _coded(codes: NDArray[Any], texts: Sequence[str], missing: NDArray[np.bool_]) -> Any:
    """Codes with their texts in the dtype; text, if HDF5 cannot hold so many or has none.

    What is missing has the code 0, which has no text then: HDF5 has no empty one.
    """
    first = int(missing.any())
    dtype = category(["", *texts] if first else texts)
    if len(texts) == 0 or "" in texts or enum_nbytes(dtype) > MAX_ENUM_NBYTES:
        return text_array(_texts(np.array([*texts, ""], object)[codes], missing), missing)
    array = np.where(missing, 0, codes + first).astype("u2").view(dtype)
    return np.ma.MaskedArray(array, missing, fill_value=0) if first else array
