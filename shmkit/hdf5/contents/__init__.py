"""What an export puts into its file: arrays, tables and mappings of them, as named datasets."""
