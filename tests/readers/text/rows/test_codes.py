"""Codes of categories: in the order of first appearance, whoever gives them."""

import numpy as np
import pytest

from shmkit._categories import MAX_NAMES
from shmkit.readers.text.lines import parser
from shmkit.readers.text.rows.codes import TABLE, CategoryCodes

WAYS = ["dictionary"] if parser is None else ["dictionary", "table"]


@pytest.fixture(params=WAYS)
def made(request):
    table = np.zeros(1, TABLE) if request.param == "table" else None
    return CategoryCodes(table)


def test_codes_count_from_zero_and_stay(made):
    assert made.encode(["chr1", "chrX", "chr1"]) == [0, 1, 0]
    assert made.encode(["größe", "chrX", ""]) == [2, 1, 3]
    assert made.texts == ["chr1", "chrX", "größe", ""]
    assert made.encode([]) == []


def test_what_a_converter_gives_becomes_text(made):
    assert made.encode([7, "7", 2.5]) == [0, 0, 1]
    assert made.texts == ["7", "2.5"]


def test_there_are_as_many_as_a_code_holds(made):
    assert made.encode(map(str, range(MAX_NAMES)))[-1] == MAX_NAMES - 1
    assert made.encode(["0", str(MAX_NAMES - 1)]) == [0, MAX_NAMES - 1]
    with pytest.raises(OverflowError):
        made.encode(["one more"])
