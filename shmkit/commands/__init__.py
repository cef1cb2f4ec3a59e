"""What a person types: the command line, the magics."""
