"""A text file of whatever a test writes."""

import pytest


@pytest.fixture
def file(tmp_path):
    def write(content, name="calls.txt"):
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return str(path)

    return write
