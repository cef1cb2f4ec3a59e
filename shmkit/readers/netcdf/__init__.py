"""NetCDF: its third version, and what its numbers mean."""
