"""What is on its way to a process is kept for it; what is gone says so where it is used."""

import contextlib
import itertools
import multiprocessing
import os
import pickle
import subprocess
import sys
import threading
import time
import warnings
from concurrent.futures import ProcessPoolExecutor

import joblib
import numpy as np
import pytest
from kinds import itself, message_of, total
from processes import Owner, left_of, names_of

from shmkit import SegmentGoneError, share, shared_load
from shmkit.pools import lease as _lease
from shmkit.pools.gone import GoneArray

METHODS = ["fork", "spawn", "forkserver"]
PATIENCE = 60  # seconds that processes may take on a busy machine; half of a test's time


@pytest.fixture(params=METHODS)
def context(request):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of fork beside pytest's threads
        yield multiprocessing.get_context(request.param)


def leases(*directories):
    """The leases that this process has out: of files, and descriptors of memfds."""
    names = [name for d in ("/dev/shm", *directories) for name in os.listdir(d)]
    files = [n for n in names if n.startswith(f".shmkit-{os.getpid()}-") and n.endswith(".lease")]
    return files + memfds()


def memfds():
    """The descriptors of segments that this process has."""
    found = []
    for fd in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # that of the list itself
            if os.readlink(f"/proc/self/fd/{fd}").startswith("/memfd:shmkit-"):
                found.append(fd)
    return found


@pytest.fixture(autouse=True)
def no_leases_left(tmp_path):
    yield
    deadline = time.monotonic() + PATIENCE
    while leases(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert leases(tmp_path) == []


def ones(number, backing):
    return share(np.full(1000, float(number)), backing=backing)


def several(backing):
    """Three arrays that nobody holds."""
    return (ones(number, backing) for number in range(3))


@pytest.mark.slow
def test_temporaries_in_every_call_of_a_pool(context, backing, tmp_path):
    for number in range(3):
        np.save(tmp_path / f"{number}.npy", np.full(1000, float(number)))
    files = sorted(tmp_path.glob("?.npy"))
    with context.Pool(2) as pool:
        results = {
            "apply": pool.apply(total, (ones(3, backing),)),
            "apply_async": pool.apply_async(total, (ones(3, backing).T,)).get(PATIENCE),
            "map": sum(pool.map(total, several(backing))),
            "map_async": sum(
                pool.map_async(total, map(ones, range(3), [backing] * 3)).get(PATIENCE)
            ),
            "imap": sum(pool.imap(total, several(backing))),
            "imap_unordered": sum(pool.imap_unordered(total, several(backing))),
            "starmap": sum(pool.starmap(total, [(ones(n, backing),) for n in range(3)])),
            "loads": sum(
                pool.imap(
                    total, (shared_load(f, progress=False, backing=backing)[0] for f in files)
                )
            ),
        }
        with ones(3, backing) as array:
            begun = pool.apply_async(total, (array,))
        results["closed"] = begun.get(PATIENCE)
        with ones(1, backing) as array:
            begun = [pool.apply_async(total, (view,)) for view in (array[:500], array, array[::-1])]
            pool.apply(itself, (None,))
        results["views of one"] = sum(result.get(PATIENCE) for result in begun) + 500
    assert results == dict.fromkeys(results, 3000.0)


def answer(arrays, answers):
    """In a child: the sums of the arrays that it is given, and of those of a queue."""
    answers.put([total(array) for array in (arrays if isinstance(arrays, list) else arrays.get())])


@pytest.mark.slow
def test_temporaries_in_a_process_and_a_queue(context, tmp_path):
    backings = ("shm", "memfd", tmp_path)
    queue, answers = context.Queue(), context.Queue()
    queue.put([ones(n, backing)[::2] for n, backing in enumerate(backings)])
    children = [
        context.Process(target=answer, args=(queue, answers)),
        context.Process(
            target=answer, args=([ones(n, b) for n, b in enumerate(backings)], answers)
        ),
    ]
    with contextlib.ExitStack() as stack:
        closed = [stack.enter_context(ones(n, b)).T for n, b in enumerate(backings)]
        children.append(context.Process(target=answer, args=(closed, answers)))
        for child in children:
            child.start()
    del closed
    sums = sorted(answers.get(timeout=PATIENCE) for _ in children)
    assert sums == [[0, 500, 1000], [0, 1000, 2000], [0, 1000, 2000]]
    for child in children:
        child.join()


def test_temporaries_in_an_executor(context, backing):
    with ProcessPoolExecutor(1, mp_context=context) as executor:
        with ones(1, backing) as array:
            begun = executor.submit(total, array)
        assert begun.result(PATIENCE) == 1000
        assert list(executor.map(total, several(backing))) == [0, 1000, 2000]


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["multiprocessing", "loky"])
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_temporaries_in_joblib(backend, backing):
    parallel = joblib.Parallel(2, backend=backend)
    sums = parallel(joblib.delayed(total)(ones(n, backing)) for n in range(5))
    assert sums == [0, 1000, 2000, 3000, 4000]


def test_the_memory_of_a_temporary_ends_with_the_task(backing, tmp_path):
    of_others = maps()  # what another test's array is kept by
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        for _ in range(3):
            pool.apply(total, (ones(1, backing),))
        pool.apply(itself, (None,))  # it holds the last argument until it gets another
        deadline = time.monotonic() + PATIENCE
        while (held := maps() - of_others) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not held
    assert names_of(os.getpid(), tmp_path) == leases(tmp_path) == []


def maps():
    """What a process of this user's maps, or has open, of what this process owns."""
    found = set(memfds())
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), open(f"/proc/{pid}/maps") as file:
            mine = [line for line in file if f"shmkit-{os.getpid()}-" in line]
            found |= {line for line in mine if ".lock" not in line}  # that speaks for its owner
    return found


def test_a_message_that_is_read_twice_finds_the_array_while_it_is_held(backing):
    with ones(1, backing) as array:
        message = message_of(array)
        for _ in range(3):
            assert pickle.loads(message).sum() == 1000


def test_what_another_thread_closes_while_it_is_pickled_arrives(backing):
    """As an executor's thread pickles: it stops at each line in turn, and there another closes."""
    for line in itertools.count(1):
        array, lines = ones(1, backing), itertools.count(1)
        closing = threading.Thread(target=array.segment.unlink)  # as array.close()

        def stop(frame, event, _argument, lines=lines, line=line, closing=closing):
            if "/shmkit/" not in frame.f_code.co_filename:
                return None
            if event == "line" and next(lines) == line:
                closing.start()
                closing.join()
            return stop

        before = sys.gettrace()
        sys.settrace(stop)
        try:
            message = message_of(array)
        finally:
            sys.settrace(before)
        array.close()
        del array
        assert pickle.loads(message).sum() == 1000, line
        if closing.ident is None:
            break
    assert line > 20  # it has stopped before several


def test_what_nobody_takes_ends_after_a_time(backing, tmp_path, monkeypatch):
    messages = [message_of(ones(1, backing)) for _ in range(3)]
    assert len(leases(tmp_path)) == 3
    assert pickle.loads(messages.pop()).sum() == 1000
    monkeypatch.setattr(_lease, "_MAX_SECONDS", 0)
    monkeypatch.setattr(_lease, "_SWEEP", 0)
    with ones(2, backing) as array:
        late = message_of(array)  # looks for old ones
        gone = [pickle.loads(message) for message in messages] if backing != "memfd" else []
        assert all(isinstance(array, GoneArray) for array in gone)
        pickle.loads(late)
    if backing == "memfd":  # their time was set when they were given
        assert [pickle.loads(message).sum() for message in messages] == [1000, 1000]


OWNER = """
import sys, numpy, shmkit
from multiprocessing.reduction import ForkingPickler
message = bytes(ForkingPickler.dumps(shmkit.share(numpy.ones(1000), backing=sys.argv[1])))
print(message.hex(), flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("ending", ["exit", "kill"])
def test_leases_end_with_their_owner(ending, backing, tmp_path):
    with Owner(OWNER, backing) as owner:
        message = bytes.fromhex(owner.says()[0])
        if ending == "kill":
            owner.process.kill()
        else:
            owner.process.stdin.close()
        owner.process.wait()
        assert left_of(owner.pid, tmp_path) == []
        hidden = os.listdir("/dev/shm") + os.listdir(tmp_path)
        assert [name for name in hidden if name.startswith(f".shmkit-{owner.pid}-")] == []
        gone = pickle.loads(message)
        with pytest.raises(SegmentGoneError, match=r"process .* has ended.*numpy\.array\(a\)"):
            gone.sum()


def test_a_lease_outlives_the_array_in_another_process(backing):
    with Owner(OWNER, backing) as owner:
        array = pickle.loads(bytes.fromhex(owner.says()[0]))
        assert array.sum() == 1000
        owner.process.kill()
        owner.process.wait()
        assert array.sum() == 1000


def test_a_late_message_never_leads_to_another_segment():
    # The path of a memfd is a descriptor's number, which the next file gets.
    late = share(np.arange(5.0), backing="memfd")
    reference, path = late.reference(), late.segment.path
    del late
    with share(np.full(5, 99.0), backing="memfd") as other:
        assert other.segment.path == path
        with pytest.raises(SegmentGoneError):
            reference.attach()


def test_where_no_lease_can_be_the_held_array_arrives(tmp_path, monkeypatch):
    def no_links(*_arguments, **_options):
        raise PermissionError(1, "Operation not permitted")  # as on FAT

    monkeypatch.setattr(os, "link", no_links)
    with share(np.ones(3), backing=tmp_path) as array:
        message = message_of(array)
        assert pickle.loads(message).sum() == 3


def test_a_forked_child_leaves_the_leases_to_its_parent():
    array = ones(1, "memfd")
    without = len(memfds())
    message = message_of(array)
    assert len(memfds()) == without + 1
    pid = os.fork()
    if pid == 0:
        os._exit(len(memfds()))
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == without
    assert len(memfds()) == without + 1
    del array
    assert pickle.loads(message).sum() == 1000


def test_a_pool_that_is_terminated_keeps_the_memory_no_longer_than_its_owner(run_script):
    done = run_script(
        "import multiprocessing, os, time, numpy, shmkit\n"
        "if __name__ == '__main__':\n"
        "    pool = multiprocessing.get_context('spawn').Pool(1)\n"
        "    for _ in range(5):\n"
        "        pool.apply_async(time.sleep, (shmkit.share(numpy.ones(9)),))\n"
        "    time.sleep(0.5)\n"
        "    pool.terminate()\n"
        "    print(os.getpid())\n"
    )
    assert left_of(int(done.stdout)) == []
    hidden = [name for name in os.listdir("/dev/shm") if f"shmkit-{done.stdout.strip()}-" in name]
    assert hidden == []
    assert done.stderr == ""


def test_unpickling_needs_no_import_of_the_senders(tmp_path):
    """A process that has imported nothing yet takes a message."""
    with share(np.arange(4)) as array:
        message = message_of(array)
        code = f"import pickle; print(pickle.loads(bytes.fromhex({message.hex()!r})).sum())"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("6\n", "")
