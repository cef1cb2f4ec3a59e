"""A load on the nodes of a cluster: what the client does, and what each node."""
