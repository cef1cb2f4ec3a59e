"""A digest of a function of the user's, the same in every process: of its code and what it uses.

    function ──▶ bytecode, constants, defaults ──▶ globals and closures that it names ──▶ digest
                                                     │ functions: the same again
                                                     │ numbers, texts, arrays, …: their values
                                                     │ installed modules: when they were installed
                                                     └ anything else: cannot be told, no digest

A pickle of the function would not do: it has the names of a cell's file, which are others in each
kernel, and sets in an order that is another one in each process.
"""

from __future__ import annotations

import builtins
import dis
import functools
import hashlib
import importlib.util
import os
import sys
import sysconfig
import types
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from shmkit.loaders.pickling import users_modules

__all__ = ["code_digest"]

_INSTALLED = tuple(sysconfig.get_paths().values())
_PLAIN = (bool, int, float, complex, str, bytes, type(None), type(...))


class _UntoldError(Exception):
    """Something of which no digest can be made."""


def code_digest(function: Callable[..., Any]) -> str | None:
    """The digest of a function, or of what else can be called; None if it cannot be told."""
    digest = hashlib.sha256(sys.version.encode())
    try:
        for piece in _Teller().pieces(function):
            digest.update(len(piece).to_bytes(8, "little") + piece)
    except Exception:  # noqa: BLE001 - objects of the user's may do anything when looked at
        return None
    return digest.hexdigest()


class _Teller:
    """Tells what makes up a value, in an order that is always the same."""

    def __init__(self) -> None:
        self._users = {*users_modules(), "__main__", "__mp_main__"}
        self._seen: list[Any] = []

    def pieces(self, value: Any) -> Iterator[bytes]:
        """All that the value does depends on; raises `_UntoldError` where that cannot be told."""
        for number, other in enumerate(self._seen):
            if other is value:  # told already; or a function that calls itself
                yield f"seen {number}".encode()
                return
        yield type(value).__qualname__.encode()
        if isinstance(value, _PLAIN):
            yield repr(value).encode()
            return
        self._seen.append(value)
        if isinstance(value, tuple | list):
            yield str(len(value)).encode()
            for item in value:
                yield from self.pieces(item)
        elif isinstance(value, frozenset | set):
            if not all(isinstance(item, _PLAIN) for item in value):
                raise _UntoldError
            yield from sorted(repr(item).encode() for item in value)
        elif isinstance(value, dict):
            yield from self.pieces([*value.items()])
        elif isinstance(value, np.ndarray | np.generic | np.dtype):
            yield from _numpy_pieces(value)
        elif isinstance(value, types.CodeType):
            yield from self._code(value)
        elif isinstance(value, types.ModuleType):
            yield from self._module(value.__name__)
        elif isinstance(value, functools.partial):
            yield from self.pieces((value.func, value.args, value.keywords))
        elif isinstance(value, types.MethodType):
            yield from self.pieces((value.__func__, value.__self__))
        elif isinstance(value, types.FunctionType) and value.__module__ in self._users:
            yield from self._function(value)
        elif (module := getattr(value, "__module__", None)) and hasattr(value, "__qualname__"):
            yield value.__qualname__.encode()
            yield from self._module(module)
        else:
            raise _UntoldError

    def _function(self, function: types.FunctionType) -> Iterator[bytes]:
        yield from self._code(function.__code__)
        yield from self.pieces((function.__defaults__, function.__kwdefaults__, function.__dict__))
        for cell in function.__closure__ or ():
            yield from self.pieces(cell.cell_contents)
        for name in sorted(set(_names(function.__code__))):
            if name in function.__globals__:
                yield name.encode()
                yield from self.pieces(function.__globals__[name])
            elif not hasattr(builtins, name):
                raise _UntoldError  # it will be defined later

    def _code(self, code: types.CodeType) -> Iterator[bytes]:
        yield code.co_code
        names = (*code.co_names, *code.co_varnames, *code.co_freevars, *code.co_cellvars)
        yield " ".join([*names, str(code.co_flags), str(code.co_argcount)]).encode()
        for constant in code.co_consts:
            yield from self.pieces(constant)
        for instruction in dis.get_instructions(code):
            if instruction.opname == "IMPORT_NAME":
                yield from self._module(instruction.argval)

    def _module(self, name: str) -> Iterator[bytes]:
        """An installed package by the time at which it was; what is in the user's may be set."""
        top = name.partition(".")[0]
        if name in self._users or top in self._users:
            raise _UntoldError
        try:
            spec = importlib.util.find_spec(top)
        except (ImportError, ValueError):
            spec = None
        if spec is None or spec.origin is None:
            raise _UntoldError
        yield f"{name} {spec.origin}".encode()
        if spec.has_location:
            if not spec.origin.startswith(_INSTALLED):
                raise _UntoldError
            status = os.stat(spec.origin)
            yield f"{status.st_size} {status.st_mtime_ns}".encode()


def _names(code: types.CodeType) -> Iterator[str]:
    """The globals that the code, and the code inside of it, looks up."""
    for instruction in dis.get_instructions(code):
        if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"):
            yield instruction.argval
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant)


def _numpy_pieces(value: Any) -> Iterator[bytes]:
    array = np.asarray(value) if not isinstance(value, np.dtype) else np.empty(0, value)
    if array.dtype.hasobject:
        raise _UntoldError
    yield f"{array.dtype.descr} {array.shape}".encode()
    yield np.ascontiguousarray(array).tobytes()
