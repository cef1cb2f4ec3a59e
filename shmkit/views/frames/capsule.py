"""The Arrow C data interface: columns handed to another library without a copy.

    here                                    the other library
    numpy arrays ◀── buffers ── ArrowArray ──▶ moved into its own memory
         ▲                          │
         └─ _held, by a number ◀────┴──── release(), when it is done with them

1. `array_capsules` and `stream_capsule` make the structures of the interface and put them into
   capsules, of which pandas, polars, pyarrow and duckdb know what to do with them.
2. A structure has the addresses of numpy's memory, and a number under which `_held` keeps what it
   stands on. So a view lives as long as any frame that has been made of it.
3. Whoever took the structure calls its `release`, from whichever thread. That lets go of what the
   number stands for, and calls `release` of those children that nobody has taken over.

Why it is written here: nanoarrow, the small library for this, has no way to give an array a
dictionary, as which codes go out without a copy; pyarrow is 40 MB. The structures are those of
https://arrow.apache.org/docs/format/CDataInterface.html.

What does not work: to free the function that `release` points to at the interpreter's exit. Frames
that are still there call it later, so it is kept for good.
"""

from __future__ import annotations

import ctypes
import itertools
from collections.abc import Sequence
from ctypes import CFUNCTYPE, POINTER, Structure, c_char_p, c_int, c_int64, c_void_p
from typing import Any, NamedTuple

from numpy.typing import NDArray

__all__ = ["ArrowColumn", "array_capsules", "in_use", "schema_capsule", "stream_capsule"]

_NULLABLE = 2


class ArrowColumn(NamedTuple):
    """An array as Arrow describes it: of one type, with its buffers.

    Attributes
    ----------
    format : str
        The type, in the interface's letters: ``"g"`` is float64.
    length : int
    buffers : sequence of array or None
        The first says by bits which values there are; None if all are.
    nulls : int
        How many values there are not.
    children : sequence of (name, ArrowColumn)
        Of a struct.
    dictionary : ArrowColumn, optional
        What the codes stand for.
    """

    format: str
    length: int
    buffers: Sequence[NDArray[Any] | None]
    nulls: int = 0
    children: Sequence[tuple[str, ArrowColumn]] = ()
    dictionary: ArrowColumn | None = None


class _Schema(Structure):
    pass


class _Array(Structure):
    pass


class _Stream(Structure):
    pass


_ReleaseSchema = CFUNCTYPE(None, POINTER(_Schema))
_ReleaseArray = CFUNCTYPE(None, POINTER(_Array))
_ReleaseStream = CFUNCTYPE(None, POINTER(_Stream))
_GetSchema = CFUNCTYPE(c_int, POINTER(_Stream), POINTER(_Schema))
_GetNext = CFUNCTYPE(c_int, POINTER(_Stream), POINTER(_Array))
_GetLastError = CFUNCTYPE(c_char_p, POINTER(_Stream))

_Schema._fields_ = [
    ("format", c_char_p),
    ("name", c_char_p),
    ("metadata", c_char_p),
    ("flags", c_int64),
    ("n_children", c_int64),
    ("children", POINTER(POINTER(_Schema))),
    ("dictionary", POINTER(_Schema)),
    ("release", _ReleaseSchema),
    ("private_data", c_void_p),
]
_Array._fields_ = [
    ("length", c_int64),
    ("null_count", c_int64),
    ("offset", c_int64),
    ("n_buffers", c_int64),
    ("n_children", c_int64),
    ("buffers", POINTER(c_void_p)),
    ("children", POINTER(POINTER(_Array))),
    ("dictionary", POINTER(_Array)),
    ("release", _ReleaseArray),
    ("private_data", c_void_p),
]
_Stream._fields_ = [
    ("get_schema", _GetSchema),
    ("get_next", _GetNext),
    ("get_last_error", _GetLastError),
    ("release", _ReleaseStream),
    ("private_data", c_void_p),
]

_held: dict[int, Any] = {}  # what structures stand on that are not released yet
_numbers = itertools.count(1)


def in_use() -> int:
    """How many structures somebody has, here or in another library."""
    return len(_held)


def _hold(*what: Any) -> int:
    number = next(_numbers)
    _held[number] = what
    return number


def _release(pointer: Any, held: dict[int, Any] = _held) -> None:
    """Release a structure, and what is left of those below it."""
    structure = pointer.contents
    below = [structure.children[i] for i in range(structure.n_children)]
    below += [structure.dictionary] if structure.dictionary else []
    for other in below:
        if other.contents.release:
            other.contents.release(other)
    structure.release = type(structure.release)()
    held.pop(structure.private_data, None)


def _release_stream(pointer: Any, held: dict[int, Any] = _held) -> None:
    stream = pointer.contents
    stream.release = type(stream.release)()
    _, left = held.pop(stream.private_data)
    for array in left:
        array.release(array)


_release_schema = _ReleaseSchema(_release)
_release_array = _ReleaseArray(_release)
_release_of_stream = _ReleaseStream(_release_stream)
for _function in (_release_schema, _release_array, _release_of_stream):
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(_function))  # for good


def _pointers(kind: type[Structure], structures: Sequence[Structure]) -> Any:
    return (POINTER(kind) * len(structures))(*map(ctypes.pointer, structures))


def _schema(column: ArrowColumn, name: str = "") -> _Schema:
    """The structure that describes the type of a column."""
    children = [_schema(child, title) for title, child in column.children]
    table = _pointers(_Schema, children)
    # ctypes keeps what is assigned to a structure alive, but not for copies of it.
    letters, title = column.format.encode(), name.encode()
    schema = _Schema(letters, title, None, _NULLABLE, len(children), table)
    dictionary = None if column.dictionary is None else _schema(column.dictionary)
    if dictionary is not None:
        schema.dictionary = ctypes.pointer(dictionary)
    schema.release = _release_schema
    schema.private_data = _hold(children, table, letters, title, dictionary)
    return schema


def _array(column: ArrowColumn) -> _Array:
    """The structure with the data of a column."""
    children = [_array(child) for _, child in column.children]
    table = _pointers(_Array, children)
    addresses = [None if buffer is None else buffer.ctypes.data for buffer in column.buffers]
    buffers = (c_void_p * len(addresses))(*addresses)
    array = _Array(column.length, column.nulls, 0, len(addresses), len(children), buffers, table)
    dictionary = None if column.dictionary is None else _array(column.dictionary)
    if dictionary is not None:
        array.dictionary = ctypes.pointer(dictionary)
    array.release = _release_array
    array.private_data = _hold(children, table, buffers, column.buffers, dictionary)
    return array


def _move(structure: Structure, to: Any) -> None:
    """Hand a structure over: the copy is to be released, and this one no more."""
    ctypes.memmove(to, ctypes.byref(structure), ctypes.sizeof(structure))
    structure.release = type(structure.release)()


def _stream(column: ArrowColumn) -> _Stream:
    """The structure of a stream of one array."""
    left = [_array(column)]

    def get_schema(_stream: Any, to: Any) -> int:
        _move(_schema(column), to)
        return 0

    def get_next(_stream: Any, to: Any) -> int:
        if left:
            _move(left.pop(), to)
        else:
            to.contents.release = _ReleaseArray()  # which says that the stream has ended
        return 0

    def get_last_error(_stream: Any) -> None:
        return None

    calls = _GetSchema(get_schema), _GetNext(get_next), _GetLastError(get_last_error)
    return _Stream(*calls, _release_of_stream, _hold(calls, left))


_new_capsule = ctypes.PYFUNCTYPE(ctypes.py_object, c_void_p, c_char_p, c_void_p)(
    ("PyCapsule_New", ctypes.pythonapi)
)
_pointer_in = ctypes.PYFUNCTYPE(c_void_p, c_void_p, c_char_p)(
    ("PyCapsule_GetPointer", ctypes.pythonapi)
)
_Destructor = CFUNCTYPE(None, c_void_p)
_in_capsules: dict[int, Structure] = {}  # by address
_SCHEMA, _ARRAY, _STREAM = b"arrow_schema", b"arrow_array", b"arrow_array_stream"


def _destructor(name: bytes) -> Any:
    def end(capsule: int) -> None:
        structure: Any = _in_capsules.pop(_pointer_in(capsule, name))
        if structure.release:  # nobody has taken it
            structure.release(structure)

    return _Destructor(end)


_destructors = {name: _destructor(name) for name in (_SCHEMA, _ARRAY, _STREAM)}


def _capsule(structure: Structure, name: bytes) -> object:
    address = ctypes.addressof(structure)
    _in_capsules[address] = structure
    return _new_capsule(address, name, ctypes.cast(_destructors[name], c_void_p))


def schema_capsule(column: ArrowColumn) -> object:
    """The type alone, as ``__arrow_c_schema__`` gives it."""
    return _capsule(_schema(column), _SCHEMA)


def array_capsules(column: ArrowColumn) -> tuple[object, object]:
    """Type and data, as ``__arrow_c_array__`` gives them."""
    return schema_capsule(column), _capsule(_array(column), _ARRAY)


def stream_capsule(column: ArrowColumn) -> object:
    """A stream of one array, as ``__arrow_c_stream__`` gives it."""
    return _capsule(_stream(column), _STREAM)
