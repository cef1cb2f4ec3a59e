"""Pictures with matplotlib: how a load went, what memory it takes, what is in an array."""
