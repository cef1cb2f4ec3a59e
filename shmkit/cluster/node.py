"""Which processes are on one node: those that see the same shared memory, as the same user.

Addresses do not tell: containers of one host have several, and hosts behind a gateway share one. So
a node is the boot of a kernel, the file system of /dev/shm, the user, and the pids' namespace: in
another one neither a memfd nor an owner that has ended can be told by its pid.
"""

from __future__ import annotations

import functools
import os
import socket

from shmkit.cleanup.owner import NAMES, this_process

__all__ = ["FIELD", "host_name", "this_node"]

FIELD = "shmkit-node"  # of what two processes tell each other when they connect


@functools.cache
def this_node() -> str:
    """The node of this process."""
    pids = os.stat("/proc/self/ns/pid").st_ino if os.path.isdir("/proc/self/ns") else 0
    return f"{this_process().boot}-{os.stat(NAMES).st_dev:x}-{os.geteuid()}-{pids:x}"


def host_name() -> str:
    """What a person calls this node."""
    return socket.gethostname()
