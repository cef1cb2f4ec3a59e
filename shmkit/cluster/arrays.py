"""What `shared_load(files, client=client)` returns: arrays that are on nodes of a cluster.

RemoteArrays ──▶ RemoteArray: a Future of Dask's, with dtype, shape, node
                     │
                     ├─▶ client.map(f, arrays), dask.delayed(f)(a)   run where the array is
                     ├─▶ a[1000:2000], a["pct"]                      only these bytes travel
                     └─▶ a.local()                                   mapped if near, else copied
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from distributed import Client, Future

from shmkit._format import counted, dtype_text, nbytes_text, shape_text
from shmkit._html import table_html
from shmkit._timeline import Timeline
from shmkit.cluster.collections import collection
from shmkit.cluster.load.messages import Description, Shared
from shmkit.cluster.plugins import close_here
from shmkit.segments.image.layout import layout_of
from shmkit.views.arrays import NamedArrays

__all__ = ["RemoteArray", "RemoteArrays", "fetched"]

_SHOWN = 30  # arrays, and failures, that a table names


class RemoteArray(Future):
    """An array, or a table, in the shared memory of a node; `shared_load` with `client=` makes it.

    It is a Future of Dask's: ``client.map``, ``client.submit``, ``dask.delayed``, ``wait`` and
    ``client.gather`` take it, and functions get a `SharedArray` or a `SharedTable`. Its data stay
    where they are; what is indexed travels.

    Attributes
    ----------
    name : str
        As in the arrays of its load.
    node : str
        The name of the host that loaded it.
    columns : list of str or None
        Of a table.
    """

    def __init__(self, future: Future, described: Description, node: str) -> None:
        super().__init__(future.key, future.client)
        self.name = described.name
        self.node = node
        self.described = described
        header = described.header
        self._layout = layout_of(header.dtype, header.shape) if described.is_table else None

    @property
    def dtype(self) -> np.dtype[Any]:
        """The array's dtype; of a table, that of its rows."""
        if self._layout is None:
            return self.described.header.dtype
        return np.dtype([(name, dtype) for name, dtype, _ in self._layout.columns])

    @property
    def shape(self) -> tuple[int, ...]:
        """The array's shape; of a table, its rows."""
        return self.described.header.shape if self._layout is None else (self._layout.rows,)

    @property
    def columns(self) -> list[str] | None:
        """The names of a table's columns; None for an array."""
        return None if self._layout is None else [name for name, *_ in self._layout.columns]

    @property
    def nbytes(self) -> int:
        """Bytes of memory that it takes on each node that has it."""
        return self.described.nbytes

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> Any:
        """A part of the array, which alone travels; raises what indexing the array raises."""
        return self.client.submit(_part, self, key, pure=False).result()

    def local(self) -> Shared:
        """The array itself, in this process.

        Returns
        -------
        SharedArray, SharedText or SharedTable
            Mapped, if this process is on a node that has it; else a copy in shared memory here.
            Its memory stays valid as long as you hold it.

        Raises
        ------
        distributed.FutureCancelledError
            If the arrays were closed.
        """
        value: Shared = self.client.sync(fetched, self)
        return value

    def to_dask(self, rows: int | None = None) -> Any:
        """As `RemoteArrays.to_dask`, of this array alone."""
        return collection([self], rows)

    def __repr__(self) -> str:
        shape, nbytes = shape_text(self.shape), nbytes_text(self.nbytes)
        return f"<RemoteArray: {self.name} {shape} on {self.node} ({nbytes})>"

    _repr_html_ = None  # Future's own says little


async def fetched(future: Future) -> Any:
    """The result of a task of this client, straight from the worker that has it."""
    client = future.client
    try:
        return await client.gather(future, direct=True, asynchronous=True)
    except OSError:  # no worker can be reached from here, but the scheduler can
        return await client.gather(future, direct=False, asynchronous=True)


def _part(array: Any, key: Any) -> Any:
    return array[key]


class RemoteArrays(NamedArrays[RemoteArray]):
    """The arrays of one load on a cluster: a sequence in file order that also answers to names.

    It is a context manager, and ``close()`` does in a later cell what the end of a ``with`` block
    does: it lets go of the arrays on every node, and unlinks their names there.

    Attributes
    ----------
    failures : dict of str to Exception
        The files that could not be loaded, with ``on_error="skip"``.
    """

    def __init__(
        self,
        arrays: Mapping[str, RemoteArray],
        failures: Mapping[str, Exception],
        load: str,
        client: Client,
        on_close: Callable[[], None],
        timelines: Mapping[str, Timeline],
    ) -> None:
        super().__init__(arrays, failures)
        self.timelines = dict(timelines)
        self._about = {n: (a.described, a.node, a.shape, a.dtype) for n, a in arrays.items()}
        self._load = load
        self._client = client
        self._on_close = on_close

    @property
    def nodes(self) -> dict[str, str]:
        """The name of the host that loaded each array, by name."""
        return {name: node for name, (_, node, *_) in self._about.items()}

    @property
    def nbytes(self) -> int:
        """Bytes of memory that the arrays take, each once; 0 once closed."""
        return sum(array.nbytes for array in (self._arrays or {}).values())

    def to_dask(self, rows: int | None = None) -> Any:
        """All arrays, one after another, as one collection of Dask's.

        Parameters
        ----------
        rows : int, optional
            Of a chunk, at most; by default as many as Dask's option ``array.chunk-size`` allows.

        Returns
        -------
        dask.array.Array, or dask.dataframe.DataFrame of tables
            A chunk is a view of rows of one array, on its node.

        Raises
        ------
        ValueError
            If the arrays differ in columns or the shape of a row; if one has no rows.
        TypeError
            If numpy has no common dtype for them.
        """
        return collection(list(self._open().values()), rows)

    def close(self) -> None:
        """Let go of the arrays on all nodes, and unlink their names there; once.

        Tasks that run go on with the memory that they have mapped; a later one finds nothing.
        """
        arrays, self._arrays = self._arrays, None
        if arrays is None:
            return
        if self._client.status == "running":  # else the scheduler has let go of them already
            for array in arrays.values():  # not cancel: results that were made of them stay
                array.release()
            self._client.run(close_here, self._load, on_error="ignore")
        del arrays
        self._on_close()

    def __repr__(self) -> str:
        shown = ", ".join(self.keys()[:4]) + (", …" if len(self) > 4 else "")
        nodes = counted(len(set(self.nodes.values())), "node", "nodes")
        state = "closed" if self.closed else f"{nbytes_text(self.nbytes)} on {nodes}"
        return f"<RemoteArrays: {shown} ({state})>"

    def _repr_html_(self) -> str:
        """A table: what arrays there are, and on which node."""
        rows = [
            (name, node, shape_text(shape), dtype_text(dtype), nbytes_text(described.nbytes))
            for name, (described, node, shape, dtype) in [*self._about.items()][:_SHOWN]
        ]
        summary = [counted(len(self), "array", "arrays")]
        summary.append("closed" if self.closed else nbytes_text(self.nbytes))
        notes = [f"and {len(self) - _SHOWN} more"] if len(self) > _SHOWN else []
        failed = [f"{name} failed: {error}" for name, error in self.failures.items()]
        columns = ("<Name", "<Node", ">Shape", "<Array", ">Memory") if rows else ()
        return table_html(
            "RemoteArrays", " · ".join(summary), columns, rows, notes + failed[:_SHOWN]
        )
