"""HDF5's shuffle filter, both ways: compiled, and in numpy where that cannot be."""
