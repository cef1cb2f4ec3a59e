"""Views and columns of every kind, which tests send to other processes and libraries.

Workers import this module: it imports nothing that takes long.
"""

from __future__ import annotations

import importlib
import pickle
from multiprocessing.reduction import ForkingPickler

import numpy as np
from numpy.lib import recfunctions as rfn
from numpy.lib.stride_tricks import sliding_window_view

from shmkit._categories import category
from shmkit._text_dtype import coded_text


def pandas():
    return importlib.import_module("pandas")


def polars():
    return importlib.import_module("polars")


def xarray():
    return importlib.import_module("xarray")


RECORD = np.dtype([("pos", "i4"), ("at", [("x", "f8"), ("y", "i2", 3)]), ("chr", "S3")])
GRID = np.zeros((4, 6), RECORD)
GRID["pos"] = np.arange(24).reshape(4, 6)
GRID["at"]["x"] = GRID["pos"] / 2
GRID["at"]["y"] = GRID["pos"][..., None] + [0, 100, 200]
GRID["chr"] = b"chr"
FLOATS = np.arange(24.0).reshape(4, 6)

VIEWS = {  # of an array of floats
    "whole": lambda a: a,
    "slice": lambda a: a[1:3, 2:],
    "steps": lambda a: a[::2, ::3],
    "reversed": lambda a: a[::-1],
    "columns reversed": lambda a: a[:, ::-2],
    "both reversed": lambda a: a[::-1, ::-1],
    "row": lambda a: a[2],
    "column": lambda a: a[:, 3],
    "0-d": lambda a: a[2, 3, ...],
    "empty": lambda a: a[2:2],
    "empty at the end": lambda a: a[:, 6:],
    "transpose": lambda a: a.T,
    "transpose of a slice": lambda a: a[1:, ::2].T,
    "transpose reversed": lambda a: a.T[::-1],
    "diagonal": lambda a: a.diagonal(),
    "new axes": lambda a: a[None, :, None],
    "moved axes": lambda a: np.moveaxis(a.reshape(2, 2, 6), 0, 2),
    "reshaped": lambda a: a.reshape(6, 4)[1:],
    "flat": lambda a: a.ravel(),
    "items": lambda a: a.view("i4")[:, 1:],
    "complex": lambda a: a.view("c16").imag,
    "other byte order": lambda a: a.view(">f8"),
    "broadcast": lambda a: np.broadcast_to(a[:1], (9, 6)),
    "broadcast column": lambda a: np.broadcast_to(a[:, :1], (4, 9)),
    "windows": lambda a: sliding_window_view(a, 2, axis=0),
    "square windows": lambda a: sliding_window_view(a[::-1], (2, 3)),
    "einsum": lambda a: np.einsum("ij->ji", a),
    "squeezed": lambda a: a[None].squeeze(),
}
FIELDS = {  # of an array of records
    "records": lambda r: r,
    "records reversed": lambda r: r[::-1, ::2],
    "field": lambda r: r["pos"],
    "field transposed": lambda r: r["pos"].T[::-1],
    "nested": lambda r: r["at"],
    "field of a field": lambda r: r["at"]["x"][1:],
    "sub-array": lambda r: r["at"]["y"],
    "text": lambda r: r["chr"][:, 1],
    "several fields": lambda r: r[["pos", "chr"]],
}
WRAPPED = {  # how others hold a view: a plain array of theirs stands on the segment
    "asarray": np.asarray,
    "DataFrame": lambda a: pandas().DataFrame(a, copy=False),
    "DataFrame transposed": lambda a: pandas().DataFrame(a, copy=False).T,
    "DataFrame rows": lambda a: pandas().DataFrame(a, copy=False).iloc[::-2],
    "Series": lambda a: pandas().Series(a[:, 1], copy=False),
    "in a list": lambda a: [a, a.T, np.asarray(a)[::-1]],
    "polars": lambda a: polars().DataFrame(a),
    "DataArray": lambda a: xarray().DataArray(a, dims=["row", "column"])[:, ::-1],
    "Dataset": lambda a: xarray().Dataset({"x": (["row", "column"], a)}),
}
SLOW = ("polars", "DataArray", "Dataset")  # to import; and a forked process that uses polars hangs

NAN = float("nan")


WHEN = np.array(["2024-01-01T00:00:01", "NaT", "1969-12-31T23:59:59"], "M8[s]")


COLUMNS = {
    **{f"f{n}": np.array([1.5, NAN, -2.0], f"f{n}") for n in (2, 4, 8)},
    **{f"{kind}{n}": np.array([1, 2, 3], f"{kind}{n}") for kind in "iu" for n in (1, 2, 4, 8)},
    **{f"at_{unit}": WHEN.astype(f"M8[{unit}]") for unit in ("s", "ms", "us", "ns")},
    **{f"for_{unit}": (WHEN - WHEN[0]).astype(f"m8[{unit}]") for unit in ("s", "ms", "us", "ns")},
    "day": WHEN.astype("M8[D]"),
    "hour": WHEN.astype("M8[h]"),
    "big": np.array([1, 2, 3], ">i4"),
    "ok": np.array([True, False, True]),
    "text": np.array(["a", "", "größe"]),
    "station": np.array([1, 0, 1], coded_text(["Oslo", "Århus"])),
    "kind": np.array([0, 1, 1], category(["a", "b"])),
    "raw": np.array([b"a", b"\xff\0b", b""]),
}


COLUMN_VALUES = {
    **{name: [None if x != x else x for x in column.tolist()] for name, column in COLUMNS.items()},  # noqa: PLR0124 - NaN
    "station": ["Århus", "Oslo", "Århus"],
    "kind": ["a", "b", "b"],
    "hour": WHEN.astype("M8[h]").astype("M8[s]").tolist(),
    **{
        f"{what}_ns": COLUMNS[f"{what}_us"].tolist()  # numpy has no object for ns
        for what in ("at", "for")
    },
}


def views(floats, records):
    """Every view of two arrays, by name."""
    made = {kind: make(floats) for kind, make in VIEWS.items()}
    made |= {kind: make(records) for kind, make in FIELDS.items()}
    made |= {f"asarray {kind}": np.asarray(view) for kind, view in list(made.items())}
    for name, array in [("", floats), (" F", floats.reshape(6, 4).T), (" reversed", floats[::-1])]:
        made |= {kind + name: WRAPPED[kind](array) for kind in WRAPPED}
    return made


def read(value):
    """What is in a view, or in what holds one: dtype, shape and bytes."""
    if isinstance(value, list):
        return [read(item) for item in value]
    if hasattr(value, "data_vars"):
        value = value["x"]
    array = np.asarray(value)
    # numpy's pickles of plain arrays forget the byte order and the gaps between fields.
    dtype = rfn.repack_fields(array.dtype.newbyteorder("="), recurse=True)
    return repr(dtype), array.shape, array.astype(dtype).tobytes()


def message_of(value):
    """What a pool sends to a worker, as bytes.

    The pickler gives a view of a BytesIO. In a cycle of references, which a failing test is, such a
    view ends Python before 3.12.2 in the garbage collector (cpython#111211), and is an unraisable
    error in later ones (cpython#111331).
    """
    return bytes(ForkingPickler.dumps(value))


def poke(array):
    """Try to write, also where the flag says that one may not."""
    try:
        array.flags.writeable = True
        array[...] = 7
    except ValueError as error:
        return str(error)
    return "written"


def kind_of(array):
    """Its type, whether it may be written to, and whether plain pickle takes its data."""
    return type(array).__name__, array.flags.writeable, len(pickle.dumps(array)) > array.nbytes


def itself(array):
    """What it is given."""
    return array


def total(array):
    """The sum of its items."""
    return float(array.sum())
