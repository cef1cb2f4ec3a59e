"""The dtypes of text columns: UTF-8 in bytes, and codes."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from shmkit import SharedArray, share
from shmkit._text_dtype import coded_text, decoded, encoded, is_text, text_dtype

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=6)


@given(texts=st.lists(TEXTS, max_size=5))
def test_encoding_and_back(texts):
    array = np.array(texts, "U")
    utf8 = encoded(array)
    assert [text.decode() for text in utf8.tolist()] == texts
    assert decoded(utf8).tolist() == texts
    assert encoded(array.astype(array.dtype.newbyteorder())).tolist() == utf8.tolist()
    assert encoded(array[::-1]).tolist() == utf8[::-1].tolist()
    assert decoded(utf8[::-1]).tolist() == texts[::-1]


def test_only_a_dtype_that_says_so_is_text():
    assert is_text(text_dtype(3))
    assert is_text(coded_text(["a"]))
    assert not is_text(np.dtype("S3"))
    with share({"x": np.array([b"a", b"b"])}) as table:
        assert type(table["x"]) is SharedArray
        assert table["x"].tolist() == [b"a", b"b"]
