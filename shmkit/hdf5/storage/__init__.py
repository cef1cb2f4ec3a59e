"""The file: changed whole or not at all, whatever ends the process that writes it."""
