"""Text whose types are inferred, to the columns of a table."""
