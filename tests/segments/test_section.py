"""Sections: several arrays in one segment, each with an end of its own."""

import gc
import multiprocessing
import os

import numpy as np
import pytest
from machine import own_segments
from names import NAME

from shmkit import SegmentGoneError, attach, share
from shmkit.segments.section import Section
from shmkit.views.of_segment import view_of


@pytest.fixture(params=["array", "table"])
def two(request):
    """Two arrays in one segment, rows 0 to 2 and 3 to 6, of whole numbers in the field `n`."""
    source = np.zeros(7, [("n", "i8"), ("text", "S3")])
    source["n"] = np.arange(7)
    whole = share(
        {"n": source["n"], "text": source["text"]} if request.param == "table" else source
    )
    found = [view_of(Section.of(whole.segment, *rows)) for rows in [(0, 3), (3, 7)]]
    del whole
    yield found
    found.clear()


def test_each_has_its_rows_and_a_path_that_says_so(two):
    first, second = two
    assert (first["n"].tolist(), second["n"].tolist()) == ([0, 1, 2], [3, 4, 5, 6])
    assert second.segment.path == first.segment.whole.path + "[3:7]"
    assert (second.segment.rows, second.segment.shape) == (4, (4,))
    assert second.segment.nbytes == 4 * 11
    assert len(own_segments()) == 1


def test_attach_takes_its_path_and_gives_the_same_memory(two):
    first, second = two
    found = attach(second.segment.path, writable=True)
    found["n"][0] = 30
    assert second["n"].tolist() == [30, 4, 5, 6]
    assert found.segment is second.segment
    assert attach(first.segment.whole.path)["n"].tolist() == [0, 1, 2, 30, 4, 5, 6]


def test_a_view_of_it_that_was_attached_read_only_ends_nothing(two):
    first, _ = two
    found = attach(first.segment.path)
    del found
    assert first.segment.linked


def test_what_is_published_is_the_array_alone_and_no_copy(two):
    first, second = two
    second.publish(NAME)
    second["n"][1] = 40
    assert attach(NAME)["n"].tolist() == [3, 40, 5, 6]
    second.close()
    with pytest.raises(SegmentGoneError):
        attach(NAME)
    first.publish(NAME)
    assert attach(NAME)["n"].tolist() == [0, 1, 2]
    del first, second, two[:]
    with pytest.raises(SegmentGoneError):
        attach(NAME)


def test_a_part_of_it_is_not_published(two):
    with pytest.raises(ValueError, match="whole"):
        two[0][:2].publish(NAME)


def test_the_segment_is_unlinked_with_the_last(two):
    first, second = two
    first.close()
    first.close()
    assert (first.segment.linked, second.segment.linked) == (False, True)
    assert os.path.exists(second.segment.whole.path)
    with pytest.raises(SegmentGoneError):
        (first if isinstance(first, np.ndarray) else first.whole).reference()
    second.close()
    assert own_segments() == []
    assert first["n"].tolist() == [0, 1, 2]  # a view outlives it


def test_the_segment_is_unlinked_when_the_views_of_one_and_the_other_have_ended(two):
    section, whole = two[1].segment, two[1].segment.whole
    kept = np.asarray(two[1]["n"])[1:]
    two[0].close()
    del two[:]
    gc.collect()
    assert (section.mapped, section.linked, whole.mapped) == (True, True, True)
    del kept
    assert (section.mapped, whole.mapped) == (False, False)
    assert own_segments() == []


def _of(array):
    return array["n"].tolist(), array.segment.path


@pytest.mark.parametrize("method", ["fork", "forkserver"])
def test_a_worker_gets_it_by_reference_and_closes_nothing(two, method):
    first, second = two
    with multiprocessing.get_context(method).Pool(1) as pool:
        assert pool.apply(_of, (second,)) == ([3, 4, 5, 6], second.segment.path)
        pool.apply(_add, (second,))
        assert second["n"].tolist() == [4, 5, 6, 7]
        assert second.segment.linked
        second.close()
        assert type(pool.apply(_itself, (second["n"],))) is np.ndarray
        assert pool.apply(_of, (first,)) == ([0, 1, 2], first.segment.path)


def _add(array):
    array["n"] += 1
    array.close()


def _itself(values):
    return np.asarray(values)


def test_a_forked_child_ends_nothing_of_its_parents(two):
    pid = os.fork()
    if not pid:
        for array in two:
            array.close()
        del array, two[:]
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    assert two[0].segment.linked
    assert two[1].segment.linked


def test_an_item_of_an_array_has_one_dimension_less():
    whole = share(np.arange(6.0).reshape(3, 2))
    row = view_of(Section.of(whole.segment, 1, None))
    assert row.tolist() == [2.0, 3.0]
    assert row.segment.path.endswith("[1]")
    assert attach(row.segment.path).tolist() == [2.0, 3.0]


def test_in_a_memfd(tmp_path):
    for backing in ("memfd", tmp_path):
        whole = share(np.arange(6), backing=backing)
        some = view_of(Section.of(whole.segment, 2, 4))
        some.publish(NAME)
        assert attach(NAME).tolist() == attach(some.segment.path).tolist() == [2, 3]
        del whole, some
        with pytest.raises(SegmentGoneError):
            attach(NAME)
