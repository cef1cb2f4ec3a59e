"""What goes between two processes of a node when one hands an array to the other, and how."""

from __future__ import annotations

import pytest
from nodes import within

pytestmark = pytest.mark.slow

NBYTES = 80_000_000

MAKE = {
    "array": "a",
    "slice": "a[100:]",
    "strided": "a[::2]",
    "dict": "{'a': a, 'n': 1}",
    "list": "[1, [a]]",
    "tuple in a dict with a first item that is none": "{'n': 1, 'a': (a,)}",
    "object": "__import__('types').SimpleNamespace(a=a)",
    "closure": "lambda: a",
    "frame": "pd.DataFrame(np.asarray(a).reshape(-1, 4), copy=False)",
    "table": "shmkit.share({'x': np.asarray(a)})",
}
# How the array that arrived is reached.
REACH = {
    "array": "x",
    "slice": "x",
    "strided": "x",
    "dict": "x['a']",
    "list": "x[1][0]",
    "tuple in a dict with a first item that is none": "x['a'][0]",
    "object": "x.a",
    "closure": "x()",
    "frame": "x.to_numpy(copy=False)",
    "table": "x['x']",
}


@pytest.fixture(scope="module")
def pair(session, files):
    """A session, with the addresses of two workers on node 1, and one on node 2."""
    session(
        f"with shmkit.shared_load({files.glob!r}, client=client): pass\n"
        "found = client.run(lambda: (__import__('socket').gethostname(), os.getpid()))\n"
        "one, two = (w for w, (host, _) in found.items() if host == 'node1')\n"
        "far = next(w for w, (host, _) in found.items() if host == 'node2')\n"
        "def own(pid=None):\n"
        "    lines = open('/proc/self/status').read().splitlines()\n"
        "    return next(int(x.split()[1]) * 1024 for x in lines if x.startswith('RssAnon'))\n"
        "def loopback():\n"
        "    lines = open('/proc/net/dev').read().splitlines()\n"
        "    return next(int(x.split()[1]) for x in lines if x.strip().startswith('lo:'))\n"
    )
    return session


@pytest.mark.parametrize("what", MAKE)
def test_nothing_is_copied_within_a_node(pair, what):
    """Neither over the loopback nor into the memory of the one that gets it."""
    pair(
        "def make():\n"
        "    import pandas as pd\n"
        f"    a = shmkit.shared_empty({NBYTES // 8}, 'f8')\n"
        "    a[:] = np.arange(len(a))\n"
        f"    return {MAKE[what]}\n"
        "made = client.submit(make, workers=[one], pure=False)\n"
        "wait(made); time.sleep(0.5)\n"
        "before = client.run(own, workers=[two])[two], loopback()\n"
        f"f = lambda x: (float(np.asarray({REACH[what]}).sum()), own())\n"
        "total, after = client.submit(f, made, workers=[two], pure=False).result()\n"
    )
    total, private, moved = pair("total, after - before[0], loopback() - before[1]")
    whole = NBYTES // 8 * (NBYTES // 8 - 1) / 2
    expected = {"slice": whole - 99 * 50, "strided": whole / 2}.get(what, whole)
    assert total == pytest.approx(expected, rel=1e-6)
    assert moved < 1_000_000
    assert private < 45_000_000
    pair("del made")


@pytest.mark.parametrize("what", MAKE)
def test_it_is_right_on_another_node(pair, nodes, what):
    """It travels once: no more than what it holds."""
    pair(
        "def make():\n"
        "    import pandas as pd\n"
        f"    a = shmkit.shared_empty({NBYTES // 8 // 10}, 'f8')\n"
        "    a[:] = np.arange(len(a))\n"
        f"    return {MAKE[what]}\n"
        "made = client.submit(make, workers=[one], pure=False)\n"
        "wait(made)\n"
        "None"
    )
    before = nodes.transferred()
    total = pair(
        f"f = lambda x: float(np.asarray({REACH[what]}).sum())\n"
        "client.submit(f, made, workers=[far], pure=False).result()"
    )
    count = NBYTES // 8 // 10
    expected = {"slice": (count - 1) * count / 2 - 99 * 50, "strided": count * (count - 2) / 4}
    assert total == pytest.approx(expected.get(what, (count - 1) * count / 2), rel=1e-6)
    assert nodes.transferred() - before < 1.1 * NBYTES / 10 + 200_000
    pair("del made")


def test_a_reference_to_what_is_gone_is_asked_for_again(pair):
    """As if the name had been removed while the reference was on its way: no task hangs."""
    pair(
        "def make():\n"
        "    return shmkit.share(np.arange(1000))\n"
        "def spoil():\n"
        "    from shmkit.segments.segment import Segment\n"
        "    known, times = Segment.adopt, [2]\n"
        "    def adopt(path, identity):\n"
        "        if times[0]:\n"
        "            times[0] -= 1\n"
        "            raise shmkit.SegmentGoneError(path, 'spoilt')\n"
        "        return known(path, identity)\n"
        "    Segment.adopt = staticmethod(adopt)\n"
        "    Segment.left = times\n"
        "left = lambda: __import__('shmkit').segments.segment.Segment.left[0]\n"
        "client.run(spoil, workers=[two])\n"
        "made = client.submit(make, workers=[one], pure=False)\n"
        "found = client.submit(lambda x: int(x.sum()), made, workers=[two], pure=False)\n"
    )
    assert pair("found.result(timeout=30)") == 499500
    assert pair("client.run(left, workers=[two])[two]") == 0
    pair("del made, found")


def test_references_do_not_spoil_the_estimate_of_the_bandwidth(pair):
    """100 references to arrays of 80 MB; Dask took them for as many transfers: 29 GB/s."""
    pair(
        "def make(n):\n"
        f"    return shmkit.shared_empty({NBYTES // 8}, 'f8')\n"
        "bandwidth = lambda dask_worker: dask_worker.bandwidth\n"
        "before = client.run(bandwidth, workers=[two])[two]\n"
        "for turn in range(10):\n"
        "    made = client.map(make, range(10), workers=[one], pure=False)\n"
        "    wait(made)\n"
        "    got = client.map(lambda x: len(x), made, workers=[two], pure=False)\n"
        f"    assert set(client.gather(got)) == {{{NBYTES // 8}}}\n"
        "    del made, got\n"
        "after = client.run(bandwidth, workers=[two])[two]\n"
    )
    assert pair("after <= 2 * before"), pair("before, after")


def test_names_go_when_nobody_wants_the_arrays(pair, nodes):
    assert within(5, lambda: not nodes.segments(1) | nodes.segments(2)), nodes.names(1)
