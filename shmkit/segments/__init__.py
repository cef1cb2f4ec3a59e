"""Segments: each one array or table in shared memory, as one file that describes itself."""
