"""To act when a module is imported, without importing it: `when_imported("joblib.parallel", f)`.

    import joblib.parallel ──▶ our finder ──▶ the finder that would have found it ──▶ its loader
                                                                   then: f(module) ◀── runs it

What is not asked for is not imported: multiprocessing takes some milliseconds, joblib a hundred.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Callable, Sequence
from types import ModuleType

__all__ = ["when_imported"]

_Act = Callable[[ModuleType], None]


def when_imported(name: str, act: _Act) -> None:
    """Call `act` with the module of this name: now if it is imported, else as soon as it is."""
    module = sys.modules.get(name)
    if module is not None:
        act(module)
    else:
        sys.meta_path.insert(0, _Finder(name, act))


class _Finder(importlib.abc.MetaPathFinder):
    """Waits for one module."""

    def __init__(self, name: str, act: _Act) -> None:
        self._name = name
        self._act = act

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        del path, target
        if fullname != self._name or self not in sys.meta_path:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is None or spec.loader is None:
            sys.meta_path.insert(0, self)  # it may be installed later
        else:
            spec.loader = _Loader(spec.loader, self._act)
        return spec


class _Loader(importlib.abc.Loader):
    """Runs a module by its own loader, and acts then."""

    def __init__(self, loader: importlib.abc.Loader, act: _Act) -> None:
        self._loader = loader
        self._act = act

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        assert module.__spec__ is not None
        module.__spec__.loader = module.__loader__ = self._loader  # what inspect and reload ask
        self._loader.exec_module(module)
        self._act(module)
