"""Dask: arrays in the shared memory of a cluster's nodes; imported when `client=` asks for it.

    join.py         a client joins: versions are compared, plugins installed
    load/           which node loads what; what the nodes agree on; what each does
    arrays.py       RemoteArrays, RemoteArray: Futures that know their array
    handover.py     between two processes: a reference if near, else bytes
    plugins.py      what Dask's processes get: replicas, memory, bandwidth
    collections.py  dask.array and dask.dataframe over the arrays
    export.py       one HDF5 file, whose chunks the nodes deflate
    node.py         which processes are on one node

An array is a key of Dask's, and its segment lives on a node as long as the key has a replica there.
Dask counts references, computes again what is lost, places tasks and moves data; nothing of that is
done here.

On paper: at 100 nodes of 32 workers, a load sends one task to each node, and asks each for its
records ten times a second, all files of a node in one answer: 48 bytes a file, so with 100,000
files 48 kB a node, 0.5 MB/s from each. Then there is a key a file: a task, a message that it is in
memory, and for each other worker of its node one to get a replica and one that it has it: 64
messages a file, 6.4 million in all, which a scheduler that takes some 10,000 a second works off in
ten minutes. So many small files are better loaded by nodes with few workers of many threads each:
with one worker a node no replicas are made. Each file takes a name and a mapping in each worker of
its node: 1,000 of each here, far from the limit (65,530 mappings). None of this was measured.
"""
