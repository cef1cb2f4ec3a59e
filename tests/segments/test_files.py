"""Names of segments: what an interrupt leaves of one is removed, and nothing else is."""

import itertools
import os
import sys
import threading

import pytest

from shmkit import SegmentError, SegmentGoneError
from shmkit.cleanup.owner import lock_path, this_process
from shmkit.segments.backing import Backing
from shmkit.segments.files import (
    create_file,
    finish_interrupted,
    identity_at,
    identity_of,
    mark_finished,
    mark_unfinished,
    open_file,
    remove,
)
from shmkit.segments.segment import Segment


def lines_until_interrupted(function, call):
    """Interrupt `call` at each line of `function` in turn; yields what it was interrupted at."""
    for number in itertools.count(1):
        left = number

        def trace(frame, event, _):
            return in_it if frame.f_code is function.__code__ else None

        def in_it(frame, event, _):
            nonlocal left
            left -= event == "line"
            if not left and event == "line":
                sys.settrace(None)
                raise KeyboardInterrupt
            return in_it

        before, interrupted = sys.gettrace(), False
        sys.settrace(trace)
        try:
            call()
        except KeyboardInterrupt:
            interrupted = True
        finally:
            sys.settrace(before)
        if not interrupted:
            return
        yield number  # here, where the traceback, which holds what was made, is gone


# An interrupt before `with` leaves an open file to the interpreter, which closes it and says so.
@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
@pytest.mark.parametrize("function", [Segment.create, create_file])
def test_an_interrupt_at_any_line_of_making_a_name_leaves_none(tmp_path, function):
    def make():
        Segment.create(Backing("file", str(tmp_path)))

    lines = 0
    for _ in lines_until_interrupted(function, make):
        finish_interrupted()
        assert set(os.listdir(tmp_path)) <= {os.path.basename(lock_path("", this_process()))}
        lines += 1
    assert lines > 4


@pytest.mark.parametrize("function", [Segment.unlink, remove])
def test_an_interrupt_at_any_line_of_unlinking_leaves_no_name(tmp_path, function):
    made = []

    def make_and_unlink():
        made.append(Segment.create(Backing("file", str(tmp_path))))
        made[-1].unlink()

    lines = 0
    for _ in lines_until_interrupted(function, make_and_unlink):
        made.pop().unlink()  # what every load does with its segments when it is interrupted
        finish_interrupted()
        assert set(os.listdir(tmp_path)) <= {os.path.basename(lock_path("", this_process()))}
        lines += 1
    assert lines > 2


def test_what_another_thread_is_about_to_finish_is_left_alone(tmp_path):
    path = str(tmp_path / "x.npy")
    thread = threading.Thread(target=create_file, args=(path,))
    thread.start()
    thread.join()
    finish_interrupted()
    assert os.path.exists(path)
    mark_finished(path)


def test_a_name_that_was_finished_is_left_alone(tmp_path):
    path = str(tmp_path / "x.npy")
    create_file(path)
    mark_finished(path)
    finish_interrupted()
    assert os.path.exists(path)


def test_a_name_that_is_gone_already_is_no_error(tmp_path):
    mark_unfinished(str(tmp_path / "x.npy"))
    finish_interrupted()
    finish_interrupted()


def test_what_has_the_path_already_is_not_touched(tmp_path):
    path = tmp_path / "x.npy"
    path.write_text("precious")
    with pytest.raises(FileExistsError):
        create_file(str(path))
    finish_interrupted()
    assert path.read_text() == "precious"


def test_identity_is_that_of_the_file_and_not_of_what_replaces_it(tmp_path):
    path = str(tmp_path / "x.npy")
    made = create_file(path)
    mark_finished(path)
    file, opened = open_file(path)
    with file:
        assert made == opened == identity_at(path) == identity_of(os.fstat(file.fileno()))
        os.unlink(path)
        create_file(path)  # while the first is open, so that its inode is not used again
        mark_finished(path)
        assert identity_at(path) != made


@pytest.mark.parametrize("look", [identity_at, open_file])
def test_no_file_is_a_segment_that_is_gone(tmp_path, look):
    path = str(tmp_path / f"shmkit-{this_process()}-0.npy")
    with pytest.raises(SegmentGoneError, match="keep the with block open"):
        look(path)


@pytest.mark.parametrize("look", [identity_at, open_file])
def test_a_path_that_cannot_be_followed_is_an_error_that_names_it(tmp_path, look):
    (tmp_path / "file").touch()
    with pytest.raises(SegmentError, match=r"file/x\.npy.*cannot be opened as a segment"):
        look(str(tmp_path / "file" / "x.npy"))
