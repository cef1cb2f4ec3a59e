"""Who lives is never told dead, whatever hides it; who has ended is, by all who can know."""

import os
import signal
import subprocess
import sys

import pytest
from machine import refuse, tool
from processes import Owner, guards_of, left_of, living, names_of

from shmkit import share
from shmkit.cleanup.orphans import remove_orphans
from shmkit.cleanup.owner import lock_path, this_process

# Owns a segment and a published name. What it says: the segment, and the lock file.
OWNER = """
import os, signal, sys
from shmkit import share
from shmkit.cleanup.owner import lock_path, this_process
kept = share([1, 2], backing=sys.argv[1])
kept.publish(f"lock-{os.getpid()}")
# and then
print(kept.segment.path, lock_path(sys.argv[1], this_process()), flush=True)
signal.pause()
"""
LOOK = """
import sys
from shmkit.cleanup.orphans import remove_orphans
print(*remove_orphans(sys.argv[1:]))
"""


def under(*namespaces, run=""):
    """The command that gives a process namespaces of its own, where `run` is done first."""
    user = [] if os.geteuid() == 0 else ["--map-root-user"]
    return [tool("unshare"), *user, *namespaces, "sh", "-c", f'{run} exec "$@"', "sh"]


def looked(*directories, under=()):
    """What somebody else, in other namespaces perhaps, removes there."""
    done = subprocess.run(
        [*under, sys.executable, "-W", "error", "-c", LOOK, *map(str, directories)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    if done.stderr.startswith(("unshare:", "mount:")):
        refuse(done.stderr)
    assert done.stderr == ""
    return done.stdout.split()


# How a look fails, and what it is then told of an owner that has ended.
ELSEWHERE = {
    "here": ([], True),
    "another pid namespace": (["--pid", "--fork", "--mount-proc"], True),
    "another time": (["--time", "--boottime", "100000", "--fork"], True),
    "another name": (["--uts"], True),
    "no /proc": (["--mount"], False),
}
RUN = {"another name": "hostname another;", "no /proc": "mount -t tmpfs tmpfs /proc;"}


@pytest.mark.slow
@pytest.mark.parametrize("place", ELSEWHERE)
def test_the_living_stay_and_the_dead_go_wherever_it_is_looked_from(tmp_path, place):
    namespaces, told = ELSEWHERE[place]
    there = under(*namespaces, run=RUN.get(place, ""))
    with Owner(OWNER, tmp_path) as owner:
        path, lock = owner.says()
        assert path not in looked(tmp_path, "/dev/shm", under=there)  # others' may be there
        assert os.path.exists(path)
        assert os.path.exists(lock)
        assert len(names_of(owner.pid)) == 1  # the published name
        (guard,) = guards_of(owner.pid)
        os.kill(guard, signal.SIGKILL)
        assert not living([guard])
        owner.end()
        removed = looked(tmp_path, under=there)
        assert (removed == [path]) == told
        assert os.path.exists(lock) == os.path.exists(path) == (not told)
    remove_orphans([str(tmp_path), "/dev/shm"])
    assert left_of(owner.pid, tmp_path) == []


def test_an_owner_in_another_container_lives_until_that_is_restarted(tmp_path):
    """With its directory, another pid namespace and another name: as in Kubernetes."""
    container = under("--pid", "--fork", "--kill-child", "--mount-proc", "--uts", run="hostname a;")
    with Owner(OWNER, tmp_path, under=container) as owner:
        path, lock = owner.says()
        assert path not in remove_orphans([str(tmp_path), "/dev/shm"])
        assert os.path.exists(path)
        owner.process.kill()  # of unshare: the first process of a container ends all others
        again = under("--pid", "--fork", "--mount-proc", "--uts", run="hostname b;")
        owner.process.wait()
        assert path in looked(tmp_path, "/dev/shm", under=again)
        assert not os.path.exists(lock)


HIDDEN = """
import os, sys
from shmkit import share
from shmkit.cleanup.orphans import remove_orphans
hears, says = os.pipe(), os.pipe()
share([0]).close()  # imports what this user may not read
if os.fork() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
    kept = share([1, 2], backing="shm")
    os.write(says[1], kept.segment.path.encode())
    os.read(hears[0], 1)
    kept.close()  # the guard may not read Python's files as this user
    sys.exit()  # removes the lock too, as a guard would
path = os.read(says[0], 1000).decode()
looker = os.fork()
if looker == 0:
    os.setgroups([]); os.setgid(100); os.setuid(65534)  # the same user, another primary group
    hidden = not [n for n in os.listdir("/proc") if n.isdigit() and int(n) != os.getpid()]
    print(hidden, path in remove_orphans(["/dev/shm"]), flush=True)
    os._exit(0)
os.waitpid(looker, 0)
print(os.path.exists(path))
os.write(hears[1], b"x")
os.wait()
"""


def test_an_owner_that_proc_hides_lives(superuser, with_mount):
    printed = with_mount("mount -t proc -o hidepid=2 proc /proc", HIDDEN)
    assert printed.splitlines() == ["True False", "True"]


@pytest.mark.parametrize(("kind", "told"), [("ext4", True), ("nfs4", False)])
def test_an_owner_of_another_boot_is_dead_where_files_are_this_kernels_alone(tmp_path, kind, told):
    """After a reboot. In a network's file system it may be another computer: it lives there."""
    boot, mounts = tmp_path / "boot_id", tmp_path / "mountinfo"
    boot.write_text("another\n")
    mounts.write_text(
        "1 0 0:1 / / rw - tmpfs tmpfs rw\n"
        f"2 1 0:2 /home {tmp_path}/a\\043b rw shared:1 - {kind} server:/home rw\n"
        f"3 1 0:2 / {tmp_path}/a rw - proc proc rw\n"
    )
    directory = tmp_path / "a#b" / "c"
    directory.mkdir(parents=True)
    run = f"mount --bind {boot} /proc/sys/kernel/random/boot_id;"
    with Owner(OWNER, directory, under=under("--mount", run=run)) as owner:
        path, lock = owner.says()
        (guard,) = guards_of(owner.pid)
        os.kill(guard, signal.SIGKILL)
        assert not living([guard])
        # What is bound over the list of mounts says what file system is there.
        there = under("--mount", run=f"mount --bind {mounts} /proc/$$/mountinfo;")
        assert looked(directory, under=there) == []
        owner.end()
        assert looked(directory, under=there) == [path] * told
        assert os.path.exists(lock) == os.path.exists(path) == (not told)
    remove_orphans(["/dev/shm"])


def test_a_daemon_that_closes_all_descriptors_lives_on(tmp_path):
    with Owner(OWNER.replace("# and then", "os.closerange(3, 256)"), tmp_path) as owner:
        path, _ = owner.says()
        assert looked(tmp_path) == []
        assert os.path.exists(path)


def test_a_lock_takes_no_descriptor_where_a_mapping_does_not(tmp_path):
    code = "before = len(os.listdir('/proc/self/fd'))\nfor n in range(50):\n"
    code += "    os.mkdir(f'{sys.argv[1]}/{n}')\n    hold(f'{sys.argv[1]}/{n}')\n"
    code += "print(len(os.listdir('/proc/self/fd')) - before)"
    with Owner(f"import os, sys\nfrom shmkit.cleanup.lock import hold\n{code}", tmp_path) as owner:
        assert owner.says() == ["0" if sys.version_info >= (3, 13) else "50"]


def test_the_lock_goes_with_its_owner_though_a_forked_child_lives(tmp_path):
    # The child lets go of the lock when it first runs, which on a busy machine may be later.
    fork = "runs, says = os.pipe()\nif os.fork() == 0:\n    os.write(says, b'.')\n"
    fork += "    signal.pause()\nos.read(runs, 1)\n"
    with Owner(OWNER.replace("# and then", fork), tmp_path) as owner:
        path, lock = owner.says()
        (guard,) = guards_of(owner.pid)
        os.kill(guard, signal.SIGKILL)
        assert not living([guard])
        owner.end()
        assert path in remove_orphans([str(tmp_path), "/dev/shm"])
        assert not os.path.exists(lock)


def test_a_forked_child_has_its_own_lock(tmp_path, run_script):
    done = run_script(f"""
import os
from shmkit import share
from shmkit.cleanup.owner import lock_path, this_process
def locks():
    return [name for name in os.listdir({str(tmp_path)!r}) if name.endswith(".lock")]
kept = share([1], backing={str(tmp_path)!r})
print(len(locks()))
if os.fork() == 0:
    mine = share([2], backing={str(tmp_path)!r})
    print(len(locks()), flush=True)
    raise SystemExit
os.wait()
print(len(locks()), os.path.exists(lock_path({str(tmp_path)!r}, this_process())))
""")
    assert done.stdout.split() == ["1", "2", "1", "True"]
    assert [name for name in os.listdir(tmp_path) if "shmkit" in name] == []


def test_one_that_was_removed_by_hand_is_made_again_and_its_owner_lives_meanwhile(tmp_path):
    with share([1], backing=tmp_path) as array:
        lock = lock_path(str(tmp_path), this_process())
        os.unlink(lock)
        assert looked(tmp_path) == []
        assert array.segment.linked
        share([2], backing=tmp_path).close()
        assert os.path.exists(lock)
        assert looked(tmp_path) == []


def test_where_it_cannot_be_locked_nothing_is_taken_for_dead(tmp_path):
    """No lock file stays that nobody holds."""
    code = (
        """
import fcntl, sys
def flock(file, kind):
    raise OSError(38, "Function not implemented")
fcntl.flock = flock
"""
        + OWNER
    )
    with Owner(code, tmp_path) as owner:
        path, lock = owner.says()
        assert not os.path.exists(lock)
        assert looked(tmp_path) == []
        assert os.path.exists(path)
        owner.end()
        assert left_of(owner.pid, tmp_path) == []  # by the guard


def test_an_owner_is_not_taken_for_dead_where_no_descriptor_is_left_to_look(tmp_path):
    code = """
import contextlib, os, resource, sys
from shmkit.cleanup.orphans import is_orphan
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
with contextlib.suppress(OSError):
    while True:
        os.dup(0)
print(is_orphan(sys.argv[1]))
"""
    with share([1], backing=tmp_path) as array, Owner(code, array.segment.path) as owner:
        assert owner.says() == ["False"]


@pytest.mark.slow
def test_who_makes_a_lock_while_others_look_has_it_in_the_end(tmp_path):
    look = f"""
from shmkit.cleanup.orphans import remove_orphans
print("here", flush=True)
while True:
    remove_orphans([{str(tmp_path)!r}])
"""
    make = f"""
import os
from shmkit.cleanup.lock import hold
from shmkit.cleanup.owner import lock_path, this_process
for _ in range(300):
    if os.fork() == 0:
        hold({str(tmp_path)!r})
        os._exit(not os.path.exists(lock_path({str(tmp_path)!r}, this_process())))
    assert os.wait()[1] == 0
print("all", flush=True)
"""
    with Owner(look) as first, Owner(look) as second, Owner(make) as maker:
        for looker in (first, second):
            looker.says()
        assert maker.says() == ["all"]
