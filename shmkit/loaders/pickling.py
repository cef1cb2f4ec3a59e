"""What travels between the notebook's process and its loaders, pickled.

    value ──▶ pickle ──▶ is there anything of __main__ in it, or did it fail? ── no ──▶ bytes
                                                │ yes
                                                ▼
                                        by_value (cloudpickle) ──▶ bytes

Functions that are defined in a cell can be found by name in no other process, so they go by value;
nearly everything else goes by pickle, which is faster, and needs no import of cloudpickle.

A reader may use modules of the user's, who edits and reloads them, or sets what is in them. They
are the same in the loader: they go by value, too, as they are now. What cannot go by value (a
module that holds a lock, or much data; an import inside of a function) the loader imports by name.
So loaders that were warm before a module was imported anew are replaced (`LoaderPool.renew`).
"""

from __future__ import annotations

import binascii
import contextlib
import functools
import pickle
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from shmkit.pools import reducers
from shmkit.readers.choose import Opener
from shmkit.views.array import SharedArray, new_array

__all__ = ["Pickled", "dumps", "pickled_by_value", "pickled_opener", "users_modules"]

_MESSAGE_NBYTES = 1 << 14  # of what is pickled, in a message
_MAX_NBYTES = 1 << 20  # of an opener with the modules that it uses


def dumps(value: object) -> bytes:
    """Pickled: what is defined in a cell by value, shared arrays as references."""
    with contextlib.suppress(Exception):  # whatever pickle does not take, or a __reduce__ raises
        if b"__main__" not in (pickled := reducers.dumps(value)):
            return pickled
    from shmkit.loaders import by_value  # noqa: PLC0415 - cloudpickle: a tenth of numpy's import

    return by_value.dumps(value)


class Pickled(NamedTuple):
    """An opener or a function, as it travels to the loaders: pickled once, for all messages.

    In base64, as ``__main__`` in it is no reason to send the rest of a message by value.
    """

    data: bytes | SharedArray
    plain: bool  # no function of the user's is in it

    def load(self) -> Any:
        """The opener: the same object for all files of a load.

        No reader changes it. But functions of the user's, which may change what they hold, are new
        for each file, and for each batch of items of a map.
        """
        if not isinstance(self.data, bytes):
            return pickle.loads(self.data.data)  # noqa: S301 - our owner's
        return _load_once(self.data) if self.plain else _load(self.data)

    def shared(self, stack: contextlib.ExitStack) -> Pickled:
        """The same; what is too large to be in every message in shared memory, for the stack."""
        if not isinstance(self.data, bytes) or len(self.data) <= _MESSAGE_NBYTES:
            return self
        pickled = binascii.a2b_base64(self.data)
        data = stack.enter_context(new_array(np.dtype("u1"), (len(pickled),)))
        data[:] = np.frombuffer(pickled, np.uint8)
        return self._replace(data=data)


def pickled_opener(opener: Opener) -> Pickled:
    """An opener, for the loaders."""
    converters = opener.options.get("converters")
    functions = list(converters.values()) if isinstance(converters, Mapping) else [converters]
    functions = [f for f in (opener.function, *functions) if f is not None]
    if not functions:
        return Pickled(_base64(dumps(opener)), plain=True)
    return pickled_by_value(opener, functions)


def pickled_by_value(value: object, functions: Sequence[Any]) -> Pickled:
    """What holds functions of the user's, for the loaders.

    What they use of the user's own modules goes by value: a loader that is warm has a module as it
    was when it was first needed there, and the user may have changed it since.
    """
    from shmkit.loaders import by_value  # noqa: PLC0415 - as above

    modules = users_modules()
    with _going_by_value(modules.values()), contextlib.suppress(Exception):
        # A module may hold what cannot be pickled, or more than is to be sent to each loader.
        if len(data := by_value.dumps(value)) <= _MAX_NBYTES:
            return Pickled(_base64(data), plain=False)
    names = {getattr(f, "__module__", None) for f in functions}
    with _going_by_value(module for name, module in modules.items() if name in names):
        return Pickled(_base64(by_value.dumps(value)), plain=False)


def users_modules() -> dict[str, ModuleType]:
    """The modules that are the user's own: Python files that were not installed."""
    import sysconfig  # noqa: PLC0415 - only for functions of the user's

    installed = tuple(sysconfig.get_paths().values())
    found = {}
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if (
            isinstance(file, str)
            and file.endswith(".py")
            and not file.startswith(installed)
            and name.partition(".")[0] not in ("__main__", "__mp_main__", "shmkit")
        ):
            found[name] = module
    return found


@contextlib.contextmanager
def _going_by_value(modules: Iterable[ModuleType]) -> Iterator[None]:
    """Have cloudpickle pickle these modules, and what they define, by value."""
    import cloudpickle  # noqa: PLC0415 - as above

    known = cloudpickle.list_registry_pickle_by_value()
    own = [module for module in modules if module.__name__ not in known]
    for module in own:
        cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        for module in own:
            cloudpickle.unregister_pickle_by_value(module)


def _base64(data: bytes) -> bytes:
    return binascii.b2a_base64(data, newline=False)


def _load(data: bytes) -> Any:
    return pickle.loads(binascii.a2b_base64(data))  # noqa: S301 - our owner's


_load_once = functools.lru_cache(maxsize=4)(_load)  # one for each format
