"""The encoding of a text, its mark, and what is no text at all."""

import io

import numpy as np
import pytest
from reading import read, refused

from shmkit.errors import LoadError
from shmkit.readers.text.encoding import encoding_of


@pytest.fixture
def file(tmp_path):
    def write(content):
        path = tmp_path / "a.txt"
        path.write_bytes(content)
        return str(path)

    return write


def found(content, **options):
    data = io.BytesIO(content)
    data.seek(3)
    encoding = encoding_of("a.txt", data, options)
    assert data.tell() == 0
    return encoding


def test_it_is_the_one_that_is_given_else_utf_8():
    assert found(b"a,b\n") == found(b"") == "utf-8"
    assert found(b"\xef\xbb\xbfa,b\n") == "utf-8-sig"
    assert found(b"\xef\xbb\xbfa,b\n", encoding="latin-1") == "latin-1"
    assert found("a,b\n".encode("utf-16-le"), encoding="utf-16-le") == "utf-16-le"


def test_nul_bytes_at_the_begin_are_no_text():
    with pytest.raises(LoadError, match="no text; give reader=") as caught:
        found(b"a,b\n\0")
    assert (caught.value.path, caught.value.line) == ("a.txt", None)
    with pytest.raises(LoadError):
        found("a,b\n".encode("utf-16-le"))  # without a mark: the error says what to give
    assert found(b"a" * 4096 + b"\0") == "utf-8"  # a character: only the begin is looked at


def test_a_mark_of_utf_16_is_left_to_who_reads_it():
    """The error names the encoding then, where NUL bytes would tell less."""
    assert found("a,b\n".encode("utf-16")) == "utf-8"


def test_binary_files_are_no_text(file, tmp_path):
    np.arange(300).tofile(tmp_path / "a.bin")
    for path in (str(tmp_path / "a.bin"), file(b"1 2\n\0\0")):
        error = refused(path, dtype=float)
        assert error.line is None
        assert "no text; give reader=" in error.reason


def test_a_mark_is_part_of_the_text_in_other_encodings(file):
    path = file(b"\xef\xbb\xbfabc\ndef\n")
    for encoding in ("latin-1", "utf-8"):
        expected = np.loadtxt(path, "U8", encoding=encoding)
        assert read(path, dtype="U8", encoding=encoding)[0].tolist() == expected.tolist()
    assert read(path, dtype="U8", encoding="utf-8-sig")[0].tolist() == ["abc", "def"]
