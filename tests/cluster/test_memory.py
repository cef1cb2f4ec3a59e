"""Dask's limits of a process's memory: shared pages are not its own."""

from __future__ import annotations

import numpy as np
import pytest
from nodes import Session

pytestmark = pytest.mark.slow

LIMIT = 500_000_000


@pytest.fixture
def session(tmp_path, apart):
    np.save(tmp_path / "big.npy", np.zeros(LIMIT // 8 + LIMIT // 16))
    python = Session(apart)
    python(
        "import os, time, shmkit, numpy as np\n"
        "from dask.distributed import Client, LocalCluster, wait\n"
        "cluster = LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None,\n"
        f"    memory_limit={LIMIT})\n"
        "client = Client(cluster)\n"
        f"arrays = shmkit.shared_load({str(tmp_path / 'big.npy')!r}, client=client)\n"
        "pids = client.run(os.getpid)\n"
        "touch = lambda x: (float(x.sum()), x.nbytes)\n"
        "def touched():\n"
        "    found = [client.submit(touch, arrays[0], workers=[w], pure=False) for w in pids]\n"
        "    return client.gather(found)\n"
    )
    yield python
    python("arrays.close(); client.close(); cluster.close()")
    python.close()


def test_a_worker_that_maps_more_than_its_limit_is_not_killed(session):
    """Its nanny took shared pages for its own: 1.2 GB mapped under 1 GB, and it was killed."""
    assert session("touched()") == [(0.0, LIMIT * 3 // 2)] * 2
    session("time.sleep(1.5)")  # the nanny looks 5 to 10 times a second
    assert session("client.run(os.getpid) == pids")
    status = "[w['status'] for w in client.scheduler_info()['workers'].values()]"
    assert session(status) == ["running", "running"]


def test_other_data_are_spilled_and_shared_arrays_are_not(session):
    session(
        "made = client.map(lambda n: np.full(5_000_000, n, 'f8'), range(20), pure=False)\n"
        "wait(made)\n"
        "def spilled(dask_worker):\n"
        "    return len(dask_worker.data.disk), sorted({type(v).__name__\n"
        "        for v in dask_worker.data.memory.values()})\n"
        "found = client.run(spilled)\n"
    )
    assert session("sum(disk for disk, _ in found.values())") > 0
    assert session("['SharedArray' in kinds for _, kinds in found.values()]") == [True, True]
    assert session("sum(client.gather(client.map(lambda x: float(x[0]), made)))") == 190.0
    assert session("touched()") == [(0.0, LIMIT * 3 // 2)] * 2
