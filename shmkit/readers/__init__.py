"""The formats, a module or a subpackage each."""
