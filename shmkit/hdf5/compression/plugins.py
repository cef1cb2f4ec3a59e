"""Filters that others have compiled, called as HDF5 calls them, but from any thread.

    bytes ──▶ malloc ──▶ filter(flags, values, nbytes, &room, &bytes) ──▶ bytes, free
                             │
      h5py: lzf              └── a C function, found by the names that HDF5's plugins have
      hdf5plugin: lz4, blosc, blosc2, bitshuffle, bzip2

HDF5 calls a filter under its one lock. The function itself needs none: it gets bytes, and
gives others in their place. ctypes calls it without the GIL, so that chunks are made on every CPU.
The signature is HDF5's own (``H5Z_func_t``), which no release has changed since 1.8.

Filters that hold a state of their own, such as sz, are not called so.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable, Sequence
from typing import Any

import h5py

__all__ = ["plugin"]

_LZF = 32000
_THREADED = {307: "bzip2", 32001: "blosc", 32004: "lz4", 32008: "bshuf", 32026: "blosc2"}
_REVERSE = 0x0100  # H5Z_FLAG_REVERSE: undo it

_FUNCTION = ctypes.CFUNCTYPE(
    ctypes.c_size_t,  # bytes that there are now; 0 if it failed, or they would be more
    ctypes.c_uint,
    ctypes.c_size_t,
    ctypes.POINTER(ctypes.c_uint),
    ctypes.c_size_t,
    ctypes.POINTER(ctypes.c_size_t),
    ctypes.POINTER(ctypes.c_void_p),
)
_libc = ctypes.CDLL(None)
_libc.malloc.restype = ctypes.c_void_p
_libc.malloc.argtypes = [ctypes.c_size_t]
_libc.free.argtypes = [ctypes.c_void_p]


class _Class(ctypes.Structure):
    """``H5Z_class2_t``: what a plugin says about its filter."""

    _fields_ = (
        ("version", ctypes.c_int),
        ("code", ctypes.c_int),
        ("encoder_present", ctypes.c_uint),
        ("decoder_present", ctypes.c_uint),
        ("name", ctypes.c_char_p),
        ("can_apply", ctypes.c_void_p),
        ("set_local", ctypes.c_void_p),
        ("filter", _FUNCTION),
    )


class _Plugin:
    """One filter."""

    def __init__(self, function: Callable[..., int]) -> None:
        self._function = function

    def encode(self, data: Any, values: Sequence[int]) -> bytes | None:
        """The bytes of a chunk; None if they would not be fewer."""
        return self._called(data, values, 0)

    def decode(self, data: Any, values: Sequence[int]) -> bytes:
        """What was encoded; raises ValueError if the data are damaged."""
        if (found := self._called(data, values, _REVERSE)) is None:
            raise ValueError("its compressed data are damaged")
        return found

    def _called(self, data: Any, values: Sequence[int], flags: int) -> bytes | None:
        view = memoryview(data).cast("B")
        size = ctypes.c_size_t(view.nbytes)
        # The filter frees what it is given, and allocates what it gives.
        place = ctypes.c_void_p(_libc.malloc(max(view.nbytes, 1)))
        if not place:
            raise MemoryError
        try:
            assert place.value is not None
            room = (ctypes.c_char * view.nbytes).from_address(place.value)
            memoryview(room).cast("B")[:] = view
            numbers = (ctypes.c_uint * len(values))(*values)
            count = self._function(
                flags, len(values), numbers, view.nbytes, ctypes.byref(size), ctypes.byref(place)
            )
            return ctypes.string_at(place.value, count) if count else None
        finally:
            _libc.free(place)


@functools.cache
def plugin(code: int) -> _Plugin | None:
    """The filter of this number; None if it is not here, or not for several threads."""
    if code == _LZF:
        try:
            return _Plugin(_FUNCTION(("lzf_filter", ctypes.CDLL(h5py.h5z.__file__))))
        except (AttributeError, OSError):
            return None
    if code not in _THREADED:
        return None
    try:
        import hdf5plugin  # noqa: PLC0415 - optional, and its import loads its filters

        path = hdf5plugin.get_config().registered_filters[_THREADED[code]]
        info = ctypes.CDLL(path).H5PLget_plugin_info
    except (ImportError, KeyError, AttributeError, OSError):
        return None
    info.restype = ctypes.POINTER(_Class)
    found = info().contents
    return _Plugin(found.filter) if found.code == code else None
