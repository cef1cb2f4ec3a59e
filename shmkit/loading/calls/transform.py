"""A function of the user's on what was read of each file, before the notebook sees it.

    file ──▶ read, joined, recoded ──▶ segment ──▶ function(array) ──▶ another segment ──▶ view
                                          └──▶ unlinked: its memory is back

The function sees the array as a load without it gives it: of all parts, with the types and the
categories that the files share. It runs on a loader process, which maps the array; what it returns
is written into a segment that the notebook's process has made.
"""

from __future__ import annotations

import time

import numpy as np

from shmkit.loaders.loader import Task
from shmkit.loaders.pickling import Pickled
from shmkit.loading.file import LoadingFile
from shmkit.loading.tasks import Place, named_error
from shmkit.segments.backing import Backing
from shmkit.segments.files import Identity
from shmkit.segments.segment import Segment
from shmkit.segments.writer import SegmentWriter
from shmkit.views.array import SharedArray
from shmkit.views.image import image_of
from shmkit.views.of_segment import view_of

__all__ = ["transform_task"]


def transform_task(
    file: LoadingFile, read: Segment, function: Pickled, records: SharedArray, backing: Backing
) -> Task:
    """The task that puts what the function makes of what was read into a new segment of the file.

    Who calls this holds the array that was read: its segment goes with it.
    """
    file.segment = Segment.create(backing)
    file.segment.source = read.source
    place = Place(file.segment.path, file.segment.identity, records, file.number)
    return Task(_transform, (function, file.path, read.path, read.identity, place))


def _transform(function: Pickled, path: str, read: str, identity: Identity, place: Place) -> None:
    """Call the function on the array in a segment, and write what it returned into another."""
    record = np.asarray(place.records)[place.number : place.number + 1]
    segment = Segment.attach(place.segment, place.identity)
    try:
        found = function.load()(view_of(Segment.attach(read, identity)))
        if found is None:
            raise TypeError("transform= returned None; it must return an array or a table")
        with SegmentWriter(segment) as writer:
            image = image_of(found)
            image.write(writer)
    except Exception as error:  # noqa: BLE001 - it is raised again, with the file's name
        raise named_error(path, error) from None
    record["rows"], record["ended"] = image.rows, time.time()
