"""Segments, and the arrays over them."""
