"""Text, and its parser."""
