"""A load, from files to views."""
