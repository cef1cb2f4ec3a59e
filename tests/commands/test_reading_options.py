"""How files are read, on a command line: the same options with the same meaning."""

import argparse
import inspect

import numpy as np
import pytest

from shmkit import shared_load
from shmkit.commands.reading_options import READING_OPTIONS, add_reading_options


@pytest.fixture
def parsed():
    def parse(*words):
        parser = argparse.ArgumentParser(argument_default=argparse.SUPPRESS, exit_on_error=False)
        add_reading_options(parser)
        return vars(parser.parse_args(words))

    return parse


def test_they_are_options_of_shared_load(parsed):
    assert set(READING_OPTIONS) <= set(inspect.signature(shared_load).parameters)
    assert parsed() == {}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--delimiter", r"\t"], {"delimiter": "\t"}),
        (["--delimiter", ";"], {"delimiter": ";"}),
        (["--comments", "none", "--quotechar", "none"], {"comments": None, "quotechar": None}),
        (["--skiprows", "3", "--max-rows", "10"], {"skiprows": 3, "max_rows": 10}),
        (["--usecols", "0"], {"usecols": 0}),
        (["--usecols=-1,3"], {"usecols": [-1, 3]}),
        (["--categories", "chr,strand"], {"categories": ["chr", "strand"]}),
        (["--dataset", "a", "--dataset", "b/*"], {"dataset": ["a", "b/*"]}),
        (["--dtype", "float32"], {"dtype": np.dtype("f4")}),
        (["--dtype", "chr:S10,pos:i4"], {"dtype": np.dtype([("chr", "S10"), ("pos", "i4")])}),
        (["--dtype", "i4,f8"], {"dtype": np.dtype("i4,f8")}),
    ],
)
def test_text_becomes_what_the_call_takes(parsed, words, expected):
    assert parsed(*words) == expected


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--usecols", "0,x"], "'0,x' is not like 0 or 0,3,4"),
        (["--dtype", "chr:"], "'chr:' is not like name:type; it is like float32, or like chr:S10"),
        (["--dtype", "nonsense"], "'nonsense' is no type"),
        (["--skiprows", "x"], "invalid int value"),
    ],
)
def test_what_cannot_be_read_is_named_with_what_can(parsed, words, message):
    with pytest.raises(argparse.ArgumentError, match=message):
        parsed(*words)
