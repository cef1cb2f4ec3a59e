"""How an array goes from one process of the cluster to another: mapped if near, as bytes if far.

    process A                                            process B, the same node
    SharedArray ──▶ near? ──▶ path, identity, … ───────▶ own hard link, mapped        no byte copied
                      │ no
                      └─────▶ the segment as it lies ──▶ process C, another node: a segment there
                              in memory

1. When two processes connect, each that wants data says on which node it is (`node.FIELD`).
2. Dask asks `dask_serialize` for each shared array, at the top of a message or as an item of a
   list, tuple or dict. All other objects it pickles: this module's pickler finds the arrays in
   them. What `pickle` hands out as a buffer, such as a block of a DataFrame, is looked at as well:
   if it lies in a segment, its place goes.
3. The receiver co-owns the segment (`Segment.adopt`): by a name of its own, which its own guard
   removes. A does not let go before B has answered; Dask's transfer of data waits for that.
4. If the segment is gone all the same, since A was killed, the receiver raises an OSError: then
   Dask asks another process, or computes the array again.
5. Bytes that arrive become a segment of the receiver, with a name for its neighbours. Where
   there is no room for one, they are a plain array.

Where Dask says nothing of a receiver, as when it spills to disk, and to who has not said its node,
as the scheduler, the data go. In pickled objects they go as plain arrays then, as to any file.

What does not work:

- To raise `SegmentGoneError`, or any other error that is no OSError: the task then waits for ever
  (distributed#6705).
- To let the receiver attach only: when A is killed, A's guard removes the name, and the next
  process of the node finds none, though B still has the memory.
- To register `numpy.ndarray`: a plain array may be changed by who receives it.
"""

from __future__ import annotations

import copyreg
import errno
import io
import math
import os
import pickle
from collections import ChainMap
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, NamedTuple

import cloudpickle
import numpy as np
from dask.sizeof import sizeof
from distributed.protocol import dask_deserialize, dask_serialize, register_serialization_family
from distributed.protocol.serialize import pickle_dumps, pickle_loads
from numpy.typing import NDArray

from shmkit.cluster.node import FIELD, this_node
from shmkit.errors import NotEnoughMemoryError, ShmkitError
from shmkit.pools.reducers import by_type
from shmkit.segments.backing import choose_backing
from shmkit.segments.image.header import Header
from shmkit.segments.mapping import Mapped, mapping_of
from shmkit.segments.segment import Segment
from shmkit.views.array import SharedArray, new_array, view
from shmkit.views.reference import Reference, reference_to, sent_by
from shmkit.views.table import SharedTable
from shmkit.views.text import SharedText

__all__ = ["addresses", "install", "near"]

_Context = Mapping[str, Any] | None
_Message = tuple[dict[str, Any], list[Any]]

_SMALL_NBYTES = 1 << 20  # of a part that arrives as a plain array: a segment costs a mapping
_STEP_NBYTES = 1 << 30  # that one call writes

addresses: set[str] = set()  # of the Dask workers in this process
near: set[str] = set()  # those of other processes of this node that have sent references


class _Sent(NamedTuple):
    """A segment on its way to another process of the node."""

    path: str
    identity: tuple[int, int]
    source: bytes  # where its array came from, pickled
    senders: frozenset[str]

    def adopt(self) -> Segment:
        """The segment, co-owned by this process; an OSError if it is gone."""
        near.update(self.senders)
        try:
            segment = Segment.adopt(self.path, self.identity)
        except ShmkitError as error:
            raise _gone(error) from None
        segment.source = segment.source or pickle.loads(self.source)  # noqa: S301 - our own
        return segment


def _sent(segment: Segment) -> _Sent:
    return _Sent(segment.path, segment.identity, _pickled_source(segment), frozenset(addresses))


def _pickled_source(segment: Segment) -> bytes:
    data: bytes = cloudpickle.dumps(dict(segment.source))  # converters may be of a notebook's
    return data


def _gone(error: ShmkitError) -> OSError:
    return OSError(errno.ESTALE, str(error))


def install() -> None:
    """Have Dask hand over arrays this way in this process; a second time is fine."""
    dask_serialize.register(SharedArray, _array_out)
    dask_deserialize.register(SharedArray, _array_in)
    dask_serialize.register(SharedTable, _table_out)
    dask_deserialize.register(SharedTable, _table_in)
    dask_serialize.register(SharedText, _text_out)
    dask_deserialize.register(SharedText, _text_in)
    for kind in (SharedTable, SharedText):
        sizeof.register(kind, lambda value: value.nbytes)
    register_serialization_family("pickle", _pickled_out, _pickled_in)


def _is_near(context: _Context) -> bool:
    recipient = (context or {}).get("recipient") or {}
    return recipient.get(FIELD) == this_node()


def _array_out(array: SharedArray, context: _Context = None) -> _Message:
    mapped = mapping_of(array)
    if mapped is None:
        raise NotImplementedError  # a copy that kept the type: as any array
    if isinstance(mapped, Mapped):  # not the section of a segment that others are in
        if _is_near(context) and mapped.segment.linked:
            reference = reference_to(array, mapped, writable=array.flags.writeable)
            return {"near": pickle.dumps((reference, _sent(mapped.segment)))}, []
        if _is_whole(array, mapped):
            header = pickle.dumps((mapped.segment.header, _pickled_source(mapped.segment)))
            return {"image": header}, [memoryview(mapped)]
    data = np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
    return {"part": pickle.dumps((array.dtype, array.shape))}, [data]


def _array_in(header: dict[str, Any], frames: Sequence[Any]) -> Any:
    if "near" in header:
        reference, sent = pickle.loads(header["near"])  # noqa: S301 - our own process's
        return _adopted(reference, sent)
    if "part" in header:
        dtype, shape = pickle.loads(header["part"])  # noqa: S301 - as above
        return _part(dtype, shape, frames[0])
    lies, source = pickle.loads(header["image"])  # noqa: S301 - as above
    return _landed(lies, source, frames[0])


def _table_out(table: SharedTable, context: _Context = None) -> _Message:
    near = _is_near(context)
    shared = isinstance(mapping_of(table.whole), Mapped)
    if not shared or (not near and len(table) != len(SharedTable(table.whole))):
        raise NotImplementedError  # these rows only, pickled
    header, frames = _array_out(table.whole, context)
    start, stop, step = table.rows.start, table.rows.stop, table.rows.step
    return {"whole": header, "rows": [start, stop, step] if near else []}, frames


def _table_in(header: dict[str, Any], frames: Sequence[Any]) -> Any:
    whole = _array_in(header["whole"], frames)
    if not isinstance(whole, SharedArray):
        return whole
    return SharedTable(whole, range(*header["rows"]) if header["rows"] else None)


def _text_out(text: SharedText, context: _Context = None) -> _Message:
    mapped = mapping_of(text.stored)
    near = _is_near(context)
    if not isinstance(mapped, Mapped) or (not near and not _is_whole(text.stored, mapped)):
        raise NotImplementedError  # these texts only, pickled
    return _array_out(text.stored, context)


def _text_in(header: dict[str, Any], frames: Sequence[Any]) -> Any:
    stored = _array_in(header, frames)
    return SharedText(stored) if isinstance(stored, SharedArray) else stored


def _adopted(reference: Reference, sent: _Sent) -> SharedArray:
    """The view that was sent, over a segment that this process owns as well."""
    segment = sent.adopt()
    try:
        return reference.view(segment.map(writable=reference.writable))
    except ShmkitError as error:
        raise _gone(error) from None


def _is_whole(array: SharedArray, mapped: Mapped) -> bool:
    header = mapped.segment.header
    order = array.flags.f_contiguous if header.fortran_order else array.flags.c_contiguous
    return array.dtype is header.dtype and array.shape == header.shape and order


def _landed(header: Header, source: bytes, image: Any) -> NDArray[Any]:
    """The array of a segment of another node, in a new one here; a plain one if there is no room.

    The new one has the same bytes: what names the codes of categories, the columns of a table.
    """
    data = memoryview(image).cast("B")
    segment = None
    try:
        segment = Segment.create(choose_backing("auto", len(data)))
        with segment.open() as file:
            os.posix_fallocate(file.fileno(), 0, len(data))
            at = 0
            while at < len(data):
                at += os.pwrite(file.fileno(), data[at : at + _STEP_NBYTES], at)
        segment.source = pickle.loads(source)  # noqa: S301 - our own process's
        return view(segment)
    except (NotEnoughMemoryError, OSError):
        if segment is not None:
            segment.unlink()
        order: Literal["C", "F"] = "F" if header.fortran_order else "C"
        return np.ndarray(header.shape, header.dtype, data, header.data_offset, order=order)


def _part(dtype: np.dtype[Any], shape: tuple[int, ...], data: Any) -> NDArray[Any]:
    """A part of an array of another node."""
    array = np.frombuffer(data, np.uint8)[: math.prod(shape) * dtype.itemsize]
    array = array.view(dtype).reshape(shape) if array.size else np.empty(shape, dtype)
    if array.nbytes < _SMALL_NBYTES:
        return array
    try:
        there = new_array(dtype, shape)
    except NotEnoughMemoryError:
        return array
    np.asarray(there)[...] = array
    return there


class _Pickler(pickle.Pickler):
    """Pickles an object for another process of this node: shared arrays in it as references."""

    # Of the class, as `pickle` reads it there too.
    dispatch_table: ClassVar[Any] = ChainMap[Any, Any](by_type, copyreg.dispatch_table)  # type: ignore[misc]


class _ByValue(cloudpickle.Pickler):
    """As `_Pickler`, and what is defined in a notebook's cell by value."""

    dispatch_table: ClassVar[Any] = ChainMap(by_type, cloudpickle.Pickler.dispatch_table)


def _way(reference: Reference, segment: Segment) -> tuple[Any, ...]:
    return _adopted, (reference, _sent(segment))


def _pickled_out(value: object, context: _Context = None) -> _Message:
    """As Dask's own family "pickle"; to another process of this node, arrays as references."""
    if not _is_near(context):
        message: _Message = pickle_dumps(value, context=context)
        return message
    buffers: list[Any] = []
    with sent_by(_way):
        try:
            pickled = _dumps(_Pickler, value, buffers)
        except Exception:  # noqa: BLE001 - whatever pickle does not take, or a __reduce__ raises
            pickled = b"__main__"
        if b"__main__" in pickled:
            buffers.clear()
            pickled = _dumps(_ByValue, value, buffers)
    frames: list[Any] = [pickled]
    places: dict[int, bytes] = {}
    views: list[memoryview] = [memoryview(buffer) for buffer in buffers]
    for number, buffer in enumerate(views):
        mapped = mapping_of(buffer)
        if isinstance(mapped, Mapped) and mapped.segment.linked:
            places[number] = pickle.dumps((_place(buffer, mapped), _sent(mapped.segment)))
            frames.append(b"")
        else:
            frames.append(buffer)
    writeable = tuple(not buffer.readonly for buffer in views)
    return {"writeable": writeable, "near": [*places.items()]}, frames


def _dumps(pickler: Any, value: object, buffers: list[Any]) -> bytes:
    file = io.BytesIO()
    pickler(file, protocol=5, buffer_callback=buffers.append).dump(value)
    return file.getvalue()


def _place(buffer: memoryview, mapped: Mapped) -> tuple[int, int]:
    """Where in a mapping a buffer lies: its first byte, and how many."""
    start = np.frombuffer(mapped, np.uint8).__array_interface__["data"][0]
    first = np.frombuffer(buffer.cast("B"), np.uint8).__array_interface__["data"][0]
    return first - start, buffer.nbytes


def _pickled_in(header: dict[str, Any], frames: Sequence[Any]) -> Any:
    if not header.get("near"):
        return pickle_loads(header, list(frames))
    frames, writeable = list(frames), list(header["writeable"])
    for number, pickled in header["near"]:
        (offset, nbytes), sent = pickle.loads(pickled)  # noqa: S301 - our own process's
        try:
            mapped = sent.adopt().map(writable=False)  # it is another's too: nobody writes to it
        except ShmkitError as error:
            raise _gone(error) from None
        frames[number + 1] = memoryview(mapped)[offset : offset + nbytes]
        writeable[number] = False
    return pickle_loads({**header, "writeable": writeable}, frames)
