"""References by hand, and how small they are."""

import multiprocessing
import pickle

import numpy as np
import pytest
from kinds import FIELDS, FLOATS, GRID, VIEWS, message_of, total

from shmkit import SegmentError, SegmentGoneError, SharedArray, attach, share, shared_load
from shmkit.views.reference import Reference

WIDE = np.dtype([(f"a field with a long name {n}", "f8") for n in range(50)])
NAMES = "".join(f"category-{n:05}\t{n}\n" for n in range(20_000))


def test_a_reference_is_every_view(backing):
    floats, records = share(FLOATS, backing=backing), share(GRID, backing=backing)
    for kind, make in {**VIEWS, **FIELDS}.items():
        view = make(floats if kind in VIEWS else records)
        got = pickle.loads(pickle.dumps(view.reference())).attach()
        assert type(got) is SharedArray
        assert (got.dtype, got.shape, got.strides) == (view.dtype, view.shape, view.strides), kind
        assert got.flags.writeable == view.flags.writeable
        assert got.segment is view.segment
        assert got.tobytes() == view.tobytes()


def attached_sum(reference):
    return total(reference.attach())


def test_a_reference_is_good_in_another_process(backing, run_script, tmp_path):
    with share(FLOATS, backing=backing) as array:
        (tmp_path / "reference").write_bytes(pickle.dumps(array[::-1, 1:].reference()))
        done = run_script(
            "import pickle\n"
            "array = pickle.load(open('reference', 'rb')).attach()\n"
            "print(array.tolist())\n"
            "array[0, 0] = -1\n"
        )
        assert done.stdout == f"{FLOATS[::-1, 1:].tolist()}\n"
        assert array[3, 1] == -1
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            assert pool.apply(attached_sum, (array.reference(),)) == array.sum()


def test_a_reference_to_what_is_read_only_is_read_only():
    with share(FLOATS) as array:
        for view in (
            array.readonly(),
            attach(array.segment.path),
            np.broadcast_to(array, (2, 4, 6)),
        ):
            got = view.reference().attach()
            with pytest.raises(ValueError, match="cannot set WRITEABLE"):
                got.flags.writeable = True
        assert array.flags.writeable


def test_a_reference_after_the_end_says_what_happened(backing):
    array = share(FLOATS, backing=backing)
    reference = array.reference()
    array.close()
    with pytest.raises(SegmentGoneError, match=r"make the reference before, or send numpy\.array"):
        array.reference()
    with pytest.raises(SegmentGoneError, match="closed"):
        np.array(array, subok=True).reference()
    del array
    with pytest.raises(SegmentGoneError, match="closed, or no variable held them any more"):
        reference.attach()


def test_a_reference_that_does_not_fit_is_an_error():
    with share(FLOATS) as array:
        reference = array.reference()
        for wrong in (
            reference._replace(shape=(40, 600)),
            reference._replace(offset=1 << 40),
            reference._replace(offset=-8),
            reference._replace(strides=(-48, 8)),
            reference._replace(dtype=("no such field",)),
        ):
            with pytest.raises(SegmentError, match="is another array than the one that was sent"):
                wrong.attach()


def test_a_long_dtype_is_not_sent(tmp_path):
    (tmp_path / "calls.tsv").write_text(f"chr\tpos\n{NAMES}")
    with (
        share(np.zeros(10, WIDE)) as wide,
        shared_load(tmp_path / "calls.tsv", layout="rows", categories=["chr"], progress=False) as (
            calls,
        ),
        share(GRID) as grid,
    ):
        for view in (wide, wide[1:], calls, calls["chr"], calls[::-1]["chr"], grid["at"][1:]):
            for message in (message_of(view), pickle.dumps(view.reference())):
                assert len(message) < 400
            got = pickle.loads(pickle.dumps(view.reference())).attach()
            assert got.dtype == view.dtype
            assert got.dtype.metadata == view.dtype.metadata
            assert len(message_of(got)) < 400
            pickle.loads(message_of(view))
            pickle.loads(message_of(got))
        assert pickle.loads(message_of(calls["chr"])).categories[19_999] == "category-19999"
        assert isinstance(calls.reference(), Reference)
