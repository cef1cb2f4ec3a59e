"""The compiled parser of text."""
