"""Which messages take references: those of pools on this machine. All others take the data.

    multiprocessing   Pool, Queue, Pipe, Process(args=), ProcessPoolExecutor ─┐
    loky              executors, and joblib's own copy of it                  ├──▶ reference
    joblib            backends loky and multiprocessing                       │
    shmkit            its own loader processes (`dumps`)                     ─┘
    pickle, cloudpickle, copy, joblib.dump, joblib.Memory, shelve, Ray, … ───────▶ data

So torch does it. A reference on disk is worth nothing in the next session; in a pool, its receiver
is there, and maps the same memory.

Each of the three has a table of its own, of how objects of a type are pickled, and a public way to
put something there: `multiprocessing.reduction.register`, `loky.backend.reduction.register`, and
`forward_reducers=`, an option of joblib's backends, which `joblib.register_parallel_backend` lets
one set. It is put there when the package is imported; none is imported for it.

A **plain array over a segment** (``np.asarray(a)``, a block of ``DataFrame(a, copy=False)``) goes
as any plain array does, as data. In one place this would be dear: an array of more than
``max_nbytes`` (1 MB) joblib writes to a file, once for each call of `Parallel`, and its workers
map that, read-only. There the worker maps the segment, read-only, instead.

What does not work:

- To be a `numpy.memmap`, which joblib passes on by its file name: joblib makes another array of
  plain views that are transposed, in Fortran order or reversed, without an error (joblib#1019).
- References for all plain arrays: ``queue.put(np.asarray(a)); a[:] = 0`` must send the old values,
  and what a worker changes in its argument must not change the sender's. So joblib's rule for large
  arrays is the only one: there they may not change while workers run, whatever memory they are in.
- A reducer for `numpy.ndarray` in the tables of multiprocessing and loky: it would not know the
  protocol, and so copy every array of everybody's once more.
- Another ``forward_reducers[numpy.ndarray]``: joblib puts its own in its place. So ours is given to
  a dict that has joblib's inside of it.
"""

from __future__ import annotations

import copyreg
import importlib
import inspect
import io
import pickle
from collections.abc import Callable
from types import ModuleType
from typing import Any

from numpy.typing import NDArray

from shmkit.pools import lease
from shmkit.pools.importing import when_imported

__all__ = ["by_type", "dumps", "register", "register_large"]

_Reducer = Callable[[Any], tuple[Any, ...]]
by_type: dict[type, _Reducer] = {}  # how objects of a type go to a pool
_large: dict[type, Callable[[Any], tuple[Any, ...] | None]] = {}  # and large arrays by joblib


def register(kind: type, reducer: _Reducer) -> None:
    """Have pools pickle objects of this very type by `reducer`, as `object.__reduce__` says it."""
    by_type[kind] = reducer
    for package in (
        "multiprocessing.reduction",
        "loky.backend.reduction",
        "joblib.externals.loky.backend.reduction",
    ):
        when_imported(package, lambda module: module.register(kind, reducer))


def register_large(kind: type, reducer: Callable[[Any], tuple[Any, ...] | None]) -> None:
    """Have joblib pickle by `reducer` what it would write to a file, unless that gives None."""
    _large[kind] = reducer


def dumps(value: object, pickler: type[pickle.Pickler] | None = None) -> bytes:
    """Pickled for one of shmkit's own processes: shared arrays as references.

    A load holds what it sends, and kills loaders in the middle of a message: so no lease is given,
    which would keep the memory. A `pickler` needs `by_type` in its table.
    """
    file = io.BytesIO()
    with lease.none_given():
        (pickler or _Pickler)(file, pickle.HIGHEST_PROTOCOL).dump(value)
    return file.getvalue()


class _Pickler(pickle.Pickler):
    @property  # it is read once a message
    def dispatch_table(self) -> Any:  # type: ignore[override] # nobody sets it
        return copyreg.dispatch_table | by_type


class ForwardReducers(dict[type, _Reducer]):
    """What joblib pickles the arguments of a call by: ours, and joblib's own in ours."""

    def __init__(self, max_nbytes: float | None) -> None:
        super().__init__(by_type)
        self._max_nbytes = max_nbytes

    def __setitem__(self, kind: type, reducer: _Reducer) -> None:
        if kind in _large and self._max_nbytes is not None:
            reducer = _large_by_reference(_large[kind], reducer, self._max_nbytes)
        super().__setitem__(kind, reducer)

    def __eq__(self, other: object) -> bool:
        # joblib keeps its workers as long as the options are equal; max_nbytes is another of them.
        return isinstance(other, ForwardReducers)

    __hash__ = None  # as a dict's

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, ()  # in the workers, which only unpickle


def _large_by_reference(
    large: Callable[[Any], tuple[Any, ...] | None], reducer: _Reducer, max_nbytes: float
) -> _Reducer:
    def reduced(array: NDArray[Any]) -> tuple[Any, ...]:
        reference = large(array) if array.nbytes > max_nbytes else None
        return reducer(array) if reference is None else reference

    return reduced


def _enter_joblib(parallel: ModuleType) -> None:
    """Have joblib's two backends of processes use our reducers."""
    pool = importlib.import_module("joblib.pool")
    if "forward_reducers" not in inspect.signature(pool.MemmappingPool).parameters:
        return  # a joblib that this module does not know; it copies
    for name, known in [
        ("loky", parallel.LokyBackend),
        ("multiprocessing", parallel.MultiprocessingBackend),
    ]:
        if parallel.BACKENDS.get(name) is known:  # and nobody has put another one there
            parallel.register_parallel_backend(name, _with_reducers(known))


def _with_reducers(backend: Any) -> type:
    """A backend of joblib's that passes our reducers to its pool."""

    class Backend(backend):  # type: ignore[misc] # joblib has no types
        def configure(self, *arguments: Any, **options: Any) -> Any:
            mapped = options.get("mmap_mode") == "r"  # else large arrays may be written to
            ours: dict[str, Any] = {
                "forward_reducers": ForwardReducers(options.get("max_nbytes") if mapped else None)
            }
            if backend.__name__ == "MultiprocessingBackend":  # its workers have no table of loky's
                ours["backward_reducers"] = dict(by_type)
            return super().configure(*arguments, **(ours | options))

    Backend.__name__ = Backend.__qualname__ = backend.__name__  # joblib prints it
    return Backend


when_imported("joblib.parallel", _enter_joblib)
