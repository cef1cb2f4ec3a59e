"""The options of an export: their names, what they are by default, and what they may be.

    shmkit.to_hdf5(…) ──┐
    %%to_hdf5 …         ┼──▶ Settings ──check──▶ writer
    shmkit convert …  ──┘

All three ways to ask for an export take their defaults from here, and get the same errors, before
anything is written. What an option means is told at `shmkit.to_hdf5`.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from shmkit._format import nbytes_text
from shmkit.hdf5.chunks import chunk_shape
from shmkit.hdf5.compression.filters import DEFLATE, FASTEST, LZF, SHUFFLE, ZSTD, Filter
from shmkit.hdf5.contents.datasets import DatasetSource, parts_of_name

__all__ = ["Layout", "Mode", "Settings", "plugins"]

Mode = Literal["w", "x", "a"]
Layout = Literal["table", "columns"]

_GROWING_NBYTES = 1 << 18  # of a chunk of a dataset that can grow, however short it is today
_MAX_CHUNK_NBYTES = (1 << 32) - 1  # in HDF5 before 2.0
_SHUFFLED = frozenset(["gzip", "lzf", "zstd"])  # other filters have a shuffle of their own, or harm


_LEVELS = {"gzip": (DEFLATE, range(10)), "zstd": (ZSTD, range(1, 23))}  # made without a plugin


@dataclass(frozen=True)
class Settings:
    """The options of `shmkit.to_hdf5`; raises ValueError for one that cannot be."""

    group: str = "/"
    mode: Mode = "w"
    overwrite: bool = False
    compression: str | None = "gzip"
    level: int | None = None
    shuffle: bool = True
    chunks: int | tuple[int, ...] | None = None
    layout: Layout | None = None
    concat: bool = False
    timeout: float = 60.0
    attrs: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        for option, value, known in (
            ("mode", self.mode, get_args(Mode)),
            ("layout", self.layout, get_args(Layout)),
        ):
            if value not in known and not (option == "layout" and value is None):
                raise ValueError(f"{option}={value!r} is none of {', '.join(map(repr, known))}")
        if self.group.strip("/"):
            parts_of_name(self.group.strip("/"))
        if self.compression in _LEVELS and self.level is not None:
            _, levels = _LEVELS[self.compression]
            if self.level not in levels:
                first, last = levels[0], levels[-1]
                raise ValueError(f"level={self.level}: {self.compression} has {first} to {last}")
        self.filters()

    def check(self, datasets: Mapping[str, DatasetSource]) -> None:
        """Raise a ValueError if the chunks do not fit one of the datasets."""
        for name, source in datasets.items():
            try:
                self.chunks_of(source)
            except ValueError as error:
                raise ValueError(f"chunks={self.chunks} does not fit {name}: {error}") from None

    def chunks_of(self, source: DatasetSource) -> tuple[int, ...]:
        """The shape of a chunk; raises ValueError if the given one does not fit."""
        shape, chunks = source.shape, self.chunks
        if chunks is None or source.is_index:
            if source.grows:
                row = math.prod(shape[1:]) * source.stored.itemsize
                shape = max(shape[0], _GROWING_NBYTES // max(row, 1)), *shape[1:]
            return chunk_shape(shape, source.stored.itemsize)
        if not isinstance(chunks, Sequence):
            chunks = (chunks, *shape[1:])[: len(shape)]
        if len(chunks) != len(shape):
            raise ValueError(f"its shape is {shape}")
        if min(chunks, default=1) < 1:
            raise ValueError("a chunk has at least one row")
        if source.grows:
            shape = sys.maxsize, *shape[1:]
        chunks = tuple(max(min(n, m), 1) for n, m in zip(chunks, shape, strict=True))
        if (nbytes := math.prod(chunks) * source.stored.itemsize) > _MAX_CHUNK_NBYTES:
            raise ValueError(f"a chunk of {nbytes_text(nbytes)} is more than HDF5 can hold")
        return chunks

    def filters(self) -> list[Filter]:
        """What the chunks go through, in this order; raises ValueError if it is not here."""
        filters = [Filter(SHUFFLE)] if self.shuffle and self.compression in _SHUFFLED else []
        if self.compression in (None, "lzf"):
            if self.level is not None:
                raise ValueError(f"compression={self.compression!r} has no levels")
            return [*filters, Filter(LZF)] if self.compression else filters
        if self.compression in _LEVELS:
            code, _ = _LEVELS[self.compression]
            level = FASTEST if self.level is None else self.level
            return [*filters, Filter(code, (level,))]
        return [*filters, self._plugin()]

    def _plugin(self) -> Filter:
        names = plugins()
        if self.compression in names:
            from hdf5plugin import get_filters  # noqa: PLC0415 - as in `plugins`

            (found,) = get_filters((self.compression,))
            try:
                made = dict(found() if self.level is None else found(clevel=self.level))
            except TypeError:
                raise ValueError(f"compression={self.compression!r} has no levels") from None
            return Filter(made["compression"], made.get("compression_opts", ()))
        known = ", ".join(['"gzip", "zstd", "lzf", None', *(repr(n) for n in names if n != "zstd")])
        if not names:
            known += "; more are in the package hdf5plugin: pip install 'shmkit[filters]'"
        raise ValueError(f"compression={self.compression!r} is none of {known}")


def plugins() -> list[str]:
    """The filters of the package hdf5plugin; none if it is not installed."""
    try:
        import hdf5plugin  # noqa: PLC0415 - optional, and its import loads its filters
    except ImportError:
        return []
    return list(hdf5plugin.FILTERS)
