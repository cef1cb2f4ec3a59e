"""The limits, on files of the layouts that real machines have."""

import os

import pytest

from shmkit import _limits

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
        return {"proc": proc, "cgroups": cgroups}

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
