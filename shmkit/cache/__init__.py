"""The cache: what was read, kept on disk as images of segments, for the next load."""
