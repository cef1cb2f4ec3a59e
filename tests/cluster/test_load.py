"""Loads on the nodes of a cluster: what is where, what travels, and that it is as a local load."""

from __future__ import annotations

import pytest
from nodes import within

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def loaded(session, files, nodes):
    """A session with `arrays`, loaded by both nodes, closed at the end."""
    nodes.before = nodes.transferred()
    session(f"arrays = shmkit.shared_load({files.glob!r}, client=client)")
    nodes.after = nodes.transferred()
    yield session
    session("arrays.close()")
    assert within(5, lambda: not nodes.segments(1) | nodes.segments(2))


def test_both_nodes_load_into_their_own_memory(loaded, nodes):
    """Nearly nothing goes between them."""
    assert nodes.after - nodes.before < 1_000_000
    assert loaded("sorted(set(arrays.nodes.values()))") == ["node1", "node2"]
    assert loaded("arrays.keys()") == ["s0", "s1", "s2", "s3"]
    here = [len(nodes.segments(number)) for number in (1, 2)]
    assert sum(here) == 4
    assert min(here) >= 1
    assert here[0] == loaded("list(arrays.nodes.values()).count('node1')")


def test_arrays_are_those_of_a_local_load(loaded, files):
    local = f"[digest(a) for a in shmkit.shared_load({files.glob!r})]"
    assert loaded("digests(arrays)") == loaded(local)


def test_what_is_known_of_an_array(loaded):
    about = "(a.name, a.shape, a.dtype.names, len(a), a.nbytes > a.dtype.itemsize * len(a))"
    assert loaded(f"a = arrays['s0']; {about}") == (
        *("s0", (60_000,), ("chr", "pos", "pct", "c", "t"), 60_000),
        True,
    )
    assert loaded("repr(arrays)").startswith("<RemoteArrays: s0, s1, s2, s3 (")


def test_functions_run_where_the_data_are(loaded, nodes):
    """On all processes of the node, and each gets a view of the segment that is there."""
    about = (
        "lambda x: (type(x).__name__, x.segment.path.startswith('/dev/shm'), "
        "__import__('socket').gethostname())"
    )
    for _ in range(3):
        before = nodes.transferred()
        found = loaded(f"client.gather(client.map({about}, list(arrays), pure=False))")
        assert [host for *_, host in found] == loaded("list(arrays.nodes.values())")
        assert {found[:2] for found in found} == {("SharedTable", True)}
        assert nodes.transferred() - before < 300_000


def test_every_process_of_a_node_holds_its_arrays(loaded, nodes):
    holders = "sorted(map(len, client.who_has(list(arrays)).values()))"
    assert within(5, lambda: loaded(holders) == [2, 2, 2, 2])
    names = [name for name in nodes.names(1) if name.endswith(".npy")]
    assert len(names) == 2 * len(nodes.segments(1))  # one memory, a name for each process


def test_only_what_is_indexed_travels(loaded, nodes):
    far = loaded("far = next(a for a in arrays if a.node == 'node2'); far.nbytes")
    before = nodes.transferred()
    all_of_it = "client.submit(lambda x: x['pos'].tolist(), far).result()"
    assert loaded("len(far[1000:2000])") == 1000
    assert nodes.transferred() - before < far / 4
    assert loaded(f"far[1000:2000]['pos'].tolist() == {all_of_it}[1000:2000]")


def test_a_near_array_is_mapped_and_a_far_one_is_copied_once(loaded, nodes):
    loaded("near = next(a for a in arrays if a.node == 'node1').local()")
    before = nodes.transferred()
    assert loaded("type(near).__name__, near.segment.path[:9]") == ("SharedTable", "/dev/shm/")
    assert nodes.transferred() - before < 100_000
    nbytes = loaded("far = next(a for a in arrays if a.node == 'node2'); far.nbytes")
    copied = "there = far.local(); type(there).__name__, there.segment.path[:9]"
    assert loaded(copied) == ("SharedTable", "/dev/shm/")
    assert nbytes < nodes.transferred() - before < 1.1 * nbytes + 200_000
    assert loaded("digest(there) == digests([far])[0]")
    loaded("del near, there")


def test_a_function_of_arrays_of_two_nodes(loaded, nodes):
    """The smaller one travels, as bytes, once; both are shared arrays there."""
    code = (
        "near = next(a for a in arrays if a.node == 'node1')\n"
        "far = next(a for a in arrays if a.node == 'node2')\n"
        "total = lambda *found: float(sum(x['pct'].mean() for x in found))\n"
        "f = lambda *found: [*[type(x).__name__ for x in found], total(*found)]\n"
        "client.submit(f, near, far, pure=False).result()"
    )
    before = nodes.transferred()
    *types, total = loaded(code)
    assert types == ["SharedTable", "SharedTable"]
    assert nodes.transferred() - before < 1.2 * loaded("min(near.nbytes, far.nbytes)") + 200_000
    parts = "sum(float(client.submit(lambda x: x['pct'].mean(), a).result()) for a in (near, far))"
    assert total == pytest.approx(loaded(parts))


@pytest.mark.parametrize("options", ["", ", categories='word'", ", processes=1"])
def test_inferred_types_and_codes_are_the_same_on_all_nodes(session, tmp_path, options):
    """A file with whole numbers on one node, and one with a fraction far down on the other."""
    for number in range(4):
        rows = [f"{n},{n % 7}w{number % 2},{n}" for n in range(20_000 + 1000 * number)]
        if number == 2:
            rows[-1] = "0.5,é,NA"
        (tmp_path / f"t{number}.csv").write_text("\n".join(["x,word,y", *rows]) + "\n")
    files = f"{str(tmp_path / '*.csv')!r}{options}"
    session(f"there = shmkit.shared_load({files}, client=client)")
    assert len(session("set(there.nodes.values())")) == 2
    assert session("digests(there)") == session(f"[digest(a) for a in shmkit.shared_load({files})]")
    words = "lambda t: [str(w) for w in np.asarray(t['word'])[-3:]]"
    if not options.startswith(", cat"):
        assert session(f"client.submit({words}, there[2]).result()")[-1] == "é"
    session("there.close()")


def test_files_that_only_one_node_has(session, nodes):
    """The node that has a file loads it; one that none has is named, and so are the nodes."""
    for number in (1, 2):
        text = "1 2\n3 4\n" * number
        nodes.output(number, "sh", "-c", f"printf '{text}' > /dev/shm/only{number}.txt")
    session("those = shmkit.shared_load('/dev/shm/only*.txt', client=client)")
    assert session("those.nodes") == {"only1": "node1", "only2": "node2"}
    assert session("[a.shape for a in those]") == [(2, 2), (4, 2)]
    session("those.close()")
    with pytest.raises(AssertionError, match="on any node: node1, node2"):
        session("shmkit.shared_load('/dev/shm/none.txt', client=client)")
    for number in (1, 2):
        nodes.output(number, "sh", "-c", "rm /dev/shm/only*")
