"""What is said of an array: its columns, or dtype and shape, and the bytes that are its own."""

import numpy as np

from shmkit import share
from shmkit._categories import category
from shmkit._text_dtype import text_dtype
from shmkit.display.about_array import column_lines, nbytes_of, short_text, types_of


def test_bytes_are_those_of_the_array_without_header_and_gaps():
    array = share(np.arange(6, dtype="f4"))
    assert nbytes_of(array.segment.header) == array.nbytes == 24
    table = share({"n": np.arange(3, dtype="u1"), "x": np.arange(3.0)})
    assert nbytes_of(table.segment.header) == table.nbytes == 27
    assert table.segment.header.nbytes > 27  # there is a gap between the columns


def test_in_short_it_is_columns_or_dtype_and_shape():
    assert short_text(np.dtype([("chr", "S5"), ("pos", "i4")]), (9,)) == "chr pos"
    assert short_text(np.dtype("f4"), (9, "…")) == "float32 9 \N{MULTIPLICATION SIGN} …"
    assert short_text(np.dtype("i8"), ()) == "int64"


def test_each_column_has_a_type_that_a_person_reads():
    dtype = np.dtype(
        [
            ("chr", category(["chr1", "chrX"])),
            ("strand", category(["+"])),
            ("name", text_dtype(9)),
            ("code", "S3"),
            ("pct", "<f4"),
            ("at", "M8[s]"),
        ]
    )
    assert types_of(dtype) == {
        "chr": "2 categories",
        "strand": "1 category",
        "name": "text",
        "code": "S3",
        "pct": "float32",
        "at": "datetime64[s]",
    }
    assert column_lines(dtype)[0] == "chr     2 categories"
    assert column_lines(dtype)[2] == "name    text"
    assert column_lines(np.dtype("f4")) == ["float32"]
