"""Names that lead to segments: who may give them, what they lead to, and when they end."""

import contextlib
import itertools
import os
import pathlib
import sys
import threading

import numpy as np
import pytest
from names import NAME, published

from shmkit import SegmentError, SegmentExistsError, SegmentGoneError, attach, share
from shmkit.cleanup import orphans
from shmkit.cleanup.orphans import remove_orphans
from shmkit.cleanup.owner import lock_path, this_process
from shmkit.cleanup.published import published_names


@pytest.fixture(autouse=True)
def no_names_left():
    yield
    assert published() == []


def test_a_name_leads_to_one_segment(run_script):
    with share([1]) as array, share([2]) as other:
        array.publish(NAME)
        array.publish(NAME)
        with pytest.raises(SegmentExistsError, match=f"published as '{NAME}'") as caught:
            other.publish(NAME)
        assert caught.value.path == array.segment.path
        done = run_script(
            "import shmkit\n"
            "try:\n"
            f"    shmkit.share([3]).publish({NAME!r})\n"
            "except shmkit.SegmentExistsError as error:\n"
            "    print(error.path)\n"
        )
        assert done.stdout.strip() == array.segment.path
        other.publish(f"{NAME}-2")
        other.publish(f"{NAME}-3")
        assert sorted(published_names()[other.segment.path]) == [f"{NAME}-2", f"{NAME}-3"]
        assert attach(NAME).tolist() == [1]
        assert attach(f"{NAME}-3").tolist() == [2]


def test_a_name_ends_with_its_segment(backing):
    array = share([1], backing=backing)
    array.publish(NAME)
    array.close()
    with pytest.raises(SegmentGoneError, match="no segment is published under this name"):
        attach(NAME)
    last = share([2], backing=backing)
    last.publish(NAME)
    last = memoryview(last)
    assert attach(NAME).tolist() == [2]
    del last
    assert published() == []


@pytest.mark.parametrize(
    "name", ["", ".hidden", "-x", "a b", "größe", "x\n", "a\0b", "x" * 101, "*", ".."]
)
def test_a_name_that_is_none_is_refused(name):
    with share([1]) as array, pytest.raises(ValueError, match="is no name to publish"):
        array.publish(name)
    with pytest.raises(ValueError, match="is no name to publish"):
        attach(name)


def test_only_the_whole_array_is_published():
    with share(np.zeros((4, 6))) as array:
        for part in (
            array[1:],
            array[::2],
            array.T,
            array.reshape(-1),
            np.array(array, subok=True),
        ):
            with pytest.raises(ValueError, match="only the whole array"):
                part.publish(NAME)
        array.flags.writeable = False
        array[:].publish(NAME)
        assert attach(NAME).shape == (4, 6)


def test_only_the_owner_publishes_and_only_while_it_is_linked(run_script):
    with share([1]) as array:
        done = run_script(
            "import shmkit\n"
            "try:\n"
            f"    shmkit.attach({array.segment.path!r}).publish({NAME!r})\n"
            "except shmkit.SegmentError as error:\n"
            "    print(error.path)\n"
        )
        assert done.stdout.strip() == array.segment.path
    with pytest.raises(SegmentError, match="a segment that is linked"):
        array.publish(NAME)


def test_another_users_name_is_not_followed(superuser):
    link = f"/dev/shm/shmkit.{os.geteuid()}.{NAME}"
    with share([1]) as array, share([2]) as mine:
        os.symlink(array.segment.path, link)
        try:
            os.lchown(link, 65534, 65534)
            with pytest.raises(SegmentGoneError):
                attach(NAME)
            with pytest.raises(SegmentExistsError, match="is another user's"):
                mine.publish(NAME)
            assert os.readlink(link) == array.segment.path
        finally:
            os.unlink(link)


def leave_published(name, owner):
    """What an owner that was killed leaves; its lock last, since others remove what has one."""
    segment = f"/dev/shm/shmkit-{owner}-0.npy"
    pathlib.Path(segment).touch()
    os.symlink(segment, f"/dev/shm/shmkit.{os.geteuid()}.{name}")
    pathlib.Path(lock_path("/dev/shm", owner)).touch()


def test_a_stale_name_is_taken_over_by_one_of_those_who_want_it():
    arrays = [share([number]) for number in range(8)]
    barrier = threading.Barrier(len(arrays))
    taken = []

    def publish(array, name):
        barrier.wait()
        try:
            array.publish(name)
        except SegmentExistsError:
            return
        taken.append((name, array.segment.path))

    for turn in range(20):
        name = f"race-{os.getpid()}-{turn}"
        dead = this_process()._replace(token=os.urandom(8).hex())
        leave_published(name, dead)
        threads = [threading.Thread(target=publish, args=(array, name)) for array in arrays]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [path for found, path in taken if found == name] == [attach(name).segment.path]
    remove_orphans(["/dev/shm"])


@pytest.mark.slow
def test_who_removes_orphans_leaves_a_name_that_was_taken_over_meanwhile():
    """By another process, at each line of the removal."""
    for at in itertools.count():
        name = f"meanwhile-{os.getpid()}-{at}"
        dead = this_process()._replace(token=os.urandom(8).hex())
        leave_published(name, dead)
        with share([at]) as array:
            published, reached = removed_while_published(array, name, at)
            if published:
                assert attach(name).tolist() == [at]
        assert not os.path.lexists(f"/dev/shm/shmkit-{dead}-0.npy")
        assert not os.path.lexists(lock_path("/dev/shm", dead))
        if not reached:
            break
    assert at > 20  # lines there are


def removed_while_published(array, name, at):
    """Whether it could be published at a line of the removal; whether there are so many lines."""
    left, published = at, False
    before = sys.gettrace()

    def trace(frame, event, argument):
        nonlocal left, published
        if frame.f_code.co_filename == orphans.__file__ and event == "line":
            left -= 1
            if left == -1:
                with contextlib.suppress(SegmentExistsError):
                    array.publish(name)
                    published = True
        return trace

    sys.settrace(trace)
    try:
        remove_orphans(["/dev/shm"])
    finally:
        sys.settrace(before)
    return published, left < 0


def test_a_forked_child_does_not_publish_what_is_its_parents(run_script):
    done = run_script(
        "import os, shmkit\n"
        "array = shmkit.share([1])\n"
        "if os.fork() == 0:\n"
        "    try:\n"
        "        array.publish('x')\n"
        "    except shmkit.SegmentError:\n"
        "        os._exit(7)\n"
        "    os._exit(0)\n"
        "print(os.waitstatus_to_exitcode(os.wait()[1]))\n"
    )
    assert (done.stdout, done.stderr) == ("7\n", "")
