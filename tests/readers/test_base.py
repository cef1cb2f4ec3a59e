"""A plan and its parts: which rows are whose, and how they become one array."""

import os
import pickle

import numpy as np
import pytest

from shmkit._categories import enum_of
from shmkit.readers.base import WHOLE, ArrayPlan, Part, Plan, Version
from shmkit.segments.backing import choose_backing
from shmkit.segments.segment import Segment
from shmkit.segments.writer import SegmentWriter
from shmkit.views.array import view


class Bound(Plan):
    """A plan whose rows are a bound, as that of a text."""

    def final_shape(self, rows):
        return (rows, *self.shape[1:])


@pytest.fixture
def segment():
    made = Segment.create(choose_backing("auto", 0))
    yield made
    made.unlink()


def test_a_plan_tells_the_bytes_of_the_array_and_of_a_row():
    plan = Plan(np.dtype("f4"), (10, 3, 2))
    assert (plan.nbytes, plan.row_nbytes) == (240, 24)
    scalar = Plan(np.dtype("f8"), ())
    assert (scalar.nbytes, scalar.row_nbytes) == (8, 8)
    assert Plan(np.dtype("f8"), (0, 5)).nbytes == 0
    assert pickle.loads(pickle.dumps(plan)) == plan


def test_parts_that_were_counted_follow_each_other():
    plan = Plan(np.dtype("i4"), (99, 3), options={"skiprows": 2})
    counted = [Part(10, 20, lines=5, rows=3), Part(20, 40, 2, 2), Part(40, None, 1, None)]
    planned, parts = plan.in_parts(counted)
    assert planned.shape == (5, 3)
    assert [(part.start, part.stop) for part in parts] == [(10, 20), (20, 40), (40, None)]
    assert [part.line for part in parts] == [2, 7, 9]
    assert [part.row for part in parts] == [0, 3, 5]
    assert (WHOLE.start, WHOLE.stop, WHOLE.row) == (0, None, 0)


@pytest.mark.parametrize("counts", [[(0, 3), (3, 2)], [(0, 2), (4, 3), (9, 1)], [(2, 2)], []])
def test_rows_of_parts_that_were_fewer_are_closed_up(segment, counts):
    plan = Bound(np.dtype("i8"), (10, 2))
    expected = []
    with SegmentWriter(segment) as writer:
        writer.allocate(plan.dtype, plan.shape)
        for row, rows in counts:
            written = np.arange(2 * rows).reshape(rows, 2) + 100 * row
            writer.seek(row * plan.row_nbytes)
            writer.write(written)
            expected += written.tolist()
        plan.finish(writer, counts)
    assert view(segment).tolist() == expected


def test_names_of_codes_are_written_beside_the_array(segment):
    plan = Plan(np.dtype([("chr", np.dtype("u2", metadata={"enum": {}})), ("pos", "i4")]), (2,))
    with SegmentWriter(segment) as writer:
        writer.allocate(plan.dtype, plan.shape)
        writer.write(np.array([(1, 5), (0, 6)], plan.dtype))
        plan.name_codes(writer, {"chr": {"chr1": 0, "chrX": 1}})
    assert enum_of(view(segment).dtype["chr"]) == {"chr1": 0, "chrX": 1}


def test_types_are_the_same_or_not():
    plan = Plan(np.dtype("i4"), (3,))
    assert plan.same_types(Plan(np.dtype("i4"), (5,)))
    assert not plan.same_types(Plan(np.dtype("i8"), (3,)))
    assert plan.key is None
    assert plan.part(0, 5) is None


@pytest.mark.parametrize("step", [1, 3, 10, -1, -4])
@pytest.mark.parametrize("chunk", [1, 5, 64])
@pytest.mark.parametrize("rows", [0, 1, 7, 60])
def test_parts_of_an_array_are_whole_chunks_and_all_rows_once(rows, chunk, step):
    wanted = range(3, 3 + rows * step, step) if step > 0 else range(2 - rows * step, 2, step)
    plan = ArrayPlan(np.dtype("i4"), (rows, 3), rows=wanted, chunk=chunk)
    cuts = range(0, plan.nbytes + 1, 31)
    parts = [
        plan.part(start, stop) for start, stop in zip([0, *cuts], [*cuts, plan.nbytes], strict=True)
    ]
    assert [part.start for part in parts] == [0, *(part.stop for part in parts[:-1])]
    assert parts[-1].stop == rows == sum(part.rows for part in parts)
    for part in parts[:-1]:
        if 0 < part.stop < rows:
            assert wanted[part.stop - 1] // chunk != wanted[part.stop] // chunk


def test_rows_of_no_bytes_are_one_part():
    plan = ArrayPlan(np.dtype("i4"), (5, 0), rows=range(5))
    assert plan.part(0, plan.nbytes).rows == 0


def test_a_version_changes_with_the_file(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"1")
    before = Version.of(os.stat(path))
    assert Version.of(os.stat(path)) == before
    path.write_bytes(b"12")
    longer = Version.of(os.stat(path))
    os.utime(path, ns=(0, 10**18))
    later = Version.of(os.stat(path))
    (tmp_path / "b").write_bytes(b"12")
    os.utime(tmp_path / "b", ns=(0, 10**18))
    os.replace(tmp_path / "b", path)
    assert len({before, longer, later, Version.of(os.stat(path))}) == 4
