"""HDF5 files, and NetCDF-4 files, which are such: what they have, and the arrays it becomes."""
