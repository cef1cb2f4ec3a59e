"""Names tell owners from one another."""

import pytest

from shmkit import share
from shmkit.cleanup.owner import (
    Owner,
    exporter_of,
    lease_of,
    lease_path,
    lease_time,
    lock_of,
    lock_path,
    owner_of,
    this_process,
)


def test_its_name_says_who_owns_it():
    path = share([1], backing="shm").segment.path
    assert path.startswith(f"/dev/shm/shmkit-{this_process()}-")


def test_a_name_tells_what_it_is_of_and_whose():
    me = this_process()
    tells = {
        f"/dev/shm/shmkit-{me}-0f.npy": owner_of,
        f"/data/.shmkit-{me}-0f.tmp": exporter_of,
        lease_path(f"/data/shmkit-{me}-0f.npy", 17): lease_of,
        lock_path("/data", me): lock_of,
    }
    for name, of in tells.items():
        for other in tells.values():
            assert other(name) == (me if other is of else None)
    assert lease_time(lease_path(f"/data/shmkit-{me}-0f.npy", 17)) == 17
    with share([1], backing="memfd") as array:
        path = array.segment.path
        assert owner_of(path) == me
    assert owner_of("/proc/self/exe") is None


def test_an_owner_is_read_from_what_it_is_written_as():
    me = this_process()
    assert Owner.parse(str(me)) == me
    assert me.of_this_boot
    assert not me._replace(boot="00000000").of_this_boot
    for text in ("", str(me.pid), f"{me}0", f" {me}", f"{me}\n", f"{me}".upper() + "X"):
        with pytest.raises(ValueError, match="is no owner"):
            Owner.parse(text)


def test_a_forked_child_is_another_owner(run_script):
    done = run_script(
        "import os\n"
        "from shmkit.cleanup.owner import Owner, this_process\n"
        "me = this_process()\n"
        "if os.fork() == 0:\n"
        "    print(this_process(), os.getpid(), flush=True)\n"
        "    os._exit(0)\n"
        "os.wait()\n"
        "print(me, me == this_process())\n"
    )
    child, pid, parent, same = done.stdout.split()
    assert Owner.parse(child).pid == int(pid)
    assert Owner.parse(child).token != Owner.parse(parent).token
    assert same == "True"
