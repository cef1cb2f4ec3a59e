"""The limits, on files of the layouts that real machines have; and many arrays under real ones."""

import os
import resource
import sys

import numpy as np
import pytest
from machine import refuse

from shmkit import NotEnoughMemoryError, _limits

MEMINFO = "MemTotal:       16000000 kB\nMemFree:         1000000 kB\nMemAvailable:    8000000 kB\n"
MB = 1 << 20


@pytest.fixture
def machine(tmp_path):
    """Make a /proc and a /sys/fs/cgroup from a dict of files."""

    def make(cgroup, files):
        proc, cgroups = tmp_path / "proc", tmp_path / "cgroup"
        (proc / "self").mkdir(parents=True)
        (proc / "meminfo").write_text(MEMINFO)
        if cgroup is not None:
            (proc / "self" / "cgroup").write_text(cgroup)
        for name, text in files.items():
            (cgroups / name).parent.mkdir(parents=True, exist_ok=True)
            (cgroups / name).write_text(text)
        return {"proc": str(proc), "cgroups": str(cgroups)}

    return make


def v2(limit, current, cache=0):
    return {
        "memory.max": f"{limit}\n",
        "memory.current": f"{current}\n",
        "memory.stat": f"anon 5\ninactive_file {cache}\nactive_file 0\n",
    }


def under(folder, files):
    return {f"{folder}/{name}": text for name, text in files.items()}


def test_without_a_container_the_machine_counts(machine):
    room = _limits.memory(**machine("0::/user.slice\n", {"user.slice/memory.max": "max\n"}))
    assert room == ("memory", 8_000_000 * 1024, 16_000_000 * 1024)


def test_a_version_2_limit_counts_less_what_is_used(machine):
    room = _limits.memory(**machine("0::/\n", v2(512 * MB, 200 * MB)))
    assert room == ("the container's memory limit", 312 * MB, 512 * MB)


def test_page_cache_counts_as_free(machine):
    room = _limits.memory(**machine("0::/\n", v2(512 * MB, 500 * MB, cache=300 * MB)))
    assert room.free == 312 * MB


def test_the_tightest_group_above_counts(machine):
    files = {
        **under("pod", v2(1000 * MB, 900 * MB)),
        **under("pod/job", v2(700 * MB, 100 * MB)),
        **under(
            "pod/job/step", {"memory.max": "max\n", "memory.current": "1\n", "memory.stat": ""}
        ),
    }
    assert _limits.memory(**machine("0::/pod/job/step\n", files)).free == 100 * MB


def test_inside_a_container_the_hosts_path_is_not_mounted(machine):
    room = _limits.memory(**machine("0::/docker/0123abcd\n", v2(512 * MB, 12 * MB)))
    assert room.free == 500 * MB


def test_a_version_1_limit_counts(machine):
    files = under(
        "memory/docker/0123",
        {
            "memory.limit_in_bytes": f"{256 * MB}\n",
            "memory.usage_in_bytes": f"{100 * MB}\n",
            "memory.stat": f"inactive_file 1\ntotal_inactive_file {30 * MB}\ntotal_active_file 0\n",
        },
    )
    cgroup = "12:cpu,cpuacct:/docker/0123\n4:memory:/docker/0123\n1:name=systemd:/x\n"
    assert _limits.memory(**machine(cgroup, files)).free == 186 * MB


def test_version_1_without_a_limit(machine):
    files = under(
        "memory",
        {
            "memory.limit_in_bytes": "9223372036854771712\n",
            "memory.usage_in_bytes": "5\n",
            "memory.stat": "",
        },
    )
    assert _limits.memory(**machine("4:memory:/\n", files)).where == "memory"


def test_the_tightest_version_1_group_above_counts(machine):
    def v1(limit, used):
        return {
            "memory.limit_in_bytes": f"{limit}\n",
            "memory.usage_in_bytes": f"{used}\n",
            "memory.stat": "total_inactive_file 0\ntotal_active_file 0\n",
        }

    files = {
        **under("memory", v1(9223372036854771712, 5)),
        **under("memory/pod", v1(400 * MB, 390 * MB)),
        **under("memory/pod/job", v1(300 * MB, 100 * MB)),
    }
    assert _limits.memory(**machine("4:memory:/pod/job\n0::/\n", files)).free == 10 * MB


def test_a_version_2_limit_beside_version_1_controllers_counts(machine):
    files = under("job", v2(300 * MB, 100 * MB))
    assert _limits.memory(**machine("2:cpu:/x\n0::/job\n", files)).free == 200 * MB


@pytest.mark.parametrize("path", ["/../../elsewhere", "/..", "/gone/and/away"])
def test_a_group_that_is_not_mounted_here_leaves_those_above(machine, path):
    room = _limits.memory(**machine(f"0::{path}\n", v2(512 * MB, 12 * MB)))
    assert room.free == 500 * MB


def test_a_group_that_ends_meanwhile_is_passed_over(machine):
    files = {**v2(512 * MB, 12 * MB), "job/memory.max": "1\n"}
    assert _limits.memory(**machine("0::/job\n", files)).free == 500 * MB


def test_more_used_than_allowed_is_no_room(machine):
    assert _limits.memory(**machine("0::/\n", v2(100 * MB, 120 * MB))).free == 0


def test_without_proc_the_whole_machine_counts(tmp_path):
    room = _limits.memory(proc=tmp_path, cgroups=tmp_path)
    assert room.free == room.limit > 0


@pytest.mark.parametrize(
    ("quota", "count"), [("max 100000", None), ("150000 100000", 2), ("1000 100000", 1)]
)
def test_a_cpu_quota_counts_rounded_up(machine, quota, count):
    mine = len(os.sched_getaffinity(0))
    found = _limits.cpus(**machine("0::/\n", {"cpu.max": quota + "\n"}))
    assert found == min(count or mine, mine)


def test_a_version_1_cpu_quota_counts(machine):
    files = under("cpu", {"cpu.cfs_quota_us": "50000\n", "cpu.cfs_period_us": "100000\n"})
    assert _limits.cpus(**machine("3:cpu:/\n", files)) == 1


def test_this_machine_has_room():
    assert 0 < _limits.memory().free <= _limits.memory().limit
    assert 0 < _limits.room_in("/dev/shm").free <= _limits.room_in("/dev/shm").limit
    assert _limits.cpus() >= 1


def test_what_does_not_fit_is_an_error_with_figures():
    room = _limits.Room("the shelf", 5, 10)
    room.check(5)
    with pytest.raises(NotEnoughMemoryError, match="the shelf") as caught:
        room.check(6)
    assert (caught.value.need, caught.value.free, caught.value.limit) == (6, 5, 10)


def test_a_refusal_of_memory_is_repeated_and_what_fits_passes_after_it():
    for _ in range(3):  # a refusal does not count as a look
        with pytest.raises(NotEnoughMemoryError):
            _limits.check_memory(1 << 60)
    for _ in range(1000):
        _limits.check_memory(10_000)


# A new process, as most start: 1,024 descriptors, and leave to have more.
ORDINARY = """
import os, resource, sys
import numpy as np
import shmkit
from shmkit import TooManySegmentsError, share, shared_empty, shared_load

def named():
    return [name for name in os.listdir("/dev/shm") if name.startswith(f"shmkit-{os.getpid()}-")]

def opened():
    return len(os.listdir("/proc/self/fd"))
"""
SOFT = 1024
HIGH = 12_000  # 5,000 arrays in a memfd hold two descriptors each before Python 3.13


@pytest.fixture
def hard_limit():
    """A hard limit that is high enough; without it the test is refused."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < HIGH:
        refuse(f"the hard limit of descriptors is {hard}")
    return hard


@pytest.fixture
def many_files(tmp_path):
    """5,000 small files in a folder beside the script."""
    (tmp_path / "many").mkdir()
    for n in range(5000):
        np.save(tmp_path / f"many/{n:04}.npy", np.full(3, n))


@pytest.mark.slow
@pytest.mark.parametrize("backing", ["shm", "memfd"])
def test_five_thousand_files_in_one_load(run_script, hard_limit, many_files, backing):
    done = run_script(
        ORDINARY + f"resource.setrlimit(resource.RLIMIT_NOFILE, ({SOFT}, {hard_limit}))\n"
        "before = opened()\n"
        f"with shared_load('many/*.npy', progress=False, backing={backing!r}) as arrays:\n"
        "    assert [int(array[2]) for array in arrays] == list(range(5000))\n"
        f"    assert {{array.segment.backing for array in arrays}} == {{{backing!r}}}\n"
        "del arrays\n"
        "assert named() == [] and opened() < before + 20\n"
        "print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])\n"
    )
    needs_descriptors = backing == "memfd" or sys.version_info < (3, 13)
    assert (int(done.stdout) > 5000) == needs_descriptors
    assert done.stderr == ""


@pytest.mark.slow
@pytest.mark.parametrize("backing", ["shm", "memfd"])
def test_too_few_descriptors_are_named_before_anything_is_read(run_script, many_files, backing):
    needs_descriptors = backing == "memfd" or sys.version_info < (3, 13)
    fits = 300 if backing == "memfd" else 500
    done = run_script(
        ORDINARY + f"resource.setrlimit(resource.RLIMIT_NOFILE, ({SOFT}, {SOFT}))\n"
        "def read(path):\n"
        "    open('read', 'w').close()\n"
        "    return np.load(path)\n"
        "before = opened()\n"
        "try:\n"
        "    arrays = shared_load('many/*.npy', reader=read, progress=False,\n"
        f"                         backing={backing!r})\n"
        "    print('loaded', len(arrays))\n"
        "    del arrays\n"
        "except TooManySegmentsError as error:\n"
        "    print(error.setting, error.limit, os.path.exists('read'))\n"
        "    assert 'RLIMIT_NOFILE allows 1,024' in str(error)\n"
        "assert named() == [] and opened() < before + 20\n"
        f"files = [f'many/{{n:04}}.npy' for n in range({fits})]\n"
        f"with shared_load(files, progress=False, backing={backing!r}) as arrays:\n"
        "    assert [int(array[2]) for array in arrays] == list(range(len(files)))\n"
    )
    assert done.stdout.split() == (
        ["RLIMIT_NOFILE", "1024", "False"] if needs_descriptors else ["loaded", "5000"]
    )
    assert done.stderr == ""


@pytest.mark.slow
@pytest.mark.parametrize("backing", ["shm", "memfd"])
def test_arrays_one_at_a_time_until_descriptors_run_out(run_script, hard_limit, backing):
    done = run_script(
        ORDINARY + f"resource.setrlimit(resource.RLIMIT_NOFILE, ({SOFT}, {hard_limit}))\n"
        f"kept = [share([n], backing={backing!r}) for n in range(3000)]\n"
        "assert [int(array[0]) for array in kept] == list(range(3000))\n"
        "del kept\n"
        f"resource.setrlimit(resource.RLIMIT_NOFILE, ({SOFT}, {SOFT}))\n"
        "kept = []\n"
        "try:\n"
        "    while len(kept) < 3000:\n"
        f"        kept.append(share([len(kept)], backing={backing!r}))\n"
        "except TooManySegmentsError as error:\n"
        "    print(error.setting)\n"
        "os.listdir('/proc/self/fd')\n"  # some are left for what the notebook itself opens
        "kept.pop()\n"
        "assert [int(array[0]) for array in kept] == list(range(len(kept)))\n"
        "assert len(kept) > 300\n"
    )
    needs_descriptors = backing == "memfd" or sys.version_info < (3, 13)
    assert done.stdout.split() == (["RLIMIT_NOFILE"] if needs_descriptors else [])
    assert done.stderr == ""


def test_too_few_mappings_are_named(run_script, tmp_path):
    for n in range(50):
        np.save(tmp_path / f"{n:02}.npy", np.full(3, n))
    done = run_script(
        ORDINARY + "import mmap\n"
        "share([1]).close()\n"
        "with open('/proc/sys/vm/max_map_count') as file:\n"
        "    limit = int(file.read())\n"
        "protections = [mmap.PROT_READ, mmap.PROT_READ | mmap.PROT_WRITE]\n"
        "used, kept = [], []\n"
        "try:\n"
        "    while True:\n"
        "        used.append(mmap.mmap(-1, 4096, mmap.MAP_PRIVATE, protections[len(used) % 2]))\n"
        "except OSError:\n"
        "    del used[-40:]\n"  # Python itself needs a few
        "for call in (\n"
        "    lambda: [kept.append(share([n])) for n in range(100)],\n"
        "    lambda: shared_load('*.npy', progress=False),\n"
        "):\n"
        "    try:\n"
        "        call()\n"
        "    except TooManySegmentsError as error:\n"
        "        print(error.setting, error.limit == limit)\n"
        "    kept.clear()\n"
        "    assert named() == []\n"
        "used.clear()\n"
        "with shared_load('*.npy', progress=False) as arrays:\n"
        "    assert [int(array[2]) for array in arrays] == list(range(50))\n"
    )
    assert done.stdout.splitlines() == ["vm.max_map_count True"] * 2
    assert done.stderr == ""


@pytest.mark.slow
def test_too_little_address_space_is_named(run_script, tmp_path):
    np.save(tmp_path / "x.npy", np.zeros(200 * MB, "u1"))
    done = run_script(
        ORDINARY + "share([1]).close()\n"
        "with open('/proc/self/statm') as file:\n"
        "    used = int(file.read().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (used + 150 * (1 << 20),) * 2)\n"
        "for backing in ('shm', 'memfd'):\n"
        "    for call in (lambda: shared_empty(200 << 20, 'u1', backing=backing),\n"
        "                 lambda: shared_load('x.npy', progress=False, backing=backing)):\n"
        "        try:\n"
        "            call()\n"
        "        except shmkit.NotEnoughMemoryError as error:\n"
        "            print(error.where)\n"
        "        assert named() == []\n"
        "        assert shared_empty(50 << 20, 'u1', backing=backing).sum() == 0\n"
    )
    assert done.stdout.splitlines() == ["the address space of this process (RLIMIT_AS)"] * 4
    assert done.stderr == ""
