"""What is added to a file is there whole or not at all."""

import errno
import os

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from shmkit.hdf5.storage.adding import appending

PIECES = st.lists(
    st.tuples(st.integers(0, 20_000), st.integers(0, 9_000), st.booleans()), max_size=8
)


@settings(max_examples=60)
@given(length=st.integers(0, 13_000), pieces=PIECES, cuts=st.booleans(), fails=st.booleans())
def test_what_is_appended_is_read_back_and_done_whole_or_not_at_all(
    tmp_path_factory, length, pieces, cuts, fails
):
    """Like a file, for whoever writes; for others nothing of the old content changes meanwhile."""
    path = tmp_path_factory.mktemp("appended") / "a.bin"
    old = np.arange(length, dtype="u1").tobytes()
    path.write_bytes(old)
    expected = bytearray(old)
    try:
        with appending(str(path)) as storage:
            for number, (start, count, writes) in enumerate(pieces):
                storage.seek(start)
                if writes:
                    storage.write(bytes([number]) * count)
                    if count:
                        expected.extend(bytes(max(start + count - len(expected), 0)))
                        expected[start : start + count] = bytes([number]) * count
                else:
                    buffer = bytearray(count)
                    read = storage.readinto(buffer)
                    assert buffer[:read] == expected[start : start + count]
                assert path.read_bytes()[:length] == old
            if cuts:
                storage.truncate(length // 2)
                del expected[length:]
                assert path.read_bytes() == old
            if fails:
                raise RuntimeError
    except RuntimeError:
        expected = old
    assert path.read_bytes() == expected


def test_pages_that_were_replaced_are_put_back_when_another_cannot_be(tmp_path, run_script):
    old = os.urandom(12_288)
    (tmp_path / "a.bin").write_bytes(old)
    done = run_script("""
import resource
from shmkit.hdf5.storage.adding import appending
resource.setrlimit(resource.RLIMIT_FSIZE, (8_192, 8_192))
try:
    with appending("a.bin") as storage:
        for start in (10, 5_000, 9_000):
            storage.seek(start)
            storage.write(b"new")
except OSError as error:
    print(error)
""")
    assert done.stdout == f"[Errno {errno.EFBIG}] cannot be written: File too large: 'a.bin'\n"
    assert (tmp_path / "a.bin").read_bytes() == old
