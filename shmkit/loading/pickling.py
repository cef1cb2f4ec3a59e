"""What travels between the notebook's process and its loaders, pickled.

    value ──▶ pickle ──▶ is there anything of __main__ in it, or did it fail? ── no ──▶ bytes
                                                │ yes
                                                ▼
                                        by_value (cloudpickle) ──▶ bytes

Functions that are defined in a cell can be found by name in no other process, so they go by value;
nearly everything else goes by pickle, which is faster, and needs no import of cloudpickle.
"""

from __future__ import annotations

import contextlib
import functools
import pickle
import sys
from collections.abc import Mapping
from types import ModuleType
from typing import NamedTuple

from shmkit.memory import pools
from shmkit.readers.choose import Opener

__all__ = ["PickledOpener", "dumps", "pickled_opener"]


def dumps(value: object) -> bytes:
    """Pickled: what is defined in a cell by value, shared arrays as references."""
    with contextlib.suppress(Exception):  # whatever pickle does not take, or a __reduce__ raises
        if b"__main__" not in (pickled := pools.dumps(value)):
            return pickled
    from shmkit.loading import by_value  # noqa: PLC0415 - cloudpickle: a tenth of numpy's import

    return by_value.dumps(value)


class PickledOpener(NamedTuple):
    """An opener, as it travels to the loaders."""

    data: bytes
    plain: bool  # no function of the user's is in it

    def load(self) -> Opener:
        """The opener: the same object for all files of a load.

        No reader changes it. But functions of the user's, which may change what they hold, are new
        for each file.
        """
        return _load_once(self.data) if self.plain else _load(self.data)


def pickled_opener(opener: Opener) -> PickledOpener:
    """An opener, for the loaders.

    Functions of the user's own modules go by value: a loader that is warm has the module as it was
    when it was first needed, and the user may have edited it since.
    """
    converters = opener.options.get("converters")
    functions = list(converters.values()) if isinstance(converters, Mapping) else [converters]
    functions = [f for f in (opener.function, *functions) if f is not None]
    if not functions:
        return PickledOpener(dumps(opener), plain=True)
    import cloudpickle  # noqa: PLC0415 - as above

    from shmkit.loading import by_value  # noqa: PLC0415 - as above

    modules = {sys.modules.get(getattr(f, "__module__", None) or "") for f in functions}
    known = cloudpickle.list_registry_pickle_by_value()
    own = [m for m in modules if m is not None and _is_users(m) and m.__name__ not in known]
    for module in own:
        cloudpickle.register_pickle_by_value(module)
    try:
        return PickledOpener(by_value.dumps(opener), plain=False)
    finally:
        for module in own:
            cloudpickle.unregister_pickle_by_value(module)


def _is_users(module: ModuleType) -> bool:
    """Whether a module is the user's own: it lies in a file, and was not installed."""
    import sysconfig  # noqa: PLC0415 - only for functions of the user's

    file = getattr(module, "__file__", None)
    installed = tuple(sysconfig.get_paths().values())
    return file is not None and not file.startswith(installed)


def _load(data: bytes) -> Opener:
    opener: Opener = pickle.loads(data)  # noqa: S301 - our owner's
    return opener


_load_once = functools.lru_cache(maxsize=4)(_load)  # one for each format
