"""Rows of a segment are written to their place in another, as they are or in a wider type."""

import numpy as np
import pytest

from shmkit import LoadError, share
from shmkit.loading.concat.placing import place_rows
from shmkit.loading.tasks import Place


def place(values, target, start, *, first=0, last=None, code=None):
    """Place rows of these values in a segment that is there."""
    with share(values) as read:
        segment, to = read.segment, target.segment
        place_rows(
            *("a.csv", segment.path, segment.identity, first, len(read) if last is None else last),
            *(Place(to.path, to.identity, np.zeros(1), 0), start, code),
        )


def test_rows_go_to_their_place_and_no_others_change():
    with share(np.zeros((6, 2), "i4")) as target:
        place(np.arange(8, dtype="i4").reshape(4, 2), target, 2, first=1, last=3)
        assert target.tolist() == [[0, 0], [0, 0], [2, 3], [4, 5], [0, 0], [0, 0]]


def test_columns_go_to_theirs_with_the_code_of_their_file():
    columns = {"n": np.zeros(4), "s": np.array([""] * 3 + ["longer"]), "source": np.zeros(4, "u2")}
    with share(columns) as target:
        place(
            {"n": np.array([1, 2], "i2"), "s": ["é", "b"]} | {"source": [0, 0]}, target, 1, code=7
        )
        assert target["n"].tolist() == [0, 1, 2, 0]
        assert target["s"].tolist() == ["", "é", "b", "longer"]
        assert target["source"].tolist() == [0, 7, 7, 0]


@pytest.mark.parametrize("rows", [3, (1 << 16) + 3])
def test_records_are_widened_field_by_field(rows):
    values = np.zeros(rows, [("n", "i4"), ("s", "S1")])
    values["n"], values["s"] = np.arange(rows), b"x"
    with share(np.zeros(rows + 1, [("n", "f8"), ("s", "S3")])) as target:
        place(values, target, 1)
        assert target["n"].tolist() == [0, *range(rows)]
        assert target["s"][[0, 1, -1]].tolist() == [b"", b"x", b"x"]


@pytest.mark.parametrize("value", [2**53 + 1, -(2**53) - 1, 2**63 - 1])
def test_a_number_that_would_become_another_is_named(value):
    with share(np.zeros(2)) as target:
        with pytest.raises(LoadError, match=f"a.csv.*the array is float64.* and {value} would"):
            place(np.array([1, value]), target, 0)
        place(np.array([2**53, -(2**63)]), target, 0)
        assert target.tolist() == [2.0**53, -(2.0**63)]
