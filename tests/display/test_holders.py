"""Who holds the memory of a segment."""

import numpy as np

from shmkit import share, shared_load
from shmkit.display.holders import held_by, loaded_by, to_free
from shmkit.views.arrays import SharedArrays


def unlinked(length):
    """A shared array whose segment is unlinked, and the segment."""
    array = share(np.arange(length))
    array.segment.unlink()
    return array, array.segment


def test_holders_are_the_variables_whose_views_reach_the_segment():
    (array, one), (other, two) = unlinked(10), unlinked(20)
    variables = {
        "array": array,
        "plain": np.asarray(array)[3:],
        "reshaped": array.reshape(2, 5)[1],
        "buffer": memoryview(np.asarray(array)[:2]),
        "listed": [1, array[:3]],
        "mapped": {"x": array.view(np.uint8)},
        "arrays": SharedArrays({"one": array}),
        "copied": array.copy(),
        "computed": array + 1,
        "text": "array",
        "_oh": {3: array, 4: 5},
        "_": array,
        "_3": array,
        "other": other,
    }
    assert held_by({0: one, 1: None, 2: two}, variables) == {
        0: ["array", "plain", "reshaped", "buffer", "listed", "mapped", "arrays", "Out[3]"],
        2: ["other"],
    }


def test_the_last_result_is_named_only_if_nothing_else_holds_it():
    array, segment = unlinked(3)
    assert held_by({0: segment}, {"_oh": {}, "_": array}) == {0: ["_"]}
    assert held_by({0: segment}, {"_oh": {}, "_": array, "x": array}) == {0: ["x"]}


def test_a_segment_that_is_linked_has_holders_too():
    with share(np.arange(3)) as array:
        assert held_by({0: array.segment}, {"_oh": {}, "array": array}) == {0: ["array"]}


def test_what_was_released_or_closed_holds_nothing():
    array, segment = unlinked(3)
    buffer = memoryview(np.asarray(array))
    buffer.release()
    arrays = SharedArrays({"one": array})
    arrays.close()
    assert held_by({0: segment}, {"_oh": {}, "buffer": buffer, "arrays": arrays}) == {}


def test_tables_and_their_columns_hold_the_segment():
    with share({"x": [1, 2], "s": ["a", "b"]}) as table:
        variables = {
            "table": table,
            "part": table[1:],
            "column": table["x"],
            "text": table["s"][:1],
            "copied": table.head(),
            "_oh": {},
        }
    assert held_by({0: table.segment}, variables) == {0: ["table", "part", "column", "text"]}


def test_one_level_below_a_variable_is_looked_at():
    with share({"x": [1.5, 2.5], "s": ["a", "b"]}) as table:
        frame = table.to_pandas()
        model = type("Model", (), {})()
        model.arrays = SharedArrays({"one": table})

        def closed_over():
            return table

        variables = {
            "frame": frame,
            "series": frame["x"],
            "text": frame["s"],  # pandas' own copy
            "model": model,
            "closed_over": closed_over,
            "deeper": {"model": model},
            "np": np,
            "_oh": {},
        }
        assert held_by({0: table.segment}, variables) == {
            0: ["frame", "series", "model", "closed_over"]
        }


def test_what_to_type_names_variables_and_outputs():
    assert to_free(["a", "b", "Out[3]"]) == "del a, b; %shm forget"
    assert to_free(["_"]) == "%shm forget"
    assert to_free([]) == ""


def test_who_has_arrays_of_the_same_files_is_found(tmp_path):
    for name in ("one", "two", "other"):
        np.save(tmp_path / f"{name}.npy", np.zeros(10))
    files = [str(tmp_path / "one.npy"), str(tmp_path / "two.npy")]
    with (
        shared_load(files, progress=False) as both,
        shared_load(files[0], progress=False) as one,
        shared_load(tmp_path / "other.npy", progress=False) as other,
    ):
        closed = shared_load(files, progress=False)
        closed.close()
        variables = {"both": both, "one": one, "other": other, "closed": closed, "_3": both}
        assert loaded_by(variables, files, []) == {"both": 160, "one": 80}
        assert loaded_by(variables, files, [one[0].segment]) == {"both": 160}
