"""The panel of a load."""
