"""Export: arrays to one HDF5 file, which any HDF5 reader opens."""
