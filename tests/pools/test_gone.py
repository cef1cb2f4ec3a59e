"""What is gone says so where it is used, whatever pool it went to."""

import multiprocessing
import pickle

import numpy as np
import pytest
from kinds import total

from shmkit import SegmentGoneError, share

PATIENCE = 60  # seconds that processes may take on a busy machine; half of a test's time


def ones(backing):
    return share(np.ones(1000), backing=backing)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["spawn", "fork"])
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_pool_reports_what_is_gone(method, backing):
    array = ones(backing)
    reference = array.reference()
    del array
    with multiprocessing.get_context(method).Pool(1) as pool:
        with pytest.raises(SegmentGoneError, match="closed, or no variable held them"):
            pool.apply_async(total, (gone_from(reference),)).get(PATIENCE)
        with pytest.raises(SegmentGoneError):
            pool.apply(attach_and_sum, (reference,))
        assert pool.apply(total, (ones(backing),)) == 1000


def gone_from(reference):
    """As it arrives where there were no leases."""
    from shmkit.views.reference import received

    return received(reference, None)


def attach_and_sum(reference):
    return total(reference.attach())


USES = {
    "attribute": lambda a: a.shape,
    "method": lambda a: a.sum(),
    "function": np.sum,
    "ufunc": np.sqrt,
    "asarray": np.asarray,
    "sum": lambda a: a + 1,
    "sum from the right": lambda a: 1 + a,
    "sum with an array": lambda a: np.ones(3) + a,
    "comparison": lambda a: a == 3,
    "item": lambda a: a[0],
    "setting": lambda a: a.__setitem__(0, 1),
    "length": len,
    "iteration": list,
    "truth": bool,
    "number": float,
    "contains": lambda a: 3 in a,
    "matmul": lambda a: a @ a,
    "in place": lambda a: a.__iadd__(1),
    "with": lambda a: a.__enter__(),
    "segment": lambda a: a.segment,
}


@pytest.mark.parametrize("use", USES)
def test_what_is_gone_raises_whatever_is_done_with_it(use):
    reference = share(np.ones(3)).reference()
    gone = pickle.loads(pickle.dumps(gone_from(reference)))
    assert "this segment is gone" in repr(gone)
    with pytest.raises(SegmentGoneError, match="until the workers have finished"):
        USES[use](gone)
