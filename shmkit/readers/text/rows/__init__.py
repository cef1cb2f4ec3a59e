"""Text whose dtype is given, to rows."""
