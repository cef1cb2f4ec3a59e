"""What owners that have ended left is removed, and nothing else."""

import fcntl
import os
import signal
import subprocess
import time

import pytest
from processes import PATIENCE, Owner, guards_of, left_of, living, names_of

from shmkit import attach, share, shared_load
from shmkit.cleanup import orphans, published
from shmkit.cleanup.orphans import remove_orphans
from shmkit.cleanup.owner import Owner as Identity
from shmkit.cleanup.owner import this_process
from shmkit.display.listing import list_segments

TOKEN = "0123456789abcdef"


def test_only_names_of_the_dead_are_removed(tmp_path, dead, leave):
    again = dead._replace(token=TOKEN)  # its pid was used again
    removed = leave(dead, "shmkit-{}-0.npy", "shmkit-{}-5.npy") + leave(again, "shmkit-{}-0.npy")
    others = {
        f"shmkit-{this_process()}-0.npy",
        f"shmkit-{dead._replace(token=TOKEN[::-1])}-0.npy",  # without a lock it cannot be told
        f"shmkit-{dead}-0.txt",
        f"shmkit-{dead}.npy",
        f"my-shmkit-{dead}-0.npy",
        "shmkit-notes.npy",
        "shmkit.npy",
    }
    for name in others:
        (tmp_path / name).touch()
    (tmp_path / f"shmkit-{dead}-1.npy").symlink_to(tmp_path / "shmkit.npy")
    others.add(f"shmkit-{dead}-1.npy")
    assert sorted(remove_orphans([str(tmp_path), "/nowhere"])) == sorted(removed)
    assert set(os.listdir(tmp_path)) == others


def test_an_unfinished_export_is_removed_once_nobody_has_it_open(tmp_path, dead):
    path = tmp_path / f".shmkit-{dead}-0.tmp"
    with open(path, "w") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        assert remove_orphans([str(tmp_path)]) == []
    assert remove_orphans([str(tmp_path)]) == [str(path)]
    assert os.listdir(tmp_path) == []


def test_a_lock_goes_last_and_stays_with_what_cannot_be_removed(tmp_path, dead, leave):
    removed = leave(dead, *(f"shmkit-{{}}-{n}.npy" for n in range(3)))
    stays = tmp_path / f"shmkit-{dead}-3.npy"
    stays.mkdir()
    (tmp_path / "second").mkdir()
    removed += leave(dead, "shmkit-{}-4.npy", directory=tmp_path / "second")
    assert sorted(remove_orphans([str(tmp_path), str(tmp_path / "second")])) == sorted(removed)
    assert os.listdir(tmp_path / "second") == []
    assert sorted(os.listdir(tmp_path)) == sorted([f".shmkit-{dead}.lock", stays.name, "second"])
    stays.rmdir()
    assert remove_orphans([str(tmp_path)]) == []
    assert os.listdir(tmp_path) == ["second"]


def test_published_names_of_the_dead_are_removed_and_those_of_the_living_stay(
    tmp_path, dead, leave
):
    leave(dead, "shmkit-{}-0.npy")
    prefix = f"shmkit.{os.geteuid()}."
    with share([1]) as named, share([2], backing="memfd") as nameless:
        targets = {
            "orphan": tmp_path / f"shmkit-{dead}-0.npy",
            "gone": tmp_path / f"shmkit-{this_process()}-999999.npy",
            "memfd-gone": f"/proc/{dead.pid}/fd/5#shmkit-{dead}-7",
            "memfd-old": f"/proc/{dead.pid}/fd/5",
            "foreign": "/etc/passwd",
            "named": named.segment.path,
            "nameless": f"{nameless.segment.path}#shmkit-{this_process()}-7",
            "elsewhere": f"/nowhere/shmkit-{this_process()}-7.npy",  # of another container, perhaps
        }
        for name, target in targets.items():
            (tmp_path / f"{prefix}{name}").symlink_to(target)
        (tmp_path / "genome").symlink_to("/nowhere")
        remove_orphans([str(tmp_path)])
        left = {f"{prefix}named", f"{prefix}nameless", f"{prefix}elsewhere", "genome"}
        assert set(os.listdir(tmp_path)) == left


def test_a_living_owners_published_name_survives_loads_of_others(tmp_path):
    name = f"living-{os.getpid()}"
    (tmp_path / "a.txt").write_text("0\n1\n2\n")
    with share([1, 2]) as array:
        array.publish(name)
        code = "import sys, shmkit\nprint(shmkit.shared_load(sys.argv[1])[0].size)"
        with Owner(code, tmp_path / "a.txt") as owner:
            assert owner.says() == ["3"]
            assert owner.complaints() == ""
        assert published.published_path(name) == array.segment.path


def test_what_is_another_users_is_left_alone(superuser, tmp_path, dead, leave):
    """Also what another user has put there under the name of an owner that has ended."""
    (orphan,) = leave(dead, "shmkit-{}-0.npy")
    link = tmp_path / "shmkit.0.name"
    link.symlink_to("/nowhere")
    lock = tmp_path / f".shmkit-{dead}.lock"
    for foreign in ((orphan, link, lock), (orphan, link), (link, lock)):
        for path in (orphan, link, lock):
            os.chown(path, *[65534 if path in foreign else 0] * 2, follow_symlinks=False)
        assert remove_orphans([str(tmp_path)]) == []
        assert len(os.listdir(tmp_path)) == 3
    for path in (orphan, link, lock):
        os.chown(path, 0, 0, follow_symlinks=False)
    assert len(remove_orphans([str(tmp_path)])) == 2
    assert os.listdir(tmp_path) == []


def test_a_planted_lock_that_is_no_file_holds_nobody_up(tmp_path, dead, leave):
    (orphan,) = leave(dead, "shmkit-{}-0.npy")
    lock = tmp_path / f".shmkit-{dead}.lock"
    for plant in (os.mkfifo, os.mkdir, lambda path: os.symlink("/dev/null", path)):
        lock.rmdir() if lock.is_dir() else lock.unlink()
        plant(lock)
        assert remove_orphans([str(tmp_path)]) == []
        assert os.path.exists(orphan)


@pytest.mark.parametrize("lock", ["/dev/shm", "the stale one"])
def test_a_lock_that_somebody_holds_makes_no_load_slower(tmp_path, dead, leave, lock):
    """Anybody may lock /dev/shm; two hundred stale names took a second each."""
    (tmp_path / "a.txt").write_text("1\n")
    (orphan,) = leave(dead, "shmkit-{}-0.npy")
    links = [f"/dev/shm/shmkit.{os.geteuid()}.stale-{os.getpid()}-{n}" for n in range(200)]
    for link in links:
        os.symlink("/nowhere", link)
    held = os.open(lock if lock == "/dev/shm" else tmp_path / f".shmkit-{dead}.lock", os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        begin = time.monotonic()
        remove_orphans(["/dev/shm", str(tmp_path)])
        assert time.monotonic() - begin < PATIENCE
        assert os.path.exists(orphan) == (lock != "/dev/shm")
    finally:
        os.close(held)
        remove_orphans(["/dev/shm", str(tmp_path)])
    assert not any(map(os.path.lexists, links))
    assert not os.path.exists(orphan)


def test_files_with_numbers_that_no_owner_has_are_left_alone(tmp_path):
    """Any of them ended every load with an OverflowError."""
    huge = "9" * 30
    for owner in (f"{huge}-00000000-{TOKEN}", f"1-{huge}-{TOKEN}", f"1-00000000-{huge}", "٣-0-0"):
        for name in (f"shmkit-{owner}-0.npy", f".shmkit-{owner}-0.tmp", f".shmkit-{owner}.lock"):
            (tmp_path / name).touch()
    (tmp_path / f"shmkit-1-00000000-{TOKEN}-{huge}.npy").touch()
    before = set(os.listdir(tmp_path))
    assert remove_orphans([str(tmp_path)]) == []
    found = list_segments([str(tmp_path)]).found
    assert not any(segment.path.startswith(str(tmp_path)) for segment in found)
    assert set(os.listdir(tmp_path)) == before
    with pytest.raises(ValueError, match="is no owner"):
        Identity.parse(f"{huge}-00000000-{TOKEN}")


def waiting_process(mark, **options):
    command = ["sh", "-c", "echo here; read end # of shmkit.loaders.loader", mark]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, **options)
    process.stdout.read(4)
    return process


@pytest.mark.slow
def test_only_loaders_of_dead_owners_are_killed(superuser, dead, leave):
    """By the lock, or without one by their parent: this process is theirs."""
    mark = orphans.loader_mark().replace(str(this_process()), "{}")
    locked = dead._replace(pid=os.getpid())
    killed = [waiting_process(mark.format(dead)), waiting_process(mark.format(locked))]
    others = [
        waiting_process(mark.format(this_process())),
        waiting_process(mark.format(dead._replace(pid=os.getpid(), token=TOKEN))),
        waiting_process(mark.format("nobody")),
        waiting_process(f"grep {mark.format(dead)}"),
        waiting_process(mark.format(dead), user=65534, group=65534, extra_groups=[]),
    ]
    deadline = time.monotonic() + PATIENCE
    while living([process.pid for process in killed]) and time.monotonic() < deadline:
        leave(locked, directory="/dev/shm")  # again: another test's load may have removed it
        orphans.kill_orphaned_loaders()
    assert [process.wait() for process in killed] == [-signal.SIGKILL] * 2
    assert [process.poll() for process in others] == [None] * len(others)
    for process in others:
        process.kill()
        process.wait()
    for process in (*killed, *others):
        process.stdin.close()
        process.stdout.close()
    remove_orphans(["/dev/shm"])


EXEC = """
import os, signal, sys
from shmkit import share
kept = share([1], backing=sys.argv[1])
kept.publish(sys.argv[2])
again = sys.argv[3:]
if again:
    os.execv(sys.executable, [sys.executable, "-c", again[0], *sys.argv[1:3]])
print(kept.segment.path, flush=True)
signal.pause()
"""


@pytest.mark.slow
def test_what_a_process_had_before_exec_is_gone_with_the_next_load(backing, tmp_path):
    """It has the same pid, start time and guard: nothing else tells that it is another program."""
    (tmp_path / "x.txt").write_text("1\n")
    name = f"exec-{os.getpid()}"
    code = EXEC.replace("kept.publish(sys.argv[2])\n", "")
    with Owner(EXEC, backing, name, code) as owner:
        (path,) = owner.says()
        with shared_load(tmp_path / "x.txt", backing=tmp_path, progress=False):
            names = names_of(owner.pid, tmp_path)
            assert names == [path] * (backing != "memfd")
        with share([7]) as mine:
            mine.publish(name)
            assert attach(name).tolist() == [7]
        assert attach(path).tolist() == [1]
        owner.end()
        assert left_of(owner.pid, tmp_path) == []


def test_a_published_name_of_a_dead_owner_is_free_and_not_attached(backing):
    code = EXEC + "# the guard is killed as well"
    name = f"dead-{os.getpid()}"
    with Owner(code, backing, name) as owner:
        owner.says()
        assert attach(name).tolist() == [1]
        for guard in guards_of(owner.pid):
            os.kill(guard, signal.SIGKILL)
            assert not living([guard])
        owner.end()
        with pytest.raises(published.SegmentGoneError, match="no segment is published"):
            attach(name)
        with share([2]) as array:
            array.publish(name)
            assert attach(name).tolist() == [2]
        directories = [] if isinstance(backing, str) else [str(backing)]
        remove_orphans(["/dev/shm", *directories])
        assert left_of(owner.pid, *directories) == []
