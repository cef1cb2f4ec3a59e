"""Tables of other libraries, to and from shared memory."""
