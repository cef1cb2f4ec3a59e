"""Which files are loaded, and as what."""
