"""What arrives in place of an array whose segment is gone: it raises when it is used.

An error while a message is unpickled ends a worker of `multiprocessing.Pool` without a word, and
whoever waits for its result waits for ever. So unpickling gives an object; the error is raised in
the middle of the task, where every pool reports it.

It is no numpy array: numpy's C functions would read whatever memory such an array has.
"""

from __future__ import annotations

from typing import Any, NoReturn

import numpy as np

__all__ = ["GoneArray"]


class GoneArray:
    """Stands for an array that could not be attached to; whatever is done with it raises `error`.

    Its repr says so too, and it can be pickled, which is all that a pool does with it by itself.
    """

    def __init__(self, error: Exception) -> None:
        self._error = error

    def __repr__(self) -> str:
        return f"<GoneArray: {self._error}>"

    def __getattr__(self, name: str) -> Any:
        # What Python and numpy look for, and an array does not have, this does not have either.
        if name.startswith("_"):
            raise AttributeError(name)
        raise self._error


def _raise(gone: GoneArray, *_arguments: object, **_options: object) -> NoReturn:
    raise gone.__dict__["_error"]


# How Python shows, makes, copies and pickles it is that of any object.
_AS_ANY_OBJECT = (
    {name for name in dir(object) if getattr(np.ndarray, name) is getattr(object, name)}
    | {"__doc__", "__new__", "__init_subclass__", "__subclasshook__", "__class_getitem__"}
    | {"__repr__", "__str__", "__format__", "__sizeof__", "__copy__", "__deepcopy__"}
    | {"__reduce__", "__reduce_ex__", "__setstate__"}
)
for _name in {*dir(np.ndarray), "__enter__", "__exit__"} - _AS_ANY_OBJECT:
    if _name.startswith("__") and callable(getattr(np.ndarray, _name, _raise)):
        setattr(GoneArray, _name, _raise)
