"""HDF5's filters, in parallel."""
