"""A user's functions on loader processes."""
