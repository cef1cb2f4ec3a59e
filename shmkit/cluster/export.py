"""Arrays of a cluster to one HDF5 file: their nodes deflate the chunks, one process writes them.

    nodes    array ──▶ blocks of a lot ──▶ Deflater ──▶ bytes of its chunks
                                                          │ travel compressed, once
    client   Writer ── asks for chunk after chunk ◀───────┘ some lots ahead
               └──▶ write_direct_chunk

To the writer these are datasets as any other; only who makes the bytes of a chunk differs. A lot is
some chunks that one task makes: a task a chunk would cost more than to deflate it.

A lot is made by a worker that has the array, and by no other as long as there is one: Dask expects
a task of which it knows nothing to take half a second, and rather moves an array of 20 MB than to
let it wait. If all of these workers are gone, any other makes it, and Dask has the array loaded
again. If that cannot be, the export fails, and the old file stays.
"""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import wait
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shmkit.cluster.arrays import RemoteArray, RemoteArrays, fetched
from shmkit.cluster.plugins import nodes_of
from shmkit.hdf5.chunks import Block, blocks
from shmkit.hdf5.contents.datasets import Contents, DatasetSource, contents

__all__ = ["far_contents"]

_LOT = 16  # chunks that one task makes
_AHEAD = 4  # lots that are made while one is written
_PATIENCE = 2.0  # seconds between two looks whether a node that makes a lot is there

_Made = Callable[[Any], Any]
_Key = tuple[int, ...]


class _About(NamedTuple):
    """What a node says of a dataset."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    stored: np.dtype[Any]
    attrs: dict[str, Any]


def far_contents(arrays: RemoteArrays, *, layout: str | None) -> Contents:
    """All that is to be written, as `hdf5.contents.datasets.contents` gives it."""
    client = arrays[0].client
    said = [client.submit(_about, array, array.name, layout, pure=False) for array in arrays]
    datasets: dict[str, DatasetSource] = {}
    attrs: dict[str, Any] = {}
    for array, (of_datasets, of_groups) in zip(arrays, client.gather(said), strict=True):
        attrs |= of_groups
        for name, about in of_datasets.items():
            datasets[name] = FarDataset(array, layout, name, about)
    return Contents(datasets, attrs)


class FarDataset(DatasetSource):
    """One dataset to be written, whose array is on a node."""

    def __init__(self, array: RemoteArray, layout: str | None, name: str, about: _About) -> None:
        self.shape, self.dtype, self.stored = about.shape, about.dtype, about.stored
        self.attrs = dict(about.attrs)
        self.grows = self.is_index = False
        self.dims = ()
        self._of = _FarArray(array, array.name, layout, name)
        self._lots: _Lots | None = None
        self._lock = threading.Lock()

    def block(self, where: Block) -> NDArray[Any]:
        """A part of it as it stands in the file, which travels."""
        (data,) = self._result(self._of.submit([where], _itself))
        found: NDArray[Any] = data
        return found

    def chunk(self, block: Block, chunks: tuple[int, ...], made: _Made) -> Any:
        """The bytes of a chunk; the chunks are asked for in their order, by several threads."""
        with self._lock:
            if self._lots is None:
                self._lots = _Lots(self._of, blocks(self.shape, chunks), made)
            lot, number = self._lots.holding(block)
        return self._result(lot)[number]

    def _result(self, lot: _Lot) -> list[Any]:
        """What was made of a lot; a node that is gone is not waited for.

        It may go at any time, also when the lot is made, and before it has arrived.
        """
        client, near = self._of.array.client, lot.near
        loop = client.loop.asyncio_loop
        fetching = asyncio.run_coroutine_threadsafe(fetched(lot.future), loop)
        while not wait([fetching], _PATIENCE).done:
            if near and not near & client.run_on_scheduler(nodes_of).keys():
                near = set()  # wherever Dask has it made again, or says that it cannot be
                fetching.cancel()
                again = client.submit(*lot.call, pure=False)
                fetching = asyncio.run_coroutine_threadsafe(fetched(again), loop)
        found: list[Any] = fetching.result()
        return found


class _Lot(NamedTuple):
    """A task that makes some chunks, on one of the workers that have the array."""

    future: Any
    call: tuple[Any, ...]
    near: set[str]


class _FarArray(NamedTuple):
    """A dataset of an array, as `_made` takes it."""

    array: RemoteArray
    name: str
    layout: str | None
    dataset: str

    def submit(self, of_lot: list[Block], made: _Made) -> _Lot:
        """Have a lot made where the array is."""
        client = self.array.client
        (near,) = client.who_has([self.array]).values()
        lot = _made, *self, of_lot, made
        return _Lot(client.submit(*lot, workers=[*near] or None, pure=False), lot, {*near})


class _Lots:
    """The tasks that make the chunks of a dataset: some are under way before they are needed.

    They do not hold the dataset, which holds them: in a cycle they would stay, and the cluster's
    memory with them, until Python collects garbage.
    """

    def __init__(self, of: _FarArray, all_blocks: Iterator[Block], made: _Made) -> None:
        self._of = of
        self._made = made
        self._left = _in_lots(all_blocks)
        self._places: dict[_Key, tuple[int, int]] = {}  # of a block: its lot, and number in it
        self._futures: dict[int, _Lot] = {}
        self._begun = 0

    def holding(self, block: Block) -> tuple[_Lot, int]:
        """The task that makes the chunk of a block, and its number there."""
        key = _key(block)
        while key not in self._places:
            self._begin()
        lot, number = self._places.pop(key)
        while self._begun <= lot + _AHEAD and self._begin():
            pass
        # A task is let go when a later one is read: writers are some chunks apart.
        for old in [n for n in self._futures if n < lot - 1]:
            del self._futures[old]
        return self._futures[lot], number

    def _begin(self) -> bool:
        of_lot = next(self._left, None)
        if of_lot is None:
            return False
        for number, block in enumerate(of_lot):
            self._places[_key(block)] = self._begun, number
        self._futures[self._begun] = self._of.submit(of_lot, self._made)
        self._begun += 1
        return True


def _key(block: Block) -> _Key:
    return tuple(side.start for side in block)  # slices are no keys before Python 3.12


def _in_lots(all_blocks: Iterator[Block]) -> Iterator[list[Block]]:
    while of_lot := list(itertools.islice(all_blocks, _LOT)):
        yield of_lot


def _itself(block: NDArray[Any]) -> NDArray[Any]:
    return np.array(block)


def _about(
    array: Any, name: str, layout: str | None
) -> tuple[dict[str, _About], dict[str, dict[str, Any]]]:
    """What datasets an array becomes, and what is said of groups; runs on its node."""
    found = contents({name: array}, layout=layout, concat=False)
    datasets = {
        dataset: _About(source.shape, source.dtype, source.stored, source.attrs)
        for dataset, source in found.datasets.items()
    }
    return datasets, {group: dict(attrs) for group, attrs in found.attrs.items()}


def _made(
    array: Any, name: str, layout: str | None, dataset: str, of_lot: list[Block], made: _Made
) -> list[Any]:
    """What is made of blocks of a dataset; runs on its node."""
    source = contents({name: array}, layout=layout, concat=False).datasets[dataset]
    return [made(source.block(block)) for block in of_lot]
