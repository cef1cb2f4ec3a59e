"""Processes of a cluster that are killed: what is left, what is loaded again, what results are."""

from __future__ import annotations

import pytest
from nodes import Session, within

pytestmark = pytest.mark.slow

ROWS = 200_000
FILES = 4


@pytest.fixture(scope="module")
def numbers(tmp_path_factory):
    """Files of numbers, which a reader= loads that notes each load in a log."""
    folder = tmp_path_factory.mktemp("numbers")
    for number in range(FILES):
        (folder / f"n{number}.bin").write_bytes(bytes([number]) * 8 * ROWS)
    return folder


@pytest.fixture
def loaded(nodes, cluster, numbers):
    """A session with `arrays` that every process of their nodes holds."""
    (numbers / "log").write_text("")
    session = Session(nodes)
    session.connect(cluster.count)
    session(
        "def read(path):\n"
        f"    with open({str(numbers / 'log')!r}, 'a') as log:\n"
        "        log.write(os.path.basename(path) + '\\n')\n"
        f"    time.sleep({getattr(numbers, 'slow', 0)})\n"
        "    return np.fromfile(path, 'i8')\n"
        f"arrays = shmkit.shared_load({str(numbers / '*.bin')!r}, reader=read, client=client)\n"
        "right = [int.from_bytes(bytes([n]) * 8, 'little') for n in range(4)]\n"
        "def results():\n"
        "    f = lambda x: [int(x.min()), int(x.max()), len(x)]\n"
        "    return client.gather(client.map(f, list(arrays), pure=False))\n"
        "def workers(node):\n"
        "    found = client.run(lambda: (__import__('socket').gethostname(), os.getpid()))\n"
        "    return [pid for host, pid in found.values() if host == node]\n"
    )
    assert within(
        10, lambda: session("set(map(len, client.who_has(list(arrays)).values()))") == {2}
    )
    yield session
    session.close()


@pytest.fixture(autouse=True)
def _nothing_is_left(nodes):
    yield
    assert within(5, lambda: not nodes.segments(1) | nodes.segments(2))


def loads(numbers):
    return len((numbers / "log").read_text().split())


def assert_right(session):
    assert session("results() == [[n, n, 200_000] for n in right]")


@pytest.mark.parametrize("time", range(5))
def test_one_of_the_workers_of_a_node(loaded, nodes, numbers, time):
    """The other one still has the memory: nothing is loaded again."""
    victim, _ = loaded("workers('node2')")
    before = nodes.segments(2)
    nodes.kill(2, victim)
    names = f"shmkit-{victim}-"
    assert within(5, lambda: not any(names in name for name in nodes.names(2)))
    assert nodes.segments(2) == before
    assert_right(loaded)
    assert loads(numbers) == FILES
    assert within(30, lambda: loaded("set(map(len, client.who_has(list(arrays)).values()))") == {2})
    loaded("arrays.close()")


@pytest.mark.parametrize("time", range(5))
def test_all_workers_of_a_node(loaded, nodes, numbers, time):
    """Their files, and no others, are loaded again."""
    lost = loaded("list(arrays.nodes.values()).count('node2')")
    nodes.kill(2, *loaded("workers('node2')"))
    assert_right(loaded)
    assert loads(numbers) == FILES + lost
    loaded("arrays.close()")


@pytest.mark.parametrize("time", range(5))
def test_nannies_and_workers_of_a_node(loaded, nodes, cluster, numbers, time):
    """Nothing at all is left there."""
    lost = loaded("list(arrays.nodes.values()).count('node2')")
    nodes.kill(2, *cluster.pids(2, "dask"))
    assert within(5, lambda: not nodes.names(2))
    assert_right(loaded)
    assert loads(numbers) == FILES + lost
    loaded("arrays.close()")
    cluster.add(2)


@pytest.mark.parametrize("time", range(5))
def test_the_client(loaded, nodes, time):
    nodes.kill(1, loaded("os.getpid()"))
    assert within(5, lambda: not nodes.segments(1) | nodes.segments(2))


@pytest.mark.parametrize("time", range(5))
def test_the_client_in_the_middle_of_a_load(nodes, cluster, numbers, time):
    """The loads on the nodes end too, and their loader processes are killed."""
    session = Session(nodes)
    session.connect(cluster.count)
    pid = session("os.getpid()")
    session(
        "def read(path):\n"
        "    time.sleep(60)\n"
        f"options = dict(reader=read, client=client); files = {str(numbers / '*.bin')!r}\n"
        "load = lambda: shmkit.shared_load(files, **options)\n"
        "threading.Thread(target=load, daemon=True).start()\n"
    )
    assert within(20, lambda: nodes.segments(1) and nodes.segments(2))
    nodes.kill(1, pid)
    assert within(5, lambda: not nodes.segments(1) | nodes.segments(2))
    session.close()


@pytest.mark.parametrize("time", range(5))
def test_a_worker_in_the_middle_of_a_load(nodes, cluster, numbers, time):
    """Dask gives its part of the load to another one."""
    session = Session(nodes)
    session.connect(cluster.count)
    session(
        f"def read(path):\n    time.sleep(3)\n    return np.fromfile(path, 'i8')\n"
        "found = []\n"
        f"load = lambda: found.append(shmkit.shared_load({str(numbers / '*.bin')!r}, reader=read,"
        " client=client))\n"
        "loading = threading.Thread(target=load, daemon=True); loading.start()\n"
    )
    owner = within(20, lambda: [n for n in nodes.names(2) if n.endswith(".npy")])[0].split("-")[1]
    nodes.kill(2, int(owner))
    session("loading.join(60); arrays, = found")
    session("f = lambda x: [int(x.min()), len(x)]")
    found = session("client.gather(client.map(f, list(arrays), pure=False))")
    assert found == [[int.from_bytes(bytes([n]) * 8, "little"), ROWS] for n in range(FILES)]
    session("arrays.close()")
    session.close()


@pytest.mark.parametrize("time", range(5))
def test_the_scheduler(nodes, numbers, tmp_path, cluster, loaded, time):
    """Its workers end, and with them all that they have."""
    pid = next(p for p in cluster.pids(1, "scheduler"))
    nodes.kill(1, pid)
    assert within(5, lambda: not nodes.segments(1) | nodes.segments(2))
    nodes.kill(1, loaded("os.getpid()"))
    cluster.restart()


def test_a_table_that_is_loaded_again_is_the_same(nodes, cluster, tmp_path):
    """Types that were agreed with files of another node, and codes of categories, stay."""
    for number in range(4):
        last = "0.5,é,NA" if number == 2 else "1,a,2"
        rows = [f"{n},{n % 7}w{number},{n}" for n in range(20_000 + 1000 * number)]
        (tmp_path / f"t{number}.csv").write_text("\n".join(["x,word,y", *rows, last]) + "\n")
    session = Session(nodes)
    session.connect(cluster.count)
    session(
        f"arrays = shmkit.shared_load({str(tmp_path / '*.csv')!r}, categories='word',"
        " client=client)\n"
        "def workers(node):\n"
        "    found = client.run(lambda: (__import__('socket').gethostname(), os.getpid()))\n"
        "    return [pid for host, pid in found.values() if host == node]\n"
    )
    before = session("digests(arrays)")
    nodes.kill(2, *session("workers('node2')"))
    assert session("digests(arrays)") == before
    session("arrays.close()")
    session.close()
