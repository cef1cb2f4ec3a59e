"""What shares a segment's memory is a SharedArray, what does not is a plain array."""

import inspect
import warnings

import numpy as np
import pytest
from kinds import FIELDS, FLOATS, GRID, VIEWS
from numpy.lib.stride_tricks import sliding_window_view

from shmkit import SharedArray, share

NO_ARRAY = {"dump", "dumps", "tofile", "tobytes", "tolist", "item", "setfield", "setflags"}
CHANGES = {"fill", "itemset", "partition", "put", "resize", "sort"}
ARGUMENTS = {
    "argpartition": (2,),
    "astype": ("f8",),
    "choose": ([np.zeros((3, 4))] * 99,),
    "compress": ([True, False],),
    "copy": ("F",),
    "dot": (np.ones((4, 2)),),
    "getfield": ("f4",),
    "repeat": (2,),
    "reshape": (-1,),
    "searchsorted": (np.ones(2),),
    "swapaxes": (0, 1),
    "take": ([0, 1],),
    "view": ("i8",),
}
OTHER_ARGUMENTS = {  # with which a method copies, or copies nothing
    "astype": ("f8", "K", "unsafe", True, False),
    "byteswap": (True,),
    "diagonal": (0, 1, 0),
    "max": (0,),
    "mean": (0,),
    "reshape": (2, 6),
    "round": (1,),
    "squeeze": (),
    "sum": (0,),
    "take": (1, 0),
    "transpose": (1, 0),
}
FUNCTIONS = {
    "tile": lambda a: np.tile(a, 1),
    "tile twice": lambda a: np.tile(a, 2),
    "roll": lambda a: np.roll(a, 1),
    "nan_to_num": np.nan_to_num,
    "nan_to_num in place": lambda a: np.nan_to_num(a, copy=False),
    "empty_like": np.empty_like,
    "zeros_like": np.zeros_like,
    "full_like": lambda a: np.full_like(a, 3),
    "broadcast_to": lambda a: np.broadcast_to(a, (2, 3, 4)),
    "broadcast_arrays": lambda a: np.broadcast_arrays(a, np.ones(4)),
    "windows": lambda a: sliding_window_view(a, 2, axis=0),
    "squeeze": lambda a: np.squeeze(a[:, :1]),
    "einsum": lambda a: np.einsum("ij->ji", a),
    "einsum diagonal": lambda a: np.einsum("ii->i", a[:, :3]),
    "einsum sum": lambda a: np.einsum("ij->i", a),
    "ravel": np.ravel,
    "ravel F": lambda a: np.ravel(a, "F"),
    "split": lambda a: np.split(a, 3),
    "stack": lambda a: np.stack([a, a]),
    "concatenate": lambda a: np.concatenate([a, a]),
    "where": lambda a: np.where(a > 3, a, 0),
    "unique": lambda a: np.unique(a, return_counts=True),
    "unique_counts": np.unique_counts,
    "sort": np.sort,
    "flip": np.flip,
    "rot90": np.rot90,
    "atleast_3d": np.atleast_3d,
    "expand_dims": lambda a: np.expand_dims(a, 0),
    "moveaxis": lambda a: np.moveaxis(a, 0, 1),
    "triu": np.triu,
    "diff": np.diff,
    "cumsum": lambda a: np.cumsum(a, axis=0),
    "percentile": lambda a: np.percentile(a, [5, 50], axis=0),
    "svd": np.linalg.svd,
    "matmul": lambda a: a @ a.T,
    "out": lambda a: np.multiply(a, 1, out=a),
    "in place": lambda a: a.__iadd__(0),
    "modf": np.modf,
    "divmod": lambda a: divmod(a, 2),
    "reduce": np.add.reduce,
    "accumulate": np.add.accumulate,
    "outer": lambda a: np.add.outer(a, a),
    "mask": lambda a: a[a > 3],
    "numbers": lambda a: a[[0, 1]],
    "numbers of one": lambda a: a[:, [1]],
    "ellipsis": lambda a: a[...],
    "new axis": lambda a: a[:, None],
    "row": lambda a: a[1],
    "real": lambda a: a.real,
    "imaginary": lambda a: a.view("c16").imag,
    "flat part": lambda a: a.flat[2:4],
    "shape": lambda a: np.meshgrid(a[0], a[1], copy=False),
}


def arrays_in(result):
    """The arrays in what a function gives."""
    if isinstance(result, np.ndarray):
        return [result]
    if isinstance(result, list | tuple):
        return [array for item in result for array in arrays_in(item)]
    return []


def is_honest(result, array):
    """Whether each array is of the type that says where its memory is."""
    return all(
        type(found) is (SharedArray if np.may_share_memory(found, array) else np.ndarray)
        for found in arrays_in(result)
        if found.size
    )


@pytest.fixture
def array():
    with share(np.arange(1.0, 13).reshape(3, 4)) as array:
        yield array


@pytest.mark.parametrize("order", ["C", "F", "slice"])
def test_methods(array, order):
    methods = [
        name
        for name in dir(np.ndarray)
        if not name.startswith("_") and callable(getattr(np.ndarray, name))
    ]
    sent = {"C": array, "F": share(np.asfortranarray(array)), "slice": array[:, ::2]}[order]
    called = 0
    for name in set(methods) - NO_ARRAY - CHANGES:
        for arguments in (ARGUMENTS.get(name, ()), OTHER_ARGUMENTS.get(name)):
            if arguments is None:
                continue
            source = sent.astype("i4").view(SharedArray) if name == "choose" else sent
            try:
                result = getattr(source, name)(*arguments)
            except (TypeError, ValueError):  # for other shapes
                continue
            called += 1
            assert is_honest(result, sent), (name, arguments)
    assert called > 40


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions(array, name):
    result = FUNCTIONS[name](array)
    assert arrays_in(result)
    assert is_honest(result, array)
    plain = FUNCTIONS[name](np.array(array))
    if not name.startswith("empty"):
        for got, expected in zip(arrays_in(result), arrays_in(plain), strict=True):
            assert np.array_equal(got, expected)
    assert type(result) is type(plain) or isinstance(result, SharedArray)


def test_every_view_knows_its_segment():
    floats, records = share(FLOATS), share(GRID)
    for kind, make in {**VIEWS, **FIELDS}.items():
        array = floats if kind in VIEWS else records
        view = make(array)
        assert type(view) is SharedArray, kind
        assert view.segment is array.segment, kind
        assert type(np.asarray(view)) is np.ndarray, kind


@pytest.mark.parametrize("closed", [False, True])
def test_looking_at_what_an_array_has_raises_nothing(array, closed):
    view = array[1:].T
    if closed:
        array.close()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # numpy's own
        names = dict(inspect.getmembers(view))
    assert names["segment"] is array.segment
    for name in ("filename", "offset", "mode", "_repr_html_", "__array_interface__", "nothing"):
        assert hasattr(view, name) == (name in names)
        getattr(view, name, None)


def test_a_copy_of_its_type_has_no_segment(array):
    copied = np.array(array, subok=True)
    assert copied.segment is None
    copied[0, 0] = -1
    assert array[0, 0] == 1
