"""Files of a load as one array."""
