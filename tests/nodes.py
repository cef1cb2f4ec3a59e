"""Two nodes on one machine, with a Dask cluster over them: namespaces and a veth pair between.

    this machine
    ├── node1  10.77.0.1   own network, mounts (own /dev/shm), pids, host name; the scheduler
    │     ├── nanny, workers
    │     └── Session: a Python that is the client
    └── node2  10.77.0.2
          └── nanny, workers

It needs root, unshare, nsenter and ip. A process of a node is ended by its pid there.
"""

from __future__ import annotations

import ast
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

SCHEDULER = "tcp://10.77.0.1:8786"
_SESSION = """
import ast, json, sys, traceback
out, sys.stdout = sys.stdout, sys.stderr
scope = {"__name__": "session"}
for line in sys.stdin:
    try:
        body, value = ast.parse(json.loads(line)), None
        last = body.body.pop() if isinstance(body.body[-1], ast.Expr) else None
        exec(compile(body, "<session>", "exec"), scope)
        if last is not None:
            value = eval(compile(ast.Expression(last.value), "<session>", "eval"), scope)
        answer = [True, repr(value)]
    except BaseException as error:
        answer = [False, "".join(traceback.format_exception(error))]
    print(json.dumps(answer), file=out, flush=True)
"""


def missing() -> str:
    """What this machine lacks to be two nodes; "" if nothing."""
    tools = [tool for tool in ("unshare", "nsenter", "ip", "pgrep", "ps") if not shutil.which(tool)]
    if tools:
        return f"needs {', '.join(tools)}"
    tried = subprocess.run(["unshare", "--net", "--mount", "--pid", "--fork", "true"], check=False)
    return "needs the right to make namespaces" if tried.returncode else ""


class Nodes:
    """Two nodes; their processes end with them.

    Parameters
    ----------
    shm
        Size of each /dev/shm, as mount takes it.
    """

    def __init__(self, shm: str = "1g") -> None:
        self._unshares = [self._start(number, shm) for number in (1, 2)]
        self._inits = [self._child(process.pid) for process in self._unshares]
        first, second = self._inits
        self._outside(first, f"ip link add v0 type veth peer name v0 netns {second}")
        for number, init in enumerate(self._inits, 1):
            self._outside(init, f"ip addr add 10.77.0.{number}/24 dev v0 && ip link set v0 up")

    @staticmethod
    def _start(number: int, shm: str) -> subprocess.Popen[bytes]:
        command = (
            f"hostname node{number}; ip link set lo up; "
            f"mount -t tmpfs -o size={shm},mode=1777 tmpfs /dev/shm; exec sleep 100000"
        )
        flags = ["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--uts"]
        return subprocess.Popen(
            ["unshare", *flags, "--propagation", "private", "sh", "-c", command]
        )

    @staticmethod
    def _child(pid: int) -> int:
        """The first process in the namespaces, as it is called outside, when it sleeps."""
        for _ in range(500):
            found = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True)
            if child := found.stdout.strip():
                with open(f"/proc/{child}/comm") as file:
                    if file.read() == "sleep\n":
                        return int(child)
            time.sleep(0.02)
        raise TimeoutError("no node comes up")

    @staticmethod
    def _outside(init: int, command: str) -> None:
        subprocess.run(["nsenter", "-t", str(init), "-n", "sh", "-c", command], check=True)

    def on(self, number: int, *command: str) -> list[str]:
        """The command line that runs a command on a node."""
        enter = ["nsenter", "-t", str(self._inits[number - 1]), "-n", "-m", "-u", "-p"]
        return [*enter, f"--wd={os.getcwd()}", "--", *command]

    def output(self, number: int, *command: str) -> str:
        """What a command prints on a node."""
        done = subprocess.run(self.on(number, *command), check=True, capture_output=True, text=True)
        return done.stdout

    def names(self, number: int) -> list[str]:
        """What shmkit has in a node's /dev/shm: all names, leases and locks included."""
        found = self.output(number, "ls", "-A", "/dev/shm").split()
        return sorted(name for name in found if "shmkit" in name)

    def segments(self, number: int) -> set[str]:
        """The inodes of the segments in a node's /dev/shm: each has as many names as owners."""
        found = self.output(number, "sh", "-c", "ls -i /dev/shm | grep shmkit- || true")
        return {line.split()[0] for line in found.splitlines()}

    def transferred(self) -> int:
        """Bytes that went between the nodes so far, both ways."""
        for line in self.output(1, "cat", "/proc/net/dev").splitlines():
            name, _, figures = line.partition(":")
            if name.strip() == "v0":
                return int(figures.split()[0]) + int(figures.split()[8])
        raise LookupError("v0")

    def kill(self, number: int, *pids: int) -> None:
        """End processes of a node by SIGKILL, all at once."""
        if pids:
            subprocess.run(self.on(number, "kill", "-9", *map(str, pids)), check=False)

    def close(self) -> None:
        for process in self._unshares:
            process.send_signal(signal.SIGKILL)
            process.wait()


class Cluster:
    """A scheduler on node 1, and workers with their nannies on both nodes."""

    def __init__(
        self,
        nodes: Nodes,
        *,
        workers: int = 2,
        memory: str = "0",
        folder: str,
    ) -> None:
        self.nodes = nodes
        self.folder = folder
        self.count = 2 * workers
        self._workers = {"workers": workers, "memory": memory}
        self._processes: list[subprocess.Popen[bytes]] = []
        self._log = open(os.path.join(folder, "dask.log"), "ab")  # noqa: SIM115
        self.begin()

    def begin(self) -> None:
        """Start all of it."""
        self._start(1, "scheduler", "--host", "10.77.0.1", "--port", "8786", "--no-dashboard")
        for number in (1, 2):
            self.add(number, **self._workers)

    def add(self, number: int, *, workers: int = 2, memory: str = "0") -> None:
        """Start workers, with a nanny each, on a node."""
        self._start(
            *(number, "worker", SCHEDULER, "--host", f"10.77.0.{number}", "--no-dashboard"),
            *("--nworkers", str(workers), "--nthreads", "1", "--memory-limit", memory),
            *(
                "--local-directory",
                os.path.join(self.folder, f"dask{number}"),
                "--death-timeout",
                "60",
            ),
        )

    def _start(self, number: int, *arguments: str) -> None:
        command = self.nodes.on(number, sys.executable, "-m", "dask", *arguments)
        self._processes.append(subprocess.Popen(command, stdout=self._log, stderr=self._log))

    def log(self) -> str:
        with open(self._log.name) as file:
            return file.read()

    def end(self) -> None:
        """Kill all of it."""
        for number in (1, 2):
            self.nodes.kill(number, *self.pids(number, "dask"))
        while self._processes:
            self._processes.pop().wait()

    def restart(self) -> None:
        """A new cluster in place of this one."""
        self.end()
        self.begin()

    def close(self) -> None:
        self.end()
        self._log.close()

    def pids(self, number: int, *words: str) -> list[int]:
        """The processes of a node with one of these words, or multiprocessing, in their command."""
        found = self.nodes.output(number, "sh", "-c", "ps -eo pid,args || true")
        lines = [line.split(None, 1) for line in found.splitlines()[1:]]
        return [
            int(pid)
            for pid, command in lines
            if (any(word in command for word in words) or "multiprocessing" in command)
            and "ps -eo" not in command
        ]


class Session:
    """A Python on a node, where a client of the cluster runs."""

    def __init__(self, nodes: Nodes, number: int = 1) -> None:
        self.process = subprocess.Popen(
            nodes.on(number, sys.executable, "-u", "-c", _SESSION),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __call__(self, code: str) -> Any:
        """Run code there; what its last expression gives. Its error is an AssertionError here."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(code) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, f"the session has ended: {self.process.wait()}"
        done, answer = json.loads(line)
        if not done:
            raise AssertionError(answer)
        return ast.literal_eval(answer)

    def connect(self, count: int) -> None:
        """Have there a `client` of the cluster with so many workers."""
        self(
            "import os, signal, socket, sys, threading, time, hashlib, numpy as np, shmkit\n"
            "from dask.distributed import Client, wait\n"
            f"client = Client({SCHEDULER!r}, timeout=60)\n"
            f"client.wait_for_workers({count}, timeout=60)\n"
            "def digest(x):\n"
            "    x = getattr(x, 'whole', x)\n"
            "    return str(x.dtype), hashlib.md5(np.asarray(x).tobytes()).hexdigest()\n"
            "def digests(arrays):\n"
            "    return client.gather(client.map(digest, list(arrays), pure=False))\n"
        )

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


def within(seconds: float, holds: Callable[[], Any]) -> Any:
    """What `holds` gives as soon as that is true, or at the end of so many seconds."""
    ends = time.monotonic() + seconds
    while not (value := holds()) and time.monotonic() < ends:
        time.sleep(0.1)
    return value
